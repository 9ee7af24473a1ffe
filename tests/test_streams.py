"""Task streams against their definition, spelled out again in plain float64."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bimu_hw.errors import DataError, ScenarioError
from bimu_hw.learning.data import DataSet, load_dataset, make_dataset
from bimu_hw.learning.streams import INPUTS, STREAM_KINDS, Task, TaskStream


@pytest.fixture(scope="module")
def digits() -> DataSet:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def features() -> DataSet:
    rng = np.random.default_rng(5)
    x = rng.normal(3.0, 2.0, (60, 7)).astype(np.float32)
    return make_dataset("features", x[:40], np.arange(40) % 3, x[40:], np.arange(20) % 3, citation="")


def standardise(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return (x - x.mean()) / x.std(ddof=1)


def wanted_inputs(x: np.ndarray, full_scale: int, inputs: str) -> np.ndarray:
    x_std = standardise(x / full_scale)
    return {
        "standardised": x_std,
        "binarised": (np.abs(x_std) > 1).astype(float),
        "sign": np.where(x_std >= 0, 1.0, -1.0),
        "raw": x / full_scale,
    }[inputs]


class TestOrder:
    def test_file_order_repeats_with_epochs(self, digits: DataSet) -> None:
        stream = TaskStream(digits, kind="stationary", tasks=2, epochs=3, seed=1)
        assert stream.n_examples == 2 * 3 * 1500
        for index in (0, 1, 1499, 1500, 4499, 4500, 4501, 8999):
            codes, label = stream.example(index)
            np.testing.assert_array_equal(codes, digits.x_train[index % 1500])
            assert label == digits.y_train[index % 1500] == stream.true_label(index)
            assert stream.task_of(index) == index // 4500
            assert stream.row_of(index) == index % 1500

    @pytest.mark.parametrize(("tasks", "examples"), [(3, 100), (7, 7), (7, 3001), (1, 5), (5, 4999)])
    def test_examples_split_evenly(self, digits: DataSet, tasks: int, examples: int) -> None:
        stream = TaskStream(digits, kind="stationary", tasks=tasks, examples=examples, seed=1)
        tasks_seen = np.array([stream.task_of(index) for index in range(examples)])
        counts = np.bincount(tasks_seen, minlength=tasks)
        assert np.all(np.diff(tasks_seen) >= 0)
        assert counts.sum() == examples
        assert counts.max() - counts.min() <= 1
        for task in range(tasks):
            start = stream.task_start(task)
            assert tasks_seen[start] == task
            assert stream.row_of(start) == 0
        assert stream.task_start(tasks) == examples

    def test_index_out_of_range(self, digits: DataSet) -> None:
        stream = TaskStream(digits, kind="permuted", tasks=2, examples=10, seed=1)
        for index in (-1, 10):
            with pytest.raises(IndexError):
                stream.example(index)
        with pytest.raises(IndexError):
            stream.task_start(3)
        with pytest.raises(IndexError):
            stream.examples(0, 11)
        with pytest.raises(IndexError):
            stream.test_set(-1)

    @pytest.mark.parametrize("inputs", INPUTS)
    def test_blocks_are_the_examples(self, digits: DataSet, inputs: str) -> None:
        stream = TaskStream(
            digits, kind="permuted", tasks=3, epochs=2, examples=6000, seed=8, inputs=inputs, label_noise=0.3
        )
        codes, labels = stream.examples(1400, 4200)
        single = [stream.example(index) for index in range(1400, 4200)]
        np.testing.assert_array_equal(codes, np.stack([k for k, _ in single]))
        assert labels.tolist() == [label for _, label in single]
        assert codes.dtype == np.uint8
        assert labels.dtype == np.int64
        assert stream.examples(5, 5)[0].shape == (0, 64)


class TestPermutation:
    def test_every_task_has_its_own(self, digits: DataSet) -> None:
        stream = TaskStream(digits, kind="permuted", tasks=4, seed=0)
        orders = [stream.pixel_order(task) for task in range(4)]
        for order in orders:
            assert sorted(order) == list(range(64))
            assert not np.array_equal(order, np.arange(64))
        assert len({tuple(order) for order in orders}) == 4
        for task in range(4):
            codes, _ = stream.example(1500 * task + 7)
            np.testing.assert_array_equal(codes, digits.x_train[7][orders[task]])
            np.testing.assert_array_equal(stream.test_codes(task)[0], digits.x_test[:, orders[task]])

    def test_depends_on_seed_and_task_only(self, digits: DataSet) -> None:
        one = TaskStream(digits, kind="permuted", tasks=2, seed=0)
        other = TaskStream(digits, kind="permuted", tasks=50, epochs=2, seed=0, inputs="sign", label_noise=0.5)
        another_seed = TaskStream(digits, kind="permuted", tasks=2, seed=1)
        for task in (1, 0, 40, 1):
            np.testing.assert_array_equal(one.pixel_order(task), other.pixel_order(task))
            assert not np.array_equal(one.pixel_order(task), another_seed.pixel_order(task))

    def test_order_of_asking_does_not_matter(self, digits: DataSet) -> None:
        stream = TaskStream(digits, kind="permuted", tasks=60, examples=6000, seed=3)
        forward = [stream.example(index)[0] for index in range(0, 6000, 50)]
        backward = [stream.example(index)[0] for index in reversed(range(0, 6000, 50))]
        np.testing.assert_array_equal(forward, backward[::-1])

    def test_positions_are_uniform(self, digits: DataSet) -> None:
        """Chi-square of where pixel 0 goes over 6400 tasks; false alarm below 1e-6 (63 degrees of freedom)."""
        stream = TaskStream(digits, kind="permuted", tasks=1, seed=17)
        where = [int(np.flatnonzero(stream.pixel_order(task) == 0)[0]) for task in range(6400)]
        counts = np.bincount(where, minlength=64)
        assert np.sum((counts - 100.0) ** 2 / 100.0) < 131.4

    def test_stationary_leaves_the_image(self, digits: DataSet) -> None:
        stream = TaskStream(digits, kind="stationary", tasks=2, seed=0)
        assert stream.pixel_order(1) is None
        np.testing.assert_array_equal(stream.test_codes(1)[0], digits.x_test)

    def test_a_kind_is_one_function(self, digits: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(STREAM_KINDS, "mirrored", lambda data, seed, task: Task(np.arange(data.n_in)[::-1]))
        stream = TaskStream(digits, kind="mirrored", tasks=1, seed=0)
        np.testing.assert_array_equal(stream.example(2)[0], digits.x_train[2][::-1])


class TestInputs:
    @pytest.mark.parametrize("inputs", INPUTS)
    @pytest.mark.parametrize("which", ["digits", "features"])
    def test_inputs_match_their_definition(self, request: pytest.FixtureRequest, inputs: str, which: str) -> None:
        data: DataSet = request.getfixturevalue(which)
        stream = TaskStream(data, kind="permuted", tasks=2, seed=4, inputs=inputs)
        order = stream.pixel_order(1)
        x, labels = stream.test_set(1)
        assert x.dtype == np.float32
        assert labels.dtype == np.int64
        wanted = wanted_inputs(data.x_test, data.full_scale, inputs)[:, order]
        np.testing.assert_allclose(x, wanted, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(labels, data.y_test)
        codes, _ = stream.examples(0, 30)
        wanted = wanted_inputs(data.x_train, data.full_scale, inputs)[:30][:, stream.pixel_order(0)]
        np.testing.assert_allclose(stream.encode(codes, "train"), wanted, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("inputs", INPUTS)
    @pytest.mark.parametrize("which", ["digits", "features"])
    def test_affine_is_exact(self, request: pytest.FixtureRequest, inputs: str, which: str) -> None:
        data: DataSet = request.getfixturevalue(which)
        stream = TaskStream(data, kind="permuted", tasks=1, seed=4, inputs=inputs)
        offset, scale = stream.affine("test")
        codes, _ = stream.test_codes(0)
        x = np.array([np.float32(offset + scale * float(k)) for k in codes.ravel()]).reshape(codes.shape)
        np.testing.assert_array_equal(stream.test_set(0)[0], x)
        if stream.n_bits is not None:
            assert codes.max() < 2**stream.n_bits

    def test_bits(self, digits: DataSet, features: DataSet) -> None:
        def bits(data: DataSet, inputs: str) -> int | None:
            return TaskStream(data, kind="permuted", tasks=1, seed=0, inputs=inputs).n_bits

        assert [bits(digits, inputs) for inputs in INPUTS] == [5, 1, 1, 5]
        assert [bits(features, inputs) for inputs in INPUTS] == [None, 1, 1, None]

    def test_one_bit_codes(self, digits: DataSet) -> None:
        for inputs, affine in (("binarised", (0.0, 1.0)), ("sign", (-1.0, 2.0))):
            stream = TaskStream(digits, kind="permuted", tasks=1, seed=0, inputs=inputs)
            assert stream.affine("train") == stream.affine("test") == affine
            assert set(np.unique(stream.examples(0, 100)[0])) == {0, 1}

    def test_each_split_by_its_own_statistics(self, digits: DataSet) -> None:
        stream = TaskStream(digits, kind="stationary", tasks=1, seed=0)
        assert stream.affine("train") != stream.affine("test")
        for split, codes in (("train", digits.x_train), ("test", digits.x_test)):
            x = stream.encode(codes, split).astype(np.float64)
            assert abs(x.mean()) < 1e-7
            assert abs(x.std(ddof=1) - 1) < 1e-7

    def test_constant_split_cannot_be_standardised(self) -> None:
        x = np.full((4, 3), 9, np.uint8)
        data = make_dataset("flat", x, np.arange(4) % 2, x, np.arange(4) % 2, citation="")
        with pytest.raises(DataError, match="flat, training set: every input has the same value"):
            TaskStream(data, kind="stationary", tasks=1, seed=0)
        raw = TaskStream(data, kind="stationary", tasks=1, seed=0, inputs="raw")
        np.testing.assert_array_equal(raw.test_set(0)[0], np.float32(9 / 255))


class TestLabelNoise:
    def test_none_and_all(self, digits: DataSet) -> None:
        clean = TaskStream(digits, kind="permuted", tasks=1, seed=2)
        assert clean.examples(0, 1500)[1].tolist() == digits.y_train.tolist()
        wrong = TaskStream(digits, kind="permuted", tasks=1, seed=2, label_noise=1.0)
        assert not np.any(wrong.examples(0, 1500)[1] == digits.y_train)
        np.testing.assert_array_equal(wrong.test_set(0)[1], digits.y_test)

    def test_fraction_and_uniform_replacement(self, digits: DataSet) -> None:
        """30,000 labels; each bound is passed by chance in fewer than one run in 1e6 (5 sigma; chi-square, 8 dof)."""
        n, rate = 30_000, 0.2
        stream = TaskStream(digits, kind="permuted", tasks=1, epochs=20, seed=9, label_noise=rate)
        labels = stream.examples(0, n)[1]
        truth = np.array([stream.true_label(index) for index in range(n)])
        changed = labels != truth
        assert abs(changed.mean() - rate) < 5 * math.sqrt(rate * (1 - rate) / n)
        shifts = np.bincount((labels - truth)[changed] % 10, minlength=10)
        assert shifts[0] == 0
        expected = changed.sum() / 9
        assert np.sum((shifts[1:] - expected) ** 2 / expected) < 44.0
        # A new draw for each showing: the epochs differ.
        assert not np.array_equal(labels[:1500], labels[1500:3000])

    def test_more_noise_keeps_the_labels_already_wrong(self, digits: DataSet) -> None:
        """Common random numbers: comparing two noise levels is not blurred by two sets of draws."""
        low, high = (
            TaskStream(digits, kind="permuted", tasks=1, seed=9, label_noise=rate).examples(0, 1500)[1]
            for rate in (0.1, 0.4)
        )
        wrong = low != digits.y_train
        np.testing.assert_array_equal(low[wrong], high[wrong])

    def test_another_seed_another_noise(self, digits: DataSet) -> None:
        one, two = (
            TaskStream(digits, kind="permuted", tasks=1, seed=seed, label_noise=0.3).examples(0, 1500)[1]
            for seed in (0, 1)
        )
        assert not np.array_equal(one, two)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "permutted"}, "stream.kind: got 'permutted'. Did you mean 'permuted'?"),
        ({"inputs": "standardized"}, "stream.inputs: got 'standardized'. Did you mean 'standardised'?"),
        ({"tasks": 0}, "stream.tasks: got 0"),
        ({"tasks": 2.0}, "stream.tasks: got 2.0"),
        ({"epochs": True}, "stream.epochs: got True"),
        ({"examples": 1}, "stream.examples: got 1; with 2 tasks"),
        ({"examples": 3001}, "allowed are 2 to 3000"),
        ({"label_noise": 1.5}, "stream.label_noise: got 1.5"),
        ({"label_noise": float("nan")}, "stream.label_noise: got nan"),
        ({"label_noise": "0.5"}, "stream.label_noise: got '0.5'"),
        ({"seed": -1}, "seed: got -1"),
    ],
)
def test_options_out_of_range(digits: DataSet, change: dict, message: str) -> None:
    options = {"kind": "permuted", "tasks": 2, "seed": 0} | change
    with pytest.raises(ScenarioError) as error:
        TaskStream(digits, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_mnist_standardisation_is_the_published_one(mnist_dir: Path) -> None:
    data = load_dataset("mnist", data_dir=mnist_dir)
    stream = TaskStream(data, kind="permuted", tasks=1000, seed=0)
    assert stream.n_examples == 60_000_000
    assert stream.n_bits == 8
    for split, mean, std in (("train", 0.13066, 0.30811), ("test", 0.13251, 0.31048)):
        offset, scale = stream.affine(split)
        assert -offset / scale / 255 == pytest.approx(mean, abs=5e-6)
        assert 1 / scale / 255 == pytest.approx(std, abs=5e-6)
    codes, label = stream.example(60_000 * 999 + 5)
    np.testing.assert_array_equal(codes, data.x_train[5][stream.pixel_order(999)])
    assert label == data.y_train[5]
    # The background of a standardised image.
    assert stream.encode(np.zeros(1, np.uint8), "train")[0] == pytest.approx(-0.42407, abs=1e-5)
