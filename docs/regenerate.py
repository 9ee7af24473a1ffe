"""Make again what the documentation shows of the program: three things, all from the code and a real run.

    .venv/bin/python docs/regenerate.py

1. ``docs/record.md``, the table of recorded variables, from the schema;
2. the summary in ``README.md``, as ``bimu-hw run quickstart`` prints it;
3. ``docs/images/quickstart.png``, from the same scenario with more snapshots. What is recorded must not change
   what is computed, so the two runs have the same summary; this script refuses to go on if they do not.
"""

from __future__ import annotations

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


def printed_summary(folder: Path) -> str:
    """Run the quickstart as a user does, in a folder of its own, and return what it prints."""
    command = [sys.executable, "-m", "bimu_hw", "run", str(SCENARIO)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def write_summary(printed: str) -> None:
    """Put the printed summary between its two marks in the README."""
    path = ROOT / "README.md"
    block = f"{START}```text\n{printed.rstrip()}\n```\n{END}"
    text, n = re.subn(f"{re.escape(START)}.*?{re.escape(END)}", lambda _: block, path.read_text("utf-8"), flags=re.S)
    if n != 1:
        sys.exit(f"{path}: expected one pair of the marks {START!r} and {END!r}, found {n}.")
    path.write_text(text, encoding="utf-8")


def run_for_figure(folder: Path) -> tuple[dict, Path]:
    """Run the quickstart with many snapshots; return its summary and its folder."""
    import bimu_hw

    scenario = bimu_hw.load_scenario(SCENARIO, overrides=[f"record.snapshots={EVERY}"])
    result = bimu_hw.run_scenario(scenario, folder / "figure", progress=False)
    return result.summary, result.path


def draw(path: Path) -> None:
    """Draw accuracy, energy and freezing of one run side by side."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    import bimu_hw
    from bimu_hw.report.figures import COLOURS, plot_accuracy, plot_energy, plot_freezing

    style = {
        "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
        "legend.frameon": False, "axes.prop_cycle": mpl.cycler(color=COLOURS),
    }  # fmt: skip
    with mpl.rc_context(style), bimu_hw.open_run(path) as run:
        figure = Figure(figsize=(13.0, 3.9), dpi=150, layout="constrained")
        accuracy, energy, freezing = figure.subplots(1, 3)
        plot_accuracy(run, accuracy)
        plot_energy(run, energy)
        plot_freezing(run, freezing)
        for line in freezing.get_lines():
            line.set_marker("")
        freezing.legend(fontsize=8)  # without the markers
        energy.set_xlabel(f"energy per query\n({energy.get_title()})")
        energy.set_title("")
        for axes, title in (
            (accuracy, "a   three tasks, one after the other"),
            (energy, "b   what a query and its learning cost"),
            (freezing, "c   how the synapses freeze"),
        ):
            axes.set_title(title, fontsize=10, loc="left")
        task = run["queries/task"].values
        for axes in (accuracy, freezing):
            for start in run["queries/example"].values[1:][task[1:] != task[:-1]]:
                axes.axvline(start, color="0.8", lw=0.8, zorder=0)
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        FIGURE.parent.mkdir(exist_ok=True)
        figure.savefig(FIGURE, metadata={"Software": "bimu-hw"})


def main() -> None:
    """Make everything again."""
    write_record_page()
    folder = Path(tempfile.mkdtemp())
    try:
        write_summary(printed_summary(folder))
        summary, path = run_for_figure(folder)
        draw(path)
        del summary
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
