"""A superparamagnetic tunnel junction as sampling element (p-bit): a random telegraph process biased by lam.

Its time average follows P(+1) = sigma(2 lam_eff) with lam_eff = slope lam + offset, both different from device to
device. With Neel-Brown leaving rates proportional to exp(+-lam_eff) it relaxes at the rate cosh(lam_eff) / tau0,
tau0 being half the dwell time without bias, so that looks an interval t apart have the correlation rho = exp(-t
cosh(lam_eff) / tau0). A two-state process with that correlation keeps its state with probability rho and is drawn
afresh from equilibrium otherwise, which is what `sample` does; nothing is approximated for any t.

Sources: Camsari, Sutton, Datta, Appl. Phys. Rev. 6, 011305 (2019), doi:10.1063/1.5055860 (the law of the p-bit);
Hassan, Datta, Camsari, arXiv:2101.00147 (the stochastic neuron as circuit); Funatsu et al., Nat. Commun. (2022),
doi:10.1038/s41467-022-31788-1 (exponential dwell times and their dependence on bias, measured).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimu_hw.devices import ParamSpec, SamplerModel, StateVar
from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import cell_bits, fold, key_halves
from bimu_hw.kernels.elementary import exp32
from device_models.ideal_sampler import bernoulli_threshold, draw_look
from device_models.nonidealities import device_words, relative_spread, two_normals

_F = np.float32
_I = np.int32
_U32 = np.uint32
_U64 = np.uint64

#: Tells the draw "keep or draw afresh" from the draw of the fresh bit.
_KEEP = np.uint64(0x6B656570)


class Params(NamedTuple):
    """See `MODEL.specs`."""

    slope: float
    offset: float
    sigma_slope: float
    sigma_offset: float
    relaxation_time: float


class State(NamedTuple):
    """Each device's response, and what `bias` made of it."""

    slope: np.ndarray
    offset: np.ndarray
    threshold: np.ndarray
    speed: np.ndarray


@inline
def _set(slope, offset, threshold, speed, c, lam):
    effective = slope[c] * lam + offset[c]
    threshold[c] = bernoulli_threshold(effective, _I(23))
    e = exp32(abs(effective))
    speed[c] = _F(0.5) * (e + _F(1.0) / e)


@jit
def fabricate(state, params, site, key):
    """Draw each device's slope and offset, and bias it at lam = 0. *Mutates* all of `state`."""
    for c in range(state.slope.size):
        a, b, _, _ = device_words(key, c, 0, 0)
        n0, n1 = two_normals(a, b)
        state.slope[c] = _F(params.slope * relative_spread(np.float64(n0), params.sigma_slope))
        state.offset[c] = _F(params.offset + params.sigma_offset * np.float64(n1))
        _set(state.slope, state.offset, state.threshold, state.speed, c, _F(0.0))


@jit
def bias(state, lam, cells, params, site, now):
    """Take over `lam` (float32[cell]) of the listed cells. *Mutates* `state.threshold`, `state.speed`."""
    slope, offset, threshold, speed = state.slope, state.offset, state.threshold, state.speed
    if cells.size == threshold.size:
        for c in range(threshold.size):
            _set(slope, offset, threshold, speed, c, lam[c])
    else:
        for n in range(cells.size):
            _set(slope, offset, threshold, speed, cells[n], lam[cells[n]])


@inline
def _hold(speed, rate, remembers, key, before, out):
    """Replace the fresh weights in `out` by those of the look before where a device has not relaxed since."""
    low, high = key_halves(fold(key, _KEEP))
    for c in range(speed.size):
        correlation = remembers * exp32(-rate * speed[c])
        keep = _I(cell_bits(low, high, _U32(c)) >> _U32(9)) < _I(correlation * _F(2.0**23) + _F(0.5))
        old, fresh = before[c], out[c]
        out[c] = old if keep else fresh


@jit
def sample(state, params, site, key, first, interval, now, out):
    """Draw weights, int8[look, cell], `interval` seconds apart; the first look of a call finds equilibrium."""
    # A relaxation time of 0 is a device without memory, whatever the interval.
    remembers = _F(1.0) if params.relaxation_time > 0.0 else _F(0.0)
    rate = _F(min(interval / max(params.relaxation_time, 1e-30), 1e6))
    for n in range(out.shape[0]):
        look = fold(key, _U64(first + n))
        draw_look(state.threshold, look, out[n])
        if n > 0:
            _hold(state.speed, rate, remembers, look, out[n - 1], out[n])


MODEL = SamplerModel(
    name="smtj",
    family="spintronic",
    summary="superparamagnetic tunnel junction: telegraph process with P(+1) = sigma(2 (slope lam + offset))",
    params=Params,
    state=State,
    specs=(
        ParamSpec("slope", "1", "gain from lam to the bias the junction feels", 0.0, 100.0, 1.0),
        ParamSpec("offset", "1", "bias at lam = 0, in units of lam", -100.0, 100.0, 0.0),
        ParamSpec(
            "sigma_slope", "1", "relative standard deviation of the slope between devices, log-normal", 0.0, 10.0, 0.0
        ),
        ParamSpec(
            "sigma_offset", "1", "standard deviation of the offset between devices, in units of lam", 0.0, 100.0, 0.0
        ),
        ParamSpec("relaxation_time", "s", "correlation time at zero bias, half the dwell time", 0.0, 1e9, 0.0),
    ),
    variables=(
        StateVar("slope", "float32", "1", "gain from lam to bias"),
        StateVar("offset", "float32", "1", "bias at lam = 0"),
        StateVar("threshold", "int32", "1", "random bits at or above it give weight +1"),
        StateVar("speed", "float32", "1", "relaxation rate relative to zero bias"),
    ),
    fabricate=fabricate,
    bias=bias,
    sample=sample,
    holds=("read", "query"),
)
