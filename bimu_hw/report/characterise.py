"""The figures and sentences that papers give of a device, for one card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bimu_hw.cards import Card
from bimu_hw.devices import get_model
from bimu_hw.report import characterise_plots as plots
from bimu_hw.report import characterise_sampler as samplers
from bimu_hw.report import characterise_storage as stores
from bimu_hw.report.sampler import format_response, sampler_response
from bimu_hw.report.style import new_figure, paper_style, save_figure
from bimu_hw.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: One panel: draws itself into axes.
Panel = Callable[["Axes"], "Axes"]


@dataclass
class Characterisation:
    """What was measured on a card.

    Attributes
    ----------
    card : Card
    figures : dict of str to (panels per row, list of Panel)
        By name of the file.
    sentences : list of str
        Results as text, and why a figure is not there.
    """

    card: Card
    figures: dict[str, tuple[int, list[Panel]]] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)


def characterise(card: Card, n_devices: int = 1000, seed: int = 1) -> Characterisation:
    """Measure a card.

    Parameters
    ----------
    card : Card
        Of a storage or a sampling element.
    n_devices : int
        Cells measured.
    seed : int
        Of devices and noise.

    Returns
    -------
    Characterisation

    Raises
    ------
    ScenarioError
        If the seed is none or nonidealities contradict each other.
    """
    found = Characterisation(card)
    if get_model(card.model).role == "storage":
        _pulses(found, n_devices, seed)
        _levels(found, n_devices, seed)
        _switching(found, n_devices, seed)
        _retention(found, n_devices, seed)
        _endurance(found, n_devices, seed)
        _noise(found, n_devices, seed)
    else:
        _sampler(found, n_devices, seed)
    return found


def draw(found: Characterisation, folder: Path) -> list[Path]:
    """Draw all figures as PNG files into a folder, one or two columns of a journal wide; return their paths."""
    paths = []
    for name, (per_row, panels) in found.figures.items():
        rows = -(-len(panels) // per_row)
        with paper_style():
            figure = new_figure("single" if per_row == 1 else "double", 2.5 * rows)
            axes = figure.subplots(rows, per_row, squeeze=False).ravel()
            for panel, at in zip(panels, axes, strict=True):
                panel(at)
            figure.suptitle(found.card.name, fontweight="bold")
            paths.append(save_figure(figure, folder / f"{found.card.name}_{name}.png"))
    return paths


def _pulses(found: Characterisation, n_devices: int, seed: int) -> None:
    response = stores.pulse_response(found.card, n_devices, seed)
    fresh = stores.fresh_response(found.card, n_devices, seed)
    panels: list[Panel] = [lambda axes: plots.plot_pulse_response(response, axes)]
    if get_model(found.card.model).family != "cmos":  # a register has no conductance
        panels.append(lambda axes: plots.plot_conductance(response if fresh is None else fresh, axes))
    found.figures["pulses"] = len(panels), panels
    n_up = int(response.attrs["n_up"])
    mean = response["seen"].mean("cell").sel(pulse=[0, n_up, 2 * n_up]).values
    found.sentences.append(
        f"pulses: {n_up} up take the mean level from {mean[0]:.3g} to {mean[1]:.3g}, {n_up} down to {mean[2]:.3g} "
        f"(last level {response.attrs['top']:g}; {response.attrs['stuck_fraction']:.2%} of the cells are stuck and "
        "left out)"
    )
    if float(response.attrs["lam_per_level"]) == 1.0:
        found.sentences[-1] += f"; a pulse asks for {response.attrs['levels_per_pulse']:g} of lam"


def _levels(found: Characterisation, n_devices: int, seed: int) -> None:
    levels = stores.level_distributions(found.card, n_devices, seed)
    found.figures["levels"] = 3, [
        lambda axes: plots.plot_levels(levels, axes, "programmed"),
        lambda axes: plots.plot_levels(levels, axes, "pulsed"),
        lambda axes: plots.plot_overlap(levels, axes),
    ]
    n_levels = int(found.card.params["n_levels"].value)
    for how, meaning in (("programmed", "programmed, with ideal verify"), ("pulsed", "reached by counted pulses")):
        share, apart = levels["overlap"].sel(how=how).values, int(levels["n_apart"].sel(how=how))
        of = f"of {n_levels} levels" if n_levels else "of the 21 values taken"
        found.sentences.append(
            f"levels {meaning}: neighbours overlap by {share.mean():.3g} on average, {share.max():.3g} at most; "
            f"one look tells {apart} {of} apart with errors below 1 %"
        )


def _switching(found: Characterisation, n_devices: int, seed: int) -> None:
    moved = stores.switching_probability(found.card, max(n_devices, 20_000), seed)
    if moved is None:
        found.sentences.append("switching: no pulse of this card fails as a whole; no figure of failures")
        return
    found.figures["switching"] = 1, [lambda axes: plots.plot_switching_probability(moved, axes)]
    up, down = moved["moved"].isel(pulse=1).values
    found.sentences.append(f"switching: one pulse moves {up:.3g} of the cells up and {down:.3g} down")


def _retention(found: Characterisation, n_devices: int, seed: int) -> None:
    data = stores.retention(found.card, n_devices, seed)
    if data is None:
        found.sentences.append("time: no drift, relaxation or thermal motion on this card")
        return
    second: Panel
    if data.sizes["temperature"] > 1:
        second = lambda axes: plots.plot_temperatures(data, axes)  # noqa: E731
        of_heat = ""
    else:
        second = lambda axes: plots.plot_drift(data, axes)  # noqa: E731
        of_heat = "; temperature has no effect in this model"
    found.figures["retention"] = 2, [lambda axes: plots.plot_retention(data, axes), second]
    left = float(data["level"].isel(temperature=0, start=0, time=-1).mean() / data["start"][0])
    found.sentences.append(
        f"time: at {float(data['temperature'][0]):g} K, {left:.1%} of the highest level are left after "
        f"{float(data['time'][-1]):.3g} s on average{of_heat}"
    )


def _endurance(found: Characterisation, n_devices: int, seed: int) -> None:
    stated = found.card.nonidealities.get("endurance")
    if stated is None or stated.value == 0.0:
        found.sentences.append("endurance: not stated on this card; state it with --set endurance=1e6")
        return
    data = stores.endurance(found.card, n_devices, seed)
    if data is None:
        found.sentences.append(f"endurance: {stated.value:.3g} pulses, beyond what a cell's counter holds; no figure")
        return
    found.figures["endurance"] = 2, [
        lambda axes: plots.plot_window(data, axes),
        lambda axes: plots.plot_worn_out(data, axes),
    ]
    found.sentences.append(f"endurance: half of the cells are worn out after {stated.value:.3g} pulses")


def _noise(found: Characterisation, n_devices: int, seed: int) -> None:
    data = stores.read_noise(found.card, min(n_devices, 200), seed)
    if data is None:
        found.sentences.append("read noise: none with a memory on this card (rtn_*, flicker_*); no spectrum")
        return
    found.figures["noise"] = 2, [
        lambda axes: plots.plot_noise_trace(data, axes),
        lambda axes: plots.plot_spectrum(data, axes),
    ]
    sigma = float(data["seen"].std("time").mean())
    found.sentences.append(f"read noise: standard deviation {sigma:.3g} levels in time")


def _sampler(found: Characterisation, n_devices: int, seed: int) -> None:
    response = sampler_response(found.card, max(n_devices, 20_000), seed)
    panels: list[Panel] = [
        lambda axes: plots.plot_sigmoid(response, axes),
        lambda axes: plots.plot_residual(response, axes),
    ]
    if response.drive_name:
        panels.append(lambda axes: plots.plot_drive(response, axes))
    found.figures["response"] = len(panels), panels
    found.sentences.append(format_response(response))
    telegraph = samplers.telegraph(found.card, min(n_devices, 500), seed)
    if telegraph is None:
        found.sentences.append("telegraph noise: none; a look does not depend on the time since the one before")
    else:
        found.figures["telegraph"] = 2, [
            lambda axes: plots.plot_telegraph_trace(telegraph, axes),
            lambda axes: plots.plot_dwell_times(telegraph, axes),
            lambda axes: plots.plot_autocorrelation(telegraph, axes),
            lambda axes: plots.plot_relaxation_time(telegraph, axes),
        ]
        times = ", ".join(
            f"{format_quantity(float(t), 's')} at lam = {lam:g} (expected {format_quantity(float(e), 's')})"
            for lam, t, e in zip(
                telegraph["lam"].values, telegraph["relaxation_time"].values,
                telegraph["expected_relaxation_time"].values, strict=True,
            )
        )  # fmt: skip
        found.sentences.append(f"telegraph noise, free-running nominal devices: relaxation time {times}")
    switching = samplers.switching(found.card, n_devices, seed)
    if switching is not None:
        found.figures["switching"] = 2, [
            lambda axes: plots.plot_switching(switching, axes),
            lambda axes: plots.plot_width(switching, axes),
        ]
        half = float(np.interp(0.0, switching["lam"].values, switching["amplitude"].values[0]))
        width = format_quantity(float(switching["width"][0]), "s")
        found.sentences.append(f"switching: probability 1/2 at {format_quantity(half, 'V', 4)} and {width}")
    correlation, error, interval = samplers.look_correlation(found.card, n_devices, seed)
    found.sentences.append(
        f"successive looks at lam = 0, {format_quantity(interval, 's')} apart: correlation {correlation:+.4f} "
        f"(standard error {error:.4f})"
    )
