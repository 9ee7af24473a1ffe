"""What wire resistance costs in accuracy and in energy, over tile size and resistance: one table, one figure.

    bimu-hw run mnist_ideal --out runs/mnist_ideal    # the trained weights, once: a minute or two
    python benchmarks/ir_drop_study.py                # some half an hour of one core; goes on where it was stopped

Every cell of the table is a run of ``mnist_ir_drop`` (inference with trained weights and held samples), of
``digits_ir_drop`` (learning in the loop), or of the latter with another likelihood multiplier; it is kept as a JSON
file in ``--cells`` under the hash of its scenario. ``--only`` runs a part, ``--draw`` none at all.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from bimu_hw.cards import read_conductances  # noqa: E402
from bimu_hw.crossbar.ir_drop import solve_ir_drop  # noqa: E402
from bimu_hw.crossbar.layout import TileLayout  # noqa: E402
from bimu_hw.report.summary import summarise  # noqa: E402
from bimu_hw.run import Run  # noqa: E402
from bimu_hw.scenario import Scenario, load_scenario  # noqa: E402

OHMS = (0.5, 1.0, 2.0, 5.0)
TILES = {"mnist": (32, 64, 128, 256), "digits": (32, 64, 128)}
MULTIPLIERS = (25.0, 50.0, 100.0, 200.0, 400.0, 800.0)
PARTS = ("array", "driver", "adc", "digital", "buffer", "sampler", "storage", "write_driver", "leakage")
WIRES = ("r_wordline", "r_bitline", "r_driver", "r_sense")


@dataclass(frozen=True)
class Cell:
    """One run: `ohm` per segment, None for wires, drivers and sense circuits without resistance."""

    study: str
    tile: int
    ohm: float | None
    compensated: bool = False
    multiplier: float | None = None

    def scenario(self) -> Scenario:
        """Return the scenario of this run."""
        sets = [f"crossbar.tile_wordlines={self.tile}", f"crossbar.tile_bitlines={self.tile}"]
        if self.study == "mnist":
            sets.append("stream.examples=5")
        if self.ohm is None:
            sets.append("crossbar.ir_drop=none")
        else:
            sets += [f'components.params.{wire}="{self.ohm} ohm"' for wire in ("r_wordline", "r_bitline")]
        if self.compensated:
            sets.append("crossbar.compensation=column_gain")
        if self.multiplier is not None:
            sets.append(f"learning.likelihood_multiplier={self.multiplier}")
        name = "mnist_ir_drop" if self.study == "mnist" else "digits_ir_drop"
        return load_scenario(ROOT / "scenarios" / f"{name}.toml", sets)


def cells() -> Iterator[Cell]:
    for study, tiles in TILES.items():
        for tile in tiles:
            yield Cell(study, tile, None)
            yield Cell(study, tile, 0.0)
            for ohm in OHMS:
                yield Cell(study, tile, ohm)
                yield Cell(study, tile, ohm, compensated=True)
    for multiplier in MULTIPLIERS:
        for ohm, compensated in ((None, False), (1.0, False), (1.0, True)):
            yield Cell("multiplier", 64, ohm, compensated, multiplier)


def first_sums(run: Run) -> np.ndarray:
    """Return the column sums of layer 1 for the first examples, before conversion; nothing is touched."""
    found = []
    for i in range(3):
        run.chip.infer(run.example(i)[0], i, 0.0, probe=True)
        found.append(run.chip.readouts[0].sums.astype(np.float64).ravel())
    return np.concatenate(found)


def current_loss(run: Run) -> float:
    """Return the mean loss of the bit-line currents of the first tile of layer 1, all of its word lines driven."""
    s, synapses = run.scenario, run.chip.layers[0]
    weights = np.empty((1, *synapses.shape), np.int8)
    synapses.read(0, 0.0, probe=True)
    synapses.sample(0, 0.0, weights, probe=True)
    part = slice(0, s.crossbar.tile_wordlines), slice(0, s.crossbar.tile_bitlines)
    layout = TileLayout(s.crossbar.columns, *read_conductances(s.sampler_card))
    array = layout.conductance(weights[0][part], *(g[part] for g in synapses.cells_read.conductances()))
    wires = {wire: s.component_card.costs[wire].value for wire in WIRES}
    volts = np.ones(len(array))
    return float(np.mean(1.0 - solve_ir_drop(array, volts, **wires).currents / (volts @ array)))


def measure(cell: Cell, scenario: Scenario) -> dict[str, Any]:
    start = time.process_time()
    run = Run(scenario)
    found: dict[str, Any] = {"transmission": 1.0, "distortion": 0.0, "current_loss": 0.0}
    if cell.ohm is not None:
        sums, ideal = first_sums(run), first_sums(Run(Cell(cell.study, cell.tile, None).scenario()))
        transmission = float(sums @ ideal / (ideal @ ideal))
        rest = sums - transmission * ideal
        found = {
            "transmission": transmission,
            "distortion": float(np.sqrt(rest @ rest / (ideal @ ideal)) / transmission),
            "current_loss": current_loss(run),
        }
    run.accelerator.run()
    summary = summarise(run.finish())
    energy = summary["energy_per_query_J"]
    return {
        "study": cell.study, "tile": cell.tile, "ohm": cell.ohm, "compensated": cell.compensated,
        "likelihood_multiplier": cell.multiplier, "hash": scenario.hash,
        "accuracy": summary["accuracy_newest_task"],
        "accuracy_online": summary["accuracy_online"] if cell.study != "mnist" else None, **found,
        "energy_inference_J": energy["inference"],
        **{f"{part}_J": energy["components"][part] for part in PARTS}, "cpu_s": time.process_time() - start,
    }  # fmt: skip


def collect(folder: Path, only: list[str], run_missing: bool) -> list[dict[str, Any]]:
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for cell in cells():
        if cell.study not in only:
            continue
        scenario = cell.scenario()
        path = folder / f"{cell.study}-{scenario.hash[:16]}.json"
        if not path.exists():
            if not run_missing:
                continue
            row = measure(cell, scenario)
            part = path.with_suffix(".part")
            part.write_text(json.dumps(row), encoding="utf-8")
            part.replace(path)
            print(f"{cell}: accuracy {row['accuracy']:.3f}, {row['cpu_s']:.0f} s", flush=True)
        rows.append(json.loads(path.read_text(encoding="utf-8")))
    return rows


def write_tables(rows: list[dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "ir_drop_study.csv", "w", newline="", encoding="utf-8") as file:
        # Processor time is of the day, not of the study.
        fields = [name for name in rows[0] if name not in ("hash", "cpu_s")]
        writer = csv.DictWriter(file, fields, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})
    lines = [
        "| study | tile | Ω per segment | compensated | L | accuracy | online | loss of current | transmission "
        "| distortion | array nJ | ADC nJ | p-bits nJ | all inference nJ |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        online = "" if r["accuracy_online"] is None else f"{r['accuracy_online']:.1%}"
        lines.append(
            f"| {r['study']} | {r['tile']} | {'ideal' if r['ohm'] is None else format(r['ohm'], 'g')} "
            f"| {'yes' if r['compensated'] else ''} | {r['likelihood_multiplier'] or ''} | {r['accuracy']:.1%} "
            f"| {online} | {r['current_loss']:.1%} | {r['transmission']:.3f} | {r['distortion']:.3f} "
            + "".join(f"| {r[key] * 1e9:.4g} " for key in ("array_J", "adc_J", "sampler_J", "energy_inference_J"))
            + "|"
        )
    (folder / "ir_drop_study.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.lines import Line2D

    from bimu_hw.report.style import COLOURS, new_figure, paper_style, save_figure

    colours = dict(zip((None, 0.0, *OHMS), ("#000000", "#999999", *COLOURS[:4]), strict=True))

    def plot(axes: Any, key: str, scale: float = 1.0, by: str = "tile", **chosen: Any) -> None:
        """Draw one line: the rows that are as chosen, over `by`."""
        found = sorted((r[by], scale * r[key]) for r in rows if all(r[name] == value for name, value in chosen.items()))
        colour = colours[chosen["ohm"]]
        filled = "white" if chosen["compensated"] else colour
        axes.plot(*zip(*found, strict=True) if found else ([], []), "--" if chosen["compensated"] else "-", marker="o",
                  ms=3, lw=1.2, color=colour, mfc=filled)  # fmt: skip

    def finish(axes: Any, places: tuple[float, ...], **labels: str) -> None:
        axes.set_xscale("log", base=2)
        axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.minorticks_off()
        axes.set(**labels)

    def panel(axes: Any, study: str, key: str, scale: float, label: str, title: str, both: bool = True) -> None:
        for ohm in colours:
            for compensated in (False, True) if both else (False,):
                plot(axes, key, scale, study=study, ohm=ohm, compensated=compensated)
        finish(axes, TILES[study], xlabel="side of a tile (synapses)", ylabel=label, title=title)

    with paper_style():
        figure = new_figure("double", 4.6)
        (a, b, c), (d, e, f) = figure.subplots(2, 3)
        panel(a, "mnist", "accuracy", 100.0, "test accuracy (%)", "(a) MNIST, inference")
        panel(b, "mnist", "transmission", 1.0, "transmission of the sums", "(b) MNIST, layer 1", both=False)
        panel(c, "mnist", "distortion", 1.0, "distortion of the sums", "(c) MNIST, layer 1")
        panel(d, "mnist", "array_J", 1e9, "energy per query (nJ)", "(d) MNIST: arrays; dotted: converters", both=False)
        adc = sorted((r["tile"], 1e9 * r["adc_J"]) for r in rows if r["study"] == "mnist" and r["ohm"] is None)
        d.plot(*zip(*adc, strict=True) if adc else ([], []), ":", marker="s", ms=3, lw=1.2, color="#CC79A7")
        d.set_yscale("log")
        panel(e, "digits", "accuracy", 100.0, "test accuracy (%)", "(e) digits, after learning")
        for ohm, compensated in ((None, False), (1.0, False), (1.0, True)):
            plot(f, "accuracy_online", 100.0, "likelihood_multiplier", study="multiplier", ohm=ohm,
                 compensated=compensated)  # fmt: skip
        finish(f, MULTIPLIERS, xlabel="likelihood multiplier L", ylabel="accuracy (%)",
               title="(f) digits, while learning; tiles of 64")  # fmt: skip
        names = dict(zip(colours, ("no resistance", "0 Ω, terminals 50 Ω", *(f"{o:g} Ω" for o in OHMS)), strict=True))
        lines = [Line2D([], [], color=colours[o], marker="o", ms=3, label=name) for o, name in names.items()]
        lines.append(Line2D([], [], color="0.3", ls="--", marker="o", ms=3, mfc="white", label="column gain"))
        figure.legend(handles=lines, loc="outside lower center", ncols=(len(lines) + 1) // 2)
        save_figure(figure, path, "png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    studies = [*TILES, "multiplier"]
    parser.add_argument("--cells", type=Path, default=ROOT / "runs" / "ir_drop_study", help="folder of finished cells")
    parser.add_argument("--tables", type=Path, default=ROOT / "runs", help="folder of the tables")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "images" / "ir_drop_study.png")
    parser.add_argument("--only", nargs="+", choices=studies, default=studies, help="parts of the study to run")
    parser.add_argument("--draw", action="store_true", help="write table and figure of the cells that are there")
    given = parser.parse_args()
    rows = collect(given.cells, given.only, not given.draw)
    if given.draw or given.only == studies:
        write_tables(rows, given.tables)
        draw(rows, given.figure)


if __name__ == "__main__":
    main()
