"""The command that runs published results again: ``bimu-hw reproduce``."""

from __future__ import annotations

from pathlib import Path

import click

from bimu_hw.errors import RunError, ScenarioError


@click.command()
@click.argument("study")
@click.option("--tasks", type=click.IntRange(min=1), default=10, show_default=True, help="Tasks of the streams.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Run seeds 1 to this number.")
@click.option("--rows", metavar="NAME,...", help="Only these rows, in this order; --list names them.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/reproduction"), show_default=True, metavar="DIR",
    help="Folder of the runs and the report. What is finished there is not run again, what was begun goes on.",
)  # fmt: skip
@click.option("--list", "only_list", is_flag=True, help="Name the rows and stop.")
@click.option("--report", "only_report", is_flag=True, help="Run nothing; write the report of what is there.")
@click.option("--quiet", is_flag=True, help="Show no progress; print the path of the report and nothing else.")
def reproduce(
    study: str, tasks: int, seeds: int, rows: str | None, out: Path, only_list: bool, only_report: bool, quiet: bool
) -> None:
    """Run the rows of STUDY ("paper", or a .toml file) and compare with the published values.

    The report (reproduction.md, .csv, .json) also has the rows that are unfinished, and says how far they have come.
    Several processes may work on one folder.
    """
    from bimu_hw.reproduction import PAPER, load_study
    from bimu_hw.reproduction import reproduce as run_rows
    from bimu_hw.reproduction.table import write_report

    if study != "paper" and not Path(study).exists():
        raise ScenarioError(f"study {study!r}: not known; name \"paper\", or the path of a .toml file.")
    described = load_study(PAPER if study == "paper" else study)
    if only_list:
        for row in described.rows:
            fixed = row.tasks and f"{row.tasks} task{'s' if row.tasks > 1 else ''}"
            length = fixed or (f"--tasks, up to {row.most_tasks}" if row.most_tasks else "--tasks")
            click.echo(f"{row.name:<22} {length:<20} {row.title}")
        return
    chosen = described.select(() if rows is None else rows.split(","))
    if only_report:
        if not out.is_dir():
            raise RunError(f"--out: there is no folder {out}; name the one that holds the runs.")
        report = write_report(described, out, described.cells(chosen, tasks, seeds))
    else:
        report = run_rows(
            described, out, tasks=tasks, seeds=seeds, rows=chosen, progress=not quiet,
            tell=lambda sentence: None if quiet else click.echo(sentence),
        )  # fmt: skip
    if not quiet:
        click.echo(f"\n{report.read_text(encoding='utf-8')}")
    click.echo(str(report) if quiet else f"Written to {out}: reproduction.csv, reproduction.json, reproduction.md")
