"""The array of one query, found again: against what the chip held at that moment, and against the record."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from bimu_hw.errors import RunError
from bimu_hw.record import write_run
from bimu_hw.run import Run
from bimu_hw.scenario import load_scenario
from bimu_hw.spice.check import describe_read, ideal_currents, solve, wires_of
from bimu_hw.spice.netlist import Wires
from bimu_hw.spice.replay import Selection, capture_read

QUICKSTART = Path(__file__).parents[1] / "scenarios" / "quickstart.toml"
SHORT = (
    "stream.examples=60", "stream.tasks=2", "evaluation.examples=5", "network.hidden=[20]", "network.samples=3",
    "crossbar.tile_wordlines=24", "crossbar.tile_bitlines=16", "crossbar.columns_per_adc=8",
    "accelerator.write_columns=16", "labels.budget=0.9", "device.sampler_params.g_spread=0.1",
)  # fmt: skip
VARIANTS = {
    "differential": (),
    "reference": ("crossbar.columns=reference",),
    "every look": ("crossbar.columns=reference", "device.holds=read"),
    "analog": ("crossbar.inputs=analog", "crossbar.gradient_bits="),
    "sign": ("network.activation=sign",),
    "late labels": ("labels.latency=2 ms",),
    "blocks": ("record.per_query_limit=13",),
}


class Witness(Run):
    """A whole run, evaluations included, that keeps what the chip held after every read."""

    def __init__(self, scenario):
        super().__init__(scenario)
        self.reads = {}

    def answered(self, row):
        super().answered(row)
        self.keep(row, False, [(layer.planes, layer.weights) for layer in self.chip._layers])

    def learned(self, row):
        super().learned(row)
        self.keep(row, True, [(layer.backward_planes, layer.backward_weights) for layer in self.chip._layers])

    def keep(self, row, backward, passes):
        self.reads[row.number, backward] = (row, [(p.copy(), w.copy()) for p, w in passes])


def record(folder, *overrides):
    """Run the short scenario with these overrides, write its record alone, and return the witness."""
    witness = Witness(load_scenario(QUICKSTART, (*SHORT, *overrides)))
    witness.accelerator.run()
    folder.mkdir(exist_ok=True)
    write_run(witness.finish(), folder / "run.nc")
    return witness


@pytest.fixture(scope="module", params=VARIANTS)
def run(request, tmp_path_factory):
    """Return the folder of a run, and the witness of what happened in it."""
    folder = tmp_path_factory.mktemp("run")
    return folder, record(folder, *VARIANTS[request.param])


@pytest.mark.parametrize("backward", [False, True])
def test_the_array_is_the_one_that_was_read(run, backward):
    folder, witness = run
    numbers = sorted(number for number, back in witness.reads if back == backward)
    assert len(numbers) > 10
    for number in (numbers[0], numbers[len(numbers) // 2], numbers[-1]):  # the last one lies in the second task
        row, passes = witness.reads[number, backward]
        found = capture_read(folder, Selection(1, number, (0, 0), 2, backward))
        planes, weights = passes[1]
        looks = len(weights) // 3
        np.testing.assert_array_equal(found.planes, planes[2])
        np.testing.assert_array_equal(found.weights, weights[2 * looks :])
        assert (found.example, found.task, found.tick) == (row.example, row.task, row.start_tick)


def test_the_currents_of_its_tiles_are_the_sums_of_the_network(run):
    """Ideal wires: unit times the sum over (middle + gain * weight) * input, whatever the mapping."""
    folder, witness = run
    synapses = witness.chip.layers[0]
    middle, gain = (np.asarray(v, float) for v in synapses.cells_read.values())
    for tile, rows, columns in (((0, 0), slice(0, 24), slice(0, 16)), ((2, 1), slice(48, 64), slice(16, 20))):
        found = capture_read(folder, Selection(0, 31, tile, 1))
        assert found.tile_shape == (rows.stop - rows.start, columns.stop - columns.start)
        for plane in range(found.n_planes):
            values = found.planes[plane][rows].astype(float)
            weights = found.weights[plane if len(found.weights) > 1 else 0][rows, columns]
            wanted = values @ (middle[rows, columns] + gain[rows, columns] * weights)
            volt = witness.scenario.sampler_card.costs["read_voltage"].value
            currents = ideal_currents(found.circuit(plane, Wires())) / volt
            np.testing.assert_allclose(found.layout.sums(currents, values), wanted, rtol=1e-5, atol=2e-4)


def test_the_backward_read_drives_the_other_side(run):
    folder, witness = run
    number = next(number for number, backward in witness.reads if backward)
    found = capture_read(folder, Selection(1, number, (0, 0), 0, True))
    circuit = found.circuit(0, Wires())
    assert circuit.transposed
    assert found.planes.shape[1] == 10
    assert circuit.voltages.shape == (circuit.conductance.shape[1],)
    assert len(ideal_currents(circuit)) == circuit.conductance.shape[0] == 20


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    record(folder)
    return folder


@pytest.mark.parametrize(
    ("selection", "plane", "words"),
    [
        (Selection(layer=2), None, "layer: got 2; allowed are 0 to 1"),
        (Selection(layer=-1), None, "layer: got -1; allowed are 0 to 1"),
        (Selection(query=60), None, "query: got 60; allowed are 0 to 59"),
        (Selection(query=-1), None, "query: got -1; allowed are 0 to 59"),
        (Selection(tile=(3, 0)), None, "tile, along the word lines: got 3; allowed are 0 to 2"),
        (Selection(tile=(0, -1)), None, "tile, along the bit lines: got -1; allowed are 0 to 1"),
        (Selection(layer=1, tile=(1, 0)), None, "tile, along the word lines: got 1; allowed is only 0"),
        (Selection(sample=3), None, "sample: got 3; allowed are 0 to 2"),
        (Selection(query=50), 6, "plane: got 6; allowed are 0 to 5"),
        (Selection(query=50), -1, "plane: got -1; allowed are 0 to 5"),
        (Selection(layer=1, query=0, backward=True), 9, "plane: got 9; allowed are 0 to 8"),
        (Selection(backward=True), None, "layer 0 is not read backwards"),
    ],
)
def test_what_is_out_of_range_is_told_the_range(plain, selection, plane, words):
    with pytest.raises(RunError) as caught:
        capture_read(plain, selection, plane=plane)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(plain / "run.nc"))


def never_learned(folder):
    with h5py.File(folder / "run.nc") as file:
        return int(np.flatnonzero(file["queries/label_tick"][()] < 0)[0])


def test_a_query_that_taught_nothing_has_no_backward_read(tmp_path):
    record(tmp_path, "labels.budget=0.5")
    number = never_learned(tmp_path)
    with pytest.raises(RunError, match=f"query {number} was not learned from.*the nearest that was is query") as caught:
        capture_read(tmp_path, Selection(1, number, backward=True))
    near = int(str(caught.value).rstrip(".").split()[-1])
    assert capture_read(tmp_path, Selection(1, near, backward=True)).selection.query == near
    blocks = tmp_path / "blocks"
    record(blocks, "labels.budget=0.5", "record.per_query_limit=7")
    with pytest.raises(RunError, match=f"query {number} was not learned from, so nothing was read backwards"):
        capture_read(blocks, Selection(1, number, backward=True))


def test_relaxed_weights_are_read_from_no_array_backwards(tmp_path):
    ideal = ("device.storage=ideal_storage", "device.sampler=ideal_sampler", "device.residue_bits=", "device.lam_max=",
             "learning.gradient=relaxed", "crossbar.inputs=analog", "crossbar.adc_bits=0", "crossbar.adc_range=",
             "crossbar.gradient_bits=", "device.sampler_params=")  # fmt: skip
    record(tmp_path, *ideal)
    with pytest.raises(RunError, match="relaxed gradient, which reads no array backwards"):
        capture_read(tmp_path, Selection(1, 0, backward=True))
    assert capture_read(tmp_path, Selection(1, 20)).planes.shape == (1, 20)
    given = ("labels.policy=given", "labels.budget=", "labels.gamma=", "labels.latency=")
    record(tmp_path / "given", *ideal, *given)
    with pytest.raises(RunError, match="relaxed gradient and given labels, so no binary weights were read"):
        capture_read(tmp_path / "given", Selection(1, 20))
    record(tmp_path / "hard", *given)
    assert capture_read(tmp_path / "hard", Selection(1, 20, backward=True)).planes.shape[-1] == 10


@pytest.mark.parametrize("name", ["prediction", "epistemic", "start_tick", "asked", "pulses"])
def test_a_record_that_the_repetition_contradicts_is_refused(name, plain, tmp_path):
    (tmp_path / "run.nc").write_bytes((plain / "run.nc").read_bytes())
    with h5py.File(tmp_path / "run.nc", "r+") as file:
        at = int(np.flatnonzero(file["queries/updated"][()])[20])
        file[f"queries/{name}"][at] += 1
    with pytest.raises(RunError, match=f"cannot be repeated here: query {at} has {name} = .* written by bimu-hw") as e:
        capture_read(tmp_path, Selection(query=59))
    assert "\n" not in str(e.value)
    assert capture_read(tmp_path, Selection(query=at - 1)).selection.query == at - 1  # what comes before is sound


def test_a_record_of_blocks_is_compared_block_by_block(tmp_path):
    record(tmp_path, "record.per_query_limit=6")
    with h5py.File(tmp_path / "run.nc", "r+") as file:
        file["queries/disagreement"][4] += 1  # queries 40 to 49
    assert capture_read(tmp_path, Selection(query=45)).selection.query == 45
    with pytest.raises(RunError, match="query 49 has disagreement = "):
        capture_read(tmp_path, Selection(query=50))


def test_a_data_set_that_has_changed_is_refused(plain, tmp_path):
    (tmp_path / "run.nc").write_bytes((plain / "run.nc").read_bytes())
    with h5py.File(tmp_path / "run.nc", "r+") as file:
        file.attrs["dataset_sha256"] = "0" * 64
    with pytest.raises(RunError, match="data set 'digits' has changed since"):
        capture_read(tmp_path, Selection())


def test_no_run():
    with pytest.raises(RunError, match="no such file"):
        capture_read("nowhere", Selection())


def test_the_wires_are_those_the_run_reckoned_with(plain):
    read = capture_read(plain, Selection(query=3, tile=(1, 1)))
    assert wires_of(read.scenario).ideal
    lines = "\n".join(describe_read(read, 2, Wires(1.0, 2.0, 3.0, 4.0)))
    for words in (read.scenario.title, read.scenario.hash, "fabrication 1, noise 1, data 1",
                  "query 3 (example 3, task 0", "forward read", "layer 0, tile 1,1, sample 0, plane 2",
                  "24 x 4 synapses", "8 bit lines",
                  "r_wordline = 1 ohm, r_bitline = 2 ohm, r_driver = 3 ohm, r_sense = 4 ohm"):  # fmt: skip
        assert words in lines
    assert "none have resistance" in "\n".join(describe_read(read, 2, Wires()))


@pytest.mark.parametrize("columns", ["differential", "reference", "xnor"])
def test_the_netlist_is_the_circuit_that_the_run_reckoned_with(columns, tmp_path):
    class Kept(Run):
        def answered(self, row):
            super().answered(row)
            if row.number == 31:
                self.kept = self.chip._layers[0].forward.sums.copy()

    run = Kept(load_scenario(QUICKSTART, (*SHORT, "crossbar.ir_drop=exact", f"crossbar.columns={columns}")))
    run.accelerator.run()
    write_run(run.finish(), tmp_path / "run.nc")
    found = capture_read(tmp_path, Selection(0, 31, (1, 1), 1))
    wires = wires_of(found.scenario)
    assert not wires.ideal
    volt = found.scenario.sampler_card.costs["read_voltage"].value
    for plane in range(found.n_planes):
        currents = solve(found.circuit(plane, wires)).currents / volt
        sums = found.layout.sums(currents, found.planes[plane][24:48])
        # The loop's currents are float32, certified to 1e-7 of the largest.
        np.testing.assert_allclose(run.kept[1, plane, 1, 16:20], sums, rtol=0.0, atol=2e-6 * np.abs(currents).max() /
                                   found.layout.unit())  # fmt: skip
