"""Commands that put results on paper: ``bimu-hw report``, ``compare`` and ``ablate``."""

from __future__ import annotations

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
    """Set two runs (or two sweeps) side by side: what differs, what came out, which beats the other."""
    from bimu_hw.report.reporting import write_comparison

    click.echo(f"Written to {write_comparison(a, b, out)}.")
