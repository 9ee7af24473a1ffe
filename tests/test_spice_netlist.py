"""Netlists against a nodal analysis of their text, golden ngspice runs, and the exact solver."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from oracles import ngspice, spice

from bimu_hw.errors import CircuitError
from bimu_hw.spice.check import compare, ideal_currents, solve
from bimu_hw.spice.netlist import Circuit, Wires, write_netlist
from bimu_hw.spice.ngspice import check_netlist, estimate_seconds, find_ngspice, read_operating_point, solve_by_ngspice

WIRES = [
    Wires(1.0, 1.0),
    Wires(10.0, 0.1, 300.0, 20.0),
    Wires(0.0, 5.0),
    Wires(0.0, 5.0, 50.0, 0.0),
    Wires(5.0, 0.0),
    Wires(5.0, 0.0, 0.0, 50.0),
    Wires(0.0, 0.0, 70.0, 30.0),
    Wires(),
]


def random_circuit(shape, wires, transposed, seed=0, shorts=False):
    rng = np.random.default_rng(seed)
    cells = 10.0 ** rng.uniform(-6, -3, shape)
    cells[rng.random(shape) < 0.2] = 0.0
    cells.flat[-1] = 1e-4
    if shorts and wires.r_wordline and wires.r_bitline:
        cells.flat[len(cells) // 2] = np.inf
    return Circuit.of(cells, rng.uniform(-0.5, 0.5, shape[1] if transposed else shape[0]), wires, transposed)


def off(found, wanted):
    return float(np.abs(np.asarray(found) - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (4, 7), (7, 4)])
@pytest.mark.parametrize("wires", WIRES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_a_netlist_says_what_the_solver_solves(shape, wires, transposed):
    circuit = random_circuit(shape, wires, transposed, shorts=True)
    elements = spice.read(write_netlist(circuit, "t", ["a comment"]))
    found = spice.operating_point(elements)
    ours = solve(circuit)
    assert off([found[name.lower()] for name in circuit.sensed], ours.currents) < 1e-10
    assert off([-found[name.lower()] for name in circuit.driven], ours.source_currents) < 1e-10


def test_elements_are_named_by_their_place():
    cells = np.array([[1e-3, 0.0], [2e-3, 1 / 3.0]])
    text = write_netlist(Circuit.of(cells, [0.1, 0.0], Wires(1.0, 2.0, 3.0, 4.0)), "two by two")
    assert text.splitlines()[0] == "two by two"
    assert spice.read(text) == {
        "vw0": ("tw0", "0", 0.1), "vw1": ("tw1", "0", 0.0), "vb0": ("tb0", "0", 0.0), "vb1": ("tb1", "0", 0.0),
        "rd0": ("tw0", "dw0", 3.0), "rd1": ("tw1", "dw1", 3.0), "rs0": ("tb0", "sb0", 4.0), "rs1": ("tb1", "sb1", 4.0),
        "rw0_0": ("dw0", "w0_0", 1.0), "rw0_1": ("w0_0", "w0_1", 1.0),
        "rw1_0": ("dw1", "w1_0", 1.0), "rw1_1": ("w1_0", "w1_1", 1.0),
        "rb1_0": ("sb0", "b1_0", 2.0), "rb0_0": ("b1_0", "b0_0", 2.0),
        "rb1_1": ("sb1", "b1_1", 2.0), "rb0_1": ("b1_1", "b0_1", 2.0),
        "rc0_0": ("w0_0", "b0_0", 1000.0), "rc1_0": ("w1_0", "b1_0", 500.0), "rc1_1": ("w1_1", "b1_1", 3.0),
    }  # fmt: skip
    assert ".op" in text.splitlines()
    assert text.endswith(".end\n")


def test_numbers_come_back_bit_for_bit():
    rng = np.random.default_rng(5)
    circuit = Circuit.of(10.0 ** rng.uniform(-9, 2, (3, 4)), rng.normal(size=3), Wires(0.1, 1 / 3))
    elements = spice.read(write_netlist(circuit, "t"))
    for i in range(3):
        assert elements[f"vw{i}"][2] == circuit.voltages[i]
        for j in range(4):
            assert elements[f"rc{i}_{j}"][2] == 1.0 / circuit.conductance[i, j]
    assert {elements[f"rb{i}_0"][2] for i in range(3)} == {1 / 3}


@pytest.mark.parametrize("wires", WIRES, ids=str)
def test_no_resistor_of_zero_ohm_is_written(wires):
    circuit = random_circuit((3, 4), wires, False, shorts=True)
    assert all(value > 0.0 for name, (_, _, value) in spice.read(write_netlist(circuit, "t")).items() if name[0] == "r")


def test_what_a_reader_of_netlists_trips_over_does_not_get_in():
    text = write_netlist(Circuit.of([[1e-3]], [1.0], Wires()), "  µ-title\n.end\n ", ["a\nb", "", "Ωhm"])
    assert text.splitlines()[:4] == ["?-title .end", "* a b", "*", "* ?hm"]
    assert write_netlist(Circuit.of([[1e-3]], [1.0], Wires()), "\n").splitlines()[0] == "crossbar"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1e-3], [1.0], Wires()), r"conductance: got shape \[1\]"),
        ((np.ones((0, 2)), [], Wires()), "conductance: got shape"),
        (([[1e-3]], [1.0, 2.0], Wires()), r"voltages: got shape \[2\]; expected \[1\]"),
        (([[-1e-3]], [1.0], Wires()), "negative or NaN"),
        (([[np.nan]], [1.0], Wires()), "negative or NaN"),
        (([[1e-3]], [np.inf], Wires()), "not finite"),
        (([[1e-3]], [1.0], Wires(r_sense=-1.0)), "r_sense: got -1.0"),
        (([[1e-3]], [1.0], Wires(r_bitline=np.inf)), "r_bitline: got inf"),
    ],
)
def test_bad_circuits_are_refused(arguments, words):
    with pytest.raises(CircuitError, match=words):
        Circuit.of(*arguments)


def test_sources_joined_without_resistance_are_refused():
    with pytest.raises(CircuitError, match="tb0 and tw0 are joined by a path without resistance"):
        write_netlist(Circuit.of([[np.inf]], [1.0], Wires()), "t")
    with pytest.raises(CircuitError, match=r"tw[01] and tw[01]"):
        write_netlist(Circuit.of([[np.inf, 0.0], [np.inf, 0.0]], [1.0, 2.0], Wires(0.0, 0.0, 0.0, 5.0)), "t")


# What ngspice printed


GOLDEN = ngspice.exported_cases()


def assert_same_netlist(ours, golden):
    """Compare word by word; a resistance may differ in its last digits, where mathematical libraries do."""
    assert ours.count("\n") == golden.count("\n")
    for mine, theirs in zip(ours.split(), golden.split(), strict=True):
        if mine != theirs:
            assert float(mine) == pytest.approx(float(theirs), rel=1e-12)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_runs_of_ngspice(name):
    circuit = GOLDEN[name]
    assert_same_netlist(check_netlist(circuit, name), (ngspice.EXPORTED / f"{name}.cir").read_text(encoding="ascii"))
    found = read_operating_point(circuit, (ngspice.EXPORTED / f"{name}.out").read_text(encoding="ascii"))
    ours = solve(circuit)
    assert off(found.sensed, ours.currents) < 1e-12
    assert off(found.driven, ours.source_currents) < 1e-11
    assert found.power == pytest.approx(float(ours.source_power), rel=1e-11)


def test_there_is_a_golden_run_for_every_case_and_no_other():
    assert {path.stem for path in ngspice.EXPORTED.iterdir()} == set(GOLDEN)


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("", "it printed no currents"),
        ("i(vw0) = 1e-3\n", "it printed no currents"),
        ("i(vw0) = nan\ni(vb0) = 1e-3\n", "it printed no currents"),
        ("Warning: singular matrix:  check node b0\n", "singular matrix"),
    ],
)
def test_an_operating_point_that_is_none(printed, words):
    with pytest.raises(CircuitError, match=words):
        read_operating_point(Circuit.of([[1e-3]], [1.0], Wires()), printed)


@pytest.mark.parametrize("wires", WIRES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_live_ngspice(wires, transposed):
    if shutil.which("ngspice") is None:
        pytest.skip("ngspice is not on PATH; the golden files stand in for it")
    circuit = random_circuit((12, 9), wires, transposed, seed=3, shorts=True)
    found = compare(circuit)
    assert found.difference < 1e-12
    assert found.power_ngspice == pytest.approx(found.power, rel=1e-11)
    theirs = solve_by_ngspice(circuit)
    assert off(theirs.driven, solve(circuit).source_currents) < 1e-10


def test_the_comparison_says_what_is_lost(monkeypatch):
    # One cell of 1 kohm behind 2 x 125 ohm: a fifth of the current.
    circuit = Circuit.of([[1e-3]], [1.0], Wires(125.0, 125.0))
    monkeypatch.setattr("bimu_hw.spice.check.solve_by_ngspice", lambda c, title, timeout: read_operating_point(
        c, "i(vw0) = -8.0000008e-4\ni(vb0) = 8.0000008e-4"))  # fmt: skip
    found = compare(circuit)
    assert found.loss == pytest.approx(0.2, rel=1e-12)
    assert found.difference == pytest.approx(1e-7, rel=1e-3)
    assert (found.largest, found.power) == (8.0000008e-4, pytest.approx(8e-4))
    assert found.power_ngspice == 8.0000008e-4


def test_a_plane_of_zeros_drives_nothing():
    circuit = Circuit.of(np.full((2, 3), 1e-4), np.zeros(2), Wires(1.0, 1.0))
    assert not ideal_currents(circuit).any()
    assert not solve(circuit).currents.any()
    if shutil.which("ngspice") is not None:
        found = compare(circuit)
        assert (found.difference, found.largest, found.loss, found.power) == (0.0, 0.0, 0.0, 0.0)


def test_the_estimate_grows_with_the_fifth_power_of_the_side():
    assert estimate_seconds(128, 128) / estimate_seconds(64, 64) == pytest.approx(32, rel=0.1)


def test_without_ngspice_there_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CircuitError, match="apt-get install ngspice"):
        find_ngspice()
