"""A superparamagnetic tunnel junction as sampling element (p-bit): a random telegraph process biased by lam.

Its time average follows P(+1) = sigma(2 lam_eff) with lam_eff = slope lam + offset, both different from device to
device. With Neel-Brown leaving rates proportional to exp(+-lam_eff) it relaxes at the rate cosh(lam_eff) / tau0,
tau0 being half the dwell time without bias, so that states a time t apart have the correlation rho = exp(-t
cosh(lam_eff) / tau0). A two-state process with that correlation keeps its state with probability rho and is drawn
afresh from equilibrium otherwise; nothing is approximated for any t.

The junction remembers: the first look of a query goes on from the last look of the query before, through the idle time
between them, and a backward read from the last forward look. While it is idle it relaxes under the bias it has; that
a power-gated bias current would let it relax towards lam_eff = 0 instead is not modelled (looks come `sample_time`
after the current is back).

Back-action: while the read current flows, its spin-transfer torque favours one of the two states, a shift of lam_eff by
`read_backaction`. Each look ends with the read time under that shift. With rho_r = exp(-t_read cosh(lam_eff + shift) /
tau0) and rho_d that of the rest of the interval, the state stays with probability rho_d rho_r, comes from equilibrium
without the current with probability (1 - rho_d) rho_r and from that with the current otherwise: one uniform number
decides. All cells feel it in every look; undriven lines carry no current, so this is an upper bound.

Sources: Camsari, Sutton, Datta, Appl. Phys. Rev. 6, 011305 (2019), doi:10.1063/1.5055860 (the law of the p-bit);
Hassan, Datta, Camsari, arXiv:2101.00147 (the stochastic neuron as circuit); Funatsu et al., Nat. Commun. (2022),
doi:10.1038/s41467-022-31788-1 (exponential dwell times and their dependence on bias, measured); Schnitzspan et al.,
arXiv:2301.05694 (the torque of the current sets the bias of a fast junction, its heat the rate).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimu_hw.devices import TMR_HALF_VOLTAGE, ParamSpec, SamplerModel, StateVar
from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import cell_bits, fold, key_halves, look_bits
from bimu_hw.kernels.draw import draw_look
from bimu_hw.kernels.elementary import exp32
from device_models.ideal_sampler import bernoulli_threshold
from device_models.nonidealities import device_words, relative_spread, two_normals

_F = np.float32
_I = np.int32
_U32 = np.uint32
_U64 = np.uint64

#: Tells the draw "keep or draw afresh" from the draw of the fresh bit.
_KEEP = np.uint64(0x6B656570)

#: Beyond this many relaxation times the probability of keeping a state rounds to 0 on 23 bits, for any bias.
_FORGOTTEN = np.float32(17.0)


class Params(NamedTuple):
    """See `MODEL.specs`."""

    slope: float
    offset: float
    sigma_slope: float
    sigma_offset: float
    relaxation_time: float
    read_backaction: float
    tmr_half_voltage: float


class State(NamedTuple):
    """Each device's response, what `bias` made of it, the state it was last seen in, and when that was."""

    slope: np.ndarray
    offset: np.ndarray
    effective: np.ndarray
    threshold: np.ndarray
    last: np.ndarray
    when: np.ndarray


@inline
def _set(slope, offset, effective, threshold, c, lam):
    effective[c] = slope[c] * lam + offset[c]
    threshold[c] = bernoulli_threshold(effective[c], _I(23))


@inline
def _cosh(x):
    e = exp32(abs(x))
    return _F(0.5) * (e + _F(1.0) / e)


@jit
def fabricate(state, params, site, key):
    """Draw each device's slope and offset, and bias it at lam = 0, in equilibrium. *Mutates* all of `state`."""
    for c in range(state.slope.size):
        a, b, _, _ = device_words(key, c, 0, 0)
        n0, n1 = two_normals(a, b)
        state.slope[c] = _F(params.slope * relative_spread(np.float64(n0), params.sigma_slope))
        state.offset[c] = _F(params.offset + params.sigma_offset * np.float64(n1))
        _set(state.slope, state.offset, state.effective, state.threshold, c, _F(0.0))
    state.when[0] = -np.inf


@jit
def bias(state, lam, cells, params, site, now):
    """Take over `lam` (float32[cell]) of the listed cells. *Mutates* `state.effective`, `state.threshold`."""
    slope, offset, effective, threshold = state.slope, state.offset, state.effective, state.threshold
    if cells.size == threshold.size:
        for c in range(threshold.size):
            _set(slope, offset, effective, threshold, c, lam[c])
    else:
        for n in range(cells.size):
            _set(slope, offset, effective, threshold, cells[n], lam[cells[n]])


@inline
def _rate(duration, params):
    """Return duration / tau0 as float32; a relaxation time of 0 is a device without memory, whatever the duration."""
    return _F(min(duration / params.relaxation_time, 1e6)) if params.relaxation_time > 0.0 else _F(1e6)


@inline
def _relax(effective, threshold, rate, key, before, out):
    """Draw weights into `out`, which may be `before`: the old one where a device has not relaxed, else a fresh one."""
    if rate > _FORGOTTEN:
        draw_look(threshold, key, out)
        return
    low, high = key_halves(key)
    keep_low, keep_high = key_halves(fold(key, _KEEP))
    half = _U32((effective.size + 1) // 2)
    for c in range(effective.size):
        correlation = exp32(-rate * _cosh(effective[c]))
        keep = _I(cell_bits(keep_low, keep_high, _U32(c)) >> _U32(9)) < _I(correlation * _F(2.0**23) + _F(0.5))
        k = _I(look_bits(low, high, _U32(c), half) >> _U32(9))
        old, fresh = before[c], np.int8(1) if k >= threshold[c] else np.int8(-1)
        out[c] = old if keep else fresh


@inline
def _relax_and_read(effective, threshold, shift, idle, reading, key, before, out):
    """Let the devices relax for `idle` without and for `reading` with the shift of the read current (in units of tau0).

    The fresh weight is the comparison of one word, with the threshold of the equilibrium it comes from.
    """
    low, high = key_halves(key)
    keep_low, keep_high = key_halves(fold(key, _KEEP))
    half = _U32((effective.size + 1) // 2)
    for c in range(effective.size):
        shifted = effective[c] + shift
        stays = exp32(-reading * _cosh(shifted))
        both = stays * exp32(-idle * _cosh(effective[c])) if idle < _FORGOTTEN else _F(0.0)
        u = _I(cell_bits(keep_low, keep_high, _U32(c)) >> _U32(9))
        k = _I(look_bits(low, high, _U32(c), half) >> _U32(9))
        limit = threshold[c] if u < _I(stays * _F(2.0**23) + _F(0.5)) else bernoulli_threshold(shifted, _I(23))
        fresh = np.int8(1) if k >= limit else np.int8(-1)
        out[c] = before[c] if u < _I(both * _F(2.0**23) + _F(0.5)) else fresh


@jit
def advance(state, params, site, key, since, now):
    """Let the telegraph process run until `now` under the bias it has. *Mutates* `state.last`, `state.when`."""
    if params.relaxation_time == 0.0 or now <= since or now <= state.when[0]:
        return
    _relax(state.effective, state.threshold, _rate(now - state.when[0], params), key, state.last, state.last)
    state.when[0] = now


@jit
def sample(state, params, site, key, first, interval, now, out):
    """Draw weights, int8[look, cell], `interval` seconds apart. *Mutates* `state.last`, `state.when`."""
    reading = _rate(min(site.read_time, interval), params)
    when = state.when[0]
    for n in range(out.shape[0]):
        look = fold(key, _U64(first + n))
        before = state.last if n == 0 else out[n - 1]
        elapsed = max(now - when + (first + 1) * interval, interval) if n == 0 else interval
        if params.read_backaction == 0.0:
            _relax(state.effective, state.threshold, _rate(elapsed, params), look, before, out[n])
        else:
            idle = _rate(elapsed - min(site.read_time, interval), params)
            shift = _F(params.read_backaction)
            _relax_and_read(state.effective, state.threshold, shift, idle, reading, look, before, out[n])
    if params.relaxation_time > 0.0 and out.shape[0] > 0:
        state.last[:] = out[out.shape[0] - 1]
        end = max(now + (first + 1) * interval, when + interval) + (out.shape[0] - 1) * interval
        # Looks at no stated distance leave no memory.
        state.when[0] = end if end < np.inf else -np.inf


def drive(params, lam):
    """Return the bias of the nominal device (float64) in units of V_0 of its response sgn(tanh(V / V_0) - r)."""
    return params.slope * np.asarray(lam, np.float64) + params.offset


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
        ParamSpec(
            "read_backaction", "1", "shift of the bias while the read current flows, in units of lam",
            -100.0, 100.0, 0.0,
        ),
        TMR_HALF_VOLTAGE,
    ),
    variables=(
        StateVar("slope", "float32", "1", "gain from lam to bias"),
        StateVar("offset", "float32", "1", "bias at lam = 0"),
        StateVar("effective", "float32", "1", "bias that the junction feels, in units of lam"),
        StateVar("threshold", "int32", "1", "random bits at or above it give weight +1"),
        StateVar("last", "int8", "1", "state at the time `when`"),
        StateVar("when", "float64", "s", "time of the last look or advance", shared=True),
    ),
    fabricate=fabricate,
    bias=bias,
    sample=sample,
    holds=("read", "query"),
    advance=advance,
    evolves=("relaxation_time",),
    remembers=("last", "when"),
    drive=drive,
    drive_name="bias / V_0",
)  # fmt: skip
