"""The kinds of stream: what tells one task from the others.

A kind is a pure function of the data set, the data seed, the number of the task and at most one parameter of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from bimu_hw.errors import DataError, ScenarioError
from bimu_hw.learning.data import DataSet
from bimu_hw.learning.streams.rotation import Rotation
from bimu_hw.random import Purpose, host_generator

#: First word of the keys of purpose STREAM: what is drawn.
MIXING, CLASS_ORDER, CLASS_RANK, TRAIN_NOISE, TEST_NOISE = range(5)


class Task(NamedTuple):
    """What tells one task of a stream from the others."""

    pixel_order: np.ndarray | None = None
    """[n_in] int64: input i of the task is pixel ``pixel_order[i]``; None leaves the image as it is."""
    rotation: Rotation | None = None
    """How images are turned."""
    noise: float = 0.0
    """Standard deviation of what is added to every pixel or feature, over that of all of the training set."""
    train_rows: np.ndarray | None = None
    """int64: the examples of the training set that the task shows; None for all."""
    test_rows: np.ndarray | None = None
    """int64: the examples of the test set it is tested on; None for all."""

    @property
    def changes_pixels(self) -> bool:
        """Whether an image is shown as another one, apart from the order of its pixels."""
        return self.rotation is not None or self.noise != 0.0


def _permuted(data: DataSet, seed: int, task: int) -> Task:
    return Task(host_generator(seed, Purpose.PERMUTATION, task).permutation(data.n_in))


def _stationary(data: DataSet, seed: int, task: int) -> Task:
    return Task()


def _class_incremental(data: DataSet, seed: int, task: int, classes_per_task: int) -> Task:
    first = task * classes_per_task
    if first + classes_per_task > data.n_classes:
        raise ScenarioError(
            f"stream.classes_per_task: got {classes_per_task}, and task {task} (counted from 0) would need class "
            f"number {first + classes_per_task} of the {data.n_classes} of {data.name!r}; ask for fewer classes or "
            "fewer tasks."
        )
    order = host_generator(seed, Purpose.STREAM, CLASS_ORDER).permutation(data.n_classes)
    classes = order[first : first + classes_per_task]
    return _rows(data, np.isin(data.y_train, classes), np.isin(data.y_test, classes), task)


def _rotated(data: DataSet, seed: int, task: int, rotation_step: float) -> Task:
    if len(data.image_shape) != 2:
        raise ScenarioError(
            f"stream.kind: got 'rotated', and an example of {data.name!r} has shape {data.image_shape}; only images of "
            "rows and columns can be turned; choose another kind."
        )
    return Task(rotation=Rotation(data.image_shape, task * rotation_step) if task else None)


def _noisy(data: DataSet, seed: int, task: int, noise_step: float) -> Task:
    return Task(noise=task * noise_step)


def _from_file(data: DataSet, seed: int, task: int) -> Task:
    if data.task_train is None or data.task_test is None:
        raise ScenarioError(
            f"stream.kind: got 'from_file', and {data.name!r} does not say which example belongs to which task; give "
            "an .npz file with task_train and task_test, or choose another kind."
        )
    return _rows(data, data.task_train == task, data.task_test == task, task)


def _rows(data: DataSet, in_train: np.ndarray, in_test: np.ndarray, task: int) -> Task:
    for split, among in (("training", in_train), ("test", in_test)):
        if not among.any():
            raise DataError(
                f"{data.name}: the {split} set has no example of task {task} (counted from 0); ask for fewer tasks, or "
                "add examples."
            )
    return Task(train_rows=np.flatnonzero(in_train), test_rows=np.flatnonzero(in_test))


#: Kinds of stream, by name.
STREAM_KINDS: dict[str, Callable[..., Task]] = {
    "permuted": _permuted,
    "stationary": _stationary,
    "class_incremental": _class_incremental,
    "rotated": _rotated,
    "noisy": _noisy,
    "from_file": _from_file,
}

#: The parameter of each kind that has one.
STREAM_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "permuted": (),
    "stationary": (),
    "class_incremental": ("classes_per_task",),
    "rotated": ("rotation_step",),
    "noisy": ("noise_step",),
    "from_file": (),
}


def long_tail(data: DataSet, seed: int, imbalance: float) -> np.ndarray:
    """Return which examples of the training set a stream with rare classes keeps, bool[n_train].

    From class to class the number of examples falls by the same factor, so that the most common has `imbalance` times
    as many as the rarest. The most common one keeps as many as the smallest class of the data set has, and each at
    least one, spread evenly over the class's own examples, so that rare classes do not end early in the file. Which
    class is how common is drawn with the data seed.
    """
    counts = np.bincount(data.y_train, minlength=data.n_classes)
    rank = host_generator(seed, Purpose.STREAM, CLASS_RANK).permutation(data.n_classes)
    wanted = np.maximum(1, np.rint(counts.min() * imbalance ** (-rank / (data.n_classes - 1)))).astype(np.int64)
    keep = np.zeros(len(data.y_train), bool)
    for c in range(data.n_classes):
        spread = ((np.arange(wanted[c]) + 0.5) * counts[c] / wanted[c]).astype(np.int64)
        keep[np.flatnonzero(data.y_train == c)[spread]] = True
    return keep
