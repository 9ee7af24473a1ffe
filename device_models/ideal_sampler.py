"""Ideal sampling: independent Bernoulli weights, P(+1) = sigma(2 lam), to the resolution of 23 random bits.

The comparison u > 1 - sigma(2 lam) of the algorithm is done on integers: with u = (k + 1/2) / 2**23 it reads k >=
t, where t = round(2**23 sigma(-2 lam)) is computed once when the cell is biased.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimu_hw.devices import SamplerModel, StateVar
from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.draw import draw_looks
from bimu_hw.kernels.elementary import exp32

_F = np.float32
_I = np.int32


class Params(NamedTuple):
    """An ideal sampler has no parameters."""


class State(NamedTuple):
    """The threshold that the cell's random bits must reach."""

    threshold: np.ndarray


@inline
def bernoulli_threshold(lam, n_bits):
    """Return round(2**n_bits sigma(-2 lam)) as int32, for n_bits up to 23.

    The smaller of the two probabilities is computed, which loses no digits on either tail, and the other one
    follows by symmetry: the thresholds of lam and -lam add up to 2**n_bits.
    """
    e = exp32(_F(-2.0) * abs(lam))
    smaller = e / (_F(1.0) + e)
    # Twice the scale in one exact multiplication, then halves are rounded up in integers.
    t = _I(_I(_I(smaller * _F(_I(2) << _I(n_bits))) + _I(1)) >> _I(1))
    return t if lam >= _F(0.0) else _I(_I(_I(1) << _I(n_bits)) - t)


@jit
def fabricate(state, params, site, key):
    """Bias every cell at lam = 0. *Mutates* `state.threshold`."""
    for c in range(state.threshold.size):
        state.threshold[c] = _I(1 << 22)


@jit
def bias(state, lam, cells, params, site, now):
    """Compute the threshold of the listed cells from `lam` (float32[cell]). *Mutates* `state.threshold`."""
    threshold = state.threshold
    if cells.size == threshold.size:
        for c in range(threshold.size):
            threshold[c] = bernoulli_threshold(lam[c], _I(23))
    else:
        for n in range(cells.size):
            threshold[cells[n]] = bernoulli_threshold(lam[cells[n]], _I(23))


@jit
def sample(state, params, site, key, first, interval, now, out):
    """Draw independent weights, int8[look, cell]; the interval between looks does not matter."""
    draw_looks(state.threshold, key, first, out)


MODEL = SamplerModel(
    name="ideal_sampler",
    family="ideal",
    summary="independent Bernoulli weights with P(+1) = sigma(2 lam)",
    params=Params,
    state=State,
    specs=(),
    variables=(StateVar("threshold", "int32", "1", "random bits at or above it give weight +1"),),
    fabricate=fabricate,
    bias=bias,
    sample=sample,
    compares="threshold",
    holds=("query", "read"),
)
