"""How the digital unit normalises the sums of a layer: over its units, or each unit by its own running statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.errors import ScenarioError
from bimu_hw.kernels.batch_norm import normalise_units, normalise_units_backward, update_statistics
from bimu_hw.kernels.network import normalise, normalise_backward

FloatArray = npt.NDArray[np.float32]


class LayerNorm:
    """Layer normalisation without affine parameters: each sample by the mean and deviation over the units."""

    #: Bits of statistics kept per unit.
    kept_bits = 0

    def forward(self, y: FloatArray, out: FloatArray, inverse_deviation: FloatArray) -> None:
        """Normalise `y` into `out` (float32[sample, unit]); write what the derivative needs."""
        normalise(y, out, inverse_deviation)

    def backward(self, delta: FloatArray, normal: FloatArray, inverse_deviation: FloatArray) -> None:
        """Turn `delta` into the gradient with respect to the sums, in place."""
        normalise_backward(delta, normal, inverse_deviation, delta)

    def learn(self, y: FloatArray) -> None:
        """Be told the sums of an example that was learned."""

    def end_task(self) -> None:
        """Be told that a task has ended."""

    def use_task(self, task: int | None) -> None:
        """Normalise as at the end of a task; None: as now."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep; not copied."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state from `state`."""


class BatchNorm(LayerNorm):
    """Batch normalisation for one example at a time, without affine parameters: running statistics of each unit.

    A batch of one has no variance. So every unit is normalised by a mean and a variance that run over the examples that
    were learned, each weighing 1 - 1/window times as much as the next; they count as constants in the derivative, and
    are brought up to date after it. Those at the end of a task are kept for its evaluation: statistics per task, as in
    Laborieux et al., Nat. Commun. 12, 2549 (2021), whose batches are of many examples. The statistics start at mean 0
    and variance n_in, that of a sum of n_in independent signs.

    Parameters
    ----------
    n_in, n_out : int
        Inputs and units of the layer.
    window : float
        In examples, at least 1.
    """

    kept_bits = 64

    def __init__(self, n_in: int, n_out: int, window: float) -> None:
        self._share = np.float32(1.0 / window)
        self._now = np.zeros((2, n_out), np.float32)
        self._now[1] = n_in
        self._of_tasks = np.zeros((0, 2, n_out), np.float32)
        self._used = self._now

    def forward(self, y: FloatArray, out: FloatArray, inverse_deviation: FloatArray) -> None:
        """Normalise `y` into `out` (float32[sample, unit])."""
        normalise_units(y, self._used[0], self._used[1], out)

    def backward(self, delta: FloatArray, normal: FloatArray, inverse_deviation: FloatArray) -> None:
        """Turn `delta` into the gradient with respect to the sums, in place."""
        normalise_units_backward(delta, self._used[1])

    def learn(self, y: FloatArray) -> None:
        """Bring the statistics up to date."""
        update_statistics(y, self._share, self._now[0], self._now[1])

    def end_task(self) -> None:
        """Keep the statistics for evaluations of the task that has ended."""
        self._of_tasks = np.concatenate([self._of_tasks, self._now[None]])

    def use_task(self, task: int | None) -> None:
        """Normalise with the statistics of a task that has ended; those of now for None, or a task that has not."""
        past = task is not None and task < len(self._of_tasks)
        self._used = self._of_tasks[task] if past else self._now

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep; not copied."""
        return {"now": self._now, "of_tasks": self._of_tasks}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state from `state`."""
        self._now[...] = state["now"]
        self._of_tasks = np.array(state["of_tasks"], np.float32)


def make_normalisation(kind: str, n_in: int, n_out: int, window: float) -> LayerNorm:
    """Return what normalises a layer: "layer", or "batch" with a window in examples.

    Raises
    ------
    ScenarioError
        If there is no such kind.
    """
    if kind not in ("layer", "batch"):
        raise ScenarioError(f"network.normalisation: got {kind!r}; allowed are layer, batch.")
    return LayerNorm() if kind == "layer" else BatchNorm(n_in, n_out, window)
