"""What is measured on a sampling element besides its response: telegraph noise, switching, correlation of looks.

The response to lam, and how far it is from sigma(2 lam), is in `bimu_hw.report.sampler`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from bimu_hw.cards import Card
from bimu_hw.devices import SamplerModel, Site, get_model, new_state
from bimu_hw.errors import CardError
from bimu_hw.random import Purpose, stream_key

#: lam of the telegraph records; pulse widths in units of the card's.
TELEGRAPH_LAM = (0.0, 1.0, 2.0)
WIDTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
#: Looks per relaxation time of a telegraph record.
_LOOKS_PER_TIME = 20

Bits = npt.NDArray[np.int8]


def sampler_model(card: Card) -> SamplerModel:
    """Return the model of a sampling card; raises `CardError` for a storage card."""
    model = get_model(card.model)
    if not isinstance(model, SamplerModel):
        raise CardError(f"{card.name}: the card of a storage element; name that of a sampling element.")
    return model


def _params(card: Card, nominal: bool) -> Any:
    model = sampler_model(card)
    alike = nominal and {s.name: s.neutral for s in model.specs if s.name.startswith("sigma") and s.neutral is not None}
    return model.params(**{**{s.name: card.params[s.name].value for s in model.specs}, **(alike or {})})


def _looks(
    card: Card, params: Any, lam: float, n_devices: int, n_looks: int, interval: float, read_time: float, seed: int
) -> Bits:
    """Return looks at devices of one bias, int8[look, device]; there are some more devices than asked for."""
    model = sampler_model(card)
    tile = 128
    n = -(-n_devices // tile) * tile
    site, state = Site(tile, tile, read_time=read_time), new_state(model, n)
    model.fabricate(state, params, site, stream_key(seed, Purpose.FABRICATE_SAMPLER, 0))
    model.bias(state, np.full(n, lam, np.float32), np.arange(n, dtype=np.int32), params, site, 0.0)
    out = np.zeros((n_looks, n), np.int8)
    key = stream_key(seed, Purpose.WEIGHT_SAMPLE, 0, int(np.float64(lam).view(np.uint64)) % 2**62)
    model.sample(state, params, site, key, 0, interval, 0.0, out)
    return out


def telegraph(
    card: Card, n_devices: int, seed: int, lam: Sequence[float] = TELEGRAPH_LAM, n_looks: int = 4000
) -> xr.Dataset | None:
    """Watch nominal devices, free-running, without the read current's back-action.

    A look comes every twentieth of the relaxation time tau0 / cosh(lam_eff), lam_eff = slope lam + offset being the
    bias that a device feels.

    Returns
    -------
    xarray.Dataset or None
        ``state[lam, look, cell]``; ``interval[lam]`` between looks; ``autocorrelation[lam, lag]`` with its standard
        error from the spread over cells; ``relaxation_time[lam]`` from the correlation of neighbouring looks, and
        ``expected_relaxation_time``; ``survival[lam, sign, long_lag]``, share of the dwell times longer than
        so many intervals, and ``expected_dwell[lam, sign]`` = tau0 2 exp(+-lam_eff). None for an element without a
        relaxation time.
    """
    model = sampler_model(card)
    if "relaxation_time" not in card.params or card.params["relaxation_time"].value == 0.0 or not model.remembers:
        return None
    params = _params(card, nominal=True)
    tau0 = float(params.relaxation_time)
    effective = np.asarray(lam, np.float64) * params.slope + params.offset
    interval = tau0 / np.cosh(effective) / _LOOKS_PER_TIME
    n_lags = min(5 * _LOOKS_PER_TIME, n_looks // 4)
    state, correlation, error, survival = [], [], [], []
    for value, step in zip(lam, interval, strict=True):
        bits = _looks(card, params, value, n_devices, n_looks, float(step), 0.0, seed)
        state.append(bits)
        mean, spread = _autocorrelation(bits, n_lags)
        correlation.append(mean)
        error.append(spread)
        survival.append([_survival(bits, sign, n_looks // 2) for sign in (1, -1)])
    c1 = np.clip(np.array(correlation)[:, 1], 1e-9, 1.0 - 1e-9)

    def variable(dims: tuple[str, ...], values: npt.ArrayLike, units: str, long_name: str) -> xr.Variable:
        return xr.Variable(dims, values, {"units": units, "long_name": long_name})

    signs = np.array([1, -1])
    return xr.Dataset(
        {
            "state": variable(("lam", "look", "cell"), np.array(state), "1", "state"),
            "interval": variable(("lam",), interval, "s", "time between looks"),
            "autocorrelation": variable(("lam", "lag"), np.array(correlation), "1", "autocorrelation"),
            "autocorrelation_error": variable(("lam", "lag"), np.array(error), "1", "its standard error"),
            "relaxation_time": variable(("lam",), -interval / np.log(c1), "s", "relaxation time"),
            "expected_relaxation_time": variable(("lam",), tau0 / np.cosh(effective), "s", "tau0 / cosh(lam)"),
            "survival": variable(("lam", "sign", "long_lag"), np.array(survival), "1", "share of longer dwell times"),
            "expected_dwell": variable(
                ("lam", "sign"), 2.0 * tau0 * np.exp(signs * effective[:, None]), "s", "mean dwell time"
            ),
        },
        {"lam": np.asarray(lam, np.float64), "sign": signs, "lag": np.arange(n_lags)},
        {"card": card.name, "tau0": tau0, "slope": float(params.slope), "offset": float(params.offset)},
    )


def _autocorrelation(bits: Bits, n_lags: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the autocorrelation over lags and its standard error from the spread between devices."""
    w = bits.astype(np.float32)
    mean = float(w.mean())
    w -= mean
    variance = 1.0 - mean**2
    rows = np.array([np.mean(w[: len(w) - k] * w[k:], axis=0, dtype=np.float64) / variance for k in range(n_lags)])
    return rows.mean(axis=1), rows.std(axis=1, ddof=1) / np.sqrt(rows.shape[1])


def _survival(bits: Bits, sign: int, longest: int) -> npt.NDArray[np.float64]:
    """Return the share of dwell times in a state that are longer than 0, 1, ... intervals.

    Taken are those that begin in the first half of the record, so that none of up to half its length is cut.
    """
    same = np.zeros(longest + 1, np.int64)
    for column in bits.T:
        changes = np.flatnonzero(column[1:] != column[:-1]) + 1
        begins = changes[(changes < len(column) - longest) & (column[changes] == sign)]
        ends = np.r_[changes, len(column)][np.searchsorted(changes, begins, "right")]
        same += np.bincount(np.minimum(ends - begins, longest), minlength=longest + 1)
    return 1.0 - np.cumsum(same)[:-1] / max(int(same.sum()), 1)


def switching(card: Card, n_devices: int, seed: int, n_looks: int = 1000) -> xr.Dataset | None:
    """Return the probability to switch against amplitude and width of the write pulse.

    Returns
    -------
    xarray.Dataset or None
        ``amplitude[width, lam]`` of the nominal device in volts, NaN where the barrier alone gives more than the
        ``probability[lam]`` wanted; of spread devices at the card's own width ``measured``, ``low`` and
        ``high``[setting] at ``drive``[setting]: mean, 1st and 99th percentile over devices of the share of +1 in
        `n_looks` writes. None for an element that is not written by pulses.
    """
    model = sampler_model(card)
    if "pulse_width" not in card.params or model.drive is None:
        return None
    nominal = _params(card, nominal=True)
    lam = np.linspace(-5.0, 5.0, 101)
    widths = np.array(WIDTHS) * nominal.pulse_width
    smooth = nominal._replace(dac_bits=0.0) if "dac_bits" in nominal._fields else nominal
    amplitude = np.array([model.drive(smooth._replace(pulse_width=float(width)), lam) for width in widths])
    settings = np.linspace(-3.0, 3.0, 13)
    shares = [
        (_looks(card, _params(card, False), float(s), n_devices, n_looks, np.inf, 0.0, seed) > 0).mean(axis=0)
        for s in settings
    ]
    drive = np.asarray(model.drive(nominal, settings), np.float64)
    low, high = np.quantile(np.array(shares), (0.01, 0.99), axis=1)
    one = {"units": "1"}
    return xr.Dataset(
        {
            "amplitude": (("width", "lam"), np.where(amplitude > 0.0, amplitude, np.nan), {"units": "V"}),
            "probability": (("lam",), 1.0 / (1.0 + np.exp(-2.0 * lam)), one),
            "drive": (("setting",), drive, {"units": "V"}),
            "measured": (("setting",), np.mean(shares, axis=1), one),
            "low": (("setting",), low, one),
            "high": (("setting",), high, one),
        },
        {"width": (("width",), widths, {"units": "s"}), "lam": lam, "setting": settings},
        {"card": card.name, "drive_name": model.drive_name, "n_looks": n_looks},
    )


def look_correlation(card: Card, n_devices: int, seed: int, n_looks: int = 200) -> tuple[float, float, float]:
    """Return the correlation of successive looks at lam = 0, its standard error, and the time between them.

    The time is the one that the card needs at least: dead time and read time.
    """
    interval = card.costs["sample_time"].value + card.costs["read_time"].value
    read_time = card.costs["read_time"].value
    bits = _looks(card, _params(card, False), 0.0, n_devices, n_looks, interval, read_time, seed).astype(np.float64)
    centred = bits - bits.mean(axis=0)
    # Products of one look at one device: dependence between devices is part of the answer, so the error is over looks.
    rows = np.mean(centred[1:] * centred[:-1], axis=1) / max(float(np.mean(centred**2)), 1e-30)
    # A mean taken from the same n looks pulls the correlation down by 1 / n.
    return float(rows.mean() + 1.0 / n_looks), float(rows.std(ddof=1) / np.sqrt(rows.size)), interval
