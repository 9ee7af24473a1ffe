"""Published macros: every row within what its case states, and the numbers of the command against sums by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bimu_hw.accelerator.looks import LookTimes, TileRead
from bimu_hw.cards import load_component_card
from bimu_hw.cli import run_commands
from bimu_hw.errors import ScenarioError
from bimu_hw.operations import OPERATIONS
from bimu_hw.published import outcomes, published_cases, simulate, solve
from bimu_hw.scaling import scale_supply
from bimu_hw.scenario.published import load_case

FOLDER = Path(__file__).parents[1] / "scenarios" / "published"
CASES = [path.stem for path in sorted(FOLDER.glob("*.toml"))]


@pytest.mark.parametrize("name", CASES)
def test_every_row_stays_within_what_its_case_allows(name):
    (case,) = published_cases(FOLDER, name)
    assert all((case.taken, case.assumed, case.traps))
    off = [row for row in outcomes(case) if not row.met]
    assert not off


def rows_of(name):
    (case,) = published_cases(FOLDER, name)
    return {(row.point, row.metric): row for row in outcomes(case)}


def test_jia_by_hand():
    rows = rows_of("jia2020")
    # 2,304 inputs of an output cost 9.7 pJ in the array and 1.79 pJ in the converter, in 1.35 us.
    by_hand = 2 * 2304 / (9.7 + 1.79)
    assert rows["0.85 V", "tops_per_watt of driver, adc"].simulated == pytest.approx(by_hand, rel=1e-4)
    assert rows["0.85 V", "tops"].simulated == pytest.approx(2 * 2304 * 256 / 1.35e-6 * 1e-12, rel=1e-9)
    assert rows["1.2 V", "pj_per_output of digital"].simulated == pytest.approx(8.3 * (1.2 / 0.85) ** 2, rel=1e-9)


def test_neurram_by_hand():
    rows = rows_of("wan2022")
    # Word lines: 586 fF from 0.9 V to 2.2 V, drawn from 2.2 V, 256 of them for each of the n - 1 pulses of an input.
    for bits, pulses in ((1, 1), (2, 1), (5, 4), (8, 7)):
        femtojoules = pulses * 256 * 586 * 2.2 * 1.3 / 65536
        assert rows[f"{bits + 2}/{bits}", "fj_per_op of driver"].simulated == pytest.approx(femtojoules, rel=1e-3)
    # Neurons: two equations at 3/1 (1 integration, 4 steps) and 10/8 (22 and 22), solved by hand.
    step = (10.62 - 75.86 / 22) / 3
    integration = 75.86 / 22 - step
    expected = 10 * integration + 2 * 9 * step
    assert rows["8/6", "fj_per_op of adc"].simulated == pytest.approx(expected, rel=1e-6)
    assert rows["3/1", "fj_per_op of adc"].role == "fitted"
    assert rows["8/6", "fj_per_op of adc"].role == "predicted"


def test_sinangil_is_a_straight_line_through_the_two_codes_it_was_fitted_to():
    (case,) = published_cases(FOLDER, "sinangil2021")
    values = solve(case)
    for code in (1, 6, 12):
        line = 3.36 + (7.80 - 3.36) * code / 15
        assert simulate(case, f"code {code}", values).metric("pj") == pytest.approx(line, rel=1e-5)


def test_a_tile_read_counts_what_loops_over_tiles_planes_and_lines_count():
    rng = np.random.default_rng(5)
    for _ in range(30):
        driven, sensed, rows, columns, shared, adders = (int(n) for n in rng.integers(1, 40, 6))
        phases = tuple(tuple(int(n) for n in rng.integers(1, 5, rng.integers(1, 4))) for _ in range(rng.integers(1, 4)))
        for accumulate in ("analog", "popcount"):
            read = TileRead(driven, sensed, rows, columns, phases, shared, 1, accumulate, adders=adders)
            counted = dict.fromkeys(((o.component, o.name) for o in OPERATIONS), 0)
            for first in range(0, driven, rows):
                height = min(rows, driven - first)
                for phase in phases:
                    for plane, slots in enumerate(phase):
                        for _ in range(sensed):
                            if accumulate == "popcount":
                                counted["popcount", "bit"] += height * adders
                                counted["digital", "add"] += 1
                                continue
                            counted["adc", "integrate"] += slots
                            last = plane == len(phase) - 1
                            counted["adc", "convert"] += last
                            counted["digital", "add"] += last
            assert read.counts().tolist() == list(counted.values())
            times, ticks = LookTimes(7, 11, 13, 17), 0
            for phase in phases:
                for slots in phase:
                    steps = min(driven, rows) + len(f"{min(driven, rows):b}")
                    ticks += 7 + (steps * 17 if accumulate == "popcount" else slots * 11)
                if accumulate == "analog":
                    ticks += sum(13 for _ in range(min(sensed, columns, shared)))
            assert read.ticks(times) == ticks


def test_energies_follow_the_square_of_the_supply_and_nothing_else_moves():
    card = load_component_card("cmos_65nm")
    scaled = scale_supply(card, 1.1, 0.55)
    for name, fact in card.costs.items():
        factor = 0.25 if fact.unit == "J" and name != "label_energy" else 1.0
        assert scaled.costs[name].value == pytest.approx(fact.value * factor), name
    assert scale_supply(card, 1.1, 1.1) is card
    with pytest.raises(ScenarioError, match="above 0"):
        scale_supply(card, 1.1, 0.0)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[facts.adc_convert_energy]", "[facts.adc_convert_energies]", "Did you mean 'adc_convert_energy'?"),
        ("[facts.digital_add_energy]", "[facts.digital_mac_energy]", "'digital_add_energy' is needed and not stated"),
        ("reference_supply = \"0.85 V\"", "", "has no effect without reference_supply"),
        ("kind = \"measured\"", "kind = \"seen\"", "allowed are measured, fitted, derived, assumed"),
        ("point = \"1.2 V\"", "point = \"1.3 V\"", "got '1.3 V'. Did you mean '1.2 V'?"),
        ("value = 192", "", "has a value and a bracket, or neither"),
        ("of = [\"adc\"]", "of = [\"add\"]", "got 'add'. Did you mean"),
        ("base = \"cmos_65nm\"", "base = \"cmos_66nm\"", "Did you mean 'cmos_65nm'?"),
        ("base = \"cmos_65nm\"", "base = \"cmos_65nm\"\nfrom_base = [\"adc_convert_energy\"]", "from_base: got 'adc_"),
        ("phases = [[1], [1]] }", "phases = [[1], []] }", "phases"),
    ],
)
def test_a_bad_case_is_refused_in_one_sentence(old, new, sentence, tmp_path, capsys):
    text = (FOLDER / "jia2020.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "case.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert run_commands(["published", str(path)]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_a_fit_needs_as_many_points_as_facts_and_a_row_at_each(tmp_path):
    text = (FOLDER / "wan2022.toml").read_text(encoding="utf-8")
    path = tmp_path / "case.toml"
    path.write_text(text.replace('points = ["3/1", "10/8"]', 'points = ["3/1"]', 1), encoding="utf-8")
    with pytest.raises(ScenarioError, match="1 points cannot fix 2 facts"):
        load_case(path)
    path.write_text(text.replace('metric = "us"\npoints', 'metric = "pj"\npoints', 1), encoding="utf-8")
    with pytest.raises(ScenarioError, match="no value of 'pj' at '3/1'"):
        outcomes(load_case(path))


def test_the_command_prints_a_table_and_strict_fails_on_a_missed_row(tmp_path, capsys):
    assert run_commands(["published", "jia2020", "--strict", "--provenance"]) == 0
    said = capsys.readouterr().out
    for word in ("published", "simulated", "counting", "scaling", "fed in", "assumed:", "not modelled:", "TOPS/W"):
        assert word in said
    assert run_commands(["published", "jia"]) == 2
    assert "Did you mean" in capsys.readouterr().err
    text = (FOLDER / "jia2020.toml").read_text(encoding="utf-8").replace("value = 192", "value = 292")
    path = tmp_path / "missed.toml"
    path.write_text(text, encoding="utf-8")
    assert run_commands(["published", str(path)]) == 0
    assert run_commands(["published", str(path), "--strict"]) == 1
    assert "1 outside what their case allows" in capsys.readouterr().out


def test_an_installation_reads_the_cases_inside_the_package(tmp_path, monkeypatch, capsys):
    from bimu_hw.scenario import shipped

    inside = tmp_path / "bimu_hw" / "scenarios" / "published"
    inside.mkdir(parents=True)
    shutil.copy(FOLDER / "jia2020.toml", inside)
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "bimu_hw")
    assert run_commands(["published"]) == 0
    said = capsys.readouterr().out
    assert "Jia" in said
    assert "7 nm SRAM" not in said
