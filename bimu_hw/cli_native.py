"""The command that sets a store's own response beside BiMU: ``bimu-hw devices native``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Also draw native_NAME.png into this folder."
)
@click.option(
    "--preset", default="bimu_permuted_mnist_1000_tasks", show_default=True, metavar="PRESET",
    help="BiMU's hyperparameters.",
)
@click.option(
    "--lam-max", default=4.0, show_default=True, type=click.FloatRange(1.0, 20.0),
    help="Natural parameter of the last level.",
)
@click.option("--rate", default="2 kHz", show_default=True, help="Learned examples per second, to count in examples.")
@click.option("--temperature", default="300 K", show_default=True, help="Temperature of the device.")
def native(name: str, out: Path | None, preset: str, lam_max: float, rate: str, temperature: str) -> None:
    """Compare the step and the forgetting of the storage element NAME (or of a .toml file) with BiMU's."""
    from bimu_hw.cards import load_card
    from bimu_hw.errors import UnitError
    from bimu_hw.report.native import draw_native, format_native, native_response
    from bimu_hw.units import parse_quantity

    hertz, kelvin = parse_quantity(rate, "Hz", "--rate"), parse_quantity(temperature, "K", "--temperature")
    if not hertz > 0.0:
        raise UnitError(f"--rate: got {rate!r}; allowed are rates above 0 Hz.")
    if not 4.0 <= kelvin <= 700.0:
        raise UnitError(f"--temperature: got {temperature!r}; allowed are temperatures from 4 K to 700 K.")
    card = load_card(name)
    response = native_response(card, preset, lam_max, kelvin)
    click.echo(format_native(response, hertz))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"native_{card.name}.png"
        draw_native(response, path)
        click.echo(f"\nWritten to {path}")
