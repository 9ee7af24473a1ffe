"""Write raw random bytes to standard output, for test suites that read them there.

    python benchmarks/random_bits.py cells | dieharder -g 200 -d 101
    python benchmarks/random_bits.py philox | dieharder -g 200 -a
    python benchmarks/random_bits.py sampler cmos_lfsr | RNG_test stdin32

Streams
    cells
        The words that Monte Carlo bits are drawn from, with the keys of a run: query after query, five looks each, the
        cells of a layer of 784 x 100 in order, 32 bits per cell.
    philox
        The words of device noise, event after event: four per pulse, one pulse of every cell of such a layer.
    sampler CARD
        The weights that a sampling element draws at lam = 0, eight to a byte, in the order of `cells`.

The stream is endless unless ``--megabytes`` ends it; it stops quietly when the reader has seen enough.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

import numpy as np

from bimu_hw.cards import load_card
from bimu_hw.crossbar.synapses import Seeds, SynapseArray, SynapseSpec, event_key
from bimu_hw.kernels import jit
from bimu_hw.kernels.bits import cell_bits, fold, key_halves, philox
from bimu_hw.random import Purpose, stream_key

SHAPE = (784, 100)
LOOKS = 5
SEED = 1


@jit
def _look_words(key, first, out):
    """Fill uint32[look, cell] with the words of successive looks of one query."""
    for n in range(out.shape[0]):
        low, high = key_halves(fold(key, np.uint64(first + n)))
        for c in range(out.shape[1]):
            out[n, c] = cell_bits(low, high, np.uint32(c))


@jit
def _pulse_words(key, out):
    """Fill uint32[cell, 4] with the words of one pulse of every cell."""
    for c in range(out.shape[0]):
        out[c, 0], out[c, 1], out[c, 2], out[c, 3] = philox(key, np.uint64(c), np.uint64(0))


def cells() -> Iterator[np.ndarray]:
    base = stream_key(SEED, Purpose.WEIGHT_SAMPLE, 0)
    out = np.empty((LOOKS, SHAPE[0] * SHAPE[1]), np.uint32)
    for event in range(2**62):
        _look_words(event_key(base, event), 0, out)
        yield out


def pulses() -> Iterator[np.ndarray]:
    base = stream_key(SEED, Purpose.PULSE, 0)
    out = np.empty((SHAPE[0] * SHAPE[1], 4), np.uint32)
    for event in range(2**62):
        _pulse_words(event_key(base, event), out)
        yield out


def weights(name: str) -> Iterator[np.ndarray]:
    spec = SynapseSpec(load_card("ideal_storage"), load_card(name), "deterministic", 0, 4.0, "query", "differential")
    synapses = SynapseArray(SHAPE, spec, Seeds(SEED, SEED, SEED), 0, "zero", tile_wordlines=128)
    out = np.empty((LOOKS, *SHAPE), np.int8)
    for event in range(2**62):
        synapses.read(event, 0.0)
        synapses.sample(event, 0.0, out)
        yield np.packbits(out.reshape(-1) > 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stream", choices=("cells", "philox", "sampler"))
    parser.add_argument("card", nargs="?", default="ideal_sampler", help="card of the sampling element")
    parser.add_argument("--megabytes", type=float, help="stop after so many")
    given = parser.parse_args()
    stream = {"cells": cells, "philox": pulses, "sampler": lambda: weights(given.card)}[given.stream]()
    left = float("inf") if given.megabytes is None else given.megabytes * 1e6
    try:
        for block in stream:
            data = block.tobytes()
            sys.stdout.buffer.write(data if len(data) <= left else data[: int(left)])
            left -= len(data)
            if left <= 0:
                break
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
