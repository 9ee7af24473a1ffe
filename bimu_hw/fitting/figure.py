"""The figure of a fit: readings with the mean curve, and what is left over."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bimu_hw.fitting.estimates import Fit
from bimu_hw.fitting.pulses import Pulses
from bimu_hw.report.style import COLOURS, new_figure, paper_style, save_figure

#: Devices drawn in full; of more, evenly chosen ones.
_MOST_DRAWN = 20


def draw_fit(fit: Fit, pulses: Pulses, path: Path) -> None:
    """Draw readings and mean curve, residuals over pulses, and their distribution, as a PNG file."""
    with paper_style():
        figure = new_figure("double", 2.6)
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.3, 1.2, 0.8))
        scale, unit = (1e6, "µS") if pulses.unit == "S" else (1.0, "1")
        received = np.arange(pulses.value.shape[1])
        read = (pulses.direction != 0) | (received == 0)
        for d in np.unique(np.linspace(0, len(pulses.names) - 1, _MOST_DRAWN).astype(int)):
            left.plot(received[read[d]], scale * pulses.value[d][read[d]], lw=0.5, color=COLOURS[0], alpha=0.35)
        left.plot([], [], lw=0.5, color=COLOURS[0], label="readings")
        shown = read[0]
        left.plot(received[shown], scale * fit.mean[shown], lw=2, color=COLOURS[3], label="mean device")
        kind = "conductance" if pulses.unit == "S" else "weight"
        left.set(xlabel="pulses received", ylabel=f"{kind} ({unit})")
        left.legend()
        each = np.isfinite(fit.innovation)
        middle.plot(np.nonzero(each)[1], fit.innovation[each], ".", ms=1.5, color=COLOURS[0], alpha=0.4)
        middle.axhline(0.0, lw=0.8, color="black")
        middle.set(xlabel="pulses received", ylabel="reading minus prediction (std)")
        bins = np.linspace(-5.0, 5.0, 41)
        right.hist(fit.innovation[each], bins=bins, density=True, color=COLOURS[0], alpha=0.6, label="readings")
        right.plot(bins, np.exp(-0.5 * bins**2) / np.sqrt(2.0 * np.pi), color=COLOURS[3], label="normal")
        right.set(xlabel="the same, all pulses", ylabel="density", ylim=(0.0, 0.65))
        right.legend(loc="upper right")
        figure.suptitle(f"{fit.model} fitted to {pulses.file_name}")
        save_figure(figure, path)
