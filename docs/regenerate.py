"""Make again what the documentation shows of the program: three things, all from the code and a real run.

    .venv/bin/python docs/regenerate.py

1. ``docs/record.md``, the table of recorded variables, from the schema;
2. the summary in ``README.md``, as ``bimu-hw run quickstart`` prints it;
3. ``docs/images/quickstart.png``, from the same scenario with more snapshots. What is recorded must not change
   what is computed, so the two runs have the same summary; this script refuses to go on if they do not.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SCENARIO = ROOT / "scenarios" / "quickstart.toml"
FIGURE = DOCS / "images" / "quickstart.png"
#: Examples between two snapshots of the figure's run.
EVERY = 250
START, END = "<!-- summary: docs/regenerate.py -->\n", "<!-- end of summary -->"


def write_record_page() -> None:
    """Write the page of the record's schema."""
    from bimu_hw.record import describe_markdown

    (DOCS / "record.md").write_text(describe_markdown(), encoding="utf-8")


def run_as_a_user_does(folder: Path) -> tuple[str, dict]:
    """Run the quickstart in a folder of its own; return what it prints and its summary."""
    command = [sys.executable, "-m", "bimu_hw", "run", "quickstart"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    (written,) = folder.glob("runs/*/summary.json")
    return done.stdout, json.loads(written.read_text(encoding="utf-8"))


def write_summary(printed: str) -> None:
    """Put the printed summary between its two marks in the README."""
    path = ROOT / "README.md"
    block = f"{START}```text\n{printed.rstrip()}\n```\n{END}"
    text, n = re.subn(f"{re.escape(START)}.*?{re.escape(END)}", lambda _: block, path.read_text("utf-8"), flags=re.S)
    if n != 1:
        sys.exit(f"{path}: expected one pair of the marks {START!r} and {END!r}, found {n}.")
    path.write_text(text, encoding="utf-8")


def run_for_figure(folder: Path) -> tuple[Path, dict]:
    """Run the quickstart with many snapshots; return its folder and its summary."""
    import bimu_hw

    scenario = bimu_hw.load_scenario(SCENARIO, overrides=[f"record.snapshots={EVERY}"])
    path = bimu_hw.run_scenario(scenario, folder / "figure", progress=False).path
    return path, json.loads((path / "summary.json").read_text(encoding="utf-8"))


def draw(path: Path) -> None:
    """Draw accuracy, energy and freezing of one run side by side."""
    from matplotlib.ticker import EngFormatter

    import bimu_hw
    from bimu_hw.report.figures import plot_accuracy, plot_energy, plot_freezing
    from bimu_hw.report.style import new_figure, paper_style, save_figure

    with paper_style({"savefig.dpi": 220}), bimu_hw.open_run(path) as run:
        figure = new_figure(9.0, 2.7)
        accuracy, energy, freezing = figure.subplots(1, 3)
        plot_accuracy(run, accuracy)
        plot_energy(run, energy)
        plot_freezing(run, freezing)
        for line in freezing.get_lines():
            line.set_marker("")
        freezing.legend()  # without the markers, and inside
        energy.set_xlabel(f"energy per query\n({energy.get_title(loc='right')})")
        energy.set_title("", loc="right")
        for axes, title in (
            (accuracy, "a   what it learns"),
            (energy, "b   what a query costs"),
            (freezing, "c   when its synapses freeze"),
        ):
            axes.set_title(title, fontsize=8, loc="left")
        task = run["queries/task"].values
        for start in run["queries/example"].values[1:][task[1:] != task[:-1]]:
            freezing.axvline(start, color="0.8", lw=0.6, zorder=0)
        for axes in (accuracy, freezing):
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        FIGURE.parent.mkdir(exist_ok=True)
        save_figure(figure, FIGURE)


def main() -> None:
    """Make everything again."""
    write_record_page()
    folder = Path(tempfile.mkdtemp())
    try:
        printed, summary = run_as_a_user_does(folder)
        path, same = run_for_figure(folder)
        # The hash is that of the scenario, and how often to take snapshots is part of it.
        different = sorted(k for k in summary if summary[k] != same[k] and k != "scenario_hash")
        if different:
            sys.exit(f"two runs that differ only in what they record differ in {', '.join(different)}.")
        write_summary(printed)
        draw(path)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
