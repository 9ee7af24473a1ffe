"""The ledger: sums that close, prices that are counts times costs, and shares worked out by hand."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from bimu_hw.cards import COMPONENT_COSTS, Card, Fact, load_component_card
from bimu_hw.ledger import CostTable, Entry, Ledger, Tally, price
from bimu_hw.operations import (
    CHIP,
    COMPONENTS,
    ENERGY_PER_QUERY,
    OPERATIONS,
    PHASES,
    UPDATE_PHASES,
    layer_counts,
    layer_names,
    new_counts,
    operation_index,
    phase_index,
)


def a_device_card(role, scale):
    """Return a card that prices every operation of its role, each differently."""
    names = sorted({op.cost for op in OPERATIONS if op.card == role})
    costs = {}
    for i, name in enumerate(names):
        unit = "W" if name.endswith("power") else "J"
        value = scale * (i + 1)
        costs[name] = Fact(value, unit, ("measured", "assumed")[i % 2], low=value / 2, high=value * 3)
    return Card(f"{role}_card", "none", role, "", "test", {}, costs, {})


@pytest.fixture
def cards():
    return {
        "component": load_component_card("cmos_28nm"),
        "storage": a_device_card("storage", 1.7e-13),
        "sampler": a_device_card("sampler", 2.9e-15),
    }


@pytest.fixture
def costs(cards):
    return CostTable.from_cards(cards)


@pytest.fixture
def ledger():
    rng = np.random.default_rng(5)
    shape = (len(PHASES), 3, len(OPERATIONS))
    counts = rng.integers(0, 10 ** rng.integers(1, 15, shape), dtype=np.int64)
    return Ledger(counts, rng.uniform(0.0, 1e-6, shape[:2]))


def test_energy_is_counts_times_costs_one_by_one(ledger, cards, costs):
    """The twin adds exact fractions, operation by operation, straight from the cards."""
    energy = ledger.energy(costs)
    assert energy.shape == (len(PHASES), 3, len(COMPONENTS))
    for p, layer in itertools.product(range(len(PHASES)), range(3)):
        for c, component in enumerate(COMPONENTS):
            total = Fraction(float(ledger.array_joules[p, layer])) if component == "array" else Fraction(0)
            for o, op in enumerate(OPERATIONS):
                if op.component != component:
                    continue
                fact = cards[op.card].costs[op.cost]
                joules = Fraction(fact.value) * (Fraction(str(op.seconds)) if fact.unit == "W" else 1)
                total += int(ledger.counts[p, layer, o]) * joules
            assert energy[p, layer, c] == pytest.approx(float(total), rel=1e-12), (PHASES[p], layer, component)


def test_components_layers_phases_and_total_agree(ledger, costs):
    energy = ledger.energy(costs)
    everything = math.fsum(
        [*ledger.array_joules.flat, *(float(n) * costs.joules[i[-1]] for i, n in np.ndenumerate(ledger.counts))]
    )
    assert everything > 0
    for total in (*(energy.sum(axis=axis).sum() for axis in range(3)), energy.sum()):
        assert total == pytest.approx(everything, rel=1e-12)


def test_pricing_parts_and_adding_equals_adding_and_pricing(ledger, costs):
    rng = np.random.default_rng(6)
    queries = rng.integers(0, 1000, (20, len(OPERATIONS)))
    joules = rng.uniform(0.0, 1e-9, 20)
    whole = price(queries.sum(axis=0), joules.sum(), costs.joules)
    np.testing.assert_allclose(price(queries, joules, costs.joules).sum(axis=0), whole, rtol=1e-12)
    np.testing.assert_allclose(
        ledger.energy(costs).sum(axis=(0, 1)),
        price(ledger.counts.sum(axis=(0, 1)), ledger.array_joules.sum(), costs.joules),
        rtol=1e-12,
    )


def test_a_new_price_changes_its_component_alone_and_in_proportion(ledger, cards, costs):
    before = ledger.energy(costs)
    dearer = cards["component"].with_values(
        {"digital_mac_energy": cards["component"].costs["digital_mac_energy"].value * 3}, COMPONENT_COSTS, "test"
    )
    after = ledger.energy(CostTable.from_cards({**cards, "component": dearer}))
    digital = COMPONENTS.index("digital")
    mac = operation_index("digital", "mac")
    added = 2 * costs.joules[mac] * ledger.counts[..., mac]
    np.testing.assert_allclose(after[..., digital], before[..., digital] + added, rtol=1e-12)
    others = [c for c in range(len(COMPONENTS)) if c != digital]
    assert np.array_equal(after[..., others], before[..., others])
    np.testing.assert_allclose(
        price(ledger.counts, 2 * ledger.array_joules, 2 * costs.joules), 2 * before, rtol=1e-15
    )


def test_powers_are_priced_by_the_microsecond(cards):
    """A chip of 38 uW that is on for a second takes 38 uJ, and 1,000 cells of 1 nW as long, 1 uJ."""
    cards["storage"].costs["standby_power"] = Fact(1e-9, "W", "measured", low=1e-9, high=1e-9)
    ledger = Ledger.empty(2)
    idle = ledger.counts[phase_index("idle")]
    idle[CHIP, operation_index("leakage", "periphery")] = 10**6
    idle[1, operation_index("leakage", "storage")] = 1000 * 10**6
    energy = ledger.energy(CostTable.from_cards(cards))
    leakage = energy[phase_index("idle"), :, COMPONENTS.index("leakage")]
    assert leakage.tolist() == pytest.approx([0.0, 1e-6, 38e-6], rel=1e-12)
    assert energy.sum() == pytest.approx(39e-6, rel=1e-12)


def test_a_month_of_the_largest_published_network_fits_the_counters():
    """[784, 2000, 10] has 1.6 million cells; what is powered all along is counted by the microsecond."""
    cells, microseconds = 784 * 2000 + 2000 * 10, 30 * 86400 * 10**6
    assert cells * microseconds < 2**63
    counts = np.zeros(len(OPERATIONS), np.int64)
    counts[operation_index("leakage", "storage")] = cells * microseconds
    joules = np.zeros(len(OPERATIONS))
    joules[operation_index("leakage", "storage")] = 1e-21
    assert price(counts, np.zeros(()), joules).sum() == pytest.approx(cells * microseconds * 1e-21, rel=1e-12)


def test_the_ends_of_the_ranges_are_priced_too(cards, costs):
    for i, op in enumerate(OPERATIONS):
        fact = cards[op.card].costs[op.cost]
        scale = op.seconds if fact.unit == "W" else 1.0
        got = costs.low[i], costs.joules[i], costs.high[i]
        assert got == pytest.approx((fact.low * scale, fact.value * scale, fact.high * scale), rel=1e-14)
        assert costs.low[i] <= costs.joules[i] <= costs.high[i]
        assert costs.kinds[i] == fact.kind
        assert costs.sources[i].startswith(f"{cards[op.card].name}, {op.cost}: ")


def test_what_is_booked_is_on_the_account_and_on_the_querys_tally():
    ledger, tally, other = Ledger.empty(2), Tally(), Tally()
    inference, label = phase_index("inference"), phase_index("label")
    bits = Entry.single(2, "sampler", "bit", 7, layer=1)
    ledger.book(inference, bits, tally)
    ledger.book(inference, bits, other)
    ledger.book(label, Entry.single(2, "radio", "request"), tally)
    bit, request = operation_index("sampler", "bit"), operation_index("radio", "request")
    assert ledger.counts[inference, :, bit].tolist() == [0, 14, 0]
    assert ledger.counts[label, :, request].tolist() == [0, 0, 1]
    assert [int(tally.counts[i]) for i in (bit, request)] == [7, 1]
    assert int(other.counts.sum()) == 7
    assert bits.counts.sum() == 7


def test_the_assumed_share_by_hand():
    """2 uJ assumed, 5 uJ measured, 3 uJ in the array: 20 %, or half where the array's values are assumed too."""
    kinds = ["measured"] * len(OPERATIONS)
    joules = np.zeros(len(OPERATIONS))
    ledger = Ledger.empty(1)
    drive, convert, pulse = (
        operation_index("driver", "drive"), operation_index("adc", "convert"), operation_index("storage", "pulse_up")
    )  # fmt: skip
    kinds[drive] = "assumed"
    joules[[drive, convert, pulse]] = 1e-9, 2e-9, 3e-9
    ledger.counts[phase_index("inference"), 0, drive] = 1500
    ledger.counts[phase_index("backward"), CHIP, drive] = 500
    ledger.counts[phase_index("inference"), 0, convert] = 1000
    ledger.counts[phase_index("programming"), 0, pulse] = 1000
    ledger.array_joules[phase_index("inference"), 0] = 3e-6
    costs = CostTable(joules, joules, joules, tuple(kinds), ("",) * len(OPERATIONS), ("",) * len(OPERATIONS))
    assert ledger.assumed_share(costs, "measured") == pytest.approx(0.2, rel=1e-12)
    assert ledger.assumed_share(costs, "assumed") == pytest.approx(0.5, rel=1e-12)
    assert Ledger.empty(1).assumed_share(costs, "assumed") == 0.0


def test_operations_and_phases_are_told_apart_by_name():
    names = [(op.component, op.name) for op in OPERATIONS]
    assert len(set(names)) == len(names)
    for i, (component, name) in enumerate(names):
        assert operation_index(component, name) == i
    assert [phase_index(phase) for phase in PHASES] == list(range(len(PHASES)))
    assert new_counts(2).shape == (len(PHASES), 3, len(OPERATIONS))
    assert new_counts(2).dtype == layer_counts(2).dtype == np.int64
    assert layer_counts(2).shape == (len(layer_names(2)), len(OPERATIONS))
    assert layer_names(2)[CHIP] == "chip"
    assert COMPONENTS[0] == "array"
    assert set(COMPONENTS) == {"array", *(op.component for op in OPERATIONS)}
    assert len(set(COMPONENTS)) == len(COMPONENTS)


def test_each_energy_per_query_contains_the_one_before():
    contents = [set(ENERGY_PER_QUERY[key]) for key in ("inference", "label", "update", "all")]
    assert all(a < b for a, b in itertools.pairwise(contents))
    assert contents[-1] == set(PHASES)
    assert contents[2] - contents[1] == set(UPDATE_PHASES)
    assert contents[3] - contents[2] == {"idle"}
