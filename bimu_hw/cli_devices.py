"""Commands on devices that do more than show a card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bimu_hw.errors import CardError

if TYPE_CHECKING:
    from bimu_hw.fitting import Fit


@click.command("fit")
@click.argument("pulses", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="MODEL", help="Device model to fit: soft_bounds_pair or magneto_ionic.")
@click.option("--card-out", required=True, type=click.Path(path_type=Path), metavar="CARD.toml", help="Card to write.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for the figure of the fit.")
@click.option(
    "--set", "given", multiple=True, metavar="KEY=VALUE",
    help="A value that the readings cannot give, such as costs.pulse_width_up='100 ns'. Repeatable.",
)
@click.option("--costs-from", metavar="CARD", help="Take costs that are not set from this card, marked as assumed.")
@click.option("--conditions", default="", metavar="TEXT", help="What the measurement was; goes into the card's notes.")
@click.option("--overwrite", is_flag=True, help="Replace a card that is there.")
def fit_command(
    pulses: Path, model: str, card_out: Path, out: Path | None, given: tuple[str, ...], costs_from: str | None,
    conditions: str, overwrite: bool,
) -> None:
    """Fit a device model to PULSES, a CSV of measured pulse responses, and write a card."""
    from bimu_hw.cards import load_card
    from bimu_hw.fitting import RESPONSES, draw_fit, fit_pulses, fitted_card, read_pulses
    from bimu_hw.fitting.card import check_costs, check_given

    if card_out.suffix != ".toml":
        raise CardError(f"--card-out: got {str(card_out)!r}; the name of a card ends in .toml.")
    if card_out.exists() and not overwrite:
        raise CardError(f"--card-out: {card_out} exists; add --overwrite or choose another name.")
    values = dict(_pair(text) for text in given)
    other = load_card(costs_from) if costs_from is not None else None
    readings = read_pulses(pulses)
    if model in RESPONSES:  # what is missing is said before the work
        check_given(model, values)
        check_costs(model, values, other)
    fit = fit_pulses(readings, model, _known(values, model, RESPONSES[model].settable if model in RESPONSES else ()))
    text = fitted_card(fit, readings, card_out.stem, values, other, conditions)
    card_out.write_text(text, encoding="utf-8")
    click.echo(_summary(fit, model))
    click.echo(f"\nWritten to {card_out}. Source: {readings.file_name}, sha256 {readings.digest[:16]}...")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        figure = out / f"{card_out.stem}_fit.png"
        draw_fit(fit, readings, figure)
        click.echo(f"Figure in {figure}.")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not value.strip():
        raise CardError(f"--set: got {text!r}; write KEY=VALUE, for example costs.pulse_width_up='100 ns'.")
    return key.strip(), value.strip()


def _known(values: dict[str, str], model: str, settable: tuple[str, ...]) -> dict[str, float]:
    """Return the given values that act on the fit itself, SI."""
    from bimu_hw.cards import device_specs
    from bimu_hw.devices import get_model
    from bimu_hw.units import parse_quantity

    known = {}
    for name in settable:
        if f"params.{name}" in values:
            unit = device_specs(get_model(model))[0][name].unit
            known[name] = parse_quantity(values[f"params.{name}"], unit, f"--set params.{name}")
    return known


def _summary(fit: Fit, model: str) -> str:
    from bimu_hw.cards import device_specs
    from bimu_hw.devices import get_model
    from bimu_hw.units import format_quantity

    specs = device_specs(get_model(model))[0]
    lines = [f"{model}: {fit.where}", ""]
    for name in (n for n in specs if n in fit.estimates):
        estimate, unit = fit.estimates[name], specs[name].unit
        low, high = (format_quantity(v, unit) for v in (estimate.low, estimate.high))
        why = f"   {estimate.why}" if estimate.why else ""
        lines.append(f"  {name:<14} {format_quantity(estimate.value, unit):<10} {low} to {high}{why}")
    return "\n".join(lines)
