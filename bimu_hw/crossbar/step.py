"""Whole relaxed steps on ideal hardware: one call of a kernel, with as many threads as there are.

Where every element is exact and continuous and the rule is known by numbers, nothing happens between the layers that a
kernel could not do (`bimu_hw.kernels.step`). All else goes the general way (`bimu_hw.crossbar.chip.Chip.learn`).
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
from bimu_hw.kernels import aligned_zeros
from bimu_hw.kernels.rules import Coefficients
from bimu_hw.kernels.step import WORTH_SHARING, relaxed_step, serve
from bimu_hw.kernels.team import AVAILABLE, new_board


class RelaxedStep:
    """The steps of one chip.

    Parameters
    ----------
    layers : sequence of Layer
        In their buffers a step leaves what its parts would leave: normalised sums, activations, gradients.
    keys : sequence of uint64
        Keys of the relaxed weights of each layer, before the event.
    activation : int
    threads : int
    """

    def __init__(self, layers: Sequence[Layer], keys: Sequence[np.uint64], activation: int, threads: int) -> None:
        self._layers, self._activation = layers, activation
        *arrays, self._busy = zip(*(layer.blocks.step_arrays() for layer in layers), strict=True)
        outputs = [(layer.normal, layer.inverse_deviation, layer.h, layer.delta) for layer in layers]
        self._buffers = (*arrays, *zip(*outputs, strict=True))
        worth = any(weights.size >= WORTH_SHARING for weights in arrays[0])
        self._team = Team(threads, layers[0].synapses.shape[0]) if threads > 1 and worth and AVAILABLE else None
        self._board = self._team.board if self._team else new_board(1)
        self._keys = np.array(keys)
        self._tally = aligned_zeros((len(self._board) - 1, len(layers), 8), np.int64)
        self._bound: tuple[Any, ...] = ()
        self._arguments: tuple[Any, ...] = ()

    @staticmethod
    def fits(layers: Sequence[Layer]) -> bool:
        """Whether all elements move by what is asked of them, exactly, and by nothing else."""
        synapses = [layer.synapses for layer in layers]
        return all(s.plan_update(0, 0.0).exact and not time_matters(s.storage, s.params) for s in synapses)

    def learn(
        self, x: FloatArray, label: int, event: int, now: float, rules: Sequence[Coefficients], epsilon: float,
        tile: tuple[int, int, int],
    ) -> tuple[float, bool, tuple[Programming, ...]]:  # fmt: skip
        """Learn one example.

        Parameters
        ----------
        x : float32[1, wordline]
        label, event, now
            As in `bimu_hw.crossbar.chip.Chip.learn`.
        rules : sequence of Coefficients
            The rule in numbers, for each layer.
        epsilon : float
            What it adds to the gradient.
        tile : tuple of int
            (tile_wordlines, tile_bitlines, write_columns).

        Returns
        -------
        tuple of (float, bool, tuple of Programming)
            Loss, whether anything was asked of the elements, and what that took.
        """
        plans = [layer.synapses.plan_update(event, now) for layer in self._layers]
        bound = [(p.tanh, p.sech2, p.requested, r.coefficient, r.lam_prior) for p, r in zip(plans, rules, strict=True)]
        if not self._is_bound(bound) or (self._team is not None and self._team.waits):
            self._bind(bound, rules, epsilon)
        if self._team is not None:
            self._team.call(event, label, x)
            x = self._team.x
        loss, nothing = relaxed_step(self._board, 0, event, label, x, *self._arguments)
        if self._team is not None:
            self._team.waits = False
        for layer in self._layers:
            layer.drive_relaxed(x)
            x = layer.h
        if nothing:
            return loss, False, ()
        tallies = self._tally.sum(axis=0).tolist() if self._team else self._tally[0].tolist()
        done = [
            layer.blocks.have_moved(some, up, plain, now, tile)
            for layer, (some, up, plain, *_) in zip(self._layers, tallies, strict=True)
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
        self._bound = tuple(bound)
        tanh, sech2, requested, coefficient, prior = zip(*bound, strict=True)
        synapses = [layer.synapses for layer in self._layers]
        plans = [s.plan_update(0, 0.0) for s in synapses]
        self._arguments = (
            np.array([self._keys, [plan.key for plan in plans]]),
            np.array([layer.blocks.rows for layer in self._layers]), self._activation, tanh, sech2,
            tuple(s.lam for s in synapses), *self._buffers, rules[0].rule, coefficient[0], prior, np.float32(epsilon),
            plans[0].policy, np.array([plan.scales for plan in plans]), tuple(plan.residue for plan in plans),
            requested, self._busy, self._tally,
        )  # fmt: skip
        if self._team is not None:
            self._team.employ(serve, *self._arguments)
