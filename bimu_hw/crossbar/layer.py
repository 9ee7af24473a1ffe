"""One layer of a chip, and how weights are drawn in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bimu_hw.crossbar.drawn import DrawnLayer
from bimu_hw.crossbar.encoding import FloatArray
from bimu_hw.crossbar.fused import BlockedLayer
from bimu_hw.crossbar.normalisation import LayerNorm
from bimu_hw.crossbar.readout import Readout
from bimu_hw.crossbar.synapses import SynapseArray

ONE_PLANE = np.ones(1, np.float32)


@dataclass
class Layer:
    """One layer's synapses, the circuits that read them, and the buffers its kernels write to.

    Attributes
    ----------
    synapses : SynapseArray
    forward, backward : Readout
        The circuits that read the array, and read it transposed.
    n_sample : int
    blocks : BlockedLayer
    norm : LayerNorm
    drawn : DrawnLayer or None
        What draws and multiplies in one go, if nothing lies between thresholds, weights and sums.
    weights : int8[look, wordline, bitline]
        The weights of the last forward pass.
    y, normal, h, delta : float32[sample, bitline]
        Sums, normalised sums, activations, and the gradient of the loss with respect to the sums. After a relaxed step
        in one kernel `normal` and `h` are views of what it left for this example.
    inverse_deviation : float32[sample]
    x : float32[1 or sample, wordline]
        Inputs of the last pass; `planes`, `plane_weight` and `slots` say how they were driven, `backward_planes` and
        `backward_weights` what a backward read drove.
    back : float32[sample, wordline]
        Result of a backward read.
    """

    synapses: SynapseArray
    forward: Readout
    backward: Readout
    n_sample: int
    blocks: BlockedLayer
    norm: LayerNorm
    drawn: DrawnLayer | None
    weights: npt.NDArray[np.int8] = field(init=False)

    def __post_init__(self) -> None:
        n_in, n_out = self.synapses.shape
        s = self.n_sample
        self.weights = np.zeros((0, n_in, n_out), np.int8)
        self.y = np.zeros((s, n_out), np.float32)
        self.normal = np.zeros((s, n_out), np.float32)
        self.inverse_deviation = np.zeros(s, np.float32)
        self.h = np.zeros((s, n_out), np.float32)
        self.delta = np.zeros((s, n_out), np.float32)
        self.gradient = np.zeros(0, np.float32)
        self.request = np.zeros(0, np.float32)
        self.back = np.zeros((s, n_in), np.float32)
        self.planes = np.zeros((1, 1, n_in), np.float32)
        self.plane_weight = np.ones(1, np.float32)
        self.slots: tuple[int, ...] | None = None
        self.x = np.zeros((1, n_in), np.float32)
        self.backward_planes = np.zeros((s, 1, n_out), np.float32)
        self.backward_weights = self.weights

        # Whether the last forward pass went through binary weights, those in `weights`; a relaxed one has none.
        self.binary = False

    @property
    def per_look(self) -> bool:
        """Whether every look at a cell is another draw."""
        return self.synapses.spec.holds == "read"

    def drive_relaxed(self, x: FloatArray) -> None:
        """Note what drove the layer in a relaxed pass."""
        self.x, self.binary = x, False
        self.planes, self.plane_weight = x[:, None, :], ONE_PLANE

    def draw(self, event: int, now: float, n_plane: int, *, probe: bool = False) -> None:
        """Read the store and draw this query's weights into `weights` (int8[look, wordline, bitline])."""
        self.look(event, now, self.make_room(self.n_sample * (n_plane if self.per_look else 1)), probe=probe)

    def make_room(self, looks: int) -> npt.NDArray[np.int8]:
        """Return `weights` with room for a number of looks."""
        if self.weights.shape[0] != looks:
            self.weights = np.zeros((looks, *self.synapses.shape), np.int8)
        return self.weights

    def look(
        self, event: int, now: float, out: npt.NDArray[np.int8], stream: int = 0, *, probe: bool = False
    ) -> None:
        """Draw the looks of all samples, sample by sample where each one needs a reading of the store of its own.

        The looks of a backward read (`stream` 1) follow the forward pass and share its reading where there is but one.
        """
        synapses, n = self.synapses, out.shape[0] // self.n_sample
        if not synapses.reads_per_sample:
            if not stream:
                synapses.read(event, now, probe=probe)
            synapses.sample(event, now, out, stream=stream, probe=probe)
            return
        for s in range(self.n_sample):
            synapses.read(event, now, s + stream * self.n_sample, probe=probe)
            synapses.sample(event, now, out[s * n : (s + 1) * n], s * n, stream, probe=probe)
