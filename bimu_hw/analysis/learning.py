"""Continual learning from an accuracy matrix: how much is learned, kept and forgotten, and how the mean develops."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from bimu_hw.analysis.labels import labelled
from bimu_hw.learning import metrics

Floats = npt.NDArray[np.float64]


def seen_accuracy(accuracy: npt.ArrayLike) -> Floats:
    """Return the mean accuracy on the tasks seen so far, after each task: mean of R[i, 0 .. i], [trained_task].

    NaN where one of them was not evaluated.

    Parameters
    ----------
    accuracy : array_like
        Accuracy matrix R, [trained_task, task].
    """
    r = np.asarray(accuracy, np.float64)
    return np.array([row[: i + 1].mean() for i, row in enumerate(r)])


def task_forgetting(accuracy: npt.ArrayLike) -> Floats:
    """Return for each task how far its accuracy at the end lies below that right after it was learned, [task].

    R[j, j] - R[T-1, j]: positive is forgetting, 0 for the newest task, NaN where one of the two was not evaluated.

    Parameters
    ----------
    accuracy : array_like
        Accuracy matrix R, [trained_task, task].
    """
    r = np.asarray(accuracy, np.float64)
    return np.diagonal(r) - r[-1]


def continual_learning(accuracy: xr.DataArray | npt.ArrayLike, k: int = 5) -> xr.Dataset:
    """Return the numbers of continual learning that an accuracy matrix holds.

    Parameters
    ----------
    accuracy : array_like
        Accuracy matrix R, [trained_task, task]: after training on task i, on task j, as a fraction.
    k : int
        How many of the newest tasks `accuracy_last_k` averages over; of fewer tasks, all.

    Returns
    -------
    xarray.Dataset
        Numbers: ``accuracy`` (mean over all tasks evaluated at the end), ``accuracy_last_k``, ``accuracy_newest_task``,
        ``backward_transfer``, ``memory_rigidity_resilience``. Curves: ``seen_accuracy`` [trained_task], ``forgetting``
        [task]. NaN where the matrix lacks what a number needs.

    Raises
    ------
    ScenarioError
        If it is no accuracy matrix, or `k` is below 1.
    """
    r = np.asarray(accuracy, np.float64)
    newest = metrics.newest_task_accuracy(r)  # refuses what is no accuracy matrix
    last = min(k, len(r))
    whole = bool(np.isfinite([*r[-1], *np.diagonal(r)]).all())
    complete = k < 1 or bool(np.isfinite(r[-1, len(r) - last :]).all())
    tasks = np.arange(len(r))
    found = {
        "accuracy": labelled((), metrics.mean_accuracy(r), "1", "mean accuracy over all tasks at the end"),
        "accuracy_last_k": labelled(
            (), metrics.last_k_average(r, last) if complete else np.nan, "1",
            f"mean accuracy over the newest {last} tasks at the end",
        ),
        "accuracy_newest_task": labelled((), newest, "1", "accuracy on the newest task at the end"),
        "backward_transfer": labelled(
            (), metrics.backward_transfer(r) if whole else np.nan, "1",
            "mean over the earlier tasks of accuracy at the end minus accuracy right after learning",
        ),
        "memory_rigidity_resilience": labelled(
            (), metrics.memory_rigidity_resilience(r), "1",
            "1 / (largest accuracy - accuracy on the newest task + 1e-5)",
        ),
        "seen_accuracy": labelled(("trained_task",), seen_accuracy(r), "1", "mean accuracy over the tasks seen so far"),
        "forgetting": labelled(("task",), task_forgetting(r), "1", "accuracy right after learning minus at the end"),
    }  # fmt: skip
    coords = {
        "trained_task": labelled(("trained_task",), tasks, "1", "last task trained on"),
        "task": labelled(("task",), tasks, "1", "task evaluated"),
    }
    return xr.Dataset(found, coords=coords)


def online_accuracy(queries: xr.Dataset, window: int | None = None) -> xr.Dataset:
    """Return the accuracy of predictions before they were learned, as a running mean.

    Parameters
    ----------
    queries : xarray.Dataset
        Group ``/queries`` of a record.
    window : int, optional
        Rows that a mean is taken over; default: a fortieth of all, at most 500.

    Returns
    -------
    xarray.Dataset
        ``accuracy`` [query] with the coordinates ``example`` and ``task`` of each window's last row, and, as attribute
        ``window``, the queries that it spans.
    """
    correct = queries["correct"].values.astype(np.float64)
    weight = queries["n_aggregated"].values.astype(np.float64)
    window = int(np.clip(len(correct) // 40, 1, 500)) if window is None else int(np.clip(window, 1, len(correct)))
    kernel = np.ones(window)
    smooth = np.convolve(correct, kernel, "valid") / np.convolve(weight, kernel, "valid")
    accuracy = labelled(("query",), smooth, "1", "accuracy of predictions before they were learned, running mean")
    coords = {name: queries[name].variable[window - 1 :] for name in ("example", "task")}
    return xr.Dataset({"accuracy": accuracy}, coords, {"window": int(window * weight[0])})
