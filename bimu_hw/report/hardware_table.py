"""The answer to the hardware question: one table and one figure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bimu_hw.report.hardware_question import Outcome, over_seeds
from bimu_hw.report.style import COLOURS, new_figure, paper_style, save_figure
from bimu_hw.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _joules(value: float) -> str:
    return "-" if math.isnan(value) else format_quantity(value, "J")


#: Heads of the table's columns, what stands in them, and whether the spread over seeds is shown, too.
COLUMNS: tuple[tuple[str, Callable[[Outcome], str], bool], ...] = (
    ("store", lambda o: o.row.store, False),
    ("programming", lambda o: o.row.programming, False),
    ("rule", lambda o: o.row.rule, False),
    ("newest task, %", lambda o: _percent(o.newest), True),
    ("last five, %", lambda o: _percent(o.last_five), True),
    ("when learned, %", lambda o: _percent(o.learned), True),
    ("plasticity", lambda o: f"{o.plasticity:.3f}", True),
    ("saturated, %", lambda o: _percent(o.saturated), True),
    ("dead zone, %", lambda o: _percent(o.dead_zone), True),
    ("rail, %", lambda o: _percent(o.rail), True),
    ("writes per cell", lambda o: _number(o.pulses_mean), False),
    ("busiest cell", lambda o: _number(o.pulses_max), False),
    ("endurance used, %", lambda o: "-" if math.isnan(o.endurance_used) else f"{100 * o.endurance_used:.2g}", False),
    ("energy per update", lambda o: _joules(o.energy_per_update), False),
    ("energy per query, all", lambda o: _joules(o.energy_per_query), False),
)


def format_outcomes(outcomes: Sequence[Outcome]) -> str:
    """Return the table in Markdown: a line for each row, mean and standard deviation where there are several seeds."""
    rows = [[head for head, _, _ in COLUMNS], ["---"] * len(COLUMNS)]
    for mean, deviation in over_seeds(outcomes):
        cells = []
        for _, show, spreads in COLUMNS:
            text = show(mean)
            cells.append(f"{text} ± {show(deviation)}" if spreads and deviation is not None and text != "-" else text)
        rows.append(cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def write_outcomes(outcomes: Sequence[Outcome], out: Path) -> list[Path]:
    """Write table, numbers (of every seed) and figure into a folder; return the files."""
    table, numbers, figure = (out / f"hardware_question.{ending}" for ending in ("md", "json", "png"))
    table.write_text(format_outcomes(outcomes), encoding="utf-8")
    content = [
        {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in asdict(o).items()} for o in outcomes
    ]
    numbers.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draw_outcomes(outcomes, figure)
    return [table, numbers, figure]


def draw_outcomes(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw accuracy, freezing, writes and energy of every row, one line each, as a PNG file; means of the seeds."""
    rows = over_seeds(outcomes)
    stores = list(dict.fromkeys(mean.row.store for mean, _ in rows))
    at, place, last = [], 0.0, ""
    for mean, _ in rows:
        place += 1.7 if last and mean.row.store != last else 1.0
        last = mean.row.store
        at.append(place)
    with paper_style({"figure.constrained_layout.use": True, "font.size": 8.0}):
        figure = new_figure(9.0, max(0.22 * place + 1.2, 3.0))
        _draw(figure, rows, at, stores)
        save_figure(figure, path)


def _label(outcome: Outcome) -> str:
    row = outcome.row
    return row.programming if row.programming == "native" else f"{row.programming}, {row.rule}"


def _draw(
    figure: Figure, rows: Sequence[tuple[Outcome, Outcome | None]], at: Sequence[float], stores: Sequence[str]
) -> None:
    panels = figure.subplots(1, 4, sharey=True)
    for y, (o, deviation) in zip(at, rows, strict=True):
        colour = COLOURS[stores.index(o.row.store) % len(COLOURS)]
        filled = {"color": colour} if o.row.rule != "BayesBiNN" else {"mfc": "white", "mec": colour}
        panels[0].plot([100 * o.last_five, 100 * o.learned], [y, y], lw=1, color=colour, alpha=0.5)
        if deviation is not None:
            panels[0].errorbar(100 * o.last_five, y, xerr=100 * deviation.last_five, lw=4, color=colour, alpha=0.4)
        panels[0].plot(100 * o.last_five, y, "o", ms=5, zorder=3, **filled)
        panels[0].plot(100 * o.learned, y, "|", ms=8, color=colour)
        for value, marker in ((1.0 - o.plasticity, "s"), (o.dead_zone, "D"), (o.rail, "^")):
            panels[1].plot(100 * value, y, marker, ms=4, color=colour, mfc=colour if marker == "s" else "white")
        if o.pulses_mean > 0:
            panels[2].plot([o.pulses_mean, o.pulses_max], [y, y], lw=1, color=colour, alpha=0.5)
            panels[2].plot(o.pulses_mean, y, "o", ms=5, **filled)
            panels[2].plot(o.pulses_max, y, "|", ms=8, color=colour)
        if not math.isnan(o.energy_per_update):
            panels[3].plot(1e9 * o.energy_per_update, y, "o", ms=5, **filled)
    panels[0].set_yticks(at, [_label(mean) for mean, _ in rows], fontsize=7)
    panels[0].invert_yaxis()
    for store in stores:
        first = next(y for y, (mean, _) in zip(at, rows, strict=True) if mean.row.store == store)
        panels[0].text(0.02, first - 0.72, store, fontsize=7, weight="bold", transform=panels[0].get_yaxis_transform(),
                       color=COLOURS[stores.index(store) % len(COLOURS)])  # fmt: skip
    seeds = "\nbroad: ± one deviation over seeds" if any(deviation is not None for _, deviation in rows) else ""
    panels[0].set(xlabel=f"accuracy, %\n●: last five tasks at the end\n|: when learned{seeds}")
    panels[1].set(xlabel="first layer, %\n■: 100 − plasticity\n◇: in the dead zone, △: at a rail", xlim=(-3, 103))
    panels[2].set(xscale="log", xlabel="writes per cell\n●: mean, |: busiest cell\n(open: BayesBiNN)")
    panels[3].set(xlabel="energy per update, nJ\n(open: BayesBiNN;\nan ideal store has no price)", xlim=(0.0, None))
