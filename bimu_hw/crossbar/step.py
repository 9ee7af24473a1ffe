"""Whole relaxed steps on ideal hardware: one call of a kernel, with as many threads as there are.

Where every element is exact and continuous and the rule is known by numbers, nothing happens between the layers that a
kernel could not do (`bimu_hw.kernels.step`). All else goes the general way (`bimu_hw.crossbar.chip.Chip.learn`).

Nor does anything happen between two steps if it is known which example comes next, and nobody looks at the chip in
between. Then one call learns several examples, and what each has left behind is handed out when its time comes: what a
call takes around the kernel is paid once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bimu_hw.crossbar.encoding import FloatArray
from bimu_hw.crossbar.layer import Layer
from bimu_hw.crossbar.synapses import Programming
from bimu_hw.crossbar.team import Team
from bimu_hw.devices import time_matters
from bimu_hw.errors import ScheduleError
from bimu_hw.kernels import aligned_zeros
from bimu_hw.kernels.rules import Coefficients
from bimu_hw.kernels.step import WORTH_SHARING, relaxed_steps, serve
from bimu_hw.kernels.team import AVAILABLE, new_board

#: Most examples that are learned in one call; what they leave behind still fits a second-level cache.
MOST_AT_ONCE = 16

#: Event, example and label.
_Learned = tuple[int, FloatArray, int]


class RelaxedSteps:
    """The steps of one chip.

    Parameters
    ----------
    layers : sequence of Layer
        In their buffers a step leaves what its parts would leave: normalised sums, activations, gradients (those of the
        last step that was computed).
    keys : sequence of uint64
        Keys of the relaxed weights of each layer, before the event.
    activation : int
    threads : int

    Attributes
    ----------
    foreseen : dict of int to (float32[1, wordline], int)
        Examples, with their labels, that will be learned at some events, as far as they are known and not computed.
    """

    def __init__(self, layers: Sequence[Layer], keys: Sequence[np.uint64], activation: int, threads: int) -> None:
        self._layers, self._activation = layers, activation
        *arrays, self._busy = zip(*(layer.blocks.step_arrays() for layer in layers), strict=True)
        worth = any(weights.size >= WORTH_SHARING for weights in arrays[0])
        self._team = Team(threads) if threads > 1 and worth and AVAILABLE else None
        self._board = self._team.board if self._team else new_board(1)
        # What belongs to one example has a slot for each of those that are learned in one call.
        self._x = aligned_zeros((MOST_AT_ONCE, 1, layers[0].synapses.shape[0]))
        self._normal = tuple(aligned_zeros((MOST_AT_ONCE, *layer.normal.shape)) for layer in layers)
        self._h = tuple(aligned_zeros((MOST_AT_ONCE, *layer.h.shape)) for layer in layers)
        self._labels, self._losses = np.zeros(MOST_AT_ONCE, np.int64), np.zeros(MOST_AT_ONCE)
        self._outcome = np.zeros((MOST_AT_ONCE, len(layers), 4), np.int64)
        self._tally = aligned_zeros((len(self._board) - 1, len(layers), 8), np.int64)
        self._slots = [
            (self._x[slot], [(normal[slot], h[slot]) for normal, h in zip(self._normal, self._h, strict=True)])
            for slot in range(MOST_AT_ONCE)
        ]
        deviation, delta = zip(*((layer.inverse_deviation, layer.delta) for layer in layers), strict=True)
        self._buffers = (*arrays, self._normal, deviation, self._h, delta)
        self._keys = np.array(keys)
        self._bound: tuple[Any, ...] = ()
        self._arguments: tuple[Any, ...] = ()
        #: The steps that were computed and not taken, the next one last: what was learned (event, example, label), the
        #: slot, loss and outcome.
        self._left: list[tuple[_Learned, int, float, list[list[int]]]] = []
        self.foreseen: dict[int, tuple[FloatArray, int]] = {}

    @property
    def ahead(self) -> int:
        """Steps that were computed and not taken."""
        return len(self._left)

    def forget(self) -> None:
        """Forget what was computed and what was foreseen: the chip is in another state now."""
        self._left, self.foreseen = [], {}

    @staticmethod
    def fits(layers: Sequence[Layer]) -> bool:
        """Whether all elements move by what is asked of them, exactly, and by nothing else."""
        synapses = [layer.synapses for layer in layers]
        return all(s.plan_update(0, 0.0).exact and not time_matters(s.storage, s.params) for s in synapses)

    def compute(
        self, x: FloatArray, label: int, event: int, now: float, rules: Sequence[Coefficients], epsilon: float
    ) -> None:
        """Learn an example, and those that are known to come next; all steps of before were taken.

        Parameters
        ----------
        x : float32[1, wordline]
        label, event, now
            As in `bimu_hw.crossbar.chip.Chip.learn`.
        rules : sequence of Coefficients
            The rule in numbers, for each layer.
        epsilon : float
            What it adds to the gradient.
        """
        plans = [layer.synapses.plan_update(event, now) for layer in self._layers]
        bound = [(p.tanh, p.sech2, p.requested, r.coefficient, r.lam_prior) for p, r in zip(plans, rules, strict=True)]
        if not self._is_bound(bound):
            self._bind(bound, rules, epsilon)
        learned: list[_Learned] = [(event, x, label)]
        if self.foreseen:
            while len(learned) < MOST_AT_ONCE and event + len(learned) in self.foreseen:
                learned.append((event + len(learned), *self.foreseen[event + len(learned)]))
        for slot, (_, one, its_label) in enumerate(learned):
            self._x[slot], self._labels[slot] = one, its_label
        try:
            if self._team is not None:
                self._team.expect(len(learned))
            n = relaxed_steps(self._board, len(learned), event, *self._arguments)
        finally:
            if self._team is not None:
                self._team.release()
        outcomes = zip(learned, range(n), self._losses[:n].tolist(), self._outcome[:n].tolist(), strict=False)
        self._left = list(outcomes)[::-1]
        if self.foreseen:
            for done, _, _ in learned[:n]:
                self.foreseen.pop(done, None)

    def take(
        self, x: FloatArray, label: int, event: int, now: float, tile: tuple[int, int, int]
    ) -> tuple[float, bool, tuple[Programming, ...]]:
        """Hand out the next of the steps that were computed.

        Parameters
        ----------
        x, label, event, now
            As in `compute`.
        tile : tuple of int
            (tile_wordlines, tile_bitlines, write_columns).

        Returns
        -------
        tuple of (float, bool, tuple of Programming)
            Loss, whether anything was asked of the elements, and what that took.

        Raises
        ------
        ScheduleError
            If another event, example or label was foreseen.
        """
        (expected, example, its_label), slot, loss, outcome = self._left[-1]
        if event != expected or label != its_label or x is not example:
            raise ScheduleError(
                f"chip: event {event} with label {label} is learned, but event {expected} with label {its_label} was "
                "foreseen; learn what was foreseen first."
            )
        self._left.pop()
        x, left = self._slots[slot]
        for layer, (normal, h) in zip(self._layers, left, strict=True):
            layer.drive_relaxed(x)
            layer.normal, layer.h = normal, h
            x = h
        if outcome[0][3]:
            return loss, False, ()
        done = [
            layer.blocks.have_moved(some, up, plain, now, tile)
            for layer, (some, up, plain, _) in zip(self._layers, outcome, strict=True)
        ]
        return loss, True, tuple(done)

    def _is_bound(self, arrays: Sequence[tuple[Any, ...]]) -> bool:
        """Return whether these are the arrays that the kernel works on."""
        for mine, others in zip(self._bound, arrays, strict=False):
            for a, b in zip(mine, others, strict=True):
                if a is not b:
                    return False
        return bool(self._bound)

    def _bind(self, bound: Sequence[tuple[Any, ...]], rules: Sequence[Coefficients], epsilon: float) -> None:
        """Make the arguments that stay from step to step; only the end of a task, or a reader, brings other arrays."""
        self._bound = ()
        tanh, sech2, requested, coefficient, prior = zip(*bound, strict=True)
        synapses = [layer.synapses for layer in self._layers]
        plans = [s.plan_update(0, 0.0) for s in synapses]
        step = (
            self._x, np.array([self._keys, [plan.key for plan in plans]]),
            np.array([layer.blocks.rows for layer in self._layers]), self._activation, tanh, sech2,
            tuple(s.lam for s in synapses), *self._buffers, rules[0].rule, coefficient[0], prior, np.float32(epsilon),
            plans[0].policy, np.array([plan.scales for plan in plans]), tuple(plan.residue for plan in plans),
            requested,
        )  # fmt: skip
        self._arguments = (self._labels, self._losses, self._outcome, self._busy, self._tally, *step)
        # Compiled here, while no thread looks at the board.
        relaxed_steps(self._board, 0, 0, *self._arguments)
        if self._team is not None:
            self._team.employ(serve, *step, self._busy, self._tally)
        # Last, so that whoever was interrupted here begins anew.
        self._bound = tuple(bound)
