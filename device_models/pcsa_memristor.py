"""Read-noise sampling: a pre-charge sense amplifier compares the two memristors of a pair, and their noise decides.

The amplifier answers sign(G+ - G- + noise). The pair stores lam as its difference of conductances, G+ - G- = g_lam lam,
and the noise of one comparison is s times the matched one,

    sigma_matched = (1.702 / 2) g_lam,

so that P(+1) = Phi((2 / 1.702) (lam + offset) / s) for Gaussian noise. As sigma(x) is close to Phi(x / 1.702), s = 1
is closest to sigma(2 lam), never more than 0.0095 away (1.702 is the scale of the smallest largest difference, a
textbook value that the tests compute again). To choose read voltage and integration time so that s = 1 is the
calibration of this element. A noise of logistic law would give sigma(2 lam) itself, which is the neutral value.

The offset has two parts: that of the amplifier, one per bit line of a tile, which no averaging over cells removes, and
the mismatch of each pair. Amplifier and pair are fixed at fabrication; noise is fresh in every look.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bimu_hw.devices import ParamSpec, SamplerModel, StateVar
from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.draw import draw_looks
from device_models.ideal_sampler import bernoulli_threshold
from device_models.nonidealities import device_words, relative_spread, two_normals

_F = np.float32
_I = np.int32

#: sigma(x) lies within 0.0095 of Phi(x / PROBIT_SCALE).
PROBIT_SCALE = 1.702
#: Beyond this many standard deviations a comparison is certain on 23 bits; keeps the logarithms finite.
_CERTAIN = 12.0


class Params(NamedTuple):
    """See `MODEL.specs`."""

    gaussian: float
    read_noise: float
    sigma_read_noise: float
    offset: float
    sigma_offset_amplifier: float
    sigma_offset_pair: float


class State(NamedTuple):
    """Each pair's noise and offset, and the threshold `bias` made of them."""

    noise: np.ndarray
    offset: np.ndarray
    threshold: np.ndarray


@inline
def probit_lam(z):
    """Return the lam (float64) with sigma(2 lam) = Phi(2 z / PROBIT_SCALE): half the logit of that probability."""
    t = min(max(2.0 * z / PROBIT_SCALE, -_CERTAIN), _CERTAIN)
    root = math.sqrt(0.5)
    return 0.5 * (math.log(math.erfc(-t * root)) - math.log(math.erfc(t * root)))


@inline
def _set(state, c, lam, params):
    z = (np.float64(lam) + np.float64(state.offset[c])) / np.float64(state.noise[c])
    effective = z + params.gaussian * (probit_lam(z) - z)
    state.threshold[c] = bernoulli_threshold(_F(effective), _I(23))


@jit
def fabricate(state, params, site, key):
    """Draw amplifiers and pairs, and bias every pair at lam = 0. *Mutates* all of `state`.

    Amplifiers are numbered tile by tile; their draws are purpose 1, those of the pairs purpose 0.
    """
    for c in range(state.threshold.size):
        a, b, _, _ = device_words(key, c, 0, 0)
        n0, n1 = two_normals(a, b)
        line, column = c // site.n_bitlines, c % site.n_bitlines
        a, b, _, _ = device_words(key, line // site.tile_wordlines * site.n_bitlines + column, 0, 1)
        amplifier, _ = two_normals(a, b)
        state.noise[c] = _F(params.read_noise * relative_spread(np.float64(n0), params.sigma_read_noise))
        state.offset[c] = _F(
            params.offset
            + params.sigma_offset_pair * np.float64(n1)
            + params.sigma_offset_amplifier * np.float64(amplifier)
        )
        _set(state, c, _F(0.0), params)


@jit
def bias(state, lam, cells, params, site, now):
    """Take over `lam` (float32[cell]) of the listed pairs. *Mutates* `state.threshold`."""
    for n in range(cells.size):
        _set(state, cells[n], lam[cells[n]], params)


@jit
def sample(state, params, site, key, first, interval, now, out):
    """Compare every pair, int8[look, cell]; white noise: the interval between looks does not matter."""
    draw_looks(state.threshold, key, first, out)


def drive(params, lam):
    """Return the difference of conductances (float64) in standard deviations of the nominal noise."""
    return (2.0 / PROBIT_SCALE) * np.asarray(lam, np.float64) / params.read_noise


MODEL = SamplerModel(
    name="pcsa_memristor",
    family="memristor",
    summary="pre-charge sense amplifier on a memristor pair: the sign of a noisy difference",
    params=Params,
    state=State,
    specs=(
        ParamSpec(
            "gaussian", "1", "law of the noise: 1 Gaussian, 0 logistic, for which P(+1) = sigma(2 lam)", 0.0, 1.0, 0.0,
            integer=True,
        ),
        ParamSpec("read_noise", "1", "noise of one comparison over the matched one", 1e-3, 1e3, 1.0),
        ParamSpec(
            "sigma_read_noise", "1", "relative standard deviation of the noise between pairs, log-normal",
            0.0, 10.0, 0.0,
        ),
        ParamSpec("offset", "1", "mean offset of the comparison, in units of lam", -100.0, 100.0, 0.0),
        ParamSpec(
            "sigma_offset_amplifier", "1", "standard deviation of the offset between amplifiers, in units of lam",
            0.0, 100.0, 0.0,
        ),
        ParamSpec(
            "sigma_offset_pair", "1", "standard deviation of the offset between pairs, in units of lam", 0.0, 100.0, 0.0
        ),
    ),
    variables=(
        StateVar("noise", "float32", "1", "noise of one comparison over the matched one"),
        StateVar("offset", "float32", "1", "offset of the comparison, in units of lam"),
        StateVar("threshold", "int32", "1", "random bits at or above it give weight +1"),
    ),
    fabricate=fabricate,
    bias=bias,
    sample=sample,
    compares="threshold",
    holds=("read", "query"),
    drive=drive,
    drive_name="(G+ - G-) / noise",
)  # fmt: skip
