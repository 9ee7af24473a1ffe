"""Textbook twins of the array floor: plain Python loops in double precision, one cell, line or code at a time.

Nothing here imports the package. `round` of Python takes ties to the even neighbour, like the converters and the
rounding policies.
"""

from __future__ import annotations

import math

import numpy as np


def levels(n, lam_max):
    """Return the lam of each of `n` levels spread evenly over [-lam_max, lam_max]."""
    return [-lam_max + 2.0 * lam_max * k / (n - 1) for k in range(n)]


def nearest(value, candidates):
    """Return the index of the candidate closest to a value."""
    return min(range(len(candidates)), key=lambda k: abs(value - candidates[k]))


def converted(value, step, shift, code_min, code_max, gain=1.0, offset=0.0):
    """Return what an analog-to-digital converter makes of a value; a step of None is an exact converter."""
    if step is None:
        return float(value)
    code = round(float(value) * float(gain) / step - shift + float(offset)) + shift
    return min(max(code, code_min), code_max) * step


def converted_and_added(sums, plane_weight, converter, gain, offset, unit=None, bits=0):
    """Return results [sample, line] of sums [sample, plane, tile, line], added in words of `bits` bits of `unit`."""
    out = np.zeros((sums.shape[0], sums.shape[3]))
    for s, p, t, j in sorted(np.ndindex(sums.shape), key=lambda i: (i[0], i[2], i[1], i[3])):
        weight = float(plane_weight[s if len(plane_weight) > 1 else 0][p])
        total = out[s, j] + weight * converted(sums[s, p, t, j], *converter, gain[t, j], offset[t, j])
        if bits:
            total = min(max(round(total / unit), -(2 ** (bits - 1))), 2 ** (bits - 1) - 1) * unit
        out[s, j] = total
    return out


def complementary_lines(values, weights, on, off, first, last):
    """Return a 2T2R column's sums [bitline] and its dissipation for word lines first .. last - 1, one pair at a time.

    `on` and `off` are conductances [wordline, bitline, device] of the cells P and N. Value v > 0 drives line P with v,
    v < 0 line N with -v; the mean conductance of the two nominal states per unit of |v| is known and subtracted.
    """
    n_out = weights.shape[1]
    g_on, g_off = NOMINAL
    currents, power = np.zeros(n_out), 0.0
    for i in range(first, last):
        v = float(values[i])
        for j in range(n_out):
            p = on[i, j, 0] if weights[i, j] > 0 else off[i, j, 0]
            n = off[i, j, 1] if weights[i, j] > 0 else on[i, j, 1]
            currents[j] += max(v, 0.0) * p + max(-v, 0.0) * n
            nominal = g_on if (weights[i, j] > 0) == (v > 0) else g_off
            power += v * v * nominal
    known = sum(abs(float(v)) for v in values[first:last]) * (g_on + g_off) / 2.0
    return (currents - known) / ((g_on - g_off) / 2.0), power


#: On and off conductances of the tests' sampling elements.
NOMINAL = (2.0, 1.0)


EXACT = (None, 0, 0, 0)


def reconstructed(planes, plane_weight):
    """Return the values, [row, line], that planes [row, plane, line] with weights [plane] or [row, plane] stand for."""
    planes = np.asarray(planes, np.float64)
    weight = np.broadcast_to(np.asarray(plane_weight, np.float64), planes.shape[:2])
    return np.array([sum(weight[s, p] * planes[s, p] for p in range(planes.shape[1])) for s in range(len(planes))])


def look_of(weights, n_sample, n_plane, s, p):
    """Return the weights that plane p of sample s sees: its own look if there is one for every plane."""
    return weights[s] if len(weights) == n_sample else weights[s * n_plane + p]


def product(planes, plane_weight, weights, middle, gain, tile_rows, converter, n_sample):
    """Return the forward product [sample, bitline] of planes [1 or sample, plane, wordline]."""
    n_plane = planes.shape[1]
    n_in, n_out = gain.shape
    out = np.zeros((n_sample, n_out))
    for s in range(n_sample):
        for p in range(n_plane):
            w = look_of(weights, n_sample, n_plane, s, p)
            v = planes[0 if len(planes) == 1 else s, p]
            for j in range(n_out):
                for start in range(0, n_in, tile_rows):
                    column = sum(
                        float(v[i]) * (float(middle[i, j]) + float(gain[i, j]) * float(w[i, j]))
                        for i in range(start, min(start + tile_rows, n_in))
                    )
                    out[s, j] += float(plane_weight[p]) * converted(column, *converter)
    return out


def backward_product(planes, plane_weight, weights, middle, gain, tile_columns, converter):
    """Return the transposed product [sample, wordline]: the forward one on the transposed arrays, sample by sample."""
    n_sample, n_plane = planes.shape[:2]
    out = []
    for s in range(n_sample):
        looks = np.array([look_of(weights, n_sample, n_plane, s, p).T for p in range(n_plane)])
        out.append(product(planes[s : s + 1], plane_weight[s], looks, middle.T, gain.T, tile_columns, converter, 1)[0])
    return np.array(out)


def driven(planes):
    """Return the number of driven lines and the sum of their squared values."""
    values = [float(v) for v in np.ravel(planes) if v != 0]
    return len(values), sum(v * v for v in values)


def driven_weight(planes, weights, n_sample, transposed):
    """Return the sum of value**2 * weight over all cells of driven lines, of all samples and planes."""
    n_plane = planes.shape[1]
    total = 0.0
    for s in range(n_sample):
        for p in range(n_plane):
            w = look_of(weights, n_sample, n_plane, s, p)
            for i in range(w.shape[0]):
                for j in range(w.shape[1]):
                    line = j if transposed else i
                    total += float(planes[0 if len(planes) == 1 else s, p, line]) ** 2 * float(w[i, j])
    return total


def log_softmax(row):
    row = [float(z) for z in row]
    top = max(row)
    log_total = top + math.log(sum(math.exp(z - top) for z in row))
    return [z - log_total for z in row]


def entropy_bits(probabilities):
    return -sum(p * math.log2(p) for p in probabilities if p > 0.0)


def accumulate(register, asked, lsb):
    """Return (sent, kept) of a residue register after a request of `asked` levels, rounded to the register's bits."""
    total = register + round(asked / lsb) * lsb
    return round(total), total - round(total)


def write_groups(cells, counts, whole, n_bitlines, tile_wordlines, tile_bitlines, write_columns):
    """Return pulses up, pulses down, and {tile: [operations, slots up, slots down]}, by grouping cell after cell."""
    groups = {}
    for cell, count in zip(cells, counts, strict=True):
        row, column = divmod(int(cell), n_bitlines)
        column_tile, inside = divmod(column, tile_bitlines)
        groups.setdefault((row, column_tile, inside // write_columns), []).append(float(count))
    every = [count for group in groups.values() for count in group]
    tiles = {}
    for (row, column_tile, _), group in groups.items():
        tile = tiles.setdefault((row // tile_wordlines, column_tile), [0, 0, 0])
        tile[0] += 1
        tile[1] += max((round(count) for count in group if count > 0), default=0) if whole else 1
        tile[2] += max((round(-count) for count in group if count < 0), default=0) if whole else 0
    ups = [count for count in every if count > 0]
    downs = [-count for count in every if count < 0]
    sums = (sum(map(round, ups)), sum(map(round, downs))) if whole else (len(ups), len(downs))
    return *sums, tiles
