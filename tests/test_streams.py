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
        codes, labels, *_ = stream.examples(1400, 4200)
        single = [stream.example(index) for index in range(1400, 4200)]
        np.testing.assert_array_equal(codes, np.stack([k for k, _ in single]))
        assert labels.tolist() == [label for _, label in single]
        assert codes.dtype == np.uint8
        assert labels.dtype == np.int64
        assert stream.examples(5, 5)[0].shape == (0, 64)

    @pytest.mark.parametrize(
        "kind",
        [
            {"kind": "permuted", "switch_window": 40},
            {"kind": "rotated", "rotation_step": 0.3, "switch_window": 7},
            {"kind": "noisy", "noise_step": 0.2, "inputs": "binarised"},
            {"kind": "class_incremental", "classes_per_task": 3},
            {"kind": "stationary", "imbalance": 5.0, "inputs": "sign"},
        ],
        ids=lambda kind: kind["kind"],
    )
    def test_blocks_over_switches_are_the_examples(self, digits: DataSet, kind: dict) -> None:
        stream = TaskStream(digits, tasks=3, epochs=2, examples=300, seed=5, label_noise=0.2, **kind)
        for start, stop in ((0, 16), (70, 135), (150, 300)):
            block = stream.examples(start, stop)
            for k, index in enumerate(range(start, stop)):
                codes, label = stream.example(index)
                np.testing.assert_array_equal(block.codes[k], codes)
                assert [column[k] for column in block[1:]] == [label, stream.true_label(index), stream.task_of(index)]


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
        codes = stream.examples(0, 30).codes
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


class TestClassIncremental:
    def test_every_class_has_one_task(self, digits: DataSet) -> None:
        stream = TaskStream(digits, kind="class_incremental", classes_per_task=3, tasks=3, seed=4)
        shown = [set(stream.examples(stream.task_start(t), stream.task_start(t + 1))[1].tolist()) for t in range(3)]
        assert [len(classes) for classes in shown] == [3, 3, 3]
        assert len(set.union(*shown)) == 9
        for task, classes in enumerate(shown):
            codes, labels = stream.test_codes(task)
            wanted = np.isin(digits.y_test, sorted(classes))
            np.testing.assert_array_equal(codes, digits.x_test[wanted])
            np.testing.assert_array_equal(labels, digits.y_test[wanted])

    def test_the_seed_draws_the_classes_and_the_file_the_order(self, digits: DataSet) -> None:
        first = []
        for seed in range(6):
            stream = TaskStream(digits, kind="class_incremental", classes_per_task=2, tasks=5, seed=seed)
            rows = [stream.row_of(index) for index in range(200)]
            assert rows == sorted(rows)
            first.append(tuple(sorted({stream.true_label(index) for index in range(200)})))
        assert len(set(first)) > 1

    def test_the_smallest_task_sets_the_length(self, digits: DataSet) -> None:
        stream = TaskStream(digits, kind="class_incremental", classes_per_task=5, tasks=2, epochs=2, seed=0)
        sizes = np.bincount(digits.y_train)
        halves = [sizes[sorted(set(stream.test_codes(task)[1].tolist()))].sum() for task in (0, 1)]
        assert stream.n_examples == 2 * 2 * min(halves)

    def test_no_more_tasks_than_classes(self, digits: DataSet) -> None:
        with pytest.raises(ScenarioError, match="would need class number 12 of the 10"):
            TaskStream(digits, kind="class_incremental", classes_per_task=4, tasks=3, seed=0)


class TestDrift:
    def test_rotation_is_that_of_scipy(self, digits: DataSet) -> None:
        """scipy.ndimage interpolates the same way and is written by others; its pixels are rounded here."""
        ndimage = pytest.importorskip("scipy.ndimage")
        step = math.radians(25.0)
        stream = TaskStream(digits, kind="rotated", rotation_step=step, tasks=3, seed=0)
        np.testing.assert_array_equal(stream.test_codes(0)[0], digits.x_test)
        for task in (1, 2):
            cos, sin = math.cos(task * step), math.sin(task * step)
            matrix = np.array([[cos, sin], [-sin, cos]])
            middle = np.array([3.5, 3.5])
            codes = stream.test_codes(task)[0]
            for row in (0, 5, 50):
                wanted = ndimage.affine_transform(
                    digits.x_test[row].reshape(8, 8).astype(float), matrix, middle - matrix @ middle, order=1,
                    mode="grid-constant",
                )  # fmt: skip
                assert np.abs(codes[row] - wanted.reshape(-1)).max() <= 0.5 + 1e-9

    def test_a_quarter_turn_is_exact_and_counter_clockwise(self, digits: DataSet) -> None:
        stream = TaskStream(digits, kind="rotated", rotation_step=math.pi / 2, tasks=2, examples=10, seed=0)
        wanted = np.rot90(digits.x_train[2].reshape(8, 8)).reshape(-1)
        np.testing.assert_array_equal(stream.example(stream.task_start(1) + 2)[0], wanted)

    def test_only_images_are_turned(self, features: DataSet) -> None:
        with pytest.raises(ScenarioError, match=r"has shape \(7,\); only images"):
            TaskStream(features, kind="rotated", rotation_step=0.1, tasks=1, seed=0)

    def test_noise_grows_from_task_to_task(self, features: DataSet) -> None:
        """Float features are not clipped. 3,500 draws: each bound is passed by chance in fewer than one run in 1e6."""
        stream = TaskStream(features, kind="noisy", noise_step=0.5, tasks=3, epochs=50, examples=1500, seed=2)
        spread = features.x_train.astype(np.float64).std(ddof=1)
        for task in range(3):
            start = stream.task_start(task)
            added = np.array([
                (stream.example(start + k)[0] - features.x_train[k % 40]) / spread for k in range(500)
            ])  # fmt: skip
            assert abs(added.mean()) <= 5 * 0.5 * task / math.sqrt(3500) + 1e-6
            assert added.std() == pytest.approx(0.5 * task, abs=5 * 0.5 * task / math.sqrt(7000) + 1e-6)

    def test_noise_of_pixels_stays_in_their_range_and_is_new_each_time(self, digits: DataSet) -> None:
        stream = TaskStream(digits, kind="noisy", noise_step=2.0, tasks=2, epochs=2, seed=2)
        start = stream.task_start(1)
        one, two = stream.example(start)[0], stream.example(start + 1500)[0]
        assert stream.row_of(start) == stream.row_of(start + 1500) == 0
        assert one.dtype == np.uint8
        assert one.max() <= 16
        assert not np.array_equal(one, two)
        np.testing.assert_array_equal(one, stream.example(start)[0])
        again = TaskStream(digits, kind="noisy", noise_step=2.0, tasks=2, seed=2)
        np.testing.assert_array_equal(stream.test_codes(1)[0], again.test_codes(1)[0])
        assert not np.array_equal(stream.test_codes(1)[0], digits.x_test)


class TestImbalance:
    def test_classes_thin_out_by_the_ratio(self, digits: DataSet) -> None:
        stream = TaskStream(digits, kind="stationary", imbalance=32.0, tasks=1, seed=3)
        labels = stream.examples(0, stream.n_examples)[1]
        counts = np.sort(np.bincount(labels))[::-1]
        smallest = np.bincount(digits.y_train).min()
        np.testing.assert_allclose(counts, smallest * 32.0 ** (-np.arange(10) / 9), atol=0.5)
        assert len(stream.test_codes(0)[1]) == 297
        # Rare classes come throughout the stream, not in its first part only.
        for c in np.flatnonzero(np.bincount(labels) >= 8):
            where = np.flatnonzero(labels == c) / len(labels)
            assert where.min() < 0.2
            assert where.max() > 0.8

    def test_which_class_is_rare_is_drawn(self, digits: DataSet) -> None:
        rarest = set()
        for seed in range(5):
            stream = TaskStream(digits, kind="permuted", imbalance=100.0, tasks=2, seed=seed)
            rows = [stream.row_of(index) for index in range(stream.task_start(1))]
            assert rows == sorted(rows)
            rarest.add(int(np.bincount(digits.y_train[rows], minlength=10).argmin()))
        assert len(rarest) > 1

    def test_with_classes_of_its_own_a_task_may_be_left_with_nothing_but_its_rare_ones(self, digits: DataSet) -> None:
        stream = TaskStream(digits, kind="class_incremental", classes_per_task=5, imbalance=5.0, tasks=2, seed=0)
        assert len({stream.true_label(index) for index in range(stream.n_examples)}) == 10


class TestOrderOfTasks:
    def test_tasks_come_back(self, digits: DataSet) -> None:
        stream = TaskStream(digits, kind="permuted", tasks=5, task_order=[0, 2, 0, 1, 2], seed=6)
        plain = TaskStream(digits, kind="permuted", tasks=3, seed=6)
        for task, content in enumerate((0, 2, 0, 1, 2)):
            np.testing.assert_array_equal(stream.pixel_order(task), plain.pixel_order(content))
            np.testing.assert_array_equal(stream.test_codes(task)[0], plain.test_codes(content)[0])
            start = stream.task_start(task)
            np.testing.assert_array_equal(stream.example(start + 9)[0], plain.example(1500 * content + 9)[0])
        # A task beyond the last is one that was never shown.
        np.testing.assert_array_equal(stream.pixel_order(5), plain.pixel_order(3))

    @pytest.mark.parametrize("order", [[0, 1], [0, -1, 1], [0, 1, 1.5], [0, 1, True], [0, 1, 2**31]])
    def test_an_order_names_as_many_tasks_as_there_are(self, digits: DataSet, order: list) -> None:
        with pytest.raises(ScenarioError, match=r"stream\.task_order"):
            TaskStream(digits, kind="permuted", tasks=3, task_order=order, seed=0)


class TestGradualSwitch:
    def test_the_share_of_the_later_task_rises_linearly(self, digits: DataSet) -> None:
        """80 switches of 400 examples, in eight parts; false alarm below 1e-6 each (5 sigma)."""
        stream = TaskStream(digits, kind="permuted", tasks=81, examples=81 * 500, switch_window=400, seed=5)
        later = np.zeros(400)
        for switch in range(1, 81):
            start = stream.task_start(switch)
            shown = np.array([stream.shown_task(index) for index in range(start - 250, start + 250)])
            assert set(shown) == {switch - 1, switch}
            assert (shown[:50] == switch - 1).all()
            assert (shown[450:] == switch).all()
            later += shown[50:450] == switch
        parts = later.reshape(8, 50).sum(axis=1) / 4000
        wanted = (np.arange(8) + 0.5) / 8
        assert (np.abs(parts - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / 4000)).all()

    def test_the_turn_of_a_task_does_not_move(self, digits: DataSet) -> None:
        abrupt, gradual = (
            TaskStream(digits, kind="permuted", tasks=3, examples=301, switch_window=window, seed=5)
            for window in (0, 100)
        )
        for index in range(301):
            assert abrupt.task_of(index) == gradual.task_of(index) == abrupt.shown_task(index)
            assert abrupt.row_of(index) == gradual.row_of(index)
            shown = gradual.shown_task(index)
            codes = digits.x_train[gradual.row_of(index)][gradual.pixel_order(shown)]
            np.testing.assert_array_equal(gradual.example(index)[0], codes)

    def test_windows_do_not_overlap(self, digits: DataSet) -> None:
        with pytest.raises(ScenarioError, match=r"switch_window: got 101; allowed are 0 to 100"):
            TaskStream(digits, kind="permuted", tasks=3, examples=301, switch_window=101, seed=5)


class TestTasksOfAFile:
    def test_the_file_says_which_example_is_whose(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(8)
        arrays = {
            "x_train": rng.normal(size=(40, 6)), "y_train": np.arange(40) % 4, "task_train": np.arange(40) // 5 % 2,
            "x_test": rng.normal(size=(12, 6)), "y_test": np.arange(12) % 4, "task_test": np.arange(12) % 2,
        }  # fmt: skip
        np.savez(tmp_path / "features.npz", **arrays)
        data = load_dataset(tmp_path / "features.npz")
        stream = TaskStream(data, kind="from_file", tasks=2, seed=0)
        assert stream.n_examples == 40
        for index in range(40):
            assert arrays["task_train"][stream.row_of(index)] == stream.task_of(index) == index // 20
        codes, labels = stream.test_codes(1)
        np.testing.assert_array_equal(codes, arrays["x_test"][1::2].astype(np.float32))
        np.testing.assert_array_equal(labels, arrays["y_test"][1::2])
        with pytest.raises(DataError, match="no example of task 2"):
            TaskStream(data, kind="from_file", tasks=3, seed=0)

    def test_other_data_have_none(self, digits: DataSet) -> None:
        with pytest.raises(ScenarioError, match="task_train and task_test"):
            TaskStream(digits, kind="from_file", tasks=2, seed=0)


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "noisy", "noise_step": 0.7, "tasks": 3, "switch_window": 90, "task_order": [1, 0, 1]},
        {"kind": "class_incremental", "classes_per_task": 2, "tasks": 3, "imbalance": 3.0, "label_noise": 0.2},
        {"kind": "rotated", "rotation_step": 0.4, "tasks": 3, "inputs": "binarised", "switch_window": 50},
    ],
)
def test_any_example_can_be_asked_for_at_any_time(digits: DataSet, options: dict) -> None:
    """A resumed run knows the index alone: another stream, asked backwards, gives the same examples."""
    stream, other = (TaskStream(digits, seed=7, examples=300, **options) for _ in range(2))
    codes, labels, *_ = stream.examples(0, 300)
    for index in reversed(range(0, 300, 7)):
        code, label = other.example(index)
        np.testing.assert_array_equal(code, codes[index])
        assert label == labels[index]


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
        ({"imbalance": 0.5}, "stream.imbalance: got 0.5"),
        ({"classes_per_task": 2}, "stream.classes_per_task: has no effect with stream.kind = 'permuted'"),
        ({"kind": "class_incremental"}, "stream.classes_per_task: got None"),
        ({"kind": "noisy", "noise_step": -1.0}, "stream.noise_step: got -1.0; allowed are numbers from 0 to 100"),
        ({"kind": "noisy", "noise_step": 1e38}, "stream.noise_step: got 1e+38; allowed are numbers from 0 to 100"),
        ({"kind": "rotated", "rotation_step": 1e308}, "stream.rotation_step: got 1e+308; allowed are angles"),
        ({"kind": "rotated"}, "stream.rotation_step: got None"),
        ({"switch_window": -1}, "stream.switch_window: got -1"),
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
