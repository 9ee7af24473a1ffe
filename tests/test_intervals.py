"""What an energy may be: draws against closed forms, shares by hand, and as many digits as an interval supports."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bimu_hw.cards import Card, Fact, load_card, load_component_card
from bimu_hw.intervals import N_DRAWS, Draws
from bimu_hw.ledger import READ_KEYS, CostTable, ReadPrice
from bimu_hw.operations import OPERATIONS, operation_index
from bimu_hw.units import format_within


def exact_costs(**ranges: tuple[float, float, float]) -> CostTable:
    """Return a table in which only the named keys, with dots as two underscores, have a range and are not 1 J."""
    rows = [ranges.get(op.key.replace(".", "__"), (1.0, 1.0, 1.0)) for op in OPERATIONS]
    low, joules, high = (np.array(column) for column in zip(*rows, strict=True))
    words = ("assumed",) * len(OPERATIONS)
    return CostTable(joules, low, high, words, words, ("card",) * len(OPERATIONS))


def exact_reads(**ranges: tuple[float, float, float]) -> ReadPrice:
    rows = [ranges.get(name, (1.0, 1.0, 1.0)) for name in READ_KEYS]
    low, value, high = (np.array(column) for column in zip(*rows, strict=True))
    return ReadPrice(low, value, high, "assumed", "junction")


def counts(**numbers: int) -> np.ndarray:
    out = np.zeros(len(OPERATIONS), np.int64)
    for name, n in numbers.items():
        out[operation_index(*name.split("__"))] = n
    return out


def test_one_value_gives_its_own_percentiles():
    """A value from 1 to 100 around 10 is log-uniform throughout: the 5th percentile is 100**0.05, and so on."""
    draws = Draws(exact_costs(component__adc_convert_energy=(1.0, 10.0, 100.0)), exact_reads())
    spent = counts(adc__convert=3)
    assert draws.interval(spent, 0.0) == pytest.approx((3 * 100**0.05, 3 * 100**0.95), rel=2e-3)
    assert np.median(draws.energy(spent, 0.0)) == pytest.approx(30.0, rel=2e-3)
    # The mean of a log-uniform value, (b - a) / ln(b / a), is no median: the draws are not symmetric.
    assert draws.energy(spent, 0.0).mean() == pytest.approx(3 * 99 / math.log(100), rel=1e-4)


def test_the_value_is_the_median_wherever_it_lies_in_its_range():
    for low, value, high in ((9.0, 10.0, 1000.0), (0.0, 10.0, 11.0), (0.1, 10.0, 10.0)):
        draws = Draws(exact_costs(component__adc_convert_energy=(low, value, high)), exact_reads())
        energy = draws.energy(counts(adc__convert=1), 0.0)
        assert energy.min() >= low
        assert energy.max() <= high
        assert np.median(energy) == pytest.approx(value, rel=1e-3)
    draws = Draws(exact_costs(component__adc_convert_energy=(0.0, 0.0, 8.0)), exact_reads())
    assert draws.interval(counts(adc__convert=1), 0.0) == pytest.approx((0.0, 8.0 * 0.9), abs=0.01)


def test_values_of_one_key_move_together_and_others_do_not():
    ranges = {"sampler__bias_power": (1.0, 2.0, 4.0), "component__adc_convert_energy": (1.0, 2.0, 4.0)}
    draws = Draws(exact_costs(**ranges), exact_reads())
    alone = draws.energy(counts(sampler__bias=1), 0.0)
    same = draws.energy(counts(sampler__idle_bias=1), 0.0)
    other = draws.energy(counts(adc__convert=1), 0.0)
    np.testing.assert_array_equal(alone, same)
    np.testing.assert_array_equal(np.sort(alone), np.sort(other))
    # Two orders that have nothing to do with each other: six standard errors, false alarm 2e-9.
    assert abs(np.corrcoef(alone, other)[0, 1]) < 6 / math.sqrt(N_DRAWS)


def test_the_read_energy_follows_its_formula():
    for name, power in (("read_voltage", 2.0), ("read_time", 1.0)):
        draws = Draws(exact_costs(), exact_reads(**{name: (1.0, 2.0, 4.0)}))
        low, high = draws.interval(counts(), 5.0)
        wanted = (5.0 * (4**0.05 / 2) ** power, 5.0 * (4**0.95 / 2) ** power)
        assert (low, high) == pytest.approx(wanted, rel=2e-3)
    # Of two equal conductances, one that may be four times as large adds at most 1.5 times the energy.
    draws = Draws(exact_costs(), exact_reads(g_on=(1.0, 1.0, 4.0)))
    energy = draws.energy(counts(), 5.0)
    assert energy.min() == pytest.approx(5.0)
    assert energy.max() == pytest.approx(5.0 * 2.5, rel=1e-3)


def test_shares_are_variances_by_hand():
    """Two uniform values from 0 to 2: n**2 / 3 each, so 3 and 1 counts share nine to one."""
    ranges = {"component__adc_convert_energy": (0.0, 1.0, 1.0), "component__digital_mac_energy": (0.0, 1.0, 1.0)}
    draws = Draws(exact_costs(**ranges), exact_reads())
    first, second, *rest = draws.shares(counts(adc__convert=3, digital__mac=1), 7.0)
    assert (first.card, first.key, second.key) == ("card", "adc_convert_energy", "digital_mac_energy")
    assert (first.low, first.value, first.high) == (0.0, 1.0, 1.0)
    assert first.share == pytest.approx(0.9, rel=1e-9)
    assert first.share + second.share == pytest.approx(1.0, rel=1e-12)
    assert all(share.share == 0.0 for share in rest)
    assert Draws(exact_costs(), exact_reads()).shares(counts(adc__convert=3), 7.0) == []
    reads = Draws(exact_costs(), exact_reads(read_time=(1.0, 2.0, 4.0))).shares(counts(adc__convert=3), 7.0)
    assert (reads[0].card, reads[0].key, reads[0].share) == ("junction", "read_time", 1.0)


def test_draws_are_the_same_every_time_and_nothing_is_drawn_without_a_range():
    sampler = load_card("smtj_50ns")
    cards = {"component": load_component_card("cmos_28nm"), "storage": load_card("dw_notched"), "sampler": sampler}
    table, reads = CostTable.from_cards(cards), ReadPrice.from_cards(sampler)
    spent = np.arange(len(OPERATIONS))
    assert Draws(table, reads).interval(spent, 1e-9) == Draws(table, reads).interval(spent, 1e-9)
    low, high = Draws(exact_costs(), exact_reads()).interval(spent, 2.0)
    assert low == high == pytest.approx(spent.sum() + 2.0)


def test_the_price_of_a_read_is_assumed_if_one_of_its_values_is():
    def card(kind: str) -> Card:
        facts = {name: Fact(1.0, "1", "measured", low=0.5, high=2.0) for name in READ_KEYS}
        facts["g_off"] = Fact(3.0, "S", kind, low=1.0, high=4.0)
        return Card("junction", "none", "", "", "test", {}, facts, {})

    reads = ReadPrice.from_cards(card("measured"))
    assert reads.kind == "derived"
    assert [list(ends) for ends in (reads.low, reads.value, reads.high)] == [
        [0.5, 1.0, 0.5, 0.5], [1.0, 3.0, 1.0, 1.0], [2.0, 4.0, 2.0, 2.0],
    ]  # fmt: skip
    assert ReadPrice.from_cards(card("assumed")).kind == "assumed"
    assert ReadPrice.from_cards(card("measured"), [Fact(1.0, "ohm", "assumed")]).kind == "assumed"


@pytest.mark.parametrize(
    ("value", "low", "high", "written"),
    [
        (80.2e-9, 20e-9, 220e-9, ("80 nJ", "20 to 220 nJ")),
        (178e-9, 120e-9, 440e-9, ("180 nJ", "120 to 440 nJ")),
        (178e-9, 20e-9, 1.2e-6, ("200 nJ", "20 nJ to 1.2 µJ")),
        (2.46e-9, 2.3e-9, 2.6e-9, ("2.46 nJ", "2.3 to 2.6 nJ")),
        (2.46e-9, 2.0e-9, 3.0e-9, ("2.5 nJ", "2.0 to 3.0 nJ")),
        (2.46e-9, 2.459e-9, 2.461e-9, ("2.46 nJ", "2.5 to 2.5 nJ")),
        (3e-12, 1e-12, 90e-12, ("3 pJ", "1.0 to 90 pJ")),
        (999e-9, 700e-9, 1.4e-6, ("1.0 µJ", "700 nJ to 1.4 µJ")),
        (1.2345e-9, 1.2345e-9, 1.2345e-9, ("1.23 nJ", "")),
        (0.0, 0.0, 0.0, ("0 J", "")),
    ],
)
def test_no_more_digits_than_the_interval_supports(value, low, high, written):
    assert format_within(value, low, high, "J") == written


def test_a_unit_that_has_a_prefix_gets_no_other():
    assert format_within(1.24, 0.42, 4.6, "TOPS/W") == ("1.2 TOPS/W", "0.42 to 4.6 TOPS/W")


def test_the_last_digit_is_worth_a_good_part_of_the_interval():
    """Half the width is written with one digit, or with two up to 35: the last one is worth 1 / 35.5 of it or more."""
    scales = {"p": 1e-12, "n": 1e-9, "µ": 1e-6}
    rng = np.random.default_rng(8)
    for value in 10 ** rng.uniform(-11, -6, 500):
        low, high = value / rng.uniform(1.01, 30), value * rng.uniform(1.01, 30)
        number, unit = format_within(value, low, high, "J")[0].split()
        _, _, decimals = number.partition(".")
        zeros = 0 if decimals else len(number) - len(number.rstrip("0"))
        last = 10.0 ** (zeros - len(decimals)) * scales[unit[0]]
        single = len(number.replace(".", "").strip("0")) <= 1  # one digit is always written
        assert single or last >= (high - low) / 2 / 35.5 * (1 - 1e-9), (value, low, high, number)
        assert float(number) * scales[unit[0]] == pytest.approx(value, abs=0.501 * last)
