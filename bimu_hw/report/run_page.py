"""The report of one run: a page that stands alone, and beside it figures, table, references and methods for a paper."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bimu_hw.analysis import RunAnalysis, open_run
from bimu_hw.cards import Card
from bimu_hw.errors import BimuError, RunError
from bimu_hw.record import RUN_FILE, write_durably
from bimu_hw.report.bibliography import bibliography
from bimu_hw.report.latex import booktabs, tex_escape
from bimu_hw.report.methods import methods
from bimu_hw.report.page import Page, table
from bimu_hw.report.style import WIDTHS, new_figure, paper_style, save_figure
from bimu_hw.report.summary import ENERGY_WORDS
from bimu_hw.scenario.recorded import RecordedCard, recorded_cards
from bimu_hw.units import format_quantity, format_within

if TYPE_CHECKING:
    import xarray as xr

#: Folder of the report, inside that of the run.
REPORT = "report"
PAGE = "index.html"


@dataclass(frozen=True)
class Drawing:
    """One figure of a report.

    Attributes
    ----------
    name : str
        Of its files.
    caption : str
    draw : callable
        Draws it on axes.
    height : float
        In inches.
    wide : bool
        Whether it needs two columns on the page.
    panels : int
        Number of panels; `draw` takes a list of axes if there are several.
    """

    name: str
    caption: str
    draw: Callable[[Any], Any]
    height: float = 0.7 * WIDTHS["single"]
    wide: bool = False
    panels: int = 1


def report_run(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a finished run.

    Parameters
    ----------
    folder : str or Path
        Of the run.
    out : str or Path, optional
        Folder of the report; default: ``report`` in that of the run.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    RunError
        If there is no finished run, or the report cannot be written.
    """
    folder = Path(folder)
    out = folder / REPORT if out is None else Path(out)
    with open_run(folder) as tree:
        run = RunAnalysis(tree)
        numbers = read_summary(folder)
        cards = recorded_cards(tree.attrs, folder / RUN_FILE)
        out.mkdir(parents=True, exist_ok=True)
        page = Page(str(tree.attrs.get("title") or numbers.get("title") or folder.name))
        claim = str(run.scenario.get("claim", "")).strip()
        if claim:
            page.paragraph(" ".join(claim.split()), "claim")
        page.paragraph(provenance_line(tree.attrs), "soft")
        page.heading("Numbers")
        rows = summary_rows(numbers)
        page.tables(table(("quantity", "value"), rows, (1,)), _energy_table(run))
        page.heading("Figures")
        page.figures(draw_all(drawings(run), out))
        page.heading("What the energy rests on")
        page.paragraph(_assumed_sentence(numbers), "note")
        page.tables(_kinds(run), cards_table(cards))
        if changed := changed_cards(cards):
            page.paragraph(changed, "note")
        text = methods(run.scenario, str(tree.attrs["bimu_hw_version"]))
        caption = f"{page_title(tree)}: numbers of one run (seeds {_seeds(tree.attrs)})."
        sources = bibliography(cards, run.scenario["learning"]["rule"])
        add_paper_part(page, out, text, latex_rows(rows, caption), sources)
        page.heading("Scenario")
        page.code(json.dumps(run.scenario, indent=2, ensure_ascii=False), "every value that had an effect, in SI", True)
    return write_page(page, out)


def read_summary(folder: Path) -> dict[str, Any]:
    """Return the summary of a run; `RunError` if it is not there or damaged."""
    path = folder / "summary.json" if folder.is_dir() else folder.parent / "summary.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read; give the folder of a finished run.") from error
    if not isinstance(found, dict):
        raise RunError(f"{path}: is not the summary of a run; give the folder of a finished run.")
    return found


def page_title(tree: xr.DataTree) -> str:
    """Return the title of a run."""
    return str(tree.attrs.get("title", "run"))


def _seeds(attrs: Mapping[Any, Any]) -> str:
    return ", ".join(f"{name} {attrs[f'seed_{name}']}" for name in ("fabrication", "noise", "data"))


def provenance_line(attrs: Mapping[Any, Any]) -> str:
    """Return what it takes to repeat a run, in one line."""
    return (
        f"bimu-hw {attrs['bimu_hw_version']}, scenario {str(attrs['scenario_hash'])[:12]}, seeds: {_seeds(attrs)}; "
        f"computed on {attrs['cpu_name']} with Python {attrs['python_version']}, NumPy {attrs['numpy_version']}, Numba "
        f"{attrs['numba_version']}. One run: a single chip and a single draw of noise, so no spread is given."
    )


def percent(value: float | None) -> str:
    """Return a fraction as a percentage, "–" where there is none."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.1f} %".replace("-", "−")


def amount(value: float | None, unit: str) -> str:
    """Return a quantity with its unit, "–" where there is none."""
    return "–" if value is None or math.isnan(value) else format_quantity(value, unit)


def within(value: float | None, ends: Sequence[float | None], unit: str = "J") -> str:
    """Return a value with no more digits than its interval supports, and the interval; "–" where there is none."""
    low, high = ends
    if value is None or low is None or high is None:
        return "–"
    shown, interval = format_within(value, low, high, unit)
    return f"{shown} ({interval})" if interval else shown


def summary_rows(numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows of the table of numbers: quantity and value."""
    energy, latency = numbers["energy_per_query_J"], numbers["latency_s"]
    rows = [
        ("accuracy, newest task", percent(numbers["accuracy_newest_task"])),
        ("accuracy, mean of all tasks", percent(numbers["accuracy"])),
        ("accuracy online, before learning", percent(numbers["accuracy_online"])),
        ("backward transfer", percent(numbers["backward_transfer"])),
        ("queries served", f"{numbers['queries']:,}"),
        ("queries dropped", f"{numbers['queries_dropped']:,}"),
        ("labels requested", percent(numbers["labels_requested_fraction"])),
    ]
    for key, words in ENERGY_WORDS.items():
        rows.append((f"energy per query, {words}", within(energy[key], numbers["energy_per_query_interval_J"][key])))
    return rows + [
        ("energy per update", within(numbers["energy_per_update_J"], numbers["energy_per_update_interval_J"])),
        (
            "operations per joule of inference",
            within(numbers["tops_per_watt"], numbers["tops_per_watt_interval"], "TOPS/W"),
        ),
        ("latency, median", amount(latency["p50"], "s")),
        ("latency, 99th percentile", amount(latency["p99"], "s")),
        ("plasticity, mean sech²λ at the end", _plain(numbers["plasticity_mean"])),
        ("saturated synapses, |λ| > 2.5", percent(numbers["saturated_fraction"])),
        ("pulses per cell", _plain(numbers["pulses_per_cell"])),
        ("area", f"{numbers['area_m2']['total'] * 1e6:.3g} mm²"),
        ("simulated time", amount(numbers["duration_s"], "s")),
    ]


def _plain(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3g}"


def _energy_table(run: RunAnalysis) -> str:
    found = run.energy_per_query("component").sortby("energy", ascending=False)
    total = float(found["energy"].sum())
    rows = [
        (
            str(name).replace("_", " "), *(format_within(float(energy), float(low), float(high), "J")),
            percent(float(energy) / total),
        )
        for name, energy, low, high in zip(
            found["component"].values, *(found[n].values for n in ("energy", "low", "high")), strict=True
        )
        if energy > 0
    ]  # fmt: skip
    return table(("component", "per query", "90 % interval", "share"), rows, (1, 2, 3))


def _kinds(run: RunAnalysis) -> str:
    found = run.energy(("kind", "card"))["energy"]
    total = float(found.sum())
    rows = [
        (str(kind), str(card), percent(float(found.sel(kind=kind, card=card)) / total))
        for kind in found["kind"].values for card in found["card"].values
        if float(found.sel(kind=kind, card=card)) > 0
    ]  # fmt: skip
    rows.sort(key=lambda row: -float(row[2].split()[0]))
    return table(("the price is", "card", "share of the energy"), rows, (2,))


def _assumed_sentence(numbers: Mapping[str, Any]) -> str:
    return (
        f"{percent(numbers['assumed_energy_fraction'])} of the energy rests on values that are assumed, not measured, "
        f"fitted or derived. {_dominated(numbers)}The intervals contain 90 % of the energies that come out when every "
        "card value is drawn from its range; they say nothing of what the model leaves out."
    )


def _dominated(numbers: Mapping[str, Any]) -> str:
    shares = numbers["energy_dominated_by"]["all"]
    if not shares:
        return ""
    named = ", ".join(f"{one['card']} {one['key']} ({100 * one['share']:.0f} %)" for one in shares)
    return f"What makes the interval of the whole wide: {named}. "


def cards_table(cards: Sequence[Card]) -> str:
    """Return the cards in use, and the share of assumed numbers on each."""
    rows = [
        (card.name, card.title, "–", "–") if isinstance(card, RecordedCard)
        else (card.name, card.title, percent(card.assumed_share), str(len(card.references))) for card in cards
    ]  # fmt: skip
    return table(("card", "what it is", "numbers assumed", "sources"), rows, (2, 3))


def changed_cards(cards: Sequence[Card]) -> str:
    """Return a sentence on cards of which only the record is left; empty if there are none."""
    names = ", ".join(dict.fromkeys(card.name for card in cards if isinstance(card, RecordedCard)))
    if not names:
        return ""
    return (
        f"Of {names} only the values that the run recorded are left: there is no such card any more, or it has changed "
        "since. The list of references lacks its sources; those of the prices are in the record (cost_source)."
    )


def drawings(run: RunAnalysis) -> list[Drawing]:
    """Return the figures of a run."""
    found = [
        Drawing("accuracy", "Accuracy over the stream: before each example was learned, and on test sets. Grey lines: "
                "a new task begins.", run.plot_accuracy),
        Drawing("accuracy_matrix", "Accuracy on each task after training on each task.", run.plot_accuracy_matrix),
        Drawing("energy", "Energy per query by component and by what it was spent for. Whiskers: 90 % interval of "
                "the sum, every card value drawn from its range.", lambda axes: run.plot_energy(axes=axes)),
        Drawing("latency", "Latency, from the arrival of an input to its prediction.", run.plot_latency),
    ]  # fmt: skip
    if run.layers:
        found.append(
            Drawing("freezing", "Freezing: mean plasticity sech²λ, and synapses with |λ| > 2.5.",
                    lambda axes: run.plot_freezing(axes=axes))
        )  # fmt: skip
        if run.grid.n_levels:
            found.append(
                Drawing("occupancy", "Levels occupied by the synapses of the first layer, snapshot by snapshot.",
                        lambda axes: run.plot_occupancy(axes=axes))
            )  # fmt: skip
        found.append(
            Drawing("plasticity_map", "Plasticity of every synapse of the first layer at the end.",
                    lambda axes: run.plot_synapse_map(axes=axes))
        )  # fmt: skip
    try:
        run.reliability()
    except BimuError:  # a row stands for several queries
        return found
    return [
        *found,
        Drawing("reliability", "Right predictions against the share of weight samples that agree. Areas: number of "
                "queries.", run.plot_reliability),
    ]  # fmt: skip


def draw_all(each: Sequence[Drawing], out: Path) -> list[tuple[bytes, str, list[Path], bool]]:
    """Draw figures as PDF and SVG, one and two columns wide, into a folder; return what `Page.figures` takes."""
    (out / "figures").mkdir(exist_ok=True)
    found = []
    for drawing in each:
        files = []
        shown = b""
        for width, short in (("single", "1col"), ("double", "2col")):
            with paper_style():
                columns = min(drawing.panels, 2 if width == "single" else 4)
                rows = -(-drawing.panels // columns)
                share = rows if drawing.panels == 1 else 0.8 * rows
                figure = new_figure(width, drawing.height * share)
                axes = figure.subplots(rows, columns, squeeze=False).ravel()
                for unused in axes[drawing.panels :]:
                    unused.set_axis_off()
                drawing.draw(axes[0] if drawing.panels == 1 else axes[: drawing.panels])
                for kind in ("pdf", "svg"):
                    path = out / "figures" / f"{drawing.name}_{short}.{kind}"
                    files.append(save_figure(figure, path))
            if (width == "double") == drawing.wide:
                shown = files[-1].read_bytes()
        found.append((shown, drawing.caption, [f.relative_to(out) for f in files if f.suffix == ".pdf"], drawing.wide))
    return found


def latex_rows(rows: Sequence[Sequence[str]], caption: str, header: Sequence[str] = ("quantity", "value")) -> str:
    """Return a table of plain text for LaTeX."""
    return booktabs(header, [[tex_escape(cell) for cell in row] for row in rows], caption, "tab:bimu-hw")


def add_paper_part(page: Page, out: Path, text: str, tex: str, bib: str) -> None:
    """Add methods, table and references to the page, and write each as a file beside it."""
    page.heading("For the paper")
    page.paragraph(text)
    files = []
    for name, content in (("methods.txt", f"{text}\n"), ("table.tex", tex), ("references.bib", bib)):
        write_durably(out / name, lambda file, content=content: file.write(content.encode()))  # type: ignore[misc]
        files.append(Path(name))
    page.links("Methods, table and references as files:", files)
    page.code(tex, "table.tex (booktabs)", closed=True)
    page.code(bib, "references.bib: the sources of every card in use", closed=True)


def write_page(page: Page, out: Path) -> Path:
    """Write the page under its name when it is complete."""
    path = out / PAGE
    write_durably(path, lambda file: file.write(page.html().encode()))
    return path
