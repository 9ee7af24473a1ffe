"""A forward pass through a layer whose weights are drawn and multiplied in one go.

Possible where the sampling elements do nothing but compare random numbers with thresholds, once per query, and
nothing lies between weights and sums. The bits are those of drawing first and multiplying afterwards.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bimu_hw.crossbar.encoding import FloatArray
from bimu_hw.crossbar.fused import WORTH_SPLITTING
from bimu_hw.crossbar.normalisation import BatchNorm, LayerNorm
from bimu_hw.crossbar.synapses import SynapseArray
from bimu_hw.crossbar.workers import Workers
from bimu_hw.kernels import aligned_zeros
from bimu_hw.kernels.drawn_product import drawn_layer, drawn_product, ties_size
from bimu_hw.kernels.network import activate
from bimu_hw.kernels.plain import sum_columns


class DrawnLayer:
    """Work space of one layer.

    Parameters
    ----------
    synapses : SynapseArray
        One with `thresholds`.
    norm : LayerNorm
    n_sample, tile_rows : int
    workers : Workers
        They share the samples of a large layer.
    """

    def __init__(
        self, synapses: SynapseArray, norm: LayerNorm, n_sample: int, tile_rows: int, workers: Workers
    ) -> None:  # fmt: skip
        self._synapses, self._norm, self._n_sample, self._tile_rows = synapses, norm, n_sample, tile_rows
        self._workers = workers if n_sample * synapses.lam.size >= WORTH_SPLITTING else Workers(1)
        self._in_one = self._workers.threads == 1 and not isinstance(norm, BatchNorm)
        n_out = synapses.shape[1]
        self._keys = np.zeros((n_sample, 4), np.uint32)
        self._sums = aligned_zeros((n_sample, 2, sum_columns(n_out)))
        self._ties = [np.zeros(ties_size(n_sample, n_out), np.uint64) for _ in range(self._workers.threads)]

    def forward(
        self, x: FloatArray, event: int, now: float, weights: npt.NDArray[np.int8], y: FloatArray, activation: int,
        normal: FloatArray, inverse_deviation: FloatArray, h: FloatArray, *, probe: bool,
    ) -> None:  # fmt: skip
        """Draw this query's weights, multiply, normalise and activate.

        Parameters
        ----------
        x : float32[1 or sample, wordline]
        event, now, probe
            As in `SynapseArray.read`.
        activation : int
            Or -1 for none.
        weights : int8[sample, wordline, bitline]
        y, normal, h : float32[sample, bitline]
        inverse_deviation : float32[sample]
            All *mutated*.
        """
        synapses, tile_rows, keys, sums = self._synapses, self._tile_rows, self._keys, self._sums
        assert synapses.thresholds is not None
        if not probe:
            synapses.advance(event, now)
        coarse, fine = synapses.thresholds.parts(synapses.sampler_state)
        key, index = synapses.sample_key, np.uint64(event)
        if self._in_one:
            drawn_layer(
                x, coarse, fine, key, index, tile_rows, keys, self._ties[0], sums, weights, y, activation, normal,
                inverse_deviation, h,
            )  # fmt: skip
            return

        def part(first: int, last: int, number: int) -> None:
            ties = self._ties[number]
            drawn_product(x, coarse, fine, key, index, tile_rows, first, last, keys, ties, sums, weights, y)

        self._workers.split_numbered(self._n_sample, part)
        self._norm.forward(y, normal, inverse_deviation)
        if activation >= 0:
            activate(normal, activation, h)
