"""Sampling with a true-random source in CMOS: a cell compares n raw bits with an n-bit threshold.

Raw bits are independent and 1 with probability 1/2 + bias, the bias differing from generator to generator (one per bit
line of a tile). The probability that a word of such bits reaches the threshold is worked out bit by bit, so a draw
needs one comparison and is exact to 2**-23. The store is read for every Monte Carlo sample, as for `cmos_lfsr`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimu_hw.devices import ParamSpec, SamplerModel, StateVar
from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.draw import draw_looks
from device_models.ideal_sampler import bernoulli_threshold
from device_models.nonidealities import device_words, two_normals

_F = np.float32
_I = np.int32


class Params(NamedTuple):
    """See `MODEL.specs`."""

    n_bits: float
    bit_bias: float
    sigma_bit_bias: float


class State(NamedTuple):
    """The bias of the generator each cell listens to, and its threshold."""

    bit_bias: np.ndarray
    threshold: np.ndarray


@inline
def share_below(threshold, n_bits, one):
    """Return the probability (float64) that `n_bits` bits, each 1 with probability `one`, read less than `threshold`.

    From the highest bit on: where the threshold has a 1, words with a 0 there are below it whatever follows.
    """
    if threshold >= 1 << n_bits:
        return 1.0
    below, equal = 0.0, 1.0
    for i in range(n_bits):
        high = threshold >> (n_bits - 1 - i) & 1
        below += equal * (1.0 - one) if high else 0.0
        equal *= one if high else 1.0 - one
    return below


@inline
def _set(state, c, lam, params):
    bits = _I(params.n_bits) if params.n_bits >= 1.0 else _I(23)
    share = share_below(bernoulli_threshold(lam, bits), bits, 0.5 + np.float64(state.bit_bias[c]))
    state.threshold[c] = _I(share * 2.0**23 + 0.5)


@jit
def fabricate(state, params, site, key):
    """Draw the bias of each generator, and set every cell for lam = 0. *Mutates* all of `state`."""
    for c in range(state.threshold.size):
        line, column = c // site.n_bitlines, c % site.n_bitlines
        a, b, _, _ = device_words(key, line // site.tile_wordlines * site.n_bitlines + column, 0, 0)
        normal, _ = two_normals(a, b)
        drawn = params.bit_bias + params.sigma_bit_bias * np.float64(normal)
        state.bit_bias[c] = _F(min(max(drawn, -0.5), 0.5))
        _set(state, c, _F(0.0), params)


@jit
def bias(state, lam, cells, params, site, now):
    """Compute the threshold of the listed cells from `lam` (float32[cell]). *Mutates* `state.threshold`."""
    for n in range(cells.size):
        _set(state, cells[n], lam[cells[n]], params)


@jit
def sample(state, params, site, key, first, interval, now, out):
    """Draw independent weights, int8[look, cell]."""
    draw_looks(state.threshold, key, first, out)


def drive(params, lam):
    """Return the code (float64) that a word must reach for weight +1."""
    bits = int(params.n_bits) or 23
    return np.floor(2.0**bits / (1.0 + np.exp(2.0 * np.asarray(lam, np.float64))) + 0.5)


MODEL = SamplerModel(
    name="cmos_trng",
    family="cmos",
    summary="n-bit comparator on true-random bits, which may be biased",
    params=Params,
    state=State,
    specs=(
        ParamSpec("n_bits", "1", "bits of the comparison; 0 for 23", 0.0, 23.0, 0.0, integer=True),
        ParamSpec("bit_bias", "1", "excess of the probability that a raw bit is 1 over 1/2", -0.5, 0.5, 0.0),
        ParamSpec("sigma_bit_bias", "1", "standard deviation of that excess between generators", 0.0, 0.5, 0.0),
    ),
    variables=(
        StateVar("bit_bias", "float32", "1", "excess of the probability of a 1"),
        StateVar("threshold", "int32", "1", "random bits at or above it give weight +1"),
    ),
    fabricate=fabricate,
    bias=bias,
    sample=sample,
    compares="threshold",
    holds=("query", "read"),
    store_reads="sample",
    drive=drive,
    drive_name="threshold code",
)
