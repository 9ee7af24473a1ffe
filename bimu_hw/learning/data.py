"""Data sets: scikit-learn's digits (embedded), MNIST, Fashion-MNIST, and a user's own arrays.

A data set is kept as the integers its pixels are (or as float features); what the network sees, standardised
or binarised, is the stream's business (`bimu_hw.learning.streams`), because hardware needs the integers.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np

from bimu_hw.errors import DataError, ScenarioError, did_you_mean
from bimu_hw.learning.idx import IDX_SOURCES, IdxSource, load_idx
from bimu_hw.learning.npz import read_npz

#: The names `load_dataset` knows besides paths to ``.npz`` files.
DATASET_NAMES = ("digits", *IDX_SOURCES)

_ARRAY_NAMES = ("x_train", "y_train", "x_test", "y_test")
_TASK_NAMES = ("task_train", "task_test")
_N_DIGITS_TRAIN = 1500
_DIGITS_CITATION = (
    "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository "
    "(1998), doi:10.24432/C50P49"
)


@dataclass(frozen=True, eq=False)
class DataSet:
    """Training and test examples as stored, unscaled.

    Built by `load_dataset` or `make_dataset`, which check and freeze the arrays.
    """

    name: str
    x_train: np.ndarray
    """[n_train, n_in], uint8 pixels or float32 features, read-only, in file order."""
    y_train: np.ndarray
    """[n_train], int64, 0 to `n_classes` - 1, read-only."""
    x_test: np.ndarray
    """[n_test, n_in], the dtype of `x_train`, read-only."""
    y_test: np.ndarray
    """[n_test], int64, read-only."""
    n_classes: int
    image_shape: tuple[int, ...]
    """Shape of one example before it was flattened; its product is `n_in`."""
    full_scale: int
    """The integer that stands for white: 16 for digits, 255 for IDX files; 1 for float features."""
    citation: str
    sha256: str = field(default="")
    """Digest of the arrays (dtype, shape, bytes): the data's identity, whatever file they came from."""
    task_train: np.ndarray | None = None
    """[n_train], int64, 0 to T - 1, read-only: the task of each example, where the data set says."""
    task_test: np.ndarray | None = None
    """[n_test], int64, read-only."""

    @property
    def n_in(self) -> int:
        """Number of inputs of one example."""
        return int(self.x_train.shape[1])

    @property
    def is_integer(self) -> bool:
        """Whether examples are uint8 pixels rather than float features."""
        return self.x_train.dtype == np.uint8


def load_dataset(
    name: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] | None = None,
) -> DataSet:
    """Load a data set by name, or a user's own from an ``.npz`` file.

    Parameters
    ----------
    name : str or path
        ``"digits"`` (embedded: 1,500 training and 297 test images in file order), ``"mnist"``,
        ``"fashion_mnist"``, or the path of an ``.npz`` file with the arrays ``x_train``, ``y_train``,
        ``x_test``, ``y_test``: integers from 0 to 255 or finite floats, examples first; labels 0 to C - 1.
        Integers may come with a scalar ``full_scale`` (default 255), and any data with ``task_train`` and
        ``task_test``, the number of each example's task from 0.
    data_dir : path, optional
        Folder of the IDX files, directly or in a subfolder named after the data set. Default: the environment
        variable ``BIMU_DATA_DIR``; unset or empty, the user's cache, filled by download on first use.
    mirrors : sequence of str, optional
        Where to download from; default: ``BIMU_DATA_MIRROR``, else the built-in addresses (see `load_idx`).

    Returns
    -------
    DataSet

    Raises
    ------
    ScenarioError
        If no data set has this name.
    DataError
        If files are missing, damaged, not what their checksum says, or hold arrays that break the rules
        above.
    """
    if Path(name).suffix.lower() == ".npz":
        return _load_npz(Path(name))
    if name == "digits":
        return _load_digits()
    if name in IDX_SOURCES:
        return dataset_from_idx(IDX_SOURCES[str(name)], data_dir=data_dir, mirrors=mirrors)
    raise ScenarioError(
        f"data set: {str(name)!r} is neither a known name nor the path of an .npz file. "
        f"{did_you_mean(str(name), DATASET_NAMES)}"
    )


def dataset_from_idx(
    source: IdxSource,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> DataSet:
    """Load an IDX data set from any source; arguments and errors are those of `load_idx`."""
    arrays = load_idx(source, data_dir=data_dir, mirrors=mirrors, cache_dir=cache_dir)
    return make_dataset(source.name, *arrays, full_scale=255, citation=source.citation)


def _load_digits() -> DataSet:
    with resources.files("bimu_hw").joinpath("datasets", "digits.npz").open("rb") as stream:
        with np.load(stream, allow_pickle=False) as archive:
            images, labels = archive["images"], archive["labels"]
    n = _N_DIGITS_TRAIN
    return make_dataset(
        "digits", images[:n], labels[:n], images[n:], labels[n:], full_scale=16, citation=_DIGITS_CITATION
    )


def _load_npz(path: Path) -> DataSet:
    arrays = read_npz(path)
    known = (*_ARRAY_NAMES, *_TASK_NAMES, "full_scale")
    unknown = sorted(set(arrays) - set(known))
    if unknown:
        raise DataError(f"{path}: unknown array {unknown[0]!r}. {did_you_mean(unknown[0], known)}")
    missing = [key for key in _ARRAY_NAMES if key not in arrays]
    if missing:
        raise DataError(f"{path}: lacks {', '.join(missing)}; the file must hold {', '.join(_ARRAY_NAMES)}.")
    full_scale = None
    if "full_scale" in arrays:
        value = arrays["full_scale"]
        if value.shape != () or value.dtype.kind not in "iu" or not 1 <= int(value) <= 255:
            raise DataError(f"{path}, full_scale: got {value!r}; allowed is one integer from 1 to 255.")
        full_scale = int(value)
    if ("task_train" in arrays) != ("task_test" in arrays):
        raise DataError(f"{path}: has one of task_train and task_test; give both, or none.")
    tasks = (arrays["task_train"], arrays["task_test"]) if "task_train" in arrays else None
    return make_dataset(path.stem, *(arrays[key] for key in _ARRAY_NAMES), full_scale=full_scale,
                        citation="user data", where=str(path), tasks=tasks)  # fmt: skip


def make_dataset(
    name: str,
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    *,
    citation: str,
    full_scale: int | None = None,
    where: str | None = None,
    tasks: tuple[np.ndarray, np.ndarray] | None = None,
) -> DataSet:
    """Check four arrays and make a data set of them.

    Parameters
    ----------
    name : str
    x_train, x_test : numpy.ndarray
        [n, ...]: integers from 0 to `full_scale`, or finite floats.
    y_train, y_test : numpy.ndarray
        [n], integers; the training labels must be all of 0 to C - 1, the test labels some of them.
    citation : str
    full_scale : int, optional
        The integer that stands for white; default 255. Float features have none.
    where : str, optional
        The file, for messages; default: the name.
    tasks : tuple of numpy.ndarray, optional
        The task of each training and of each test example, integers; every task from 0 to the largest must have
        examples of both.

    Raises
    ------
    DataError
        In one sentence, if a rule is broken.
    """
    where = where or name
    if full_scale is not None and np.asarray(x_train).dtype.kind == "f":
        raise DataError(f"{where}, full_scale: got {full_scale} with float features; it is for integers only.")
    scale = 255 if full_scale is None else full_scale
    train, test = np.asarray(x_train), np.asarray(x_test)
    if train.ndim < 2 or train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{where}: x_train has shape {train.shape} and x_test {test.shape}; both need the example as "
            f"the first dimension, at least one more, and equal shapes of one example."
        )
    if (train.dtype.kind == "f") != (test.dtype.kind == "f"):
        raise DataError(
            f"{where}: x_train is {train.dtype} and x_test is {test.dtype}; both must be integers or both floats."
        )
    arrays = [
        _features(train, scale, f"{where}, x_train"),
        _labels(y_train, len(train), f"{where}, y_train"),
        _features(test, scale, f"{where}, x_test"),
        _labels(y_test, len(test), f"{where}, y_test"),
    ]
    present = np.unique(arrays[1])
    n_classes = len(present)
    if n_classes < 2 or present[0] != 0 or present[-1] != n_classes - 1:
        raise DataError(
            f"{where}, y_train: got the labels {_listed(present)}; they must be 0 to C - 1, every class "
            f"present, with at least two classes."
        )
    strange = np.setdiff1d(arrays[3], present)
    if strange.size:
        raise DataError(
            f"{where}, y_test: got the label{'s' * (strange.size > 1)} {_listed(strange)}; "
            f"the training set has 0 to {n_classes - 1}."
        )
    names: tuple[str, ...] = _ARRAY_NAMES
    if tasks is not None:
        arrays += _task_arrays(tasks, len(train), len(test), where)
        names += _TASK_NAMES
    digest = hashlib.sha256()
    for key, array in zip(names, arrays, strict=True):
        digest.update(f"{key} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
        array.flags.writeable = False
    return DataSet(
        name=name,
        x_train=arrays[0],
        y_train=arrays[1],
        x_test=arrays[2],
        y_test=arrays[3],
        n_classes=n_classes,
        image_shape=tuple(train.shape[1:]),
        full_scale=scale if arrays[0].dtype == np.uint8 else 1,
        citation=citation,
        sha256=digest.hexdigest(),
        **dict(zip(_TASK_NAMES, arrays[4:], strict=False)),
    )


def _task_arrays(tasks: tuple[np.ndarray, np.ndarray], n_train: int, n_test: int, where: str) -> list[np.ndarray]:
    """Return the numbers of tasks, checked: 0 to T - 1, each with examples to learn and to test."""
    arrays = []
    for key, given, n in zip(_TASK_NAMES, tasks, (n_train, n_test), strict=True):
        array = np.asarray(given)
        if array.shape != (n,) or array.dtype.kind not in "iu":
            raise DataError(
                f"{where}, {key}: got {array.dtype} of shape {array.shape} for {n} examples; allowed is one integer "
                "for each."
            )
        present = np.unique(array)
        if int(present[0]) != 0 or int(present[-1]) != len(present) - 1:
            raise DataError(f"{where}, {key}: got the tasks {_listed(present)}; they must be 0 to T - 1, each present.")
        arrays.append(array.astype("<i8"))
    if arrays[0].max() != arrays[1].max():
        raise DataError(
            f"{where}: task_train has {arrays[0].max() + 1} tasks and task_test {arrays[1].max() + 1}; make them equal."
        )
    return arrays


def _features(x: np.ndarray, full_scale: int, where: str) -> np.ndarray:
    if x.size == 0:
        raise DataError(f"{where}: has shape {x.shape}; at least one example with one input is needed.")
    flat = x.reshape(len(x), -1)
    if x.dtype.kind == "f":
        with np.errstate(over="ignore"):
            flat = np.array(flat, dtype="<f4", order="C")
        bad = np.flatnonzero(~np.isfinite(flat).all(axis=1))
        if bad.size:
            raise DataError(
                f"{where}: example {bad[0]} holds NaN, infinity or a number beyond float32; "
                f"every feature must be finite."
            )
        return flat
    if x.dtype.kind not in "iu":
        raise DataError(f"{where}: got dtype {x.dtype}; allowed are integers from 0 to {full_scale} and floats.")
    low, high = int(flat.min()), int(flat.max())
    if low < 0 or high > full_scale:
        raise DataError(f"{where}: got integers from {low} to {high}; allowed are 0 to {full_scale}, or floats.")
    return np.array(flat, dtype=np.uint8, order="C")


def _labels(y: np.ndarray, n: int, where: str) -> np.ndarray:
    y = np.asarray(y)
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise DataError(f"{where}: got {y.dtype} of shape {y.shape}; allowed is one integer per example.")
    if len(y) != n:
        raise DataError(f"{where}: got {len(y)} labels for {n} examples; there must be one for each.")
    if y.size and int(y.max()) >= 2**63:
        raise DataError(f"{where}: got the label {int(y.max())}; labels are 0 to C - 1.")
    return np.array(y, dtype="<i8", order="C")


def _listed(labels: np.ndarray) -> str:
    shown = ", ".join(str(int(label)) for label in labels[:12])
    return shown + (", ..." if len(labels) > 12 else "")
