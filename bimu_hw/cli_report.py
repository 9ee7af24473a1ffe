"""Commands that put results on paper: ``bimu-hw report``, ``compare`` and ``ablate``."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import click

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option("--out", type=_FOLDER, metavar="DIR", help="Folder of the report; default: report/ in that folder.")
def report(folder: Path, out: Path | None) -> None:
    """Write a report of the run or sweep in DIR: a page that stands alone, and figures, table and references."""
    from bimu_hw.report.reporting import write_report

    page = write_report(folder, out)
    click.echo(f"Written to {page}, with figures (PDF and SVG, one and two columns wide), table.tex, references.bib "
               "and methods.txt beside it.")  # fmt: skip


@click.command()
@click.argument("a", type=_FOLDER)
@click.argument("b", type=_FOLDER)
@click.option(
    "--out", type=_FOLDER, metavar="DIR", default=Path("comparison"), show_default=True, help="Folder of the page."
)
def compare(a: Path, b: Path, out: Path) -> None:
    """Set two runs, or two sweeps, A and B side by side: what differs, what came out, which beats the other."""
    from bimu_hw.report.reporting import write_comparison

    click.echo(f"Written to {write_comparison(a, b, out)}.")


@click.command()
@click.argument("scenario")
@click.option("--out", type=_FOLDER, metavar="DIR", required=True, help="Folder of the sweep that it is.")
@click.option("--seeds", metavar="A:B", default="0:8", show_default=True, help="Seeds A to B - 1 for every variant.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another value for a key of the scenario, such as stream.tasks=5. Repeatable.",
)
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes; default: one per core.")
@click.option("--dry-run", is_flag=True, help="Check all cells, list what would run, write nothing.")
@click.option("--quiet", is_flag=True, help="No progress bar; only what failed.")
@click.pass_context
def ablate(
    context: click.Context, scenario: str, out: Path, seeds: str, overrides: tuple[str, ...], workers: int | None,
    dry_run: bool, quiet: bool,
) -> None:  # fmt: skip
    """Turn each nonideality of SCENARIO off in turn, and on alone, and say what each costs.

    The same command goes on with one that was interrupted.
    """
    from bimu_hw.report.ablation import ablation_differences, ablation_rows
    from bimu_hw.report.reporting import write_report
    from bimu_hw.scenario.shipped import find_scenario
    from bimu_hw.sweep.ablate import ABLATION_AXIS, ablation_plan
    from bimu_hw.sweep.collect import collect
    from bimu_hw.sweep.drive import command_line, run_sweep
    from bimu_hw.sweep.engines import make_engine

    plan = ablation_plan(find_scenario(scenario), overrides, seeds)
    engine = make_engine("local", workers, None, (), out)
    if dry_run:
        (axis,) = (one for one in plan.axes if one.name == ABLATION_AXIS)
        click.echo("\n".join([plan.title, *(f"  {row[0]}" for row in axis.rows)]))
        click.echo(f"{len(set(plan.keys)):,} cells that differ; all are valid.")
        return
    result = run_sweep(
        plan, out, engine.run, engine.n_workers, command=command_line(["bimu-hw", *sys.argv[1:]]),
        progress=not quiet, tell=functools.partial(click.echo, err=True),
    )  # fmt: skip
    header, rows = ablation_rows(ablation_differences(collect(out)))
    widths = [max(len(line[i]) for line in (header, *rows)) for i in range(len(header))]
    for line in (header, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    click.echo(f"\nWritten to {write_report(out)}")
    if result.n_failed:
        click.echo(f"{result.n_failed:,} cells failed; see bimu-hw status {out}.", err=True)
        context.exit(1)
