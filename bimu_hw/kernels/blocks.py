"""Blocks of word lines: how the kernels of a layer cut their work.

A block is a few whole word lines, about 400 cells: long enough for vector loops without remainder, short enough that a
dozen arrays of it stay in the first-level cache. Blocks of the first half of the word lines have a partner in the
second, with which they share random words (`bimu_hw.kernels.bits.look_bits`). The work is shared out among threads
by the chunk, a few pairs of blocks; float32 sums run within a chunk first, then over the chunks.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline
from bimu_hw.kernels.lanes import LANES, spread, store

_F = np.float32

#: Pairs of blocks per chunk.
CHUNK = 8

#: Cells a block has at least, if the layer has as many.
BLOCK_CELLS = 384


def block_rows(n_out: int) -> int:
    """Return the number of word lines per block: whole 16-cell vectors, at least `BLOCK_CELLS` cells."""
    even = 16 // np.gcd(16, n_out)
    return int(even * -(-BLOCK_CELLS // (even * n_out)))


def count_pairs(n_in: int, rows: int) -> int:
    """Return the number of pairs of blocks."""
    return -(-((n_in + 1) // 2) // rows)


def count_chunks(n_in: int, rows: int) -> int:
    """Return the number of chunks."""
    return -(-count_pairs(n_in, rows) // CHUNK)


@inline(borrowed=True)
def block_range(block, rows, n_in):
    """Return the first word line of a block and the one behind its last."""
    half = (n_in + 1) // 2
    n_pairs = -(-half // rows)
    upper = np.int64(block >= n_pairs)
    start = (block - upper * n_pairs) * rows + upper * half
    return start, min(start + rows, half + upper * (n_in - half))


@inline(borrowed=True)
def spread_rows(values, n_out, out):
    """Write each word line's value to all of its cells (float32, flat)."""
    if n_out >= LANES:
        for r in range(values.size):
            v, first, last = spread(values, r), r * n_out, (r + 1) * n_out - LANES
            # The last vector of a line may overlap the one before: the same value, written twice.
            for c in range(first, last, LANES):
                store(out, c, v)
            store(out, last, v)
        return
    for r in range(values.size):
        v = values[r]
        row = out[r * n_out : (r + 1) * n_out]
        for j in range(n_out):
            row[j] = v


@inline(borrowed=True)
def add_rows(cells, rows, out):
    """Add up the cells of each bit line (flat, `rows` word lines) into `out` (float32[bitline])."""
    n_out = out.size
    for r in range(rows):
        row = cells[r * n_out : (r + 1) * n_out]
        for j in range(n_out):
            out[j] += row[j]


@inline(borrowed=True)
def sum_chunks(partial, out):
    """Add up the partial sums of all chunks, float32[chunk, sample, bitline], in order."""
    for s in range(out.shape[0]):
        y = out[s]
        for j in range(y.size):
            y[j] = _F(0.0)
        for chunk in range(partial.shape[0]):
            p = partial[chunk, s]
            for j in range(y.size):
                y[j] += p[j]
