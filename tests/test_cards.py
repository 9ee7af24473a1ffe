"""Cards: what they must state, how they are refused, and that the shipped ones keep to it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from importlib.resources import files

import pytest

from bimu_hw.cards import (
    KINDS,
    Fact,
    device_specs,
    load_card,
    neutral_values,
    parse_card,
    parse_component_card,
    shipped_cards,
)
from bimu_hw.devices import check_model, get_model, model_module, model_names, new_state
from bimu_hw.errors import CardError, DeviceModelError, UnitError
from device_models import ideal_storage, smtj, soft_bounds_pair

SHIPPED = sorted(shipped_cards())


def text_of(name):
    return files("device_models").joinpath("cards", f"{name}.toml").read_text(encoding="utf-8")


SMTJ = text_of("smtj_schnitzspan2023")


# What ships


@pytest.mark.parametrize("name", SHIPPED)
def test_every_number_has_its_four_facts(name):
    card = shipped_cards()[name]
    params, costs = device_specs(get_model(card.model))
    assert list(card.params) == list(params)
    assert list(card.costs) == list(costs)
    for key, fact in {**card.params, **card.costs}.items():
        assert fact.kind in KINDS, key
        assert fact.unit == {**params, **costs}[key].unit
        assert fact.low <= fact.value <= fact.high
        if fact.kind == "assumed":
            assert len(fact.why) > 10, key
        else:
            assert fact.source or fact.why, key
        if fact.kind in ("measured", "fitted"):
            assert fact.source, key
            assert fact.where, key


@pytest.mark.parametrize("name", SHIPPED)
def test_a_measured_value_cites_something_one_can_look_up(name):
    card = shipped_cards()[name]
    for fact in {**card.params, **card.costs}.values():
        if fact.kind in ("measured", "fitted"):
            cited = card.references[fact.source]
            assert re.search(r"doi:10\.\d{4,}/\S+|arXiv:\d{4}\.\d{4,5}|IEEE Xplore document \d+", cited), cited


@pytest.mark.parametrize("name", SHIPPED)
def test_every_reference_is_used_and_the_file_is_named_after_the_card(name):
    table = tomllib.loads(text_of(name))
    used = {fact.get("source") for section in ("params", "costs") for fact in table.get(section, {}).values()}
    assert set(table.get("references", {})) == used - {None}
    assert table["card"]["name"] == name


def test_values_in_si():
    pair = shipped_cards()["hfox_2t2r"]
    assert pair.params["n_levels"].value == 16.0
    assert pair.params["sigma_c2c"].value == 0.2174
    assert pair.costs["pulse_width_up"].value == pytest.approx(1.1e-6, rel=1e-12)
    assert pair.costs["area"].value == pytest.approx(4.26e-12, rel=1e-12)
    assert shipped_cards()["smtj_schnitzspan2023"].params["relaxation_time"].value == 5e-9
    assert shipped_cards()["dw_leonard2021"].params["n_levels"] == Fact(
        5.0, "1", "measured", "leonard2021", "abstract: 4 to 5 stable states", "", 4.0, 5.0
    )


@pytest.mark.parametrize(
    ("name", "radius", "resistance_area", "tmr"),
    [("smtj_50ns", 17e-9, 5.5e-12, 0.73), ("smtj_schnitzspan2023", 25e-9, 15e-12, 0.75)],
)
def test_junction_conductances_follow_from_size_and_resistance_area(name, radius, resistance_area, tmr):
    costs = shipped_cards()[name].costs
    parallel = 3.14159265 * radius**2 / resistance_area
    assert costs["g_on"].value == pytest.approx(parallel, rel=0.005)
    assert costs["g_off"].value == pytest.approx(parallel / (1.0 + tmr), rel=0.005)


def test_derived_numbers_follow_from_their_derivation():
    cards = shipped_cards()
    energy = 1.8 * 100e-6 * 1e-6 + 2.6 * 100e-6 * 100e-9
    assert cards["hfox_2t2r"].costs["pulse_energy_up"].value == pytest.approx(energy, rel=0.001)
    assert cards["hfox_2t2r"].costs["area"].value == pytest.approx(2 * 126 * 0.13e-6**2, rel=0.001)
    for name in ("dw_leonard2021", "dw_notched"):
        params = cards[name].params
        assert params["g_parallel"].value == pytest.approx(0.02e-12 / 29e-12, rel=0.002)
        assert params["g_parallel"].value / params["g_antiparallel"].value == pytest.approx(2.71, rel=0.005)
    current = 1e10 * 3.14159265 * 25e-9**2
    assert cards["smtj_schnitzspan2023"].costs["bias_power"].value == pytest.approx(current * 1e10 * 15e-12, rel=0.02)
    assert cards["cmos_lfsr"].costs["sample_energy"].value == pytest.approx(16 * 1.4e-15 + 20.2e-15, rel=0.002)


def test_ideal_cards_have_no_nonideality():
    for name in ("ideal_storage", "ideal_sampler"):
        card = shipped_cards()[name]
        for key, value in neutral_values(get_model(card.model)).items():
            assert {**card.params, **card.costs}[key].value == value


# The card as an object


def test_assumed_share_counts_numbers():
    card = parse_card(SMTJ, "x.toml")
    facts = [*card.params.values(), *card.costs.values()]
    assert card.assumed_share == sum(f.kind == "assumed" for f in facts) / 18
    assert shipped_cards()["ideal_sampler"].assumed_share == 1.0


def test_digest_knows_the_facts_and_nothing_else():
    card = parse_card(SMTJ, "x.toml")
    reordered = SMTJ.replace('title = "', '# a comment\ntitle = "another ')
    assert parse_card(reordered, "y.toml").digest == card.digest
    assert parse_card(SMTJ.replace('"5 ns"', '"5000 ps"'), "x.toml").digest == card.digest
    assert parse_card(SMTJ.replace('"5 ns"', '"6 ns"'), "x.toml").digest != card.digest
    assert len({c.digest for c in shipped_cards().values()}) == len(SHIPPED)
    fact = card.params["relaxation_time"]
    for change in ({"kind": "derived"}, {"source": "other"}, {"where": "Fig. 9"}, {"low": 1e-9}, {"high": 1e-8}):
        other = replace(card, params={**card.params, "relaxation_time": replace(fact, **change)})
        assert other.digest != card.digest, change
    assert replace(card, title="another", origin="y.toml").digest == card.digest


@pytest.mark.parametrize(
    ("name", "key"),
    [("dw_notched", "n_levels"), ("cmos_lfsr", "n_bits"), ("cmos_lfsr", "lfsr_length"), ("cmos_lfsr", "n_generators"),
     ("cmos_lfsr", "stride")],
)  # fmt: skip
def test_counts_are_whole_numbers(name, key):
    card = shipped_cards()[name]
    params, costs = device_specs(get_model(card.model))
    assert card.with_values({key: 4}, {**params, **costs}, "x").params[key].value == 4.0
    with pytest.raises(CardError) as error:
        card.with_values({key: 4.5}, {**params, **costs}, "x")
    assert str(error.value).startswith(f"x.{key}: got 4.5; allowed are whole numbers from ")


def test_overrides_are_marked_and_leave_the_card_alone():
    card = shipped_cards()["smtj_50ns"]
    params, costs = device_specs(get_model("smtj"))
    changed = card.with_values(
        {"relaxation_time": "1 us", "sigma_offset": 0, "read_time": "5 ns"}, {**params, **costs}, "scenario.toml"
    )
    assert changed.params["relaxation_time"] == Fact(
        1e-6, "s", "assumed", why="set by the scenario", low=1e-6, high=1e-6
    )
    assert changed.params["sigma_offset"].value == 0.0
    assert changed.costs["read_time"].value == 5e-9
    assert card.params["relaxation_time"].value == 5e-8
    with pytest.raises(CardError, match=r"Did you mean 'relaxation_time'"):
        card.with_values({"relaxation_tim": "1 us"}, params, "scenario.toml")
    with pytest.raises(CardError, match="allowed is 0 to 100"):
        card.with_values({"slope": 101}, params, "scenario.toml")
    for value in (float("inf"), float("nan")):
        with pytest.raises(CardError, match="g_on: got"):
            card.with_values({"g_on": value}, costs, "scenario.toml")


def test_a_card_beside_a_scenario(tmp_path):
    (tmp_path / "mine.toml").write_text(SMTJ.replace('name = "smtj_schnitzspan2023"', 'name = "mine"'))
    assert load_card("mine.toml", tmp_path).name == "mine"
    assert load_card("./mine.toml", tmp_path).digest == load_card(str(tmp_path / "mine.toml")).digest
    (tmp_path / "latin.toml").write_bytes(b"\xe9")
    for name, message in (
        ("absent.toml", "cannot be read.*looked for 'absent.toml'"),
        ("latin.toml", "not UTF-8"),
        ("smtj_50n", "Did you mean 'smtj_50ns'.*A path must end in .toml"),
    ):
        with pytest.raises(CardError, match=message):
            load_card(name, tmp_path)


# Refusals: one sentence each


BAD = [
    ('kind = "measured"', 'kind = "guessed"', r"relaxation_time\.kind: got 'guessed'; allowed are measured, fitted"),
    ('where = "abstract: autocorrelation time"\n', "", "a measured value needs source and where"),
    ('value = "5 ns"', 'value = "5 nS"', r"relaxation_time: got '5 nS' .*; expected a quantity in s"),
    ('value = "5 ns"', 'value = "5"', "a plain number"),
    ('value = "5 ns"', "value = 5e-9", "write the number as a string with its unit"),
    ('value = "5 ns"', 'value = "five"', "not a quantity"),
    ('value = "5 ns"', 'value = "-5 ns"', "allowed is 0 to"),
    ('value = "5 ns"', 'value = "nan s"', r"relaxation_time: got 'nan s', which is not a quantity"),
    ('value = "131 uS"', 'value = "inf S"', r"g_on: got 'inf S', which is not a quantity"),
    ('value = "5 ns"', 'value = "5 ns"\nrange = ["6 ns", "7 ns"]', "lies outside '6 ns' to '7 ns'"),
    ('value = "5 ns"', 'value = "5 ns"\nrange = ["6 ns"]', "expected two strings"),
    ('value = "5 ns"', 'value = "5 ns"\nvlaue = "5 ns"', r"vlaue: unknown key. Did you mean 'value'"),
    ('source = "schnitzspan2023"', 'source = "schnitzpan2023"', r"Did you mean 'schnitzspan2023'"),
    ("[params.relaxation_time]", "[params.relaxation_tim]", "Did you mean 'relaxation_time'"),
    ('why = "the mean offset is trimmed away"\n', "", "an assumed value needs why"),
    ("[costs.area]", "[cost.area]", "Did you mean 'costs'"),
    ('model = "smtj"', 'model = "smjt"', "not registered. Did you mean 'smtj'"),
    ('model = "smtj"', 'model = "ideal_storage"', "unknown key"),
    ('title = "', 'titel = "', r"card\.titel: unknown key. Did you mean 'title'"),
    ('name = "smtj_schnitzspan2023"\n', "", r"card\.name: missing"),
    ("[card]", "[card", "not valid TOML"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=range(len(BAD)))
def test_a_bad_card_is_refused_in_one_sentence(old, new, message):
    assert old in SMTJ
    with pytest.raises((CardError, UnitError, DeviceModelError), match=message) as caught:
        parse_card(SMTJ.replace(old, new, 1), "mine.toml")
    assert "\n" not in str(caught.value)
    # A model that is not registered knows nothing of the card.
    assert isinstance(caught.value, DeviceModelError) or str(caught.value).startswith("mine.toml")


def test_a_missing_parameter_is_named_with_its_meaning():
    table = SMTJ.split("[params.offset]")
    text = table[0] + "[params.sigma_slope]" + table[1].split("[params.sigma_slope]")[1]
    with pytest.raises(CardError, match=r"'offset' is missing \(bias at lam = 0"):
        parse_card(text, "mine.toml")


def test_a_derived_value_needs_a_source_or_a_derivation():
    start = SMTJ.index("[costs.sample_time]")
    end = SMTJ.index("[costs.sample_energy]")
    bare = '[costs.sample_time]\nvalue = "15 ns"\nkind = "derived"\n\n'
    with pytest.raises(CardError, match="sample_time: a derived value needs a source or"):
        parse_card(SMTJ[:start] + bare + SMTJ[end:], "mine.toml")


def test_a_component_card_is_no_device_card():
    with pytest.raises(CardError, match="a component card has model"):
        parse_component_card(SMTJ, "mine.toml")


# Models


def test_registered_models_say_where_they_live():
    assert {"ideal_storage", "smtj"} <= set(model_names())
    assert get_model("smtj") is smtj.MODEL
    assert model_module("smtj") == "device_models.smtj"
    with pytest.raises(DeviceModelError, match=r"not registered\. Did you mean 'soft_bounds_pair'"):
        get_model("soft_bound_pair")


def test_state_is_allocated_as_declared():
    state = new_state(soft_bounds_pair.MODEL, 7)
    assert state.level.shape == (7, 2)
    assert state.fault.shape == (7, 2)
    assert state.pulse_count.shape == (7,)
    assert {str(a.dtype) for a in state} == {"float32", "int32", "int8"}
    assert not any(a.any() for a in state)


def test_contradictory_declarations_are_refused():
    good = ideal_storage.MODEL
    for change, message in (
        ({"specs": good.specs[:-1]}, "declare the same names in the same order"),
        ({"specs": good.specs[::-1]}, "declare the same names in the same order"),
        ({"variables": good.variables[1:]}, "variables names"),
        ({"variables": smtj.MODEL.variables, "state": smtj.State}, "state lacks .'fault', 'pulse_count'."),
    ):
        with pytest.raises(DeviceModelError, match=message):
            check_model(replace(good, **change), "here")
    with pytest.raises(DeviceModelError, match="here: got dict; expected"):
        check_model({}, "here")
