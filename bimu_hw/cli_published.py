"""The command that holds the simulator against published chips: ``bimu-hw published``."""

from __future__ import annotations

import click


@click.command()
@click.argument("case", required=False)
@click.option("--strict", is_flag=True, help="Exit with code 1 if a row is outside its tolerance.")
@click.option("--provenance", is_flag=True, help="Also print what each case takes, assumes and leaves out.")
@click.pass_context
def published(context: click.Context, case: str | None, strict: bool, provenance: bool) -> None:
    """Plan and price published macros and compare: all of scenarios/published, or CASE (a name, or a .toml file)."""
    from bimu_hw.published import outcomes, published_cases
    from bimu_hw.report.published import format_case, format_totals
    from bimu_hw.scenario.shipped import shipped_folder

    cases = published_cases(shipped_folder() / "published", case)
    rows = []
    for one in cases:
        found = outcomes(one)
        click.echo(format_case(one, found, provenance=provenance))
        click.echo()
        rows += found
    click.echo(format_totals(rows))
    if strict and not all(row.met for row in rows):
        context.exit(1)
