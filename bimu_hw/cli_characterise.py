"""The command that draws what papers draw of a device: ``bimu-hw devices characterise``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bimu_hw.errors import CardError

if TYPE_CHECKING:
    from bimu_hw.cards import Card, Fact


@click.command("characterise")
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the figures; default: characterise/NAME."
)
@click.option("--devices", default=1000, show_default=True, type=click.IntRange(100, 20_000), help="Cells to measure.")
@click.option("--seed", default=1, show_default=True, metavar="N", help="Of the devices and the noise.")
@click.option(
    "--set", "given", multiple=True, metavar="PARAM=VALUE",
    help="Another value for a number of the card, or a nonideality such as endurance=1e6. Repeatable.",
)  # fmt: skip
@click.option("--latex", is_flag=True, help="Also write the card's table as NAME.tex (booktabs).")
@click.option("--bibtex", is_flag=True, help="Also write the card's references as NAME.bib.")
def characterise_command(
    name: str, out: Path | None, devices: int, seed: int, given: tuple[str, ...], latex: bool, bibtex: bool
) -> None:
    """Measure the device NAME (or of a .toml file): figures as in papers, and the table of its card."""
    from bimu_hw.cards import load_card
    from bimu_hw.random import check_seed
    from bimu_hw.report import characterise_text as text
    from bimu_hw.report.characterise import characterise, draw

    check_seed(seed)
    card = _with_values(load_card(name), given)
    click.echo(f"{text.format_card(card)}\n")
    found = characterise(card, devices, seed)
    click.echo("\n".join(found.sentences))
    out = Path("characterise") / card.name if out is None else out
    out.mkdir(parents=True, exist_ok=True)
    written = draw(found, out)
    for wanted, suffix, content in ((latex, "tex", text.latex_table), (bibtex, "bib", text.bibtex)):
        if wanted:
            written.append(out / f"{card.name}.{suffix}")
            written[-1].write_text(content(card), encoding="utf-8")
    click.echo(f"\nWritten to {out}: {', '.join(path.name for path in written)}")


def _with_values(card: Card, given: tuple[str, ...]) -> Card:
    """Return the card with the values of ``--set``."""
    from bimu_hw.cards import common_specs, device_specs
    from bimu_hw.devices import get_model

    values: dict[str, float | str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not value.strip():
            raise CardError(f"--set: got {text!r}; write PARAM=VALUE, for example sigma_c2c=0.3.")
        values[name.strip()] = value.strip()
    model = get_model(card.model)
    params, costs = device_specs(model)
    changed = card.with_values(values, {**params, **costs, **common_specs(model)}, "--set")

    def said(facts: Mapping[str, Fact]) -> dict[str, Fact]:
        return {
            name: replace(fact, why="set on the command line") if name in values else fact
            for name, fact in facts.items()
        }

    return replace(
        changed, params=said(changed.params), costs=said(changed.costs), nonidealities=said(changed.nonidealities)
    )
