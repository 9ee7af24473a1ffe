"""Plots of a device and of an array hold what closed forms say, and refuse what they cannot draw."""

from __future__ import annotations

import numpy as np
import pytest

import bimu_hw
from bimu_hw import analysis
from bimu_hw.errors import CardError, CircuitError, RunError, ScenarioError, SchemaError
from bimu_hw.report.style import new_figure


@pytest.fixture
def axes():
    return new_figure().add_subplot()


def line(axes, label):
    (found,) = (one for one in axes.lines if one.get_label() == label)
    return found.get_xdata(), found.get_ydata()


def test_the_sigmoid_of_a_card_lies_where_the_algorithm_wants_it(axes):
    assert analysis.plot_sigmoid(bimu_hw.load_card("smtj_50ns"), axes) is axes
    lam, wanted = line(axes, "σ(2λ)")
    np.testing.assert_allclose(wanted, 0.5 * (1.0 + np.tanh(lam)), atol=1e-12)
    np.testing.assert_allclose(line(axes, "nominal")[1], wanted, atol=2e-3)
    # Spread of devices flattens the mean, and no more than that.
    assert 1e-3 < np.abs(line(axes, "mean")[1] - wanted).max() < 0.05


def test_what_was_measured_before_is_drawn_as_it_is(axes):
    card = bimu_hw.load_card("hfox_2t2r")
    data = bimu_hw.pulse_response(card, n_devices=50, seed=3, n_pulses=5)
    analysis.plot_pulse_response(data, axes=axes)
    pulse, mean = line(axes, "mean")
    np.testing.assert_array_equal(pulse, np.arange(11))
    np.testing.assert_allclose(mean, data["seen"].values.mean(axis=1, dtype=np.float64))
    assert np.argmax(mean) == 5
    other = new_figure().add_subplot()
    analysis.plot_pulse_response(data, "conductance", other)
    plus = data["conductance"].values[:, :, 0]
    np.testing.assert_allclose(line(other, "plus device")[1], plus.mean(axis=1), rtol=1e-6)


def test_the_map_of_one_cell_is_a_voltage_divider(axes):
    conductance, voltages = [[1e-3]], [0.2]
    solved = bimu_hw.solve_ir_drop(conductance, voltages, r_wordline=100.0, r_bitline=300.0, r_driver=600.0)
    analysis.plot_ir_drop(conductance, voltages, solved, axes)
    # 1 kohm of cell against 100 + 300 + 600 ohm before and behind it.
    assert axes.images[0].get_array() == pytest.approx(np.array([[50.0]]))


def test_a_pyplot_figure_is_made_where_no_axes_are_given():
    import matplotlib.pyplot as plt

    solved = bimu_hw.solve_ir_drop([[1e-3]], [0.2], r_wordline=1.0, r_bitline=1.0)
    found = analysis.plot_ir_drop([[1e-3]], [0.2], solved)
    try:
        assert plt.gca() in found.figure.axes
    finally:
        plt.close(found.figure)


def test_what_cannot_be_drawn_is_refused(axes):
    with pytest.raises(CardError, match="that of a sampling element"):
        analysis.plot_sigmoid(bimu_hw.load_card("hfox_2t2r"), axes)
    with pytest.raises(CardError, match="that of a storage element"):
        analysis.plot_pulse_response(bimu_hw.load_card("smtj_50ns"), axes=axes)
    with pytest.raises(ScenarioError, match="mean 'conductance'"):
        analysis.plot_pulse_response(bimu_hw.load_card("hfox_2t2r"), "conductanse", axes)
    several = np.full((2, 3), 0.2)
    solved = bimu_hw.solve_ir_drop(np.full((3, 4), 1e-4), several, r_wordline=1.0, r_bitline=1.0)
    with pytest.raises(CircuitError, match="one vector of voltages at a time"):
        analysis.plot_ir_drop(np.full((3, 4), 1e-4), several, solved, axes)


def test_a_record_draws_its_own_devices_and_arrays(short_run, axes):
    with bimu_hw.open_run(short_run) as run:
        run.bimu.plot_sigmoid(axes)
        store = run.bimu.plot_pulse_response(axes=new_figure().add_subplot())
        assert line(store, "mean")[1][0] == pytest.approx(-7.5, abs=0.05)  # 16 levels, 0 in the middle
        found = run.bimu.plot_ir_drop(query=2, layer=1, axes=new_figure().add_subplot())
        loss = np.asarray(found.images[0].get_array(), np.float64)
        driven = np.isfinite(loss).all(axis=1)
        assert 0 < driven.sum()
        assert (loss[driven] > 0.0).all()
        assert (loss[driven] < 100.0).all()
        # The farther from the driver, the more is lost.
        near, far = np.array_split(loss[driven].mean(axis=0), 2)
        assert far.mean() > near.mean()
        with pytest.raises(RunError, match="query"):
            run.bimu.plot_ir_drop(query=10**6)
        in_memory = run.load().copy()
    in_memory.encoding.clear()
    with pytest.raises(SchemaError, match="not read from a file"):
        in_memory.bimu.plot_sigmoid()
