"""Measured conductance maps: what is read, what is refused, and that an array then stands where it was measured."""

from __future__ import annotations

import re

import numpy as np
import pytest
from house import ROOT

from bimu_hw.cards import load_card
from bimu_hw.crossbar.encoding import level_grid
from bimu_hw.devices import get_model, new_state
from bimu_hw.errors import DataError, UnitError
from bimu_hw.fitting import levels_of_map, program_map, read_map
from bimu_hw.testing.promises import params_of

SHAPE = (6, 5)
CARDS = ("hfox_2t2r", "dw_notched", "magneto_ionic_linear", "magneto_ionic_exponential", "reram_array_om")


def array_of(name, **changes):
    card = load_card(name)
    model = get_model(card.model)
    return model, params_of(model, card, **changes), level_grid(int(card.params["n_levels"].value), 4.0)


def levels_in(model, params, grid, state):
    out = np.zeros(state.pulse_count.size, np.float32)
    model.peek(state, np.arange(out.size, dtype=np.int32), params, grid, 0.0, out)
    return out


def measured(model, params, grid, levels):
    """Return the conductances of an array that stands at the given levels, as an instrument would."""
    state = new_state(model, levels.size)
    model.fabricate(state, params, grid, np.uint64(3))
    model.program(state, levels.astype(np.float32), params, grid, 0.0)
    out = np.zeros((levels.size, model.n_devices), np.float32)
    model.conductance(state, params, grid, 0.0, out)
    return out.astype(np.float64).reshape(*SHAPE, model.n_devices)


@pytest.mark.parametrize("name", CARDS)
def test_an_array_stands_where_it_was_measured(name, tmp_path):
    """Fresh chips with stuck cells: through siemens and a file, every sound cell gets back its level, others stay."""
    stuck = {s.name: 0.0 for s in get_model(load_card(name).model).specs if s.name.startswith("stuck")}
    model, params, grid = array_of(name, **stuck)
    rng = np.random.default_rng(1)
    levels = rng.integers(0, int(2 * grid.level_max) + 1, SHAPE[0] * SHAPE[1]) - grid.level_max
    conductance = measured(model, params, grid, levels)
    path = tmp_path / "map.npz"
    np.savez(path, conductance=conductance * 1e6, unit=np.array("uS"))
    found = levels_of_map(read_map(path), model, params, grid, SHAPE, "map.npz")
    assert found.shape == (30, model.n_devices)
    broken = {k: 0.2 for k in stuck}
    model, params, grid = array_of(name, **broken)
    state = new_state(model, 30)
    model.fabricate(state, params, grid, np.uint64(8))
    before = levels_in(model, params, grid, state)
    program_map(state, found, model, params, grid)
    fault = state.fault.reshape(30, -1)
    sound = (fault == 0).all(axis=1)
    assert 0 < sound.sum() < 30
    after = levels_in(model, params, grid, state)
    np.testing.assert_allclose(after[sound], levels[sound], atol=2e-4 * grid.level_max)
    fixed = (fault != 0).all(axis=1)
    np.testing.assert_array_equal(after[fixed], before[fixed])


def test_the_example_of_the_page_stands_where_it_says():
    text = (ROOT / "docs" / "fitting.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    names = {}
    exec(code, names)
    out = np.zeros((6, 1), np.float32)
    names["model"].conductance(names["state"], names["params"], names["grid"], 0.0, out)
    sound = names["state"].fault == 0
    np.testing.assert_allclose(out[sound, 0], names["measured"].ravel()[sound], rtol=1e-5)


def test_a_table_of_single_devices_is_read(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("# unit: uS\n1.5, 2\n\n3, 4\n", encoding="utf-8")
    np.testing.assert_allclose(read_map(path), [[1.5e-6, 2e-6], [3e-6, 4e-6]])


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("1,2\n3,4\n", DataError, "line 1: expected the unit, '# unit: uS'"),
        ("", DataError, "line 1: expected the unit"),
        ("# unit: uS\n", DataError, r"has the shape \(0, "),
        ("# unit: uS\n1,2\n3\n", DataError, "line 3: has 1 numbers; the first row has 2"),
        ("# unit: uS\n1,x\n", DataError, "line 2: could not convert string to float: 'x'"),
        ("# unit: uS\n1,nan\n", DataError, r"the conductance at \(0, 1\) is nan"),
        ("# unit: uS\n1,-2\n", DataError, r"the conductance at \(0, 1\) is -2.0; all must be finite and not negative"),
        ("# unit: kohm\n1,2\n", UnitError, "unit: got '1 kohm'"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path, text, error, message):
    path = tmp_path / "map.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=message) as raised:
        read_map(path)
    assert "\n" not in str(raised.value)


def test_a_malformed_archive_is_refused(tmp_path):
    path = tmp_path / "map.npz"
    values = np.ones((2, 2))
    for arrays, message in (
        ({"g": values}, r"holds \['g'\]; expected the arrays 'conductance' and 'unit'"),
        ({"conductance": values, "unit": np.array([1.0])}, "'unit' must be one text"),
        ({"conductance": values.astype(str), "unit": np.array("S")}, "has the type <U"),
        ({"conductance": np.ones(3), "unit": np.array("S")}, r"has the shape \(3,\)"),
        ({"conductance": np.array([[object()]]), "unit": np.array("S")}, "pickled objects are refused"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=message):
            read_map(path)
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match=r"not a readable \.npz archive"):
        read_map(path)
    with open(path, "wb") as file:
        np.save(file, values)
    with pytest.raises(DataError, match="holds one bare array"):
        read_map(path)
    with pytest.raises(DataError, match="no such file"):
        read_map(tmp_path / "absent.npz")
    with pytest.raises(DataError, match="cannot be read"):
        read_map(tmp_path / "absent.csv")
    with pytest.raises(DataError, match=r"is neither \.csv nor \.npz"):
        read_map(tmp_path / "map.mat")


def test_a_map_must_fit_the_layer_and_the_device():
    model, params, grid = array_of("dw_notched")
    nominal = measured(model, params, grid, np.zeros(30))
    with pytest.raises(DataError, match=r"m\.csv: has the shape \(6, 4\); domain_wall_mtj in a layer of \(6, 5\)"):
        levels_of_map(nominal[:, :4, 0], model, params, grid, SHAPE, "m.csv")
    high = nominal[:, :, 0].copy()
    high[2, 3] *= 10.0
    with pytest.raises(DataError, match=r"at word line 2, bit line 3 is .* reaches from 0\.000254 S"):
        levels_of_map(high, model, params, grid, SHAPE, "m.csv")
    high[2, 3] = params.g_parallel * 1.05
    assert levels_of_map(high, model, params, grid, SHAPE, "m.csv")[13, 0] == grid.level_max
    with pytest.raises(DataError, match="is continuous here"):
        levels_of_map(nominal, model, params, level_grid(0, 4.0), SHAPE, "m.csv")
    same = params._replace(g_parallel=params.g_antiparallel)
    with pytest.raises(DataError, match="has one conductance for all levels"):
        levels_of_map(nominal, model, same, grid, SHAPE, "m.csv")
    pair, pair_params, pair_grid = array_of("hfox_2t2r")
    with pytest.raises(DataError, match=r"needs \(6, 5, 2\)"):
        levels_of_map(nominal[:, :, 0], pair, pair_params, pair_grid, SHAPE, "m.csv")
