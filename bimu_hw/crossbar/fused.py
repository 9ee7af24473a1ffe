"""A layer's work in few passes: relaxed products, gradients and updates by blocks of word lines.

The kernels cut a layer into blocks that stay in the first-level cache (`bimu_hw.kernels.blocks`). Here are the buffers
they need and the calls, shared out among threads by whole blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.crossbar.encoding import FloatArray
from bimu_hw.crossbar.keys import event_key
from bimu_hw.crossbar.synapses import Programming, SynapseArray
from bimu_hw.crossbar.workers import Workers
from bimu_hw.kernels import aligned_zeros
from bimu_hw.kernels.blocks import block_rows, count_chunks, count_pairs
from bimu_hw.kernels.counters import count_pulses
from bimu_hw.kernels.gradient import gradient, gradient_is_zero
from bimu_hw.kernels.plain import plain_product, plain_products, sum_columns
from bimu_hw.kernels.programming import STOCHASTIC
from bimu_hw.kernels.relaxed import relaxed_backward, relaxed_finish, relaxed_product
from bimu_hw.kernels.rules import Coefficients
from bimu_hw.kernels.update import list_counts, update_layer

#: Weight samples of a layer and pass from which on handing a part to another thread pays: waking it takes some 60 us.
WORTH_SPLITTING = 1_000_000


class BlockedLayer:
    """One layer's blocks and work space.

    Parameters
    ----------
    synapses : SynapseArray
    n_sample : int
    workers : Workers

    Attributes
    ----------
    x : float32[1 or sample, wordline]
        Inputs of the last pass.
    delta : float32[sample, bitline]
        Gradient of each sample's loss with respect to the products.
    """

    def __init__(self, synapses: SynapseArray, n_sample: int, workers: Workers) -> None:
        self.synapses = synapses
        self._workers = workers if n_sample * synapses.lam.size >= WORTH_SPLITTING else Workers(1)
        self._n_in, n_out = synapses.shape
        self._n_out, self._n_sample = n_out, n_sample
        self.rows = block_rows(n_out)
        self.n_blocks = 2 * count_pairs(self._n_in, self.rows)
        self._n_chunks = count_chunks(self._n_in, self.rows)
        self._weights = np.zeros((0, 0, 0), np.float32)
        cells = self.rows * n_out
        # One work space per thread.
        self._work = aligned_zeros((workers.threads, 5 + n_sample, cells))
        self._words = aligned_zeros((workers.threads, 2, cells), np.uint32)
        self._keys = aligned_zeros((workers.threads, n_sample, 2), np.uint32)
        self._busy = np.zeros(self.n_blocks, np.int32)
        self._counts = aligned_zeros(synapses.lam.size)
        self._sums = np.zeros((0, 2, 0), np.float32)
        self._cells = np.zeros(0, np.int32)
        self._listed = np.zeros(0, np.float32)

    def _prepare(self) -> None:
        if not self._weights.size:
            self._weights = aligned_zeros((self.n_blocks, self._n_sample, self.rows * self._n_out))
            self._partial = aligned_zeros((self._n_chunks, self._n_sample, self._n_out))

    def step_arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """Return what a whole step works on (`bimu_hw.kernels.step`): weights, partial sums, work space with one more
        axis in front, the thread, counts and busy blocks.
        """
        self._prepare()
        return self._weights, self._partial, self._work, self._words, self._keys, self._counts, self._busy

    def forward(
        self, x: FloatArray, key: np.uint64, normal: FloatArray, inverse_deviation: FloatArray, activation: int,
        h: FloatArray,
    ) -> None:  # fmt: skip
        """Draw relaxed weights, multiply, normalise and activate (`relaxed_finish`)."""
        self._prepare()
        mean = self.synapses.shape_arrays()[0]

        def part(first: int, last: int, number: int) -> None:
            relaxed_product(
                x, mean, key, self.rows, first, last, self._keys[number], self._work[number], self._words[number],
                self._weights, self._partial,
            )  # fmt: skip

        self._workers.split_numbered(self._n_chunks, part)
        relaxed_finish(self._partial, normal, inverse_deviation, activation, h)

    def plain_forward(self, x: FloatArray, weights: npt.NDArray[np.int8], tile_rows: int, out: FloatArray) -> None:
        """Multiply by sampled weights with nothing in between (`bimu_hw.kernels.plain`)."""
        if not self._sums.size:
            self._sums = np.zeros((self._n_sample, 2, sum_columns(self._n_out)), np.float32)
        self._workers.split(
            self._n_sample, lambda first, last: plain_product(x, weights, tile_rows, first, last, self._sums, out)
        )

    def plain_forward_many(self, x: FloatArray, weights: npt.NDArray[np.int8], tile_rows: int, out: FloatArray) -> None:
        """Do what `plain_forward` does for an even number of inputs."""
        held = np.empty((min(tile_rows, self._n_in), self._n_out), np.float32)
        plain_products(x, weights, tile_rows, 0, self._n_sample, held, np.empty((2, self._n_out), np.float32), out)

    def backward(self, delta: FloatArray, normal_below: FloatArray, activation: int, delta_below: FloatArray) -> None:
        """Take the gradient to the layer below through the weights of the last forward pass."""
        relaxed_backward(delta, self._weights, self.rows, normal_below, activation, delta_below)

    def gradient(self, x: FloatArray, delta: FloatArray, relaxed: bool, epsilon: float, out: FloatArray) -> bool:
        """Write the gradient, float32[cell]; return whether all of it is exactly zero."""
        found: list[bool] = []

        def part(first: int, last: int, number: int) -> None:
            found.append(
                gradient(
                    x, delta, self._weights, relaxed, np.float32(epsilon), self.rows, first, last, self._work[number],
                    out,
                )
            )

        self._workers.split_numbered(self.n_blocks, part)
        return not any(found)

    def gradient_is_zero(self, x: FloatArray, delta: FloatArray, relaxed: bool, epsilon: float) -> bool:
        """Return whether the whole gradient is exactly zero, without keeping it."""
        e = np.float32(epsilon)
        return bool(gradient_is_zero(x, delta, self._weights, relaxed, e, self.rows, self.n_blocks, self._work[0]))

    def update(
        self, x: FloatArray, delta: FloatArray, relaxed: bool, epsilon: float, rule: Coefficients, event: int,
        now: float, tile: tuple[int, int, int],
    ) -> Programming:  # fmt: skip
        """Work out what the rule asks of each cell, and program it: the same bits as in several passes.

        `tile` is (tile_wordlines, tile_bitlines, write_columns).
        """
        synapses = self.synapses
        plan = synapses.plan_update(event, now)
        key = event_key(plan.key, event) if plan.policy == STOCHASTIC else plan.key
        tallies: list[tuple[int, int, int]] = []

        def part(first: int, last: int, number: int) -> None:
            tallies.append(
                update_layer(
                    x, delta, self._weights, relaxed, np.float32(epsilon), rule.rule, rule.coefficient, rule.lam_prior,
                    plan.policy, plan.scales, plan.exact, key, plan.residue, plan.requested, self.rows, first,
                    last, self._work[number], synapses.lam, plan.tanh, plan.sech2, self._counts, self._busy,
                )
            )  # fmt: skip

        self._workers.split_numbered(self.n_blocks // 2, part)
        some, up, plain = (sum(column) for column in zip(*tallies, strict=True))
        if plan.exact:
            return self.have_moved(some, up, plain, now, tile)
        cells, counts = self._list(some) if some < self._counts.size else (synapses.all_cells, self._counts)
        return synapses.send(cells, counts, event, now, *tile)

    def have_moved(self, some: int, up: int, plain: int, now: float, tile: tuple[int, int, int]) -> Programming:
        """Take note that exact continuous elements have moved: what `update_layer` returned, all parts together."""
        synapses = self.synapses
        if plain == self.n_blocks:
            return synapses.all_have_moved(up, now, *tile)
        cells, counts = self._list(some)
        synapses.have_moved(cells, now)
        count_pulses(cells, counts, synapses.state.pulse_count)
        return Programming(up, some - up, synapses.writing.of_list(cells, counts, *tile).tiles)

    def _list(self, some: int) -> tuple[npt.NDArray[np.int32], FloatArray]:
        """List the cells that get pulses, and their counts."""
        if not self._cells.size:
            self._cells, self._listed = np.zeros(self._counts.size, np.int32), np.zeros_like(self._counts)
        list_counts(self._counts, self._busy, self.rows, self._n_in, self._cells, self._listed)
        return self._cells[:some], self._listed[:some]
