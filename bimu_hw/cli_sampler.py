"""The command that shows what a sampling element makes of lam: ``bimu-hw devices sampler``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Also draw sampler_NAME.png into this folder."
)
@click.option("--devices", default=20_000, show_default=True, type=click.IntRange(100, 10**6), help="Devices to make.")
def sampler(name: str, out: Path | None, devices: int) -> None:
    """Show how the sampling element NAME (or of a .toml file) turns lam into a probability, and how far off it is."""
    from bimu_hw.cards import load_card
    from bimu_hw.report.sampler import draw_response, format_response, sampler_response

    card = load_card(name)
    response = sampler_response(card, devices)
    click.echo(format_response(response))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"sampler_{card.name}.png"
        draw_response(response, path)
        click.echo(f"\nWritten to {path}")
