"""What a sampling element makes of lam: drive, probability, and what is left against sigma(2 lam)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.cards import Card
from bimu_hw.devices import SamplerModel, Site, get_model, new_state
from bimu_hw.errors import CardError
from bimu_hw.random import Purpose, stream_key
from bimu_hw.report.style import COLOURS, new_figure, paper_style, save_figure

#: The lam of the table; the figure's lie between the same ends.
TABLE_LAM = np.array([-6, -4, -3, -2, -1.5, -1, -0.5, -0.25, 0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6], np.float64)
_STEPS = 241
_LOOKS = 400
_TILE = 128

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SamplerResponse:
    """The response of one card, on a grid of lam from -6 to 6.

    Attributes
    ----------
    card : Card
    drive_name : str
        What the circuit applies; empty if the model does not say.
    lam, drive, ideal : float64[lam]
        `ideal` is sigma(2 lam).
    nominal : float64[lam]
        P(+1) of the device without spread.
    mean, low, high : float64[lam]
        Mean, 1st and 99th percentile of P(+1) over devices.
    n_devices : int
    resolution : float
        Standard error of a probability of 1/2; 0 where probabilities are those of the model itself.
    """

    card: Card
    drive_name: str
    lam: Values
    drive: Values
    ideal: Values
    nominal: Values
    mean: Values
    low: Values
    high: Values
    n_devices: int
    resolution: float

    def fit(self, probability: Values) -> tuple[float, float]:
        """Return (slope, offset) with sigma(2 (slope lam + offset)) nearest to the probabilities, by least squares."""
        line = np.array([1.0, 0.0])
        design = np.stack([self.lam, np.ones_like(self.lam)], axis=1)
        for _ in range(50):  # Gauss and Newton; few steps suffice for a response near the ideal one
            p = 1.0 / (1.0 + np.exp(-2.0 * np.clip(design @ line, -30.0, 30.0)))
            step = np.linalg.lstsq(design * (2.0 * p * (1.0 - p))[:, None], probability - p, rcond=None)[0]
            line += np.clip(step, -0.5, 0.5)
        return float(line[0]), float(line[1])


def sampler_response(card: Card, n_devices: int = 20_000, seed: int = 1) -> SamplerResponse:
    """Make devices of a card and work out how each turns lam into a probability.

    Parameters
    ----------
    card : Card
        Of a sampling element.
    n_devices : int
        Rounded up to whole tiles of 128 x 128; every device is a cell with its place in a tile.
    seed : int
        The fabrication seed.

    Returns
    -------
    SamplerResponse

    Raises
    ------
    CardError
        If the card is that of a storage element.
    """
    model = get_model(card.model)
    if not isinstance(model, SamplerModel):
        raise CardError(f"{card.name}: the card of a storage element; name that of a sampling element.")
    lam = np.linspace(-6.0, 6.0, _STEPS)
    values = {s.name: card.params[s.name].value for s in model.specs}
    alike = {s.name: s.neutral for s in model.specs if s.name.startswith("sigma") and s.neutral is not None}
    params, nominal_params = model.params(**values), model.params(**{**values, **alike})
    n = -(-n_devices // _TILE) * _TILE
    exact = _keeps_threshold(model)
    nominal = _probabilities(model, card, nominal_params, lam, _TILE, seed).mean(axis=1)
    over_devices = _probabilities(model, card, params, lam, n, seed)
    low, high = np.quantile(over_devices, (0.01, 0.99), axis=1)
    return SamplerResponse(
        card, model.drive_name if model.drive else "", lam,
        np.asarray(model.drive(nominal_params, lam), np.float64) if model.drive else lam,
        1.0 / (1.0 + np.exp(-2.0 * lam)), nominal, over_devices.mean(axis=1), low, high, n,
        0.0 if exact else float(0.5 / np.sqrt(_LOOKS)),
    )  # fmt: skip


def _keeps_threshold(model: SamplerModel) -> bool:
    return any(v.name == "threshold" and v.dtype == "int32" for v in model.variables)


def _probabilities(model: SamplerModel, card: Card, params: Any, lam: Values, n: int, seed: int) -> Values:
    """Return P(+1) of each device at each lam, float64[lam, device]."""
    site = Site(_TILE, _TILE, read_time=card.costs["read_time"].value)
    state, cells = new_state(model, n), np.arange(n, dtype=np.int32)
    model.fabricate(state, params, site, stream_key(seed, Purpose.FABRICATE_SAMPLER, 0))
    out = np.empty((lam.size, n))
    looks = np.zeros((_LOOKS, n), np.int8)
    for i, value in enumerate(lam):
        model.bias(state, np.full(n, value, np.float32), cells, params, site, 0.0)
        if _keeps_threshold(model):
            out[i] = 1.0 - state.threshold / 2.0**23
        else:
            key = stream_key(seed, Purpose.WEIGHT_SAMPLE, 0, i)
            model.sample(state, params, site, key, 0, np.inf, 0.0, looks)
            out[i] = (looks > 0).mean(axis=0)
    return out


def format_response(response: SamplerResponse) -> str:
    """Return the table and the sentences that ``bimu-hw devices sampler`` prints."""
    r = response
    header = ["lam", "drive" if r.drive_name else "", "P(+1)", "sigma(2 lam)", "error", "mean error", "1 %", "99 %"]
    rows = []
    for value in TABLE_LAM:
        i = int(np.argmin(np.abs(r.lam - value)))
        rows.append(
            [
                f"{value:g}", f"{r.drive[i]:.5g}" if r.drive_name else "", f"{r.nominal[i]:.5f}", f"{r.ideal[i]:.5f}",
                f"{r.nominal[i] - r.ideal[i]:+.5f}", f"{r.mean[i] - r.ideal[i]:+.5f}", f"{r.low[i]:.5f}",
                f"{r.high[i]:.5f}",
            ]
        )  # fmt: skip
    keep = [k for k in range(len(header)) if header[k]]
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
    lines = ["  ".join(row[k].rjust(widths[k]) for k in keep) for row in (header, *rows)]
    lines.insert(1, "  ".join("-" * widths[k] for k in keep))
    summary = [f"{r.card.name}: {r.card.title}"]
    if r.drive_name:
        summary.append(f"drive: {r.drive_name}, of the nominal device")
    for name, p in (("nominal device", r.nominal), ("mean of devices", r.mean)):
        error = p - r.ideal
        worst = int(np.argmax(np.abs(error)))
        slope, offset = r.fit(p)
        summary.append(
            f"{name}: largest error {error[worst]:+.4f} at lam = {r.lam[worst]:.2f}; "
            f"near sigma(2 ({slope:.4f} lam {offset:+.4f}))"
        )
    width = 0.5 * np.log(np.divide(*_odds(r)))
    summary.append(
        f"devices: {r.n_devices}; at lam = 0 the 1 % and 99 % lie {width:.3f} of lam apart"
        + (f"; probabilities estimated from {_LOOKS} looks each (+-{r.resolution:.3f})" if r.resolution else "")
    )
    return "\n".join([*summary, "", *lines])


def _odds(response: SamplerResponse) -> tuple[float, float]:
    """Return the odds at lam = 0 of the 99th and the 1st percentile of devices."""
    i = int(np.argmin(np.abs(response.lam)))
    high, low = (min(max(float(p[i]), 1e-9), 1.0 - 1e-9) for p in (response.high, response.low))
    return high / (1.0 - high), low / (1.0 - low)


def draw_response(response: SamplerResponse, path: Path) -> None:
    """Draw drive, probability and error over lam as a PNG file."""
    r = response
    with paper_style():
        figure = new_figure("double", 2.2)
        drive, probability, error = figure.subplots(1, 3)
        drive.plot(r.lam, r.drive, color=COLOURS[0], lw=1.2)
        drive.set(xlabel="λ", ylabel=r.drive_name or "λ", title="calibration")
        probability.fill_between(r.lam, r.low, r.high, color=COLOURS[4], alpha=0.35, lw=0, label="devices, 1–99 %")
        probability.plot(r.lam, r.mean, color=COLOURS[4], lw=1, label="mean of devices")
        probability.plot(r.lam, r.nominal, color=COLOURS[0], lw=1.4, label="nominal device")
        probability.plot(r.lam, r.ideal, color="black", lw=0.9, ls="--", label="σ(2λ)")
        probability.set(xlabel="λ", ylabel="P(+1)", title=r.card.name)
        probability.legend(loc="upper left")
        error.fill_between(r.lam, r.low - r.ideal, r.high - r.ideal, color=COLOURS[4], alpha=0.35, lw=0)
        error.plot(r.lam, r.mean - r.ideal, color=COLOURS[4], lw=1)
        error.plot(r.lam, r.nominal - r.ideal, color=COLOURS[0], lw=1.4)
        error.set(xlabel="λ", ylabel="P(+1) − σ(2λ)", title="error")
        save_figure(figure, path)
