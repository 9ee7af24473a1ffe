"""Tiles with wire resistance in forward and backward reads, against the layout and the public solver."""

from __future__ import annotations

import numpy as np
import pytest

from bimu_hw.crossbar.circuit import TileCircuit
from bimu_hw.crossbar.circuit_held import HeldReads, pulse_width_planes
from bimu_hw.crossbar.ir_drop import solve_ir_drop
from bimu_hw.crossbar.layout import DEVICES, TileLayout, device_conductances
from bimu_hw.errors import CircuitError

ON, OFF = 165e-6, 95.4e-6
WIRES = {"r_wordline": 1.0, "r_bitline": 1.5, "r_driver": 40.0, "r_sense": 20.0}
MAPPINGS = tuple(DEVICES)


def devices(columns, shape, spread=0.05, seed=0):
    errors = np.random.default_rng(seed).normal(size=(*shape, DEVICES[columns])).astype(np.float32)
    return device_conductances(ON, OFF, spread, errors)


def make(columns, shape=(21, 13), tile=(16, 8), spread=0.05, wires=WIRES, **options):
    g_on, g_off = devices(columns, shape, spread)
    return TileCircuit(shape, tile, TileLayout(columns, ON, OFF), g_on, g_off, **wires, **options), g_on, g_off


def draw(shape, n_look, planes_shape, seed=1, kind="signed"):
    rng = np.random.default_rng(seed)
    weights = rng.choice(np.array([-1, 1], np.int8), (n_look, *shape))
    planes = rng.uniform(-1, 1, planes_shape) if kind == "signed" else rng.integers(0, 2, planes_shape)
    return weights, planes.astype(np.float32)


def read(circuit, planes, weights, n_sample, transposed=False, parts=None, **options):
    (m, n), (tm, tn) = circuit.shape, circuit.tile_shape
    shape = (-(-n // tn), m) if transposed else (-(-m // tm), n)
    out = np.full((n_sample, planes.shape[1], *shape), np.nan, np.float32)
    conductance = np.full(n_sample, np.nan)
    call = circuit.backward if transposed else circuit.forward
    for first, last in parts or [(0, n_sample)]:
        call(planes, weights, first, last, out, conductance, **options)
    return out, conductance


def by_solver(circuit, g_on, g_off, planes, weights, n_sample, transposed, wires=WIRES):
    """Do the same tile by tile, plane by plane, and add up dissipated instead of delivered power."""
    layout = circuit.layout
    (m, n), (tm, tn) = circuit.shape, circuit.tile_shape
    out = np.zeros((n_sample, planes.shape[1], -(-n // tn), m) if transposed else
                   (n_sample, planes.shape[1], -(-m // tm), n))  # fmt: skip
    power, largest = np.zeros(n_sample), np.zeros(out.shape[:3])
    looks = len(weights) // n_sample
    for s in range(n_sample):
        for p in range(planes.shape[1]):
            look = weights[s * looks + (p if looks > 1 else 0)]
            values = planes[0 if len(planes) == 1 else s, p]
            for w in range(0, m, tm):
                for b in range(0, n, tn):
                    rows, columns = slice(w, w + tm), slice(b, b + tn)
                    own = values[columns] if transposed else values[rows]
                    cells = layout.conductance(look[rows, columns], g_on[rows, columns], g_off[rows, columns])
                    r = solve_ir_drop(cells, layout.voltages(own, transposed), transposed=transposed, **wires)
                    tile, outputs = (b // tn, rows) if transposed else (w // tm, columns)
                    out[s, p, tile, outputs] = layout.sums(r.currents, own, transposed)
                    largest[s, p, tile] = max(largest[s, p, tile], np.abs(r.currents).max() / layout.unit(transposed))
                    power[s] += r.cell_dissipation.sum() + r.wire_dissipation + r.terminal_dissipation
                    power[s] += layout.replica(own, transposed)
    return out, power, largest[..., None]


@pytest.mark.parametrize("transposed", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("columns", MAPPINGS)
@pytest.mark.parametrize("looks", ["sample", "plane"])
@pytest.mark.parametrize("n_plane", [1, 2, 9])
def test_agrees_with_the_solver(columns, transposed, looks, n_plane):
    circuit, g_on, g_off = make(columns)
    n_sample = 3
    rows = 1 if n_plane == 9 and not transposed else n_sample
    n_look = n_sample * (n_plane if looks == "plane" else 1)
    weights, planes = draw(circuit.shape, n_look, (rows, n_plane, circuit.shape[int(transposed)]))
    out, conductance = read(circuit, planes, weights, n_sample, transposed)
    wanted, power, largest = by_solver(circuit, g_on, g_off, planes, weights, n_sample, transposed)
    # 1e-7 of the largest current, and a float32 result.
    assert np.all(np.abs(out - wanted) <= 1.01e-7 * largest + 6e-8 * np.abs(wanted))
    assert np.allclose(conductance, power, rtol=1e-6, atol=0)
    tight, *_ = make(columns, tolerance=1e-11)
    assert np.allclose(read(tight, planes, weights, n_sample, transposed)[1], power, rtol=1e-9, atol=0)


@pytest.mark.parametrize("wires", [
    {"r_wordline": 2.0, "r_bitline": 0.0}, {"r_wordline": 0.0, "r_bitline": 2.0},
    {"r_wordline": 0.0, "r_bitline": 0.0, "r_sense": 100.0}, {"r_wordline": 0.0, "r_bitline": 0.0, "r_driver": 100.0},
    {"r_wordline": 30.0, "r_bitline": 30.0},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("transposed", [False, True])
def test_wires_of_every_kind(wires, transposed):
    circuit, g_on, g_off = make("differential", wires=wires)
    weights, planes = draw(circuit.shape, 2, (2, 2, circuit.shape[int(transposed)]))
    out, conductance = read(circuit, planes, weights, 2, transposed)
    wanted, power, largest = by_solver(circuit, g_on, g_off, planes, weights, 2, transposed, wires)
    assert np.all(np.abs(out - wanted) <= 1.01e-7 * largest + 6e-8 * np.abs(wanted))
    assert np.allclose(conductance, power, rtol=1e-6, atol=0)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("columns", MAPPINGS)
def test_ideal_wires_give_the_products(columns, transposed):
    circuit, *_ = make(columns, spread=0.0, wires=dict.fromkeys(WIRES, 0.0))
    assert circuit.ideal
    weights, planes = draw(circuit.shape, 2, (2, 3, circuit.shape[int(transposed)]))
    out, _ = read(circuit, planes, weights, 2, transposed)
    wanted = np.einsum("spj,sij->spi" if transposed else "spi,sij->spj", planes.astype(np.float64), weights)
    assert np.allclose(out.sum(axis=2), wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("transposed", [False, True])
def test_bits_do_not_depend_on_how_samples_are_divided(transposed):
    circuit, *_ = make("differential")
    for rows in (1, 5):
        weights, planes = draw(circuit.shape, 5, (rows, 3, circuit.shape[int(transposed)]))
        whole = read(circuit, planes, weights, 5, transposed)
        parts = read(circuit, planes, weights, 5, transposed, parts=[(3, 5), (0, 1), (1, 3)])
        assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("columns", MAPPINGS)
@pytest.mark.parametrize("transposed", [False, True])
def test_calibration_removes_the_mean_loss(columns, transposed):
    circuit, *_ = make(columns, spread=0.0)
    circuit.calibrate()
    m, n = circuit.shape
    board = np.where(np.add.outer(np.arange(m), np.arange(n)) % 2, -1, 1).astype(np.int8)[None]
    own = columns == "reference" if transposed else columns == "xnor"
    v = np.ones((n, m)[not transposed]) if own else 1.0 - 2.0 * (np.arange(n if transposed else m) % 2)
    out, _ = read(circuit, v.astype(np.float32)[None, None], board, 1, transposed)
    ideal = v @ (board[0].T if transposed else board[0])
    assert np.allclose(out[0, 0].sum(axis=0), ideal, rtol=1e-5, atol=1e-4)
    gain = circuit.backward_gain if transposed else circuit.forward_gain
    assert gain.shape == out.shape[2:]
    assert np.all(gain > 1.0)
    assert np.all(gain < 1.3)
    # Other reads gain too: random weights and inputs lose less on average than without calibration.
    plain, *_ = make(columns, spread=0.0)
    weights, planes = draw(circuit.shape, 40, (40, 1, len(v)), kind="bits" if columns != "differential" else "signed")
    wanted = np.einsum("spj,sij->spi" if transposed else "spi,sij->spj", planes.astype(np.float64), weights)
    error = [np.sqrt(np.mean((read(c, planes, weights, 40, transposed)[0].sum(axis=2) - wanted) ** 2))
             for c in (circuit, plain)]  # fmt: skip
    assert error[0] < 0.6 * error[1]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("columns", MAPPINGS)
def test_held_weights_read_alike(columns, transposed):
    circuit, *_ = make(columns)
    circuit.calibrate()
    weights, planes = draw(circuit.shape, 2, (1, 3, circuit.shape[int(transposed)]))
    wanted = read(circuit, planes, weights, 2, transposed)
    held = HeldReads(circuit, weights, transposed)
    for turn in range(held.pays_off + 1):
        out, conductance = np.full_like(wanted[0], np.nan), np.full(2, np.nan)
        held.read(planes, 0, 2, out, conductance)
        if turn == 0:
            assert np.array_equal(out, wanted[0])
        assert np.allclose(out, wanted[0], rtol=0, atol=1e-5)
        assert np.allclose(conductance, wanted[1], rtol=1e-6, atol=0)
    assert not np.array_equal(conductance, wanted[1]), "the other route was never taken"


@pytest.mark.parametrize("transposed", [False, True])
def test_bits_of_held_reads_do_not_depend_on_how_samples_are_divided(transposed):
    circuit, *_ = make("differential")
    for rows in (1, 5):
        weights, planes = draw(circuit.shape, 5, (rows, 3, circuit.shape[int(transposed)]))
        found = []
        for parts in ([(0, 5)], [(3, 5), (0, 1), (1, 3)]):
            held = HeldReads(circuit, weights, transposed, n_reads=1000)
            out, conductance = (np.full_like(a, np.nan) for a in read(circuit, planes, weights, 5, transposed))
            for first, last in parts:
                held.read(planes, first, last, out, conductance)
            found.append((out, conductance))
        assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def test_pulse_width_charge_and_energy():
    circuit, g_on, g_off = make("differential", tolerance=1e-11)
    codes = np.random.default_rng(3).integers(-4, 5, (1, 21))
    planes, duration = pulse_width_planes(codes, 4)
    weights, _ = draw(circuit.shape, 1, (1, 1, 21))
    out, conductance = read(circuit, planes, weights, 1, duration=duration)
    charge = np.einsum("p,ptj->tj", duration, out[0])
    average, _ = read(circuit, (codes[:, None] / 4).astype(np.float32), weights, 1)
    assert np.allclose(charge, average[0, 0], rtol=0, atol=2e-6)
    # Slot by slot, through the public solver.
    slots = (np.sign(codes)[:, None] * (np.abs(codes)[:, None] > np.arange(4)[:, None])).astype(np.float32)
    _, power, _ = by_solver(circuit, g_on, g_off, slots, weights, 1, False)
    assert np.isclose(conductance[0], power[0] / 4, rtol=1e-9)


def test_bad_input_is_named():
    with pytest.raises(CircuitError, match="g_on: got shape"):
        TileCircuit((3, 2), (2, 2), TileLayout("xnor", ON, OFF), np.ones((3, 2, 1)), np.ones((3, 2, 2)),
                    r_wordline=1.0, r_bitline=1.0)  # fmt: skip
    with pytest.raises(CircuitError, match="allowed are differential"):
        TileLayout("pairs", ON, OFF)
    circuit, *_ = make("reference")
    weights, planes = draw(circuit.shape, 1, (1, 1, 21))
    planes[0, 0, 3] = np.nan
    with pytest.raises(CircuitError, match="voltage is not finite"):
        read(circuit, planes, weights, 1)
