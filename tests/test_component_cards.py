"""Component cards: what they must state, where their numbers come from, and how they scale."""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from importlib.resources import files

import pytest

from bimu_hw.cards import COMPONENT_COSTS, load_component_card, parse_component_card, shipped_component_cards
from bimu_hw.errors import BimuError, CardError, ScenarioError
from bimu_hw.scaling import MAX_ADC_BITS, scale_adc, scale_dac, scale_lines

NAMES = ("cmos_28nm", "cmos_65nm")
#: Facts that choose something rather than estimate it: what the other values hold for, and over what labels travel.
CHOICES = {
    "digital_reference_bits", "adc_reference_bits", "dac_reference_bits", "line_reference_cells", "label_energy",
}  # fmt: skip


def text_of(name):
    return files("bimu_hw").joinpath("components", f"{name}.toml").read_text(encoding="utf-8")


@pytest.fixture(params=NAMES)
def card(request):
    return load_component_card(request.param)


def test_the_shipped_cards_are_these():
    assert tuple(sorted(shipped_component_cards())) == NAMES


def test_every_estimate_has_a_range_around_it(card):
    for name, fact in card.costs.items():
        assert fact.low <= fact.value <= fact.high, name
        assert name in CHOICES or fact.low < fact.high, f"{name}: no range"


def test_every_number_says_why(card):
    """More than the schema asks: a derived number shows its derivation, a fitted or measured one its place."""
    for name, fact in card.costs.items():
        assert len(fact.why) > 15, name
        assert fact.kind == "assumed" or (fact.source and fact.where), name
        assert not (fact.kind == "assumed" and fact.source), f"{name}: an assumed value must not borrow a source"


def test_every_reference_can_be_found_and_is_used(card):
    whys = " ".join(fact.why for fact in card.costs.values())
    sources = {fact.source for fact in card.costs.values()}
    for key, reference in card.references.items():
        assert re.search(r"doi:10\.\d{4,}/\S+|arXiv:\d{4}\.\d{4,5}", reference), key
        author, year = re.fullmatch(r"([a-z]+)(\d{4})", key).groups()
        assert key in sources or f"{author.capitalize()} {year}" in whys, f"{key} is cited nowhere"


def test_what_is_exact_has_a_price_and_the_card_says_which(card):
    """Ideal hardware computes without error and still costs joules; its exactness alone is free."""
    notes = " ".join(tomllib.loads(text_of(card.name))["card"]["notes"].split())
    assert "What is exact in a scenario has no circuit and still a price" in notes
    assert card.costs["adc_convert_energy"].low > 0
    assert card.costs["dac_convert_energy"].low > 0


# Derivations, done again from the sources' own numbers


def between_nodes(at_32, at_22, node=28):
    """Interpolate a straight line in the logarithms of energy and node."""
    slope = math.log(at_32 / at_22) / math.log(32 / 22)
    return at_22 * (node / 22) ** slope


#: Joules at 45 nm and 0.9 V: a multiplication and an addition of each kind, and a bit of a 64-bit access to 8 KiB.
HOROWITZ = {"fp16": 1.1e-12 + 0.4e-12, "int8": 0.2e-12 + 0.1e-12, "fp32": 3.7e-12 + 0.9e-12, "bit": 10e-12 / 64}
LINE_AT_130_NM = (1.5e-15 + 0.6e-15) * 128 + 48e-15
NODES = {"cmos_28nm": (28, 0.9), "cmos_65nm": (65, 1.1)}


@pytest.mark.parametrize("name", NODES)
def test_digital_energies_follow_from_horowitz(name):
    costs, (node, volt) = load_component_card(name).costs, NODES[name]
    scale = node / 45 * (volt / 0.9) ** 2
    mac = costs["digital_mac_energy"]
    for got, kind in ((mac.low, "int8"), (mac.value, "fp16"), (mac.high, "fp32")):
        assert got == pytest.approx(HOROWITZ[kind] * scale, rel=0.02)
    for key in ("buffer_read_energy", "buffer_write_energy"):
        assert costs[key].value == pytest.approx(HOROWITZ["bit"] * scale, rel=0.02)
    add = costs["digital_add_energy"]
    sixteen_bits = (0.03e-12 + (0.1e-12 - 0.03e-12) * (16 - 8) / (32 - 8)) * scale
    assert add.low == pytest.approx(sixteen_bits, rel=0.02)
    assert costs["digital_function_energy"].value == pytest.approx(48 * add.value, rel=0.03)


@pytest.mark.parametrize("name", NODES)
def test_line_energies_follow_from_the_capacitance(name):
    costs, (node, volt) = load_component_card(name).costs, NODES[name]
    capacitance = LINE_AT_130_NM * node / 130
    write_voltage = {"cmos_28nm": 1.8, "cmos_65nm": 2.5}[name]
    assert costs["driver_drive_energy"].value == pytest.approx(capacitance * volt**2, rel=0.02)
    assert costs["write_row_energy"].value == pytest.approx(capacitance * write_voltage**2, rel=0.02)
    assert costs["write_row_energy"].high == pytest.approx(capacitance * 4.8**2, rel=0.03)


def test_neurosim_energies_are_interpolated_between_its_nodes():
    costs = load_component_card("cmos_28nm").costs
    assert costs["digital_add_energy"].value == pytest.approx(between_nodes(79e-15, 40.3e-15), rel=0.02)
    assert costs["sense_energy"].value == pytest.approx(between_nodes(6.5e-15, 4.7e-15), rel=0.02)
    assert costs["buffer_read_energy"].low == pytest.approx(between_nodes(33e-15, 15e-15), rel=0.02)
    coarse = load_component_card("cmos_65nm").costs
    assert (coarse["digital_add_energy"].value, coarse["sense_energy"].value) == pytest.approx(
        (339e-15, 13.5e-15), rel=0.01
    )


def survey_regression(node, bits):
    """Evaluate the ADC regression of arXiv:2404.06553 in joules; its speed limit does not bind below 1 GHz."""
    schreier = 128.31 + 3.2205 * bits
    ideal = 0.5 * 10 ** ((6.02 * bits + 1.76 - schreier) / 10)
    return 1e-12 * ideal * math.exp(26.05 + 1.880 * math.log(node) - 2.829 * math.log(bits) - 1.470)


def test_the_28_nm_converter_is_the_regression_and_its_range_holds_the_measured_ones():
    fact = load_component_card("cmos_28nm").costs["adc_convert_energy"]
    assert fact.value == pytest.approx(survey_regression(28, 8), rel=0.01)
    assert fact.low < 1.79e-12 < fact.high  # Jia 2020, 65 nm, 0.85 V
    assert fact.low < 2.66e-12 < fact.high  # Wang 2023, 22 nm, 1 V
    assert 3.0 <= fact.value / fact.low <= 4.1
    assert 3.0 <= fact.high / fact.value <= 4.1


def test_the_65_nm_converter_agrees_with_both_measured_voltages():
    fact = load_component_card("cmos_65nm").costs["adc_convert_energy"]
    for energy, volt in ((1.79e-12, 0.85), (3.56e-12, 1.2)):
        assert fact.value == pytest.approx(energy * (1.1 / volt) ** 2, rel=0.01)
    assert fact.low < survey_regression(65, 8) < fact.high


@pytest.mark.parametrize("name", NODES)
def test_the_input_converter_is_that_of_a_22_nm_macro(name):
    """Wang 2023, at 1 V: 64 rows x 16 columns x 2 operations, 16.376 TOPS/W, 0.124 mm^2; the converters' shares."""
    costs, (node, volt) = load_component_card(name).costs, NODES[name]
    conversion = 0.22 * 8 * (2 * 64 * 16 / 16.376e12) / (8 * 64)
    energy, area = costs["dac_convert_energy"], costs["dac_area"]
    assert energy.value == pytest.approx(conversion * (node / 22) * volt**2, rel=0.02)
    assert energy.low < 0.793e-12 * node / 65 < energy.high  # Zhong 2023
    assert area.value == pytest.approx(0.30 * 0.124e-6 / 64 * (node / 22) ** 2, rel=0.01)


def test_areas_scale_with_the_square_of_the_node():
    for name, (node, _) in NODES.items():
        costs = load_component_card(name).costs
        assert costs["sense_area"].value == pytest.approx(4.1e-12 * (node / 22) ** 2, rel=0.02)
        assert costs["adc_area"].low < 180e-12 * (node / 22) ** 2 < costs["adc_area"].high
        assert costs["adc_area"].low < 0.497e-6 / 256 * (node / 65) ** 2 < costs["adc_area"].high
        jia, drivers = 0.497e-6 + 0.392e-6, 1270e-12 * 256 / 0.28 * 0.21 / 4
        assert costs["periphery_area"].value == pytest.approx((jia + drivers) * (node / 65) ** 2, rel=0.03)


def test_a_free_label_is_an_assumption_and_no_uncertainty(card):
    fact = card.costs["label_energy"]
    assert (fact.kind, fact.value, fact.low, fact.high) == ("assumed", 0.0, 0.0, 0.0)
    assert "nRF52840" in fact.why


# Scaling


def test_an_exact_converter_is_priced_at_the_reference_resolution(card):
    assert scale_adc(card, 0) is card
    assert scale_adc(card, 8) is card


def test_one_bit_is_a_sense_amplifier(card):
    costs = scale_adc(card, 1).costs
    pairs = {"adc_convert_energy": "sense_energy", "adc_convert_time": "sense_time", "adc_area": "sense_area"}
    for adc, sense in pairs.items():
        assert costs[adc].value == card.costs[sense].value
        assert (costs[adc].low, costs[adc].high) == (card.costs[sense].low, card.costs[sense].high)
    assert costs["adc_convert_energy"].value < 0.02 * card.costs["adc_convert_energy"].value


def test_between_one_and_eight_bits_each_costs_its_steps(card):
    for bits in range(2, 8):
        scaled = scale_adc(card, bits).costs
        for name in ("adc_convert_energy", "adc_convert_time", "adc_area"):
            fact, base = scaled[name], card.costs[name]
            assert fact.value == pytest.approx(base.value * (bits + 1) / 9, rel=1e-14)
            assert (fact.low / fact.value, fact.high / fact.value) == pytest.approx(
                (base.low / base.value, base.high / base.value), rel=1e-12
            )
            assert fact.kind == "derived"
            assert f"scaled to {bits} bits from 8" in fact.why
        assert scaled["adc_reference_bits"].value == bits


@pytest.mark.parametrize("node", [22, 28, 65])
@pytest.mark.parametrize("bits", [9, 10, 12])
def test_beyond_eight_bits_energy_grows_as_published_converters_do(card, bits, node):
    growth = survey_regression(node, bits) / survey_regression(node, 8)
    scaled = scale_adc(card, bits).costs["adc_convert_energy"].value
    assert scaled / card.costs["adc_convert_energy"].value == pytest.approx(growth, rel=1e-9)


def test_more_bits_never_cost_less(card):
    cards = [scale_adc(card, bits) for bits in range(1, MAX_ADC_BITS + 1)]
    for name in ("adc_convert_energy", "adc_convert_time", "adc_area"):
        values = [c.costs[name].value for c in cards]
        assert all(a < b for a, b in itertools.pairwise(values)), name


@pytest.mark.parametrize("bits", [2, 4, 6])
def test_a_flash_converter_is_a_comparator_per_threshold(card, bits):
    flash, n = scale_adc(card, bits, "flash").costs, 2**bits - 1
    assert flash["adc_convert_energy"].value == pytest.approx(n * card.costs["sense_energy"].value)
    assert flash["adc_area"].value == pytest.approx(n * card.costs["sense_area"].value)
    assert flash["adc_convert_time"].value == card.costs["sense_time"].value
    energy = flash["adc_convert_energy"]
    assert 2.5 <= energy.value / energy.low <= 4.1
    assert 2.5 <= energy.high / energy.value <= 4.1
    assert flash["adc_convert_time"].value < scale_adc(card, bits).costs["adc_convert_time"].value


def test_the_kind_of_converter_does_not_change_a_sense_amplifier(card):
    assert scale_adc(card, 1, "sense_amplifier").costs == scale_adc(card, 1).costs


def test_an_input_converter_costs_its_bits(card):
    assert scale_dac(card, 0) is scale_dac(card, 8) is card
    four = scale_dac(card, 4).costs
    for name in ("dac_convert_energy", "dac_area"):
        assert four[name].value == pytest.approx(card.costs[name].value / 2)
    assert four["dac_reference_bits"].value == 4


@pytest.mark.parametrize("name", NODES)
def test_wire_resistances_follow_from_geometry(name):
    """Copper of 4.03e-8 ohm m, 40 nm wide at 28 nm and scaled with the node, aspect ratio 1.9; cells of 4 F."""
    costs, (node, _) = load_component_card(name).costs, NODES[name]
    width = 40e-9 * node / 28
    segment = 4.03e-8 * (4 * node * 1e-9) / (1.9 * width**2)
    for line in ("r_wordline", "r_bitline"):
        assert costs[line].value == pytest.approx(segment, rel=0.02)
        assert costs[line].low < segment < costs[line].high


def test_what_no_source_states_is_neutral(card):
    for name in ("adc_offset", "adc_gain_error", "adc_noise", "sense_offset", "dac_inl"):
        assert (card.costs[name].value, card.costs[name].kind) == (0.0, "assumed")
        assert COMPONENT_COSTS[name].neutral == 0.0


def test_scaling_leaves_everything_else_and_the_card_itself_alone(card):
    before = dict(card.costs)
    scaled = scale_lines(scale_adc(card, 5), 64)
    assert dict(card.costs) == before
    changed = {name for name in before if scaled.costs[name] != before[name]}
    assert changed == {
        "adc_convert_energy", "adc_convert_time", "adc_area", "adc_reference_bits",
        "driver_drive_energy", "write_row_energy", "line_reference_cells",
    }  # fmt: skip
    assert scaled.digest != card.digest
    assert scaled.references == card.references


def test_what_follows_from_an_assumption_stays_one(card):
    assumed = card.with_values({"adc_convert_energy": "1 pJ"}, COMPONENT_COSTS, "scenario")
    fact = scale_adc(assumed, 5).costs["adc_convert_energy"]
    assert (fact.kind, fact.value) == ("assumed", pytest.approx(6 / 9 * 1e-12))
    assert scale_lines(card, 64).costs["write_row_energy"].kind == "assumed"
    assert scale_lines(card, 64).costs["driver_drive_energy"].kind == "derived"


def test_a_line_costs_its_cells(card):
    assert scale_lines(card, 128) is card
    longer = scale_lines(card, 784).costs
    for name in ("driver_drive_energy", "write_row_energy"):
        assert longer[name].value == pytest.approx(card.costs[name].value * 784 / 128, rel=1e-14)
    twice = scale_lines(scale_lines(card, 784), 128).costs["driver_drive_energy"]
    assert twice.value == pytest.approx(card.costs["driver_drive_energy"].value, rel=1e-14)


@pytest.mark.parametrize("bits", [-1, MAX_ADC_BITS + 1, 8.0, 5.5, True, "8"])
def test_impossible_resolutions_are_refused(bits):
    with pytest.raises(ScenarioError, match=r"converter: got .* bits; allowed are integers from 1 to 16, or 0"):
        scale_adc(load_component_card("cmos_28nm"), bits)


def test_a_line_without_cells_is_refused():
    with pytest.raises(ScenarioError, match="line: got 0 cells"):
        scale_lines(load_component_card("cmos_28nm"), 0)


# What a card of a stranger may get wrong


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('model = "components"', 'model = "component"', r"card\.model: got 'component'; a component card has"),
        ("[costs.driver_time]", "[costs.drive_time]", r"drive_time: unknown key\. Did you mean 'driver_time'\?"),
        ('value = "9 ns"', 'value = "9 nJ"', r"costs\.adc_convert_time: got '9 nJ' .* expected a quantity in s"),
        ('value = "9 ns"', 'value = "-9 ns"', r"costs\.adc_convert_time: got '-9 ns'; allowed is 0 to inf"),
        ('value = "9 ns"', "value = 9e-9", r"costs\.adc_convert_time\.value: got 9e-09; write the number as a string"),
        ('value = "128"', 'value = "0"', r"costs\.line_reference_cells: got '0'; allowed is 1 to 65536"),
        ('range = ["3 ns", "90 ns"]', 'range = ["10 ns", "90 ns"]', r"'9 ns' lies outside '10 ns' to '90 ns'"),
        ('range = ["3 ns", "90 ns"]', 'range = ["3 ns"]', r"expected two strings"),
        ('kind = "fitted"', 'kind = "measured "', r"kind: got 'measured '; allowed are measured, fitted, derived"),
        ('kind = "fitted"\nsource = "andrulis2024"', 'kind = "fitted"', r"a fitted value needs source and where"),
        ('source = "wan2022"', 'source = "wan2020"', r"'wan2020' is not in \[references\]\. Did you mean 'wan2022'\?"),
        ("[costs.label_energy]", "[costs.label_energy", r"not valid TOML"),
    ],
)
def test_a_broken_card_is_refused_in_one_sentence(old, new, says):
    text = text_of("cmos_28nm")
    assert old in text
    with pytest.raises(BimuError, match=says) as caught:
        parse_component_card(text.replace(old, new, 1), "mine.toml")
    assert str(caught.value).startswith("mine.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", sorted(COMPONENT_COSTS))
def test_a_card_without_one_of_the_numbers_is_refused(missing):
    text = text_of("cmos_28nm")
    start = text.index(f"[costs.{missing}]\n")
    end = text.find("\n[costs.", start)
    with pytest.raises(CardError, match=f"{missing!r} is missing"):
        parse_component_card(text[:start] + (text[end + 1 :] if end > 0 else ""), "mine.toml")


def test_a_card_is_found_by_name_or_beside_the_scenario(tmp_path):
    text = text_of("cmos_28nm").replace('name = "cmos_28nm"', 'name = "mine"')
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert load_component_card("mine.toml", tmp_path).name == "mine"
    with pytest.raises(CardError, match=r"component card 'cmos_28': not known\. Did you mean 'cmos_28nm'\?"):
        load_component_card("cmos_28")
    with pytest.raises(CardError, match=r"'other\.toml': cannot be read"):
        load_component_card("other.toml", tmp_path)
