"""The rules whose weight is the sign of a latent number, as the controller sees them (`bimu_hw.learning.latent`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bimu_hw.kernels.adam import adam_request, bound_request, brake_request
from bimu_hw.learning.latent import ADAM_EPS, BETA1, BETA2, STE_BOUND

FloatArray = npt.NDArray[np.float32]


@dataclass(kw_only=True)
class Latent:
    """What the two rules share: Adam on the latent weight, with its moments kept per synapse.

    Attributes
    ----------
    lr : float
        eta of Adam.
    weight_decay : float
        Added to the gradient, times the latent weight.
    moments : list of float32[2, cell]
        First and second moment of each layer.
    updates : int
    """

    lr: float
    weight_decay: float
    moments: list[FloatArray] = field(default_factory=list, repr=False)
    updates: int = 0

    #: Multiply-accumulates and functions (root, division) per synapse and update, for the account.
    operations: ClassVar[tuple[int, int]] = (8, 2)
    reads_lam: ClassVar[bool] = True
    #: Two moments, float32 each; they are read and written at every update.
    memory_bits: ClassVar[int] = 64
    writes_memory: ClassVar[bool] = True
    epsilon: ClassVar[float] = 0.0
    weights: ClassVar[str] = "sign"

    def begin_update(self, cells: list[int]) -> None:
        """Be told that an update of layers of so many cells begins."""
        self.updates += 1
        if not self.moments:
            self.moments = [np.zeros((2, n), np.float32) for n in cells]
        first, second = 1.0 - BETA1**self.updates, 1.0 - BETA2**self.updates
        numbers = (self.weight_decay, BETA1, BETA2, self.lr / first, 1.0 / second, ADAM_EPS)
        self._numbers = np.array(numbers, np.float32)

    def request(
        self, layer: int, part: slice, lam: FloatArray, gradient: FloatArray, through_weight: bool, out: FloatArray
    ) -> None:
        """Write the asked change of the latent weight for a part of a layer's cells (arrays flat float32[cell])."""
        first, second = self.moments[layer]
        adam_request(lam[part], gradient[part], self._numbers, first[part], second[part], out[part])
        self._shape(lam[part], out[part])

    def _shape(self, lam: FloatArray, out: FloatArray) -> None:
        """Turn Adam's change into the rule's: here they are the same."""

    def end_task(self, lams: list[FloatArray]) -> None:
        """Do nothing: the moments go on from task to task."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep of the rule: the moments, float32[2, cell] by layer; not copied."""
        return {"updates": self.updates, **{str(layer): moments for layer, moments in enumerate(self.moments)}}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state from `state`."""
        self.updates = int(state["updates"])
        self.moments = [np.array(state[str(layer)], np.float32) for layer in range(len(state) - 1)]


@dataclass(kw_only=True)
class Ste(Latent):
    """STE: the gradient passes straight through the sign; latent weights stay within +-1 (Hubara et al., 2016)."""

    def _shape(self, lam: FloatArray, out: FloatArray) -> None:
        bound_request(lam, np.float32(STE_BOUND), out)


@dataclass(kw_only=True)
class Metaplasticity(Latent):
    """Synaptic metaplasticity (Laborieux et al., Nat. Commun. 12, 2549, 2021): steps towards 0 are braked.

    Attributes
    ----------
    metaplasticity : float
        m of the factor 1 - tanh**2(m |lam|).
    """

    metaplasticity: float

    #: Besides Adam's: a product with m, the factor, and its product.
    operations: ClassVar[tuple[int, int]] = (11, 4)

    def _shape(self, lam: FloatArray, out: FloatArray) -> None:
        brake_request(lam, np.float32(self.metaplasticity), out)
