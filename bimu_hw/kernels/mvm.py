"""Binary in-memory matrix-vector products, tile by tile, with converters.

Everything is in weight units: the current of one cell of weight +1 at unit input is +1, of weight -1 is -1. The
tile's conductances and read voltage turn these units into amperes (`bimu_hw.crossbar.chip`), the converter works on
them as they are.

Inputs come as planes: x = sum over planes of plane_weight * plane. A bit-serial input has one plane per bit and, if
it is signed, a plane of ones that carries the offset; an analog input is one plane of weight 1. Every plane of
every tile is converted by itself and the results are added digitally in a fixed order: planes within a tile, tiles
from the first word line on.

An exact converter is one of vanishing step: with step 2**-90 rounding is the identity on float32, bit for bit.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit

_F = np.float32


@inline
def convert(value, step, shift, code_min, code_max):
    """Convert a column sum: round v / step - shift to a whole number, add the shift, clip, and scale back."""
    code = np.rint(value / step - shift) + shift
    return min(max(code, code_min), code_max) * step


@jit
def forward_product(planes, plane_weight, weights, middle, gain, tile_rows, converter, partial, out):
    """Multiply inputs by sampled binary weights, word lines driven, bit lines sensed.

    Parameters
    ----------
    planes : float32[1 or sample, plane, wordline]
        Input planes; one row is shared by all samples.
    plane_weight : float32[plane]
    weights : int8[look, wordline, bitline]
        Sampled weights, -1 or +1; look = sample, or sample * n_plane + plane when every look draws anew.
    middle, gain : float32[wordline, bitline]
        A cell contributes middle + gain * weight; 0 and 1 without spread.
    tile_rows : int
        Word lines per tile.
    converter : (float32 step, float32 shift, float32 code_min, float32 code_max)
    partial : float32[sample, plane, bitline]
        Work space.
    out : float32[sample, bitline]
        Products. *Mutates* `partial`, `out`.
    """
    n_sample, n_out = out.shape
    n_plane = planes.shape[1]
    n_in = gain.shape[0]
    # Indices, not a choice between arrays: LLVM vectorises the inner loop only if it can tell the arrays apart.
    own_row = np.int64(planes.shape[0] != 1)
    looks = weights.shape[0] // n_sample
    own_look = np.int64(looks > 1)
    step, shift, code_min, code_max = converter
    out[:] = _F(0.0)
    for start in range(0, n_in, tile_rows):
        partial[:] = _F(0.0)
        for i in range(start, min(start + tile_rows, n_in)):
            centre = middle[i]
            slope = gain[i]
            for s in range(n_sample):
                if n_plane == 1:
                    # Without a condition the check that arrays do not overlap leaves the loop: four times faster.
                    v = planes[s * own_row, 0, i]
                    w = weights[s * looks, i]
                    acc = partial[s, 0]
                    for j in range(n_out):
                        acc[j] += v * (centre[j] + slope[j] * _F(w[j]))
                else:
                    for p in range(n_plane):
                        v = planes[s * own_row, p, i]
                        if v != _F(0.0):
                            w = weights[s * looks + p * own_look, i]
                            acc = partial[s, p]
                            for j in range(n_out):
                                acc[j] += v * (centre[j] + slope[j] * _F(w[j]))
        for s in range(n_sample):
            y = out[s]
            for p in range(n_plane):
                acc = partial[s, p]
                scale = plane_weight[p]
                for j in range(n_out):
                    y[j] += scale * convert(acc[j], step, shift, code_min, code_max)


@jit
def transposed_product(planes, plane_weight, weights, middle, gain, tile_columns, converter, partial, out):
    """Multiply by the transpose of sampled binary weights, bit lines driven, word lines sensed: the backward read.

    Parameters
    ----------
    planes : float32[sample, plane, bitline]
    plane_weight : float32[sample, plane]
        Per sample, since the gradient is scaled by its own largest element before it is cut into bits.
    weights : int8[look, wordline, bitline]
        As in `forward_product`.
    middle, gain : float32[wordline, bitline]
    tile_columns : int
        Bit lines per tile.
    converter : (float32 step, float32 shift, float32 code_min, float32 code_max)
    partial : float32[plane]
        Work space.
    out : float32[sample, wordline]
        *Mutates* `partial`, `out`.
    """
    n_sample, n_in = out.shape
    n_plane = planes.shape[1]
    n_out = gain.shape[1]
    per_look = weights.shape[0] != n_sample
    step, shift, code_min, code_max = converter
    for s in range(n_sample):
        for i in range(n_in):
            total = _F(0.0)
            for start in range(0, n_out, tile_columns):
                stop = min(start + tile_columns, n_out)
                for p in range(n_plane):
                    wi = weights[s * n_plane + p, i] if per_look else weights[s, i]
                    acc = _F(0.0)
                    for j in range(start, stop):
                        acc += planes[s, p, j] * (middle[i, j] + gain[i, j] * _F(wi[j]))
                    partial[p] = acc
                for p in range(n_plane):
                    total += plane_weight[s, p] * convert(partial[p], step, shift, code_min, code_max)
            out[s, i] = total


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
def driven_weight(planes, weights, n_sample, transposed):
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
                    total += np.float64(v[i] * v[i]) * signs
    return total
