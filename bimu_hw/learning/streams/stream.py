"""A stream of tasks on one data set, one example at a time, in whatever order it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple

import numpy as np

from bimu_hw.errors import DataError, ScenarioError, did_you_mean
from bimu_hw.learning.data import DataSet
from bimu_hw.learning.streams.inputs import INPUTS, Affine, Encoder, mean_and_std
from bimu_hw.learning.streams.kinds import (
    MIXING,
    STREAM_KINDS,
    STREAM_PARAMETERS,
    TEST_NOISE,
    TRAIN_NOISE,
    Task,
    long_tail,
)
from bimu_hw.random import Purpose, check_seed, fold, host_generator, stream_key

Split = Literal["train", "test"]

_TASKS_KEPT = 16


class _Place(NamedTuple):
    """Where an example of the stream comes from."""

    task: int
    """The task whose turn it is."""
    shown: int
    """The task that shows it; near a gradual switch not always the one whose turn it is."""
    row: int
    """Its row of the training set."""
    what: Task
    """What that task shows."""


class Examples(NamedTuple):
    """Consecutive examples of a stream.

    Attributes
    ----------
    codes : numpy.ndarray
        [example, n_in].
    labels : numpy.ndarray
        [example] int64, what the oracle would answer.
    true_labels, tasks : numpy.ndarray
        [example] int64: what the data set says, and the task whose turn it is.
    """

    codes: np.ndarray
    labels: np.ndarray
    true_labels: np.ndarray
    tasks: np.ndarray


class TaskStream:
    """A sequence of tasks on one data set, one example at a time.

    Parameters
    ----------
    data : DataSet
    kind : str
        ``"permuted"``: every task, the first included, has its own random pixel order, keyed by the data seed
        and the task. ``"stationary"``: all tasks are the data set as it is. ``"class_incremental"``: task t shows
        `classes_per_task` classes that no other task shows, in an order drawn with the data seed, and is tested on
        them. ``"rotated"``: task t shows images turned by t times `rotation_step`. ``"noisy"``: task t adds to every
        pixel of every showing (and of the test set) normal noise of t times `noise_step` standard deviations of
        the training set; pixels are rounded and clipped to their range. ``"from_file"``: the data set says to which
        task each example belongs.
    tasks : int
        Number of tasks.
    epochs : int
        How often, at most, a task shows each training example. The order is that of the file, unshuffled, and
        repeats.
    examples : int, optional
        Number of examples over all tasks, split evenly (where it does not divide, tasks differ by one); at
        most, and by default, ``tasks * epochs`` times the training examples of the task that has the fewest. A task
        shows its share from the start of the file.
    seed : int
        The run's data seed.
    inputs : str
        ``"standardised"``: x_std, the image standardised by the mean and unbiased standard deviation over all
        pixels of its own split (training images by the training set, test images by the test set), as they are in
        the data set, whatever the tasks make of them.
        ``"binarised"``: 1 where abs(x_std) > 1, else 0. ``"sign"``: +1 where x_std >= 0, else -1.
        ``"raw"``: pixel / full scale (float features as they are).
    label_noise : float
        Probability, in [0, 1], that the stream replaces a label by another class, drawn uniformly. Each
        showing of an example is drawn anew, keyed by the data seed and its index. Test labels are never touched.
    imbalance : float
        How many times as many training examples the most common class has as the rarest, at least 1; 1 shows the
        training set as it is. See `long_tail`. The test set stays as it is.
    task_order : sequence of int, optional
        Which task is shown when, [tasks], counted from 0: [0, 1, 0, 1] shows two tasks twice each. Omitted: each once.
    switch_window : int
        Examples over which one task gives way to the next, around the moment at which an abrupt switch (0) would
        take place: the probability that an example is shown as the later task would rises linearly from 0 to 1.
    classes_per_task : int
        Classes of a task (class_incremental).
    rotation_step : float
        Radians from task to task (rotated).
    noise_step : float
        Standard deviations from task to task (noisy).

    Attributes
    ----------
    n_tasks, n_examples, n_in, n_classes : int
    n_bits : int or None
        Bits of a code: 5 for digits, 8 for MNIST, 1 for binarised and sign inputs; None for float features,
        whose code is the unquantised float32 feature.

    Raises
    ------
    ScenarioError
        If an option is out of range, or the data set is not what the kind of stream needs.
    DataError
        If a split is constant and cannot be standardised, or a task has no example.

    Notes
    -----
    Inputs are float32: offset + scale * code in float64 (each operation rounded), then rounded once to float32.

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
        imbalance: float = 1.0,
        task_order: Sequence[int] | None = None,
        switch_window: int = 0,
        **parameters: float,
    ) -> None:
        _check_word("stream.kind", kind, STREAM_KINDS)
        _check_word("stream.inputs", inputs, INPUTS)
        _check_count("stream.tasks", tasks)
        _check_count("stream.epochs", epochs)
        if not _is_number(label_noise) or not 0.0 <= label_noise <= 1.0:
            raise ScenarioError(f"stream.label_noise: got {label_noise!r}; allowed are numbers from 0 to 1.")
        if not _is_number(imbalance) or not 1.0 <= imbalance < np.inf:
            raise ScenarioError(f"stream.imbalance: got {imbalance!r}; allowed are finite numbers from 1.")
        self.data = data
        self.kind = kind
        self.seed = check_seed(seed)
        self.inputs = inputs
        self.label_noise = float(label_noise)
        self.n_tasks = int(tasks)
        self.n_in = data.n_in
        self.n_classes = data.n_classes
        self._parameters = _check_parameters(kind, parameters)
        self._order = _check_order(task_order, self.n_tasks)
        self._kept = long_tail(data, self.seed, float(imbalance)) if imbalance > 1.0 else None
        self._encoders = {
            "train": Encoder(data.x_train, data.full_scale, inputs, f"{data.name}, training set"),
            "test": Encoder(data.x_test, data.full_scale, inputs, f"{data.name}, test set"),
        }
        self.n_bits = self._encoders["train"].n_bits
        self._spread = mean_and_std(data.x_train)[1] if kind == "noisy" else 0.0
        self._tasks: dict[int, Task] = {}
        self._located: tuple[int | None, _Place] = (None, _Place(0, 0, 0, Task()))
        self._labels: list[int] = data.y_train.tolist()
        fewest = self._fewest_rows()
        most = self.n_tasks * int(epochs) * fewest
        if examples is None:
            examples = most
        _check_count("stream.examples", examples)
        if not tasks <= examples <= most:
            raise ScenarioError(
                f"stream.examples: got {examples}; with {tasks} tasks and {epochs} epochs of the {fewest} "
                f"examples of {data.name!r}, allowed are {tasks} to {most}; change examples or epochs."
            )
        self.n_examples = int(examples)
        share = self.n_examples // self.n_tasks
        if isinstance(switch_window, bool) or not 0 <= switch_window <= share:
            raise ScenarioError(
                f"stream.switch_window: got {switch_window!r}; allowed are 0 to {share}, the examples of a task, so "
                "that the windows of two switches do not overlap."
            )
        self.switch_window = int(switch_window)

    def task_start(self, task: int) -> int:
        """Return the index of the first example of a task; of `n_tasks`, the end of the stream; else `IndexError`."""
        if not 0 <= task <= self.n_tasks:
            raise IndexError(f"task {task} of a stream with {self.n_tasks} tasks")
        return task * self.n_examples // self.n_tasks

    def task_of(self, index: int) -> int:
        """Return the task whose turn it is at this index of the stream."""
        return self._turn(index)

    def shown_task(self, index: int) -> int:
        """Return the task that shows the example at this index: `task_of`, or its neighbour in a gradual switch."""
        return self._locate(index).shown

    def row_of(self, index: int) -> int:
        """Return which example of the training set is shown at this index of the stream."""
        return self._locate(index).row

    def content(self, task: int) -> int:
        """Return what a task shows: its own number, or that of `task_order`.

        A task beyond the last is allowed: its content is one that the stream never shows; below 0: `IndexError`.
        """
        if task < 0:
            raise IndexError(f"task {task}; tasks are counted from 0")
        if self._order is None:
            return int(task)
        return self._order[task] if task < self.n_tasks else max(self._order) + 1 + int(task) - self.n_tasks

    def pixel_order(self, task: int) -> np.ndarray | None:
        """Return [n_in] int64, the pixel behind each input of the task, or None for the image as it is.

        A task beyond the last is allowed, as in `content`.
        """
        return self._task(self.content(task)).pixel_order

    def example(self, index: int) -> tuple[np.ndarray, int]:
        """Return the codes and the label of one example.

        Returns
        -------
        codes : numpy.ndarray
            [n_in], uint8, or float32 for unquantised features. May be a read-only view.
        label : int
            What the oracle would answer: with label noise, not always the truth (see `true_label`).
        """
        _, _, row, task = self._locate(index)
        x = self._changed(self.data.x_train[row], task, (TRAIN_NOISE, int(index)))
        codes = self._encoders["train"].codes(x)
        order = task.pixel_order
        return codes if order is None else codes[order], self._label(int(index), row)

    def examples(self, start: int, stop: int) -> Examples:
        """Return consecutive examples, what `example`, `true_label` and `task_of` say of each.

        Raises
        ------
        IndexError
            If the stream has no such examples.
        """
        if not 0 <= start <= stop <= self.n_examples:
            raise IndexError(f"examples {start} to {stop} of a stream with {self.n_examples}")
        places = [self._search(index) for index in range(start, stop)]
        codes = np.empty((stop - start, self.n_in), self._encoders["train"].code_dtype)
        for _, group in groupby(range(len(places)), lambda k: places[k].shown):
            some = list(group)
            rows, task = [places[k].row for k in some], places[some[0]].what
            x = self.data.x_train[rows]
            if task.changes_pixels:
                x = np.stack([self._changed(x[i], task, (TRAIN_NOISE, start + k)) for i, k in enumerate(some)])
            x = self._encoders["train"].codes(x)
            codes[some[0] : some[-1] + 1] = x if task.pixel_order is None else x.take(task.pixel_order, axis=1)
        labels = [self._label(index, place.row) for index, place in enumerate(places, start)]
        true_labels = [self._labels[place.row] for place in places]
        return Examples(codes, *(
            np.array(column, np.int64) for column in (labels, true_labels, [place.task for place in places])
        ))  # fmt: skip

    def true_label(self, index: int) -> int:
        """Return the label of the data set, free of label noise."""
        return self._labels[self._locate(index).row]

    def test_codes(self, task: int) -> tuple[np.ndarray, np.ndarray]:
        """Return codes [n_test, n_in] and labels [n_test] (int64) of the test set as this task shows it.

        A task beyond the last is allowed, as in `content`: unseen pixel orders are out-of-distribution data.
        """
        content = self.content(task)
        what = self._task(content)
        x, labels = self.data.x_test, self.data.y_test
        rows = np.arange(len(x)) if what.test_rows is None else what.test_rows
        if what.test_rows is not None:
            x, labels = x[rows], labels[rows]
        if what.noise:
            x = np.stack([
                self._changed(image, what, (TEST_NOISE, content, int(row))) for image, row in zip(x, rows, strict=True)
            ])  # fmt: skip
        elif what.rotation is not None:
            x = what.rotation(x)
        codes = self._encoders["test"].codes(x)
        return codes if what.pixel_order is None else codes.take(what.pixel_order, axis=1), labels

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

    def _turn(self, index: int) -> int:
        """Return the task whose turn it is: the inverse of `task_start`, in integers."""
        index = int(index)
        if not 0 <= index < self.n_examples:
            raise IndexError(f"example {index} of a stream with {self.n_examples}")
        return ((index + 1) * self.n_tasks - 1) // self.n_examples

    def _locate(self, index: int) -> _Place:
        # The same example is asked for in several ways, one after the other.
        if index == self._located[0]:
            return self._located[1]
        place = self._search(int(index))
        self._located = int(index), place
        return place

    def _search(self, index: int) -> _Place:
        task = self._turn(index)
        shown = self._mixed(index, task) if self.switch_window else task
        what = self._task(self.content(shown))
        rows = what.train_rows
        since = index - task * self.n_examples // self.n_tasks
        if rows is None:
            return _Place(task, shown, since % len(self._labels), what)
        return _Place(task, shown, int(rows[since % len(rows)]), what)

    def _mixed(self, index: int, task: int) -> int:
        """Return the task that shows an example: of the two around the nearest switch, drawn by the distance to it."""
        for later in (task, task + 1):
            into = index - self.task_start(later) + self.switch_window // 2
            if 0 < later < self.n_tasks and 0 <= into < self.switch_window:
                draw = _uniform(int(stream_key(self.seed, Purpose.STREAM, MIXING, index)))
                return later if draw < (into + 0.5) / self.switch_window else later - 1
        return task

    def _changed(self, x: np.ndarray, task: Task, noise_words: tuple[int, ...]) -> np.ndarray:
        """Return one image as a task shows it, apart from the order of its pixels."""
        if task.rotation is not None:
            x = task.rotation(x)
        if task.noise:
            z = host_generator(self.seed, Purpose.STREAM, *noise_words).standard_normal(self.n_in)
            noisy = x + task.noise * self._spread * z
            if x.dtype == np.uint8:
                return np.clip(np.rint(noisy), 0, self.data.full_scale).astype(np.uint8)
            if not np.abs(noisy).max() <= np.finfo(np.float32).max:
                raise DataError(
                    f"{self.data.name}: with the noise of a task a feature goes beyond float32; make stream.noise_step "
                    "or the features smaller."
                )
            x = noisy.astype(np.float32)
        return x

    def _task(self, content: int) -> Task:
        found = self._tasks.get(content)
        if found is None:
            if len(self._tasks) >= _TASKS_KEPT:
                del self._tasks[next(iter(self._tasks))]
            found = STREAM_KINDS[self.kind](self.data, self.seed, content, **self._parameters)
            if self._kept is not None:
                rows = np.flatnonzero(self._kept) if found.train_rows is None else found.train_rows
                rows = rows[self._kept[rows]]
                found = found._replace(train_rows=rows)
                if not rows.size:
                    raise DataError(
                        f"{self.data.name}: stream.imbalance leaves no example of task {content} (counted from 0); "
                        "make it smaller."
                    )
            self._tasks[content] = found
        return found

    def _fewest_rows(self) -> int:
        """Return the number of training examples of the task that has the fewest."""
        if self._task(self.content(0)).train_rows is None:
            return len(self.data.x_train)
        tasks = (self._task(content) for content in sorted({self.content(task) for task in range(self.n_tasks)}))
        return min(len(self.data.x_train) if task.train_rows is None else len(task.train_rows) for task in tasks)

    def _label(self, index: int, row: int) -> int:
        label = self._labels[row]
        if self.label_noise == 0.0:
            return label
        key = int(stream_key(self.seed, Purpose.LABEL_NOISE, index))
        if _uniform(key) >= self.label_noise:
            return label
        # A second word decides which class, so that the choice does not lean on how the first one fell.
        others = self.n_classes - 1
        return (label + 1 + (fold(key, 1) * others >> 64)) % self.n_classes


def _uniform(key: int) -> float:
    """Return a number in [0, 1) from the upper 53 bits of a key."""
    return (key >> 11) * 2.0**-53


def _check_parameters(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a kind of stream, checked."""
    wanted = STREAM_PARAMETERS.get(kind, ())
    for name in given:
        if name not in wanted:
            raise ScenarioError(f"stream.{name}: has no effect with stream.kind = {kind!r}; remove it.")
    for name in wanted:
        value: Any = given.get(name)
        if name == "classes_per_task":
            _check_count("stream.classes_per_task", value)
            continue
        least, most = (0.0, 100.0) if name == "noise_step" else (-np.pi, np.pi)
        if not _is_number(value) or not least <= value <= most:
            allowed = "numbers from 0 to 100" if name == "noise_step" else "angles from -pi to pi, in radians"
            raise ScenarioError(f"stream.{name}: got {value!r}; allowed are {allowed}.")
    return given


def _check_order(order: Sequence[int] | None, n_tasks: int) -> tuple[int, ...] | None:
    if order is None:
        return None
    whole = all(isinstance(t, (int, np.integer)) and not isinstance(t, bool) and 0 <= t < 2**31 for t in order)
    if len(order) != n_tasks or not whole:
        raise ScenarioError(
            f"stream.task_order: got {list(order)!r}; allowed are integers from 0 below 2**31, as many as tasks: "
            f"{n_tasks}."
        )
    return tuple(int(t) for t in order)


def _check_word(where: str, given: Any, allowed: Any) -> None:
    if given not in allowed:
        raise ScenarioError(f"{where}: got {given!r}. {did_you_mean(str(given), allowed)}")


def _is_number(given: Any) -> bool:
    return isinstance(given, (int, float, np.integer, np.floating)) and not isinstance(given, bool)


def _check_count(where: str, given: Any) -> None:
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or given < 1:
        raise ScenarioError(f"{where}: got {given!r}; allowed are integers from 1.")
