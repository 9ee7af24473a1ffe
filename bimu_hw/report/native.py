"""How a storage element by itself compares with BiMU: its step against alpha(lam), its forgetting against the window.

With native programming a cell gets pulses in proportion to -dl/dw. What it does with them plays the part of the step
size: its mean response to a pulse, as a function of lam and of the pulse's direction. BiMU takes, per unit of
L dl/dlam, the step eta alpha(lam), and dl/dlam = sech**2(lam) dl/dw; so per unit of dl/dw the step is that of
eta alpha(lam) sech**2(lam). Both comparisons are made. All curves are 1 at lam = 0 (mean of both directions).

What a device forgets by is measured as well: relaxation in time, and the random walk that pulses of random direction
cause. BiMU near lam = 0 forgets over N (K + 1/eta_max) / K examples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.cards import Card
from bimu_hw.crossbar.encoding import level_grid
from bimu_hw.devices import Grid, StorageModel, get_model, new_state, time_matters
from bimu_hw.errors import CardError
from bimu_hw.presets import PRESETS
from bimu_hw.random import Purpose, stream_key
from bimu_hw.report.style import COLOURS, new_figure, paper_style, save_figure

Values = npt.NDArray[np.float64]

#: Largest |lam| that counts for the deviation: trained values of a first layer stay within 4.
LAM_RANGE = 3.0
#: Times to look at: 1 us to 20 years, four per decade.
_TIMES = np.concatenate([10.0 ** np.arange(-6.0, 8.6, 0.25), [20 * 365.25 * 86400]])
_MOST_LEVELS = 61
_WALKERS = 20_000
_MOST_PULSES = 100_000


@dataclass(frozen=True)
class NativeResponse:
    """The response of one card beside BiMU's step.

    Attributes
    ----------
    card : Card
    preset : str
    lam : float64[lam]
        Levels within +-3 of a grid whose last level is `lam_max`.
    up, down : float64[lam]
        Mean response to a pulse over its mean at lam = 0.
    spread : float64[lam]
        Standard deviation of the response to one pulse over cells, in the same unit; mean of both directions.
    alpha : float64[lam]
        BiMU's step size for g -> 0 over its value at lam = 0.
    alpha_up, alpha_down : float64[lam]
        The same for requests that raise and lower lam with |g| = `brake`, over their value at lam = 0.
    brake : float
        The |g| at which the brake halves alpha at lam = 0: (K + 1/eta_max) / 2.
    relaxation : float
        Seconds after which cells programmed to half of `lam_max` have lost all but 1/e of their mean lam; infinite if
        more than 20 years.
    pulses : float
        Pulses of random direction after which they have; infinite if more than were tried.
    window : float
        BiMU's e-folding near lam = 0 in learned examples.
    lam_max, temperature : float
    """

    card: Card
    preset: str
    lam: Values
    up: Values
    down: Values
    spread: Values
    alpha: Values
    alpha_up: Values
    alpha_down: Values
    brake: float
    relaxation: float
    pulses: float
    window: float
    lam_max: float
    temperature: float

    @property
    def sech2(self) -> Values:
        """The factor from dl/dw to dl/dlam, float64[lam]."""
        return 1.0 / np.cosh(self.lam) ** 2

    def deviations(self) -> dict[str, float]:
        """Return the rms deviation of the device's curves from BiMU's, both directions and all lam together.

        By name: "alpha" and "alpha sech2" for g -> 0; "... braked" for |g| = `brake`.
        """

        def rms(up: Values, down: Values) -> float:
            return float(np.sqrt(np.mean(np.concatenate([self.up - up, self.down - down]) ** 2)))

        v = self.sech2
        return {
            "alpha": rms(self.alpha, self.alpha), "alpha sech2": rms(self.alpha * v, self.alpha * v),
            "alpha, braked": rms(self.alpha_up, self.alpha_down),
            "alpha sech2, braked": rms(self.alpha_up * v, self.alpha_down * v),
        }  # fmt: skip


def bimu_alpha(lam: Values, g: float, kl: float, lr_max: float) -> Values:
    """Return BiMU's step size alpha(lam) for a scaled gradient g (arXiv:2605.30198)."""
    below = kl / np.cosh(lam) ** 2 + 2.0 * g * np.tanh(lam) + 2.0 * abs(g) + 1.0 / lr_max
    return np.asarray(1.0 / below, np.float64)


def _alpha(preset: str, lam: Values, g: float) -> Values:
    """Return alpha(lam) over alpha(0)."""
    values = PRESETS[preset].values
    kl, lr_max = values["kl_multiplier"], values["lr_max"]
    return bimu_alpha(lam, g, kl, lr_max) / float(bimu_alpha(np.zeros(1), g, kl, lr_max)[0])


def native_response(
    card: Card, preset: str, lam_max: float = 4.0, temperature: float = 300.0, cells: int = 4000, seed: int = 1
) -> NativeResponse:
    """Pulse cells of a card and set their answer beside BiMU's step.

    Parameters
    ----------
    card : Card
        Of a storage element.
    preset : str
        Name of a BiMU preset.
    lam_max : float
        lam of the last level.
    temperature : float
        In kelvin.
    cells : int
        Cells per level and direction, each fresh.
    seed : int
        Of fabrication and of pulse noise.

    Raises
    ------
    CardError
        If the card is no storage element's, or no BiMU preset has that name.
    """
    model = get_model(card.model)
    if not isinstance(model, StorageModel):
        raise CardError(f"{card.name}: is a sampling element; name a storage element.")
    bimu = sorted(name for name, entry in PRESETS.items() if entry.rule == "bimu")
    if preset not in bimu:
        raise CardError(f"--preset: got {preset!r}; allowed are {', '.join(bimu)}.")
    values = PRESETS[preset].values
    kl, lr_max = values["kl_multiplier"], values["lr_max"]
    bench = _Bench(model, card, lam_max, temperature, seed)
    levels = bench.levels()
    lam = levels * bench.grid.step
    rise, rise_spread = bench.response(levels, cells, 1)
    fall, fall_spread = bench.response(levels, cells, -1)
    fall = -fall
    at_zero = 0.5 * (np.interp(0.0, lam, rise) + np.interp(0.0, lam, fall))
    brake = 0.5 * (kl + 1.0 / lr_max)

    return NativeResponse(
        card, preset, lam, rise / at_zero, fall / at_zero, 0.5 * (rise_spread + fall_spread) / abs(at_zero),
        _alpha(preset, lam, 0.0), _alpha(preset, lam, -brake), _alpha(preset, lam, brake), brake,
        bench.relaxation(), bench.random_pulses(),
        values["memory_window"] * (kl + 1.0 / lr_max) / kl, lam_max, temperature,
    )  # fmt: skip


class _Bench:
    """Where cells of a card are made, programmed, pulsed and read, each measurement on a chip of its own."""

    def __init__(self, model: StorageModel, card: Card, lam_max: float, temperature: float, seed: int) -> None:
        self._model, self._seed, self._lam_max = model, seed, lam_max
        self._params: Any = model.params(*(card.params[s.name].value for s in model.specs))
        self.grid: Grid = level_grid(int(card.params["n_levels"].value), lam_max, 1, temperature)
        self._chips = 0
        #: Size of a pulse in steps: on a continuous element an arbitrary one, a 64th of the range.
        self._size = 1.0 if self.grid.quantum == 1.0 else lam_max / 32.0

    def levels(self) -> Values:
        """Return the levels within the range that counts, thinned out if they are many."""
        if self.grid.quantum != 1.0:
            return np.linspace(-LAM_RANGE, LAM_RANGE, _MOST_LEVELS)
        top = self.grid.level_max
        levels = np.arange(-top, top + 0.5)
        inside = levels[np.abs(levels * self.grid.step) <= LAM_RANGE]
        return inside[np.unique(np.linspace(0, len(inside) - 1, _MOST_LEVELS).round().astype(int))]

    def _make(self, target: Values) -> tuple[Any, npt.NDArray[np.int32]]:
        n = target.size
        state = new_state(self._model, n)
        self._chips += 1
        self._model.fabricate(
            state, self._params, self.grid, stream_key(self._seed, Purpose.FABRICATE_STORAGE, self._chips)
        )
        self._model.program(state, target.astype(np.float32), self._params, self.grid, 0.0)
        return state, np.arange(n, dtype=np.int32)

    def _peek(self, state: Any, every: npt.NDArray[np.int32], now: float = 0.0) -> Values:
        out = np.zeros(every.size, np.float32)
        self._model.peek(state, every, self._params, self.grid, now, out)
        return out.astype(np.float64)

    def _pulse(self, state: Any, every: npt.NDArray[np.int32], counts: npt.NDArray[np.float32], number: int) -> None:
        key = stream_key(self._seed, Purpose.PULSE, self._chips, number)
        self._model.pulse(state, every, counts, self._params, self.grid, key, 0.0)

    def response(self, levels: Values, cells: int, direction: int) -> tuple[Values, Values]:
        """Return mean and standard deviation over cells of what one pulse does at each level, in its own size."""
        state, every = self._make(np.repeat(levels, cells))
        before = self._peek(state, every)
        self._pulse(state, every, np.full(every.size, direction * self._size, np.float32), 0)
        moved = ((self._peek(state, every) - before) / self._size).reshape(len(levels), cells)
        return moved.mean(axis=1), moved.std(axis=1)

    def _start(self) -> Values:
        half = 0.5 * self._lam_max / self.grid.step
        top = self.grid.level_max
        level = half if self.grid.quantum != 1.0 else np.rint(half + top) - top
        return np.full(_WALKERS, level)

    def relaxation(self) -> float:
        """Return the seconds in which the mean level falls to 1/e."""
        if not time_matters(self._model, self._params):
            return math.inf
        assert self._model.advance is not None
        state, every = self._make(self._start())
        first = left = self._peek(state, every).mean()
        since = 0.0
        for number, now in enumerate(_TIMES):
            key = stream_key(self._seed, Purpose.ADVANCE, number)
            self._model.advance(state, self._params, self.grid, key, since, float(now))
            mean = self._peek(state, every, float(now)).mean()
            if mean <= first / math.e:
                # Between two looks, as an exponential would.
                share = math.log(left * math.e / first) / math.log(left / max(mean, 1e-3 * first))
                return float(since + share * (now - since))
            since, left = float(now), mean
        return math.inf

    def random_pulses(self) -> float:
        """Return the pulses of random direction after which the mean level is 1/e of the first."""
        state, every = self._make(self._start())
        rng = np.random.default_rng(self._seed)
        first = self._peek(state, every).mean()
        # What a drifting mean, of an asymmetric device, ends at is no memory: two populations must come together.
        other, _ = self._make(-self._start())
        apart = first - self._peek(other, every).mean()
        before = apart
        for number in range(_MOST_PULSES):
            counts = (rng.integers(0, 2, every.size) * 2 - 1).astype(np.float32) * np.float32(self._size)
            self._pulse(state, every, counts, 2 * number)
            self._pulse(other, every, counts, 2 * number + 1)
            now = self._peek(state, every).mean() - self._peek(other, every).mean()
            if now <= apart / math.e:
                return number + math.log(before * math.e / apart) / math.log(before / max(now, 1e-3 * apart))
            before = now
            if number == 300 and now > 0.995 * apart:
                return math.inf
        return math.inf


def format_native(response: NativeResponse, rate: float) -> str:
    """Return the numbers as text; `rate` is that of learned examples, in hertz."""
    from bimu_hw.units import format_quantity

    r = response
    deviation = r.deviations()
    seconds = "more than 20 years" if math.isinf(r.relaxation) else format_quantity(r.relaxation, "s")
    examples = "" if math.isinf(r.relaxation) else f", {r.relaxation * rate:,.3g} examples"
    pulses = "more than were tried" if math.isinf(r.pulses) else f"{r.pulses:,.3g}"
    match = "" if math.isinf(r.pulses) else (
        f"; as BiMU, at one such pulse per cell every {r.window / r.pulses:,.3g} examples"
    )
    return "\n".join(
        [
            f"{r.card.name}: {r.card.title}",
            f"against BiMU with {r.preset}; levels up to lam = {r.lam_max:g}, {r.temperature:g} K",
            "",
            "rms deviation of the step from BiMU's over |lam| <= 3, both directions, in steps at lam = 0",
            "                                       g -> 0   |g| = " + f"{r.brake:.4g}",
            f"  per unit of dl/dlam (alpha)          {deviation['alpha']:6.3f}   {deviation['alpha, braked']:6.3f}",
            f"  per unit of dl/dw (alpha sech2 lam)  {deviation['alpha sech2']:6.3f}   "
            f"{deviation['alpha sech2, braked']:6.3f}",
            f"  spread of one pulse at lam near 0    {float(np.interp(0.0, r.lam, r.spread)):6.3f}",
            "",
            "forgetting, from half of the last level to 1/e",
            f"  device, by time         {seconds}{examples} (at {format_quantity(rate, 'Hz')})",
            f"  device, by random pulses {pulses}{match}",
            f"  BiMU, near lam = 0      {r.window:,.4g} learned examples",
        ]
    )


def draw_native(response: NativeResponse, path: Path) -> None:
    """Draw the steps per unit of dl/dlam and of dl/dw, device and BiMU, as a PNG file."""
    r = response
    lam = np.linspace(-LAM_RANGE, LAM_RANGE, 241)
    brake = f"|g| = {r.brake:.3g}"
    with paper_style():
        figure = new_figure("double", 2.9)
        panels = figure.subplots(1, 2, sharey=True)
        for axes, factor, unit in zip(
            panels, (np.ones_like(lam), 1.0 / np.cosh(lam) ** 2), ("dl/dλ: α(λ)", "dl/dw: α(λ) sech²λ"), strict=True
        ):
            for values, colour, label in ((r.up, COLOURS[0], "device, up"), (r.down, COLOURS[3], "device, down")):
                axes.plot(r.lam, values, "o-", ms=2.5, lw=1, color=colour, label=label)
            for g, line, colour, label in (
                (0.0, "-", "black", "BiMU, g → 0"), (-r.brake, "--", COLOURS[4], f"BiMU, up, {brake}"),
                (r.brake, "--", COLOURS[1], f"BiMU, down, {brake}"),
            ):  # fmt: skip
                axes.plot(lam, _alpha(r.preset, lam, g) * factor, line, color=colour, lw=1.5, label=label)
            axes.set(xlabel="λ")
            axes.set_title(f"BiMU per unit of {unit}")
        low = min(float(r.up.min()), float(r.down.min()), 0.0)
        panels[0].set(ylabel="mean step / step at λ = 0", ylim=(1.1 * low - 0.05, None))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5)
        figure.suptitle(f"{r.card.name}, native, against {r.preset}")
        save_figure(figure, path)
