"""The command that compares cell architectures: ``bimu-hw cells``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("scenario", default="cell_architectures")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/cells"), show_default=True, metavar="DIR",
    help="Keeps what every run measured; the command goes on from it.",
)
@click.option("--cell", "cells", multiple=True, metavar="NAME", help="Only this one; repeatable. Default: all.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1, 100), help="Runs of each cell.")
@click.option(
    "--settings", default=8, show_default=True, type=click.IntRange(1, 1000),
    help="Settings of the rule that are tried for each cell; 1: those of the scenario.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As with run.")
@click.option("--quiet", is_flag=True, help="Say nothing until the table.")
def cells(
    scenario: str, out: Path, cells: tuple[str, ...], seeds: int, settings: int, overrides: tuple[str, ...], quiet: bool
) -> None:
    """Run every cell architecture on SCENARIO, its rule tuned by the same search, and compare them."""
    from bimu_hw.report.cells import draw_cells, format_cells
    from bimu_hw.scenario.cells import CELLS
    from bimu_hw.scenario.shipped import find_scenario
    from bimu_hw.studies.cells import compare_cells

    say = (lambda sentence: None) if quiet else (lambda sentence: click.echo(sentence, err=True))
    results = compare_cells(
        find_scenario(scenario), out, cells=cells or tuple(CELLS), seeds=seeds, settings=settings, overrides=overrides,
        say=say,
    )  # fmt: skip
    table = format_cells(results)
    (out / "cells.txt").write_text(f"{table}\n", encoding="utf-8")
    click.echo(table)
    click.echo(f"\nWritten to {out}: cells.txt, {draw_cells(results, out / 'cells.png').name}")
