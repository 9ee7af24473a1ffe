"""The exact crossbar solvers against a general nodal analysis, ngspice, closed forms and themselves."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import circuit, ngspice

from bimu_hw.crossbar.ir_drop import (
    IrDropSolver,
    ProgrammedArray,
    effective_matrix,
    matrix_pays_off,
    solve_ir_drop,
)
from bimu_hw.errors import CircuitError
from bimu_hw.kernels import ir_drop as kernels

GOLDEN = sorted(ngspice.GOLDEN.glob("*.json"))


def off(found, wanted) -> float:
    """Return the largest difference over the largest wanted value."""
    return float(np.max(np.abs(np.asarray(found) - wanted)) / np.max(np.abs(wanted)))


def binary_array(shape, seed, high=1e-4, low=1e-5):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < 0.5, high, low)


WIRES = [
    dict(r_wordline=1.0, r_bitline=1.0),
    dict(r_wordline=10.0, r_bitline=0.1, r_driver=300.0, r_sense=20.0),
    dict(r_wordline=0.0, r_bitline=5.0),
    dict(r_wordline=0.0, r_bitline=5.0, r_driver=50.0),
    dict(r_wordline=5.0, r_bitline=0.0),
    dict(r_wordline=5.0, r_bitline=0.0, r_sense=50.0),
    dict(r_wordline=0.0, r_bitline=0.0, r_driver=70.0, r_sense=30.0),
    dict(r_wordline=0.0, r_bitline=0.0),
    dict(r_wordline=1e-9, r_bitline=1e3, r_driver=0.0, r_sense=1e5),
]


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (2, 3), (17, 9), (9, 34)])
@pytest.mark.parametrize("wires", WIRES, ids=lambda w: ",".join(f"{v:g}" for v in w.values()))
@pytest.mark.parametrize("transposed", [False, True])
def test_agrees_with_nodal_analysis(shape, wires, transposed):
    rng = np.random.default_rng(hash((shape, transposed)) % 2**32)
    conductance = 10.0 ** rng.uniform(-6, -3, shape)
    conductance[rng.random(shape) < 0.2] = 0.0
    conductance.flat[0] = 1e-4
    voltages = rng.uniform(-0.5, 0.5, shape[1] if transposed else shape[0])
    result = solve_ir_drop(conductance, voltages, transposed=transposed, **wires)
    sensed, word, bit = circuit.solve(conductance, voltages, transposed=transposed, **wires)
    assert off(result.currents, sensed) < 2e-11
    assert np.max(np.abs(result.wordline_voltages - word)) < 2e-11
    assert np.max(np.abs(result.bitline_voltages - bit)) < 2e-11


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_network_agrees_with_nodal_analysis(data):
    ohm = st.sampled_from([0.0, 0.5, 1.0, 40.0, 300.0])
    m, n = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7))
    wires = {name: data.draw(ohm) for name in ("r_wordline", "r_bitline", "r_driver", "r_sense")}
    transposed = data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    conductance = 10.0 ** rng.uniform(-7, -2, (m, n))
    conductance[rng.random((m, n)) < 0.2] = 0.0
    if wires["r_wordline"] > 0.0 and wires["r_bitline"] > 0.0:
        conductance[rng.random((m, n)) < 0.15] = np.inf
    voltages = rng.uniform(-1.0, 1.0, n if transposed else m)
    result = solve_ir_drop(conductance, voltages, transposed=transposed, **wires)
    sensed, word, bit = circuit.solve(conductance, voltages, transposed=transposed, **wires)
    # Currents that cancel leave no scale of their own: 1e-9 of what the sources deliver is the least.
    scale = max(np.abs(sensed).max(), 1e-9 * np.abs(result.source_currents).max(), 1e-300)
    assert np.max(np.abs(result.currents - sensed)) < 1e-9 * scale
    assert np.max(np.abs(result.wordline_voltages - word)) < 1e-9
    assert np.max(np.abs(result.bitline_voltages - bit)) < 1e-9
    matrix = effective_matrix(conductance, transposed=transposed, **wires)
    assert np.max(np.abs(voltages @ matrix - sensed)) < 1e-9 * scale


def test_agrees_with_nodal_analysis_at_128():
    conductance, wires = binary_array((128, 128), 3), dict(r_wordline=1.0, r_bitline=1.0)
    voltages = np.random.default_rng(4).choice([-0.2, 0.2], 128)
    sensed, _, _ = circuit.solve(conductance, voltages, **wires)
    assert off(solve_ir_drop(conductance, voltages, **wires).currents, sensed) < 1e-11
    assert off(voltages @ effective_matrix(conductance, **wires), sensed) < 1e-11


def test_one_cell_is_a_series_circuit():
    wires = dict(r_wordline=3.0, r_bitline=5.0, r_driver=11.0, r_sense=7.0)
    result = solve_ir_drop([[1 / 74.0]], [2.0], **wires)
    assert result.bitline_currents[0] == pytest.approx(0.02, rel=1e-15)
    assert result.wordline_currents[0] == pytest.approx(0.02, rel=1e-15)
    assert float(result.source_power) == pytest.approx(0.04, rel=1e-15)
    assert float(result.cell_dissipation.sum()) == pytest.approx(0.02**2 * 74.0, rel=1e-14)
    assert float(result.wire_dissipation) == pytest.approx(0.02**2 * 8.0, rel=1e-14)
    assert float(result.terminal_dissipation) == pytest.approx(0.02**2 * 18.0, rel=1e-14)


def test_a_ladder_follows_its_closed_form():
    # One bit line of r ohms per row under equal voltages and cells is a discrete transmission line:
    # V - b_k ~ cosh((k + 1/2) x), k from the open end, with sinh(x/2) = sqrt(rG)/2.
    n, r, g, v = 40, 30.0, 1e-3, 0.7
    result = solve_ir_drop(np.full((n, 1), g), np.full(n, v), r_wordline=0.0, r_bitline=r)
    x = 2.0 * np.arcsinh(np.sqrt(r * g) / 2.0)
    drop = v * np.cosh((np.arange(n) + 0.5) * x) / np.cosh((n + 0.5) * x)
    np.testing.assert_allclose(v - result.bitline_voltages[:, 0], drop, rtol=1e-11)
    np.testing.assert_allclose(result.currents, [g * drop.sum()], rtol=1e-11)


def test_ideal_wires_give_the_plain_product():
    rng = np.random.default_rng(0)
    conductance, voltages = rng.uniform(0, 1e-4, (12, 9)), rng.uniform(-1, 1, 12)
    found = solve_ir_drop(conductance, voltages, r_wordline=0.0, r_bitline=0.0).currents
    np.testing.assert_allclose(found, voltages @ conductance, rtol=1e-13, atol=1e-19)
    near = solve_ir_drop(conductance, voltages, r_wordline=1e-9, r_bitline=1e-9).currents
    assert off(near, voltages @ conductance) < 1e-11


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_agrees_with_golden_ngspice(path):
    record = json.loads(path.read_text())
    case = record["input"]
    case["conductance"] = np.array(case["conductance"], float)
    result = solve_ir_drop(**case)
    assert off(result.wordline_currents, np.array(record["wordline_currents"])) < 1e-11
    assert off(result.bitline_currents, np.array(record["bitline_currents"])) < 1e-11


def test_golden_files_are_there():
    assert {p.stem for p in GOLDEN} == set(ngspice.golden_cases())


@pytest.mark.parametrize("transposed", [False, True])
def test_agrees_with_live_ngspice(transposed):
    if ngspice.version() is None:
        pytest.skip("ngspice is not on PATH; the golden files stand in for it")
    rng = np.random.default_rng(11)
    case = dict(r_wordline=2.0, r_bitline=3.0, r_driver=40.0, r_sense=15.0, transposed=transposed)
    conductance = 10.0 ** rng.uniform(-6, -3, (20, 14))
    voltages = rng.uniform(-0.2, 0.2, 14 if transposed else 20)
    words, bits = ngspice.currents(conductance, voltages, **case)
    result = solve_ir_drop(conductance, voltages, **case)
    assert off(result.wordline_currents, words) < 1e-11
    assert off(result.bitline_currents, bits) < 1e-11


@pytest.mark.parametrize("wires", WIRES, ids=lambda w: ",".join(f"{v:g}" for v in w.values()))
@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (1, 3), (5, 5)])
def test_effective_matrix_is_what_unit_voltages_give(wires, shape):
    conductance = 10.0 ** np.random.default_rng(5).uniform(-6, -3, shape)
    matrix = effective_matrix(conductance, **wires)
    columns = [solve_ir_drop(conductance, unit, **wires).currents for unit in np.eye(shape[0])]
    assert off(matrix, np.array(columns)) < 1e-11
    rows = [solve_ir_drop(conductance, unit, transposed=True, **wires).currents for unit in np.eye(shape[1])]
    assert off(matrix.T, np.array(rows)) < 1e-11
    np.testing.assert_array_equal(effective_matrix(conductance, transposed=True, **wires), matrix.T)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("wires", WIRES[:4], ids=lambda w: ",".join(f"{v:g}" for v in w.values()))
def test_energy_is_conserved(wires, transposed):
    rng = np.random.default_rng(6)
    conductance = 10.0 ** rng.uniform(-5, -3, (30, 20))
    voltages = rng.uniform(-0.4, 0.4, (3, 20 if transposed else 30))
    result = solve_ir_drop(conductance, voltages, transposed=transposed, **wires)
    spent = result.cell_dissipation.sum(axis=(1, 2)) + result.wire_dissipation + result.terminal_dissipation
    np.testing.assert_allclose(result.source_power, spent, rtol=1e-10)
    np.testing.assert_allclose(result.cell_dissipation, result.cell_currents**2 / conductance, rtol=1e-6, atol=1e-20)


@pytest.mark.parametrize("ohm", [0.0, 25.0])
def test_shorts_join_their_nodes_exactly(ohm):
    rng = np.random.default_rng(7)
    conductance = 10.0 ** rng.uniform(-6, -4, (6, 5))
    conductance[1, 2] = conductance[4, 0] = conductance[4, 4] = np.inf
    voltages = rng.uniform(0, 1, 6)
    wires = dict(r_wordline=ohm, r_bitline=4.0, r_driver=9.0)
    sensed, word, _ = circuit.solve(conductance, voltages, **wires)
    result = solve_ir_drop(conductance, voltages, **wires)
    assert off(result.currents, sensed) < 1e-12
    assert off(result.wordline_voltages, word) < 1e-12
    shorted = np.isinf(conductance)
    np.testing.assert_allclose(result.wordline_voltages[shorted], result.bitline_voltages[shorted], rtol=1e-14)
    assert off(voltages @ effective_matrix(conductance, **wires), sensed) < 1e-12
    spent = result.cell_dissipation.sum() + result.wire_dissipation + result.terminal_dissipation
    assert float(result.source_power) == pytest.approx(float(spent), rel=1e-11)


def test_an_array_of_shorts_is_a_grid_of_wires():
    wires = dict(r_wordline=2.0, r_bitline=3.0)
    shorts, voltages = np.full((12, 12), np.inf), np.linspace(0.0, 1.0, 12)
    sensed, _, _ = circuit.solve(shorts, voltages, **wires)
    result = solve_ir_drop(shorts, voltages, **wires)
    assert result.route == "line elimination"
    assert off(result.currents, sensed) < 1e-12


def test_shorts_on_wires_without_resistance():
    conductance = np.array([[1e-4, np.inf, 2e-4], [3e-4, 1e-4, 5e-5], [0.0, 2e-4, np.inf]])
    voltages = np.array([0.3, -0.1, 0.2])
    for wires in (
        dict(r_wordline=0.0, r_bitline=8.0),
        dict(r_wordline=0.0, r_bitline=8.0, r_driver=20.0),
        dict(r_wordline=0.0, r_bitline=0.0, r_driver=20.0, r_sense=30.0),
        dict(r_wordline=0.0, r_bitline=0.0, r_sense=30.0),
        dict(r_wordline=6.0, r_bitline=0.0, r_sense=30.0),
        dict(r_wordline=6.0, r_bitline=0.0),
    ):
        both = [solve_ir_drop(conductance, voltages, transposed=t, **wires) for t in (False, True)]
        for transposed, result in zip((False, True), both, strict=True):
            if wires["r_bitline"] + wires.get("r_sense", 0.0) > 0.0 and not (
                transposed and wires["r_wordline"] + wires.get("r_driver", 0.0) == 0.0
            ):
                sensed, _, _ = circuit.solve(conductance, voltages, transposed=transposed, **wires)
                assert off(result.currents, sensed) < 1e-12
            spent = result.cell_dissipation.sum() + result.wire_dissipation + result.terminal_dissipation
            assert float(result.source_power) == pytest.approx(float(spent), rel=1e-12)
        matrix = effective_matrix(conductance, **wires)
        assert off(voltages @ matrix, both[0].currents) < 1e-12
        assert off(matrix @ voltages, both[1].currents) < 1e-12


@pytest.mark.parametrize(
    ("cells", "wires"),
    [
        ([[np.inf]], dict()),
        ([[np.inf, np.inf], [np.inf, np.inf]], dict(r_driver=1.0, r_sense=1.0)),
        ([[np.inf], [np.inf]], dict(r_sense=5.0)),
        ([[np.inf, np.inf]], dict(r_driver=5.0)),
    ],
)
@pytest.mark.parametrize("transposed", [False, True])
def test_a_loop_without_resistance_is_refused(cells, wires, transposed):
    cells = np.array(cells)
    options = dict(r_wordline=0.0, r_bitline=0.0, **wires)
    with pytest.raises(CircuitError, match=r"loop without resistance"):
        solve_ir_drop(cells, np.zeros(cells.shape[1 if transposed else 0]), transposed=transposed, **options)
    with pytest.raises(CircuitError, match=r"loop without resistance"):
        effective_matrix(cells, **options)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12])
def test_the_tolerance_is_kept(tolerance):
    conductance = binary_array((60, 50), 8, high=1e-3)
    voltages = np.random.default_rng(9).choice([-0.2, 0.2], (5, 60))
    wires = dict(r_wordline=10.0, r_bitline=10.0)
    wanted = voltages @ effective_matrix(conductance, **wires)
    found = solve_ir_drop(conductance, voltages, tolerance=tolerance, **wires)
    assert found.route == "line elimination"
    error = np.max(np.abs(found.currents - wanted), axis=1) / np.max(np.abs(wanted), axis=1)
    assert np.all(error <= tolerance + 1e-13)


def test_currents_that_cancel_are_solved_to_rounding():
    voltages = np.tile([0.2, -0.2], 8)
    result = solve_ir_drop(np.full((16, 10), 1e-4), voltages, r_wordline=1.0, r_bitline=0.0, r_sense=1.0)
    assert np.max(np.abs(result.currents)) < 1e-17
    silent = solve_ir_drop(np.full((16, 10), 1e-4), np.zeros(16), r_wordline=1.0, r_bitline=1.0)
    assert not silent.currents.any()
    unplugged = solve_ir_drop(np.zeros((16, 10)), voltages, r_wordline=1.0, r_bitline=1.0)
    assert not unplugged.currents.any()


def test_many_vectors_take_the_matrix_and_agree():
    conductance = binary_array((24, 20), 10)
    voltages = np.random.default_rng(10).uniform(-0.2, 0.2, (40, 24))
    wires = dict(r_wordline=5.0, r_bitline=5.0, r_driver=3.0)
    together = solve_ir_drop(conductance, voltages, **wires)
    assert together.route == "effective matrix"
    one_by_one = [solve_ir_drop(conductance, v, **wires) for v in voltages]
    assert one_by_one[0].route == "line elimination"
    assert off(together.currents, np.array([r.currents for r in one_by_one])) < 1e-12
    assert off(together.source_currents, np.array([r.source_currents for r in one_by_one])) < 1e-10
    assert together.cell_currents.shape == (40, 24, 20)
    assert one_by_one[0].cell_currents.shape == (24, 20)


def test_the_matrix_pays_off_after_some_vectors():
    assert not matrix_pays_off(256, 256, 1)
    assert not matrix_pays_off(256, 256, 50)
    assert matrix_pays_off(256, 256, 1000)
    assert matrix_pays_off(64, 64, 50)


def test_a_programmed_array_changes_route_and_not_its_answers():
    conductance = binary_array((16, 12), 12)
    wires = dict(r_wordline=5.0, r_bitline=5.0)
    array = ProgrammedArray(conductance, **wires)
    eager = ProgrammedArray(conductance, n_vectors=10_000, **wires)
    rng = np.random.default_rng(13)
    for step in range(20):
        transposed = step % 3 == 0
        voltages = rng.uniform(-1, 1, 12 if transposed else 16)
        wanted = solve_ir_drop(conductance, voltages, transposed=transposed, **wires).currents
        assert off(array.read(voltages, transposed), wanted) < 1e-12
        assert off(eager.read(voltages, transposed), wanted) < 1e-12
    assert "matrix" in vars(array)


@pytest.mark.parametrize("transposed", [False, True])
def test_the_solver_for_loops_agrees_bit_for_bit(transposed):
    rng = np.random.default_rng(14)
    cells = np.stack([binary_array((18, 13), seed) for seed in range(4)])
    cells[2, 3, 4] = np.inf
    wires = dict(r_wordline=2.0, r_bitline=4.0, r_sense=10.0)
    solver = IrDropSolver(18, 13, **wires)
    own = rng.uniform(-1, 1, (4, 13 if transposed else 18))
    for voltages in (own, own[:1]):
        delivered = np.empty((4, own.shape[1]))
        found = solver.solve(cells, voltages, transposed=transposed, source_currents=delivered)
        for k in range(4):
            result = solve_ir_drop(cells[k], voltages[k % len(voltages)], transposed=transposed, **wires)
            np.testing.assert_array_equal(found[k], result.currents)
            np.testing.assert_array_equal(delivered[k], result.source_currents)
    # The answer for one array does not depend on what was solved before it.
    np.testing.assert_array_equal(solver.solve(cells[3:], own[3:], transposed=transposed)[0],
                                  solver.solve(cells, own, transposed=transposed)[3])  # fmt: skip


def test_the_solver_for_loops_takes_shorts_on_ideal_wires():
    cells = np.stack([binary_array((6, 5), seed) for seed in range(4)])
    cells[1, 2, 3] = cells[3, 0, 0] = np.inf
    wires = dict(r_wordline=0.0, r_bitline=4.0, r_driver=2.0)
    voltages = np.random.default_rng(15).uniform(-1, 1, (4, 6))
    delivered = np.empty((4, 6))
    found = IrDropSolver(6, 5, **wires).solve(cells, voltages, source_currents=delivered)
    for k in range(4):
        sensed, _, _ = circuit.solve(cells[k], voltages[k], **wires)
        assert off(found[k], sensed) < 1e-12
        assert off(delivered[k], solve_ir_drop(cells[k], voltages[k], **wires).source_currents) < 1e-14


def test_node_voltages_and_currents_follow_kirchhoff():
    rng = np.random.default_rng(16)
    conductance, voltages = 10.0 ** rng.uniform(-5, -3, (9, 7)), rng.uniform(-1, 1, 9)
    result = solve_ir_drop(conductance, voltages, r_wordline=2.0, r_bitline=3.0, r_driver=5.0)
    drop = result.wordline_voltages - result.bitline_voltages
    np.testing.assert_allclose(result.cell_currents, conductance * drop, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(result.cell_currents.sum(axis=0), result.bitline_currents, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(result.cell_currents.sum(axis=1), result.wordline_currents, rtol=1e-9, atol=1e-14)


GOOD = dict(conductance=np.full((3, 2), 1e-4), voltages=np.ones(3), r_wordline=1.0, r_bitline=1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(conductance=np.array([[1e-4, -1e-9]] * 3)), r"conductance\[0, 1\]: got .*-1e-09.* S"),
        (dict(conductance=np.array([[1e-4, 1e-4], [np.nan, 1e-4], [0, 0]])), r"conductance\[1, 0\]: got .*nan"),
        (dict(conductance=np.ones(3)), r"expected \[wordline, bitline\]"),
        (dict(conductance=np.ones((0, 3))), r"none of them empty"),
        (dict(voltages=np.ones(2)), r"voltages: got shape \(2,\); expected \[wordline\] .*3 wordlines"),
        (dict(voltages=np.ones((2, 2, 3))), r"voltages: got shape"),
        (dict(voltages=np.ones(3), transposed=True), r"with 2 bitlines"),
        (dict(voltages=np.array([0.0, np.inf, 0.0])), r"voltages\[1\]: got .*inf.* V; expected finite"),
        (dict(r_wordline=-1.0), r"r_wordline: got -1.0 ohm"),
        (dict(r_bitline=np.nan), r"r_bitline: got nan ohm"),
        (dict(r_sense=np.inf), r"r_sense: got inf ohm"),
        (dict(r_driver=1e-20), r"r_driver: got 1e-20 ohm"),
        (dict(tolerance=0.0), r"tolerance: got 0.0; allowed is 1e-13 to 1e-2"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(CircuitError, match=message):
        solve_ir_drop(**{**GOOD, **change})


def test_the_solver_for_loops_names_bad_input():
    solver = IrDropSolver(3, 2, r_wordline=1.0, r_bitline=1.0)
    cells, volts = np.full((2, 3, 2), 1e-4), np.ones((2, 3))
    for bad in (-1.0, np.nan):
        wrong = cells.copy()
        wrong[1, 2, 1] = bad
        with pytest.raises(CircuitError, match=r"array 1: a conductance is negative or NaN"):
            solver.solve(wrong, volts)
    with pytest.raises(CircuitError, match=r"array 0: a voltage is not finite"):
        solver.solve(cells, np.array([[0.0, np.nan, 0.0]]))
    with pytest.raises(CircuitError, match=r"conductance: got float32"):
        solver.solve(cells.astype(np.float32), volts)
    with pytest.raises(CircuitError, match=r"voltages: got float64 of shape \[2, 2\]"):
        solver.solve(cells, np.ones((2, 2)))


def test_a_tolerance_that_is_not_reached_is_named(monkeypatch):
    monkeypatch.setattr(kernels, "iteration_budget", lambda m, n: 1)
    cells = binary_array((64, 64), 17)
    with pytest.raises(CircuitError, match=r"vector 0: the error .* tolerance = 1e-10"):
        solve_ir_drop(cells, np.ones(64), r_wordline=10.0, r_bitline=10.0)
    with pytest.raises(CircuitError, match=r"column sums could not be confirmed"):
        effective_matrix(cells, r_wordline=10.0, r_bitline=10.0)
    with pytest.raises(CircuitError, match=r"array 0: the error .* tolerance = 1e-10"):
        IrDropSolver(64, 64, r_wordline=10.0, r_bitline=10.0).solve(cells[None], np.ones((1, 64)))
