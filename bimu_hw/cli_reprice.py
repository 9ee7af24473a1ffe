"""The command that prices a finished run again: ``bimu-hw reprice``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--components", metavar="CARD", help="Component card: a name, or a path ending in .toml.")
@click.option("--storage", metavar="CARD", help="Storage card of the same model.")
@click.option("--sampler", metavar="CARD", help="Sampling card of the same model.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the record there (.nc).")
@click.option("--overwrite", is_flag=True, help="Replace the file.")
def reprice(
    run: Path, components: str | None, storage: str | None, sampler: str | None, out: Path | None, overwrite: bool
) -> None:
    """Price RUN (its folder, or run.nc) with other cards, and print its summary, without simulating again.

    The outcome equals that of a simulation with these cards. A card that changes more than energies, powers and areas
    is refused.
    """
    from bimu_hw.errors import RunError

    given = {"components": components, "storage": storage, "sampler": sampler}
    cards = {role: name for role, name in given.items() if name is not None}
    if not cards:
        raise RunError("reprice: no card is given; name at least one of --components, --storage and --sampler.")
    if out is not None:
        if out.suffix != ".nc":
            raise RunError(f"{out}: is no name for a record; give it the ending .nc.")
        if not out.parent.is_dir():
            raise RunError(f"{out}: its folder does not exist; make it, or choose another.")
        if out.exists() and not overwrite:
            raise RunError(f"{out}: exists; choose another name, or replace it with --overwrite.")
    from bimu_hw.record import write_run
    from bimu_hw.report.summary import format_summary, summarise
    from bimu_hw.reprice import reprice as price_again

    tree = price_again(run, cards)
    click.echo(format_summary(summarise(tree)))
    click.echo(f"\nPriced with {', '.join(f'{role} {name}' for role, name in cards.items())}.")
    if out is not None:
        write_run(tree, out)
        click.echo(f"Written to {out}")
