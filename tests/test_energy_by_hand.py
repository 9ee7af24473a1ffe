"""The page that adds up a query by hand is true: of the run, of the cards, and of its own arithmetic."""

from __future__ import annotations

import re
import sys

import pytest
from house import ROOT

from bimu_hw.cards import load_card, load_component_card

sys.path.insert(0, str(ROOT / "docs"))
import by_hand

PAGE = (ROOT / "docs" / "energy_by_hand.md").read_text(encoding="utf-8")
AGAIN = "run: python docs/by_hand.py"


def rows_of(part: str) -> list[list[str]]:
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def joules(text: str) -> float:
    number, unit = text.replace(",", "").replace("*", "").split()
    return float(number) * {"fJ": 1e-15, "pJ": 1e-12}[unit]


@pytest.mark.slow
def test_the_page_is_what_the_run_says():
    """Every count by phase and layer, and the sum to nine digits: `by_hand.page` refuses to go on otherwise."""
    assert by_hand.page() == PAGE, AGAIN


@pytest.mark.parametrize("part", PAGE.split("\n## ")[1:], ids=lambda part: part.splitlines()[0])
def test_the_page_adds_up(part):
    *rows, total = rows_of(part)
    assert len(rows) in (24, 57)
    for row in rows:
        product, count, price, energy = row[3], int(row[4].replace(",", "")), joules(row[5]), joules(row[7])
        assert eval(product.replace("×", "*")) == count, row
        # The price is written with six digits.
        assert count * price == pytest.approx(energy, rel=1e-5, abs=1e-16), row
    assert sum(joules(row[7]) for row in rows) == pytest.approx(joules(total[7]), abs=1e-14)
    (recorded,) = re.findall(r"`queries/energy`: \*\*([\d,.]+ pJ)\*\*", part)
    assert joules(recorded) == joules(total[7])


def test_the_prices_are_those_of_the_cards():
    cards = {
        "cmos_28nm": load_component_card("cmos_28nm"), "smtj_50ns": load_card("smtj_50ns"),
        "dw_notched": load_card("dw_notched"),
    }  # fmt: skip
    seen = set()
    for part in PAGE.split("\n## ")[1:]:
        for row in rows_of(part)[:-1]:
            card, key, kind = re.fullmatch(r"(\w+), (\S.*?) \((\w+)\)", row[6]).groups()
            if "V²" in key:
                continue
            fact = cards[card].costs[key]
            scale = {"adc_convert_energy": 7 / 9, "bias_power": 1e-9}.get(key, 1.0)
            assert joules(row[5]) == pytest.approx(fact.value * scale, rel=1e-5, abs=0)
            # What is scaled from the card's resolution is derived.
            assert kind == ("derived" if key == "adc_convert_energy" else fact.kind)
            seen.add(key)
    assert len(seen) == 16
