"""Task streams: which example comes when, with which pixel order, and as which numbers.

A stream is a function of the data set, its options and the data seed: any example can be asked for at any
time, in any order, so labels may come late, inputs may be dropped, and a resumed run needs no state of the
stream.

The network sees x = offset + scale * k, where k is the *code*: the pixel itself for standardised and raw
inputs, one bit for binarised and sign inputs. Hardware drives wordlines with the code and adds the offset once;
`TaskStream.affine` gives both numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from bimu_hw.errors import DataError, ScenarioError, did_you_mean
from bimu_hw.learning.data import DataSet
from bimu_hw.random import Purpose, check_seed, fold, host_generator, stream_key

Split = Literal["train", "test"]

#: How pixels become inputs; see `TaskStream`.
INPUTS = ("standardised", "binarised", "sign", "raw")

_TASKS_KEPT = 16
_BLOCK = 1 << 20


class Task(NamedTuple):
    """What tells one task of a stream from the others."""

    pixel_order: np.ndarray | None
    """[n_in] int64: input i of the task is pixel ``pixel_order[i]``; None leaves the image as it is."""


def _permuted(data: DataSet, seed: int, task: int) -> Task:
    return Task(host_generator(seed, Purpose.PERMUTATION, task).permutation(data.n_in))


def _stationary(data: DataSet, seed: int, task: int) -> Task:
    return Task(None)


#: Kinds of stream. A kind is a pure function of the data set, the data seed and the number of the task.
STREAM_KINDS: dict[str, Callable[[DataSet, int, int], Task]] = {
    "permuted": _permuted,
    "stationary": _stationary,
}


class Affine(NamedTuple):
    """x = offset + scale * code."""

    offset: float
    scale: float


class TaskStream:
    """A sequence of tasks on one data set, one example at a time.

    Parameters
    ----------
    data : DataSet
    kind : str
        ``"permuted"``: every task, the first included, has its own random pixel order, keyed by the data seed
        and the task. ``"stationary"``: all tasks are the data set as it is.
    tasks : int
        Number of tasks.
    epochs : int
        How often, at most, a task shows each training example. The order is that of the file, unshuffled, and
        repeats.
    examples : int, optional
        Number of examples over all tasks, split evenly (where it does not divide, tasks differ by one); at
        most, and by default, ``tasks * epochs * n_train``. A task shows its share from the start of the file.
    seed : int
        The run's data seed.
    inputs : str
        ``"standardised"``: x_std, the image standardised by the mean and unbiased standard deviation over all
        pixels of its own split (training images by the training set, test images by the test set).
        ``"binarised"``: 1 where abs(x_std) > 1, else 0. ``"sign"``: +1 where x_std >= 0, else -1.
        ``"raw"``: pixel / full scale (float features as they are).
    label_noise : float
        Probability, in [0, 1], that the stream replaces a label by another class, drawn uniformly. Each
        showing of an example is drawn anew, keyed by the data seed and its index. Test labels are never touched.

    Attributes
    ----------
    n_tasks, n_examples, n_in, n_classes : int
    n_bits : int or None
        Bits of a code: 5 for digits, 8 for MNIST, 1 for binarised and sign inputs; None for float features,
        whose code is the unquantised float32 feature.

    Raises
    ------
    ScenarioError
        If an option is out of range.
    DataError
        If a split is constant and cannot be standardised.

    Notes
    -----
    Inputs are float32: offset + scale * code in float64 (each operation rounded), then rounded once to float32.
    Mean and standard deviation of pixels come from exact integer sums, so they do not depend on the machine.

    Standardisation, order and permutations: Cottart, Ballet, Bonnet, Querlioz, ICML 2026, arXiv:2605.30198.
    """

    def __init__(
        self,
        data: DataSet,
        *,
        kind: str,
        tasks: int,
        epochs: int = 1,
        examples: int | None = None,
        seed: int,
        inputs: str = "standardised",
        label_noise: float = 0.0,
    ) -> None:
        _check_word("stream.kind", kind, STREAM_KINDS)
        _check_word("stream.inputs", inputs, INPUTS)
        _check_count("stream.tasks", tasks)
        _check_count("stream.epochs", epochs)
        n_train = len(data.x_train)
        most = int(tasks) * int(epochs) * n_train
        if examples is None:
            examples = most
        _check_count("stream.examples", examples)
        if not tasks <= examples <= most:
            raise ScenarioError(
                f"stream.examples: got {examples}; with {tasks} tasks and {epochs} epochs of the {n_train} "
                f"examples of {data.name!r}, allowed are {tasks} to {most}; change examples or epochs."
            )
        if not _is_number(label_noise) or not 0.0 <= label_noise <= 1.0:
            raise ScenarioError(f"stream.label_noise: got {label_noise!r}; allowed are numbers from 0 to 1.")
        self.data = data
        self.kind = kind
        self.seed = check_seed(seed)
        self.inputs = inputs
        self.label_noise = float(label_noise)
        self.n_tasks = int(tasks)
        self.n_examples = int(examples)
        self.n_in = data.n_in
        self.n_classes = data.n_classes
        self._encoders = {
            "train": _Encoder(data.x_train, data.full_scale, inputs, f"{data.name}, training set"),
            "test": _Encoder(data.x_test, data.full_scale, inputs, f"{data.name}, test set"),
        }
        self.n_bits = self._encoders["train"].n_bits
        self._tasks: dict[int, Task] = {}

    def task_start(self, task: int) -> int:
        """Return the index of the first example of a task; of `n_tasks`, the end of the stream."""
        if not 0 <= task <= self.n_tasks:
            raise IndexError(f"task {task} of a stream with {self.n_tasks} tasks")
        return task * self.n_examples // self.n_tasks

    def task_of(self, index: int) -> int:
        """Return the task that the example at this index of the stream belongs to."""
        return self._locate(index)[0]

    def row_of(self, index: int) -> int:
        """Return which example of the training set is shown at this index of the stream."""
        return self._locate(index)[1]

    def pixel_order(self, task: int) -> np.ndarray | None:
        """Return [n_in] int64, the pixel behind each input of the task, or None for the image as it is.

        A task beyond the last is allowed: it is one that the stream never shows.
        """
        return self._task(task).pixel_order

    def example(self, index: int) -> tuple[np.ndarray, int]:
        """Return the codes and the label of one example.

        Returns
        -------
        codes : numpy.ndarray
            [n_in], uint8, or float32 for unquantised features. May be a read-only view.
        label : int
            What the oracle would answer: with label noise, not always the truth (see `true_label`).
        """
        task, row = self._locate(index)
        codes = self._encoders["train"].codes(self.data.x_train[row])
        order = self._task(task).pixel_order
        return codes if order is None else codes[order], self._label(int(index), row)

    def examples(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return codes [stop - start, n_in] and labels [stop - start] (int64) of consecutive examples."""
        if not 0 <= start <= stop <= self.n_examples:
            raise IndexError(f"examples {start} to {stop} of a stream with {self.n_examples}")
        encoder = self._encoders["train"]
        codes = np.empty((stop - start, self.n_in), encoder.code_dtype)
        labels = np.empty(stop - start, np.int64)
        done = start
        while done < stop:
            task = self.task_of(done)
            first, end = self.task_start(task), min(stop, self.task_start(task + 1))
            rows = np.arange(done - first, end - first) % len(self.data.x_train)
            part = encoder.codes(self.data.x_train[rows])
            order = self._task(task).pixel_order
            codes[done - start : end - start] = part if order is None else part.take(order, axis=1)
            labels[done - start : end - start] = [
                self._label(index, int(row)) for index, row in zip(range(done, end), rows, strict=True)
            ]
            done = end
        return codes, labels

    def true_label(self, index: int) -> int:
        """Return the label of the data set, free of label noise."""
        return int(self.data.y_train[self._locate(index)[1]])

    def test_codes(self, task: int) -> tuple[np.ndarray, np.ndarray]:
        """Return codes [n_test, n_in] and labels [n_test] (int64) of the test set as this task shows it.

        A task beyond the last is allowed: unseen pixel orders are out-of-distribution data.
        """
        order = self._task(task).pixel_order
        codes = self._encoders["test"].codes(self.data.x_test)
        return codes if order is None else codes.take(order, axis=1), self.data.y_test

    def test_set(self, task: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs [n_test, n_in] (float32) and labels [n_test] (int64): `test_codes`, encoded."""
        codes, labels = self.test_codes(task)
        return self.encode(codes, "test"), labels

    def affine(self, split: Split) -> Affine:
        """Return the offset and scale (float64) that turn codes of this split into inputs."""
        return self._encoders[split].affine

    def encode(self, codes: np.ndarray, split: Split) -> np.ndarray:
        """Return the float32 inputs for codes of this split, of any shape."""
        return self._encoders[split].encode(codes)

    def _locate(self, index: int) -> tuple[int, int]:
        """Return the task and the row of the training set."""
        index = int(index)
        if not 0 <= index < self.n_examples:
            raise IndexError(f"example {index} of a stream with {self.n_examples}")
        # The inverse of task_start, in integers.
        task = ((index + 1) * self.n_tasks - 1) // self.n_examples
        return task, (index - task * self.n_examples // self.n_tasks) % len(self.data.x_train)

    def _task(self, task: int) -> Task:
        found = self._tasks.get(task)
        if found is None:
            if task < 0:
                raise IndexError(f"task {task}; tasks are counted from 0")
            if len(self._tasks) >= _TASKS_KEPT:
                del self._tasks[next(iter(self._tasks))]
            found = self._tasks[task] = STREAM_KINDS[self.kind](self.data, self.seed, int(task))
        return found

    def _label(self, index: int, row: int) -> int:
        label = int(self.data.y_train[row])
        if self.label_noise == 0.0:
            return label
        key = int(stream_key(self.seed, Purpose.LABEL_NOISE, index))
        if (key >> 11) * 2.0**-53 >= self.label_noise:
            return label
        # A second word decides which class, so that the choice does not lean on how the first one fell.
        others = self.n_classes - 1
        return (label + 1 + (fold(key, 1) * others >> 64)) % self.n_classes


class _Encoder:
    """Pixels to codes and codes to inputs, for one split."""

    def __init__(self, x: np.ndarray, full_scale: int, inputs: str, where: str) -> None:
        is_pixel = x.dtype == np.uint8
        self._inputs = inputs
        if inputs == "raw":
            pixel_affine = Affine(0.0, 1.0 / full_scale)
        else:
            mean, std = _mean_and_std(x, where)
            pixel_affine = Affine(-mean / std, 1.0 / std)
        self._pixel_affine = pixel_affine
        self.n_bits: int | None
        if inputs in ("standardised", "raw"):
            self.affine = pixel_affine
            self.n_bits = full_scale.bit_length() if is_pixel else None
        else:
            self.affine = Affine(0.0, 1.0) if inputs == "binarised" else Affine(-1.0, 2.0)
            self.n_bits = 1
        self.code_dtype = np.dtype(np.uint8 if self.n_bits is not None else np.float32)
        # Codes of all 256 pixel values, and inputs of all 256 codes: a table is exact and fast.
        levels = np.arange(256, dtype=np.uint8)
        self._code_table = self._threshold(levels) if is_pixel and self.n_bits == 1 else None
        self._input_table = _apply(self.affine, levels)

    def codes(self, x: np.ndarray) -> np.ndarray:
        if self.n_bits != 1:
            return x
        return self._threshold(x) if self._code_table is None else self._code_table[x]

    def encode(self, codes: np.ndarray) -> np.ndarray:
        if codes.dtype == np.uint8:
            return self._input_table[codes]
        return _apply(self.affine, codes)

    def _threshold(self, x: np.ndarray) -> np.ndarray:
        standardised = _apply(self._pixel_affine, x)
        bits = np.abs(standardised) > 1.0 if self._inputs == "binarised" else standardised >= 0.0
        return bits.astype(np.uint8)


def _apply(affine: Affine, codes: np.ndarray) -> np.ndarray:
    return (affine.offset + affine.scale * codes.astype(np.float64)).astype(np.float32)


def _mean_and_std(x: np.ndarray, where: str) -> tuple[float, float]:
    """Return mean and unbiased standard deviation over all entries, in the array's own units."""
    flat = x.reshape(-1)
    n = flat.size
    blocks = [flat[start : start + _BLOCK] for start in range(0, n, _BLOCK)]
    if x.dtype == np.uint8:
        counts = sum(np.bincount(block, minlength=256) for block in blocks)
        counted = [(level, int(count)) for level, count in enumerate(np.asarray(counts))]
        total = sum(level * count for level, count in counted)
        squares = sum(level * level * count for level, count in counted)
        mean = total / n
        # Integers of any size, divided once: correctly rounded.
        variance = (n * squares - total * total) / (n * (n - 1)) if n > 1 else 0.0
    else:
        mean = math.fsum(float(np.sum(block, dtype=np.float64)) for block in blocks) / n
        squared = math.fsum(float(np.sum((block.astype(np.float64) - mean) ** 2)) for block in blocks)
        variance = squared / (n - 1) if n > 1 else 0.0
    if not variance > 0.0:
        raise DataError(
            f"{where}: every input has the same value, so it cannot be standardised; give other "
            f"data or choose stream.inputs = 'raw'."
        )
    return mean, math.sqrt(variance)


def _check_word(where: str, given: Any, allowed: Any) -> None:
    if given not in allowed:
        raise ScenarioError(f"{where}: got {given!r}. {did_you_mean(str(given), allowed)}")


def _is_number(given: Any) -> bool:
    return isinstance(given, (int, float, np.integer, np.floating)) and not isinstance(given, bool)


def _check_count(where: str, given: Any) -> None:
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or given < 1:
        raise ScenarioError(f"{where}: got {given!r}; allowed are integers from 1.")
