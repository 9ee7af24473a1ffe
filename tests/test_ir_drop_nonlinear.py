"""Nonlinear cells in a crossbar with wire resistance, against an iteration that uses no derivative."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import circuit

from bimu_hw.crossbar.ir_drop import solve_ir_drop
from bimu_hw.crossbar.ir_drop_nonlinear import CubicLaw, TmrBiasLaw, solve_ir_drop_nonlinear
from bimu_hw.errors import CircuitError

WIRES = dict(r_wordline=20.0, r_bitline=8.0, r_driver=50.0, r_sense=10.0)


def cubic(conductance, b):
    return lambda v: conductance * v * (1.0 + b * v**2)


def tmr_bias(conductance, tmr, half):
    parallel = conductance * (1.0 + tmr)
    return lambda v: parallel * v / (1.0 + tmr / (1.0 + (v / half) ** 2))


def draw(seed, shape=(12, 9)):
    rng = np.random.default_rng(seed)
    antiparallel = rng.random(shape) < 0.5
    tmr = np.where(antiparallel, rng.uniform(0.8, 1.5, shape), 0.0)
    conductance = 1e-3 * rng.uniform(0.9, 1.1, shape) / (1.0 + tmr)
    return rng, conductance, tmr


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("wires", [WIRES, dict(r_wordline=0.0, r_bitline=9.0), dict(r_wordline=9.0, r_bitline=0.0)])
def test_cubic_cells(transposed, wires):
    rng, conductance, _ = draw(1)
    b = rng.uniform(0.0, 2.0, conductance.shape)
    voltages = rng.uniform(-0.8, 0.8, 9 if transposed else 12)
    law = cubic(conductance, b)
    sensed, word, bit = circuit.solve_nonlinear(conductance, voltages, law, transposed=transposed, **wires)
    result = solve_ir_drop_nonlinear(conductance, voltages, CubicLaw(b), transposed=transposed, **wires)
    assert np.max(np.abs(result.currents - sensed)) < 1e-10 * np.max(np.abs(sensed))
    assert np.max(np.abs(result.wordline_voltages - word)) < 1e-10
    assert np.max(np.abs(result.bitline_voltages - bit)) < 1e-10


@pytest.mark.parametrize("transposed", [False, True])
def test_bias_dependence_of_tmr(transposed):
    rng, conductance, tmr = draw(2)
    half = rng.uniform(0.3, 0.6, conductance.shape)
    voltages = rng.uniform(-0.8, 0.8, (3, 9 if transposed else 12))
    result = solve_ir_drop_nonlinear(conductance, voltages, TmrBiasLaw(tmr, half), transposed=transposed, **WIRES)
    law = tmr_bias(conductance, tmr, half)
    for k, vector in enumerate(voltages):
        sensed, word, bit = circuit.solve_nonlinear(conductance, vector, law, transposed=transposed, **WIRES)
        assert np.max(np.abs(result.currents[k] - sensed)) < 1e-10 * np.max(np.abs(sensed))
        drop = (bit - word) if transposed else (word - bit)
        np.testing.assert_allclose(result.cell_currents[k], law(drop), rtol=1e-9, atol=1e-14)
    spent = result.cell_dissipation.sum(axis=(1, 2)) + result.wire_dissipation + result.terminal_dissipation
    np.testing.assert_allclose(result.source_power, spent, rtol=1e-10)
    linear = solve_ir_drop(conductance, voltages, transposed=transposed, **WIRES).currents
    assert np.max(np.abs(linear - result.currents)) > 1e-2 * np.max(np.abs(linear))


def test_at_its_half_voltage_the_tmr_is_half():
    current, slope = TmrBiasLaw(1.2, 0.4).evaluate(np.array([[1.0]]), np.array([[0.4]]))
    assert current[0, 0] == pytest.approx(0.4 * 2.2 / 1.6, rel=1e-14)
    step = 1e-5
    above, _ = TmrBiasLaw(1.2, 0.4).evaluate(np.array([[1.0]]), np.array([[0.4 + step]]))
    below, _ = TmrBiasLaw(1.2, 0.4).evaluate(np.array([[1.0]]), np.array([[0.4 - step]]))
    assert slope[0, 0] == pytest.approx((above - below)[0, 0] / (2 * step), rel=1e-8)


@pytest.mark.parametrize("law", [CubicLaw(0.0), TmrBiasLaw(0.0, 0.5)])
def test_neutral_laws_are_linear_cells(law):
    rng, conductance, _ = draw(3)
    conductance[2, 2], conductance[3, 3] = 0.0, np.inf
    voltages = rng.uniform(-0.8, 0.8, 12)
    found = solve_ir_drop_nonlinear(conductance, voltages, law, **WIRES)
    wanted = solve_ir_drop(conductance, voltages, **WIRES)
    assert np.max(np.abs(found.currents - wanted.currents)) < 1e-12 * np.max(np.abs(wanted.currents))
    np.testing.assert_allclose(found.cell_currents, wanted.cell_currents, rtol=1e-8, atol=1e-15)


def test_a_law_sees_the_users_order():
    # One cell with a strong law: where it sits must not be mirrored by the transposed read.
    conductance, b = np.full((3, 4), 1e-3), np.zeros((3, 4))
    b[0, 3] = 50.0
    voltages = np.full(4, 0.5)
    result = solve_ir_drop_nonlinear(conductance, voltages, CubicLaw(b), transposed=True, **WIRES)
    drop = result.bitline_voltages - result.wordline_voltages
    np.testing.assert_allclose(result.cell_currents, cubic(conductance, b)(drop), rtol=1e-10)


class _Rectifying:
    def evaluate(self, conductance, volts):
        return conductance * np.expm1(volts), conductance * np.exp(volts)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_law_sees_the_voltage_from_word_line_to_bit_line(transposed):
    conductance, voltages = np.full((3, 4), 1e-3), np.full(4 if transposed else 3, 0.5)
    result = solve_ir_drop_nonlinear(conductance, voltages, _Rectifying(), transposed=transposed, **WIRES)
    current = conductance * np.expm1(result.wordline_voltages - result.bitline_voltages)
    np.testing.assert_allclose(result.cell_currents, -current if transposed else current, rtol=1e-9)


def test_strong_laws_converge():
    rng, conductance, _ = draw(4, (20, 20))
    voltages = rng.uniform(-3.0, 3.0, 20)
    law = cubic(conductance, 100.0)
    result = solve_ir_drop_nonlinear(conductance, voltages, CubicLaw(100.0), **WIRES)
    drop = result.wordline_voltages - result.bitline_voltages
    np.testing.assert_allclose(result.cell_currents, law(drop), rtol=1e-7, atol=1e-9 * np.abs(result.currents).max())
    spent = result.cell_dissipation.sum() + result.wire_dissipation + result.terminal_dissipation
    assert float(result.source_power) == pytest.approx(float(spent), rel=1e-9)


class _Falling:
    def evaluate(self, conductance, volts):
        return conductance * np.sin(9.0 * volts) / 9.0, conductance * np.cos(9.0 * volts)


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (CubicLaw(-1.0), r"CubicLaw, coefficient: got .*-1"),
        (CubicLaw(np.nan), r"CubicLaw, coefficient: got .*nan"),
        (TmrBiasLaw(-0.1, 0.5), r"TmrBiasLaw, tmr: got"),
        (TmrBiasLaw(0.5, 0.0), r"TmrBiasLaw, half_voltage: got .* above 0"),
        (_Falling(), r"law: _Falling returned a current that is not finite or does not rise"),
    ],
)
def test_bad_laws_are_named(law, message):
    with pytest.raises(CircuitError, match=message):
        solve_ir_drop_nonlinear(np.full((2, 2), 1e-3), np.ones(2), law, **WIRES)


def test_bad_input_is_named():
    with pytest.raises(CircuitError, match=r"a short on a driven wire without resistance"):
        solve_ir_drop_nonlinear([[np.inf]], [1.0], CubicLaw(0.0), r_wordline=0.0, r_bitline=1.0)
    with pytest.raises(CircuitError, match=r"solve_ir_drop_nonlinear, conductance"):
        solve_ir_drop_nonlinear([[-1.0]], [1.0], CubicLaw(0.0), r_wordline=1.0, r_bitline=1.0)
