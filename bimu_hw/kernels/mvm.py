"""Binary in-memory matrix-vector products, tile by tile, with converters.

Everything is in weight units: the current of one cell of weight +1 at unit input is +1, of weight -1 is -1. The
tile's conductances and read voltage turn these units into amperes (`bimu_hw.crossbar.chip`), the converter works on
them as they are.

Inputs come as planes: x = sum over planes of plane_weight * plane. A bit-serial input has one plane per bit and, if
it is signed, a plane of ones that carries the offset; an analog input is one plane of weight 1. A read has two stages.
The first sums every column of every tile for every plane: `tile_sums`, or a circuit with wires. The second,
`convert_and_add`, converts each of these sums by itself and adds the results digitally in a fixed order: planes
within a tile, tiles from the first line on.

An exact converter is one of vanishing step: with step 2**-90 rounding is the identity on float32, bit for bit. So is
a word of the accumulator of that unit.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import cell_bits, fold, key_halves, normal_from_bits

_F = np.float32


@inline
def convert(value, step, shift, offset, code_min, code_max):
    """Convert a column sum: round v / step - shift + offset to a whole number, add the shift, clip, and scale back."""
    code = np.rint(value / step - shift + offset) + shift
    return min(max(code, code_min), code_max) * step


@inline
def add(total, term, unit, lowest, highest):
    """Add a term to a word of an accumulator: whole units between its ends."""
    return min(max(np.rint((total + term) / unit), lowest), highest) * unit


@jit
def tile_sums(planes, weights, middle, gain, tile_rows, out):
    """Sum the columns of every tile for sampled binary weights: word lines driven, bit lines sensed, ideal wires.

    Parameters
    ----------
    planes : float32[1 or sample, plane, wordline]
        Input planes; one row is shared by all samples.
    weights : int8[look, wordline, bitline]
        Sampled weights, -1 or +1; look = sample, or sample * n_plane + plane when every look draws anew.
    middle, gain : float32[polarity, wordline, bitline]
        A cell contributes middle + gain * weight; 0 and 1 without spread. With two polarities the second entry is the
        cell that a negative input meets (complementary word lines).
    tile_rows : int
        Word lines per tile.
    out : float32[sample, plane, row_tile, bitline]
        *Mutates* `out`.
    """
    n_sample, n_plane, _, n_out = out.shape
    n_in = gain.shape[1]
    # Indices, not a choice between arrays: LLVM vectorises the inner loop only if it can tell the arrays apart.
    own_row = np.int64(planes.shape[0] != 1)
    looks = weights.shape[0] // n_sample
    own_look = np.int64(looks > 1)
    both = gain.shape[0] > 1
    out[:] = _F(0.0)
    for start in range(0, n_in, tile_rows):
        t = start // tile_rows
        for i in range(start, min(start + tile_rows, n_in)):
            for polarity in range(gain.shape[0]):
                centre = middle[polarity, i]
                slope = gain[polarity, i]
                for s in range(n_sample):
                    if n_plane == 1:
                        # Without a condition the check that arrays do not overlap leaves the loop: four times faster.
                        v = planes[s * own_row, 0, i]
                        if both:
                            v = min(v, _F(0.0)) if polarity else max(v, _F(0.0))
                        w = weights[s * looks, i]
                        acc = out[s, 0, t]
                        for j in range(n_out):
                            acc[j] += v * (centre[j] + slope[j] * _F(w[j]))
                    else:
                        for p in range(n_plane):
                            v = planes[s * own_row, p, i]
                            if both:
                                v = min(v, _F(0.0)) if polarity else max(v, _F(0.0))
                            if v != _F(0.0):
                                w = weights[s * looks + p * own_look, i]
                                acc = out[s, p, t]
                                for j in range(n_out):
                                    acc[j] += v * (centre[j] + slope[j] * _F(w[j]))


@jit
def transposed_tile_sums(planes, weights, middle, gain, tile_columns, out):
    """Sum the rows of every tile, bit lines driven, word lines sensed: the backward read with ideal wires.

    Parameters
    ----------
    planes : float32[sample, plane, bitline]
    weights : int8[look, wordline, bitline]
        As in `tile_sums`.
    middle, gain : float32[wordline, bitline]
    tile_columns : int
        Bit lines per tile.
    out : float32[sample, plane, column_tile, wordline]
        *Mutates* `out`.
    """
    n_sample, n_plane, _, n_in = out.shape
    n_out = gain.shape[1]
    per_look = weights.shape[0] != n_sample
    for s in range(n_sample):
        for start in range(0, n_out, tile_columns):
            stop = min(start + tile_columns, n_out)
            t = start // tile_columns
            for i in range(n_in):
                for p in range(n_plane):
                    wi = weights[s * n_plane + p, i] if per_look else weights[s, i]
                    acc = _F(0.0)
                    for j in range(start, stop):
                        acc += planes[s, p, j] * (middle[i, j] + gain[i, j] * _F(wi[j]))
                    out[s, p, t, i] = acc


@jit
def convert_and_add(sums, plane_weight, converter, gain, offset, noise, key, first, word, out):
    """Convert the column sums of all tiles and planes, each by itself, and add the results in digital.

    Every addition is rounded to the unit of the accumulator's words and saturates at their ends.

    Parameters
    ----------
    sums : float32[sample, plane, tile, line]
    plane_weight : float32[1 or sample, plane]
    converter : (float32 step, float32 shift, float32 code_min, float32 code_max)
    gain : float32[tile, line]
        What a column's converter multiplies its input by, nominally 1.
    offset : float32[tile, line]
        What it adds, in steps.
    noise : float32
        Standard deviation of the noise of one conversion, in steps.
    key : uint64
        Of the noise.
    first : int
        Index of the first of these samples among those of the query: part of the noise's cell numbers.
    word : (float32[1 or sample] unit, float32 lowest, float32 highest)
        Unit of the accumulator's words and their ends in units.
    out : float32[sample, line]
        *Mutates* `out`.
    """
    n_sample, n_plane, n_tile, n_line = sums.shape
    step, shift, code_min, code_max = converter
    unit, lowest, highest = word
    own_weight = np.int64(plane_weight.shape[0] != 1)
    own_unit = np.int64(unit.size != 1)
    low, high = key_halves(key)
    low_b, high_b = key_halves(fold(key, np.uint64(1)))
    out[:] = _F(0.0)
    for s in range(n_sample):
        y = out[s]
        grain = unit[s * own_unit]
        for t in range(n_tile):
            g = gain[t]
            o = offset[t]
            for p in range(n_plane):
                scale = plane_weight[s * own_weight, p]
                v = sums[s, p, t]
                if noise == _F(0.0):
                    for j in range(n_line):
                        code = convert(v[j] * g[j], step, shift, o[j], code_min, code_max)
                        y[j] = add(y[j], scale * code, grain, lowest, highest)
                else:
                    cell = (((first + s) * n_plane + p) * n_tile + t) * n_line
                    for j in range(n_line):
                        c = np.uint32(cell + j)
                        z = normal_from_bits(cell_bits(low, high, c), cell_bits(low_b, high_b, c))
                        code = convert(v[j] * g[j], step, shift, o[j] + noise * z, code_min, code_max)
                        y[j] = add(y[j], scale * code, grain, lowest, highest)


@jit
def driven_lines(planes):
    """Count the driven lines of all planes, and sum their squared values.

    Parameters
    ----------
    planes : float32[row, plane, line]

    Returns
    -------
    tuple of (int, float)
        Lines with a non-zero value; sum of value**2 in float64.
    """
    n = 0
    square = 0.0
    for s in range(planes.shape[0]):
        for p in range(planes.shape[1]):
            for i in range(planes.shape[2]):
                v = planes[s, p, i]
                n += v != _F(0.0)
                square += np.float64(v) * np.float64(v)
    return n, square


@jit
def driven_weight(planes, weights, n_sample, transposed, complementary):
    """Sum value**2 * weight over all driven cells of all samples and planes: the weight-dependent part of a read's
    current.

    Parameters
    ----------
    planes : float32[1 or sample, plane, line]
    weights : int8[look, wordline, bitline]
        look = sample, or sample * n_plane + plane.
    n_sample : int
    transposed : bool
        Whether bit lines are driven, not word lines.
    complementary : bool
        Whether a negative value drives the complementary word line, whose cell holds the opposite weight.

    Returns
    -------
    float
        In float64.
    """
    n_plane = planes.shape[1]
    n_look, n_in, n_out = weights.shape
    per_look = n_look != n_sample
    total = 0.0
    for s in range(n_sample):
        row = 0 if planes.shape[0] == 1 else s
        for p in range(n_plane):
            w = weights[s * n_plane + p] if per_look else weights[s]
            v = planes[row, p]
            for i in range(n_in):
                if transposed:
                    for j in range(n_out):
                        total += np.float64(v[j] * v[j]) * w[i, j]
                elif v[i] != _F(0.0):
                    signs = np.int64(0)
                    for j in range(n_out):
                        signs += w[i, j]
                    square = np.float64(v[i] * v[i])
                    total += (-square if complementary and v[i] < _F(0.0) else square) * signs
    return total
