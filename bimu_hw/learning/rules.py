"""Learning rules as the controller sees them: hyperparameters, and the request they make of every synapse."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.kernels.rules import (
    BAYESBINN,
    BIMU,
    NATIVE,
    Coefficients,
    bayesbinn_request,
    bimu_request,
    coefficients_of,
    native_request,
)
from bimu_hw.learning.latent_rules import Metaplasticity, Ste

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Bimu:
    """BiMU (Cottart et al., ICML 2026, arXiv:2605.30198).

    Attributes
    ----------
    lr, lr_max, likelihood_multiplier, kl_multiplier : float
        eta, eta_max, L and K.
    memory_window : float
        N, in examples.
    """

    lr: float
    lr_max: float
    likelihood_multiplier: float
    kl_multiplier: float
    memory_window: float

    #: Multiply-accumulates and functions (exponential, division) per synapse and update, for the account.
    operations = (9, 3)
    #: Whether an update reads the stored lam of every cell.
    reads_lam = True
    #: Bits per synapse that the rule keeps for itself.
    memory_bits = 0
    #: Whether it writes them at every update.
    writes_memory = False
    #: What the relaxed gradient adds to 1 - w**2.
    epsilon = 0.0
    #: What the weights are: drawn, or the sign of lam.
    weights = "sampled"

    @cached_property
    def _numbers(self) -> Coefficients:
        return coefficients_of(
            BIMU, self.lr, 1.0 / self.lr_max, self.likelihood_multiplier, self.kl_multiplier, 1.0 / self.memory_window
        )

    def coefficients(self, layer: int, n_cells: int) -> Coefficients:
        """Return the rule in numbers, for updates in one pass."""
        return self._numbers

    def request(
        self, layer: int, part: slice, lam: FloatArray, gradient: FloatArray, through_weight: bool, out: FloatArray
    ) -> None:
        """Write the asked change of lam for a part of a layer's cells (all arrays flat float32[cell])."""
        f = np.float32
        bimu_request(
            lam[part], gradient[part], f(through_weight), f(self.lr), f(1.0 / self.lr_max),
            f(self.likelihood_multiplier), f(self.kl_multiplier), f(1.0 / self.memory_window), out[part],
        )  # fmt: skip

    def begin_update(self, cells: list[int]) -> None:
        """Do nothing: BiMU counts no updates."""

    def end_task(self, lams: list[FloatArray]) -> None:
        """Do nothing: BiMU needs no task boundaries."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep of the rule: nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state from `state`."""


@dataclass
class BayesBinn:
    """BayesBiNN (Meng, Bachmann, Khan, ICML 2020, arXiv:2002.10778); needs task boundaries.

    Attributes
    ----------
    lr, prior_strength : float
        eta and rho.
    """

    lr: float
    prior_strength: float
    lam_prior: list[FloatArray] = field(default_factory=list, repr=False)

    operations = (4, 2)
    reads_lam = True
    memory_bits = 32
    writes_memory = False
    epsilon = 1e-7
    weights = "sampled"

    def request(
        self, layer: int, part: slice, lam: FloatArray, gradient: FloatArray, through_weight: bool, out: FloatArray
    ) -> None:
        """Write the asked change of lam for a part of a layer's cells (all arrays flat float32[cell])."""
        f = np.float32
        bayesbinn_request(
            lam[part], gradient[part], f(through_weight), f(self.lr), f(self.prior_strength),
            self._prior(layer, lam.size)[part], out[part],
        )  # fmt: skip

    @cached_property
    def _numbers(self) -> Coefficients:
        return coefficients_of(BAYESBINN, self.lr, self.prior_strength)

    def coefficients(self, layer: int, n_cells: int) -> Coefficients:
        """Return the rule in numbers, for updates in one pass."""
        return self._numbers._replace(lam_prior=self._prior(layer, n_cells))

    def _prior(self, layer: int, n_cells: int) -> FloatArray:
        while len(self.lam_prior) <= layer:
            self.lam_prior.append(np.zeros(0, np.float32))
        if self.lam_prior[layer].size != n_cells:
            self.lam_prior[layer] = np.zeros(n_cells, np.float32)
        return self.lam_prior[layer]

    def begin_update(self, cells: list[int]) -> None:
        """Do nothing: BayesBiNN counts no updates."""

    def end_task(self, lams: list[FloatArray]) -> None:
        """Take the present lam as the prior of the next task."""
        self.lam_prior = [lam.copy() for lam in lams]

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep of the rule: the priors, float32[cell] by layer; not copied."""
        return {str(layer): prior for layer, prior in enumerate(self.lam_prior)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state from `state`."""
        self.lam_prior = [np.array(state[str(layer)], np.float32) for layer in range(len(state))]


@dataclass(frozen=True)
class Native:
    """No rule but the device: pulses from the gradient alone.

    The change asked for is -lr times the mean over samples of dl/dw, the derivative with respect to the sampled weight.
    The factor sech**2 lam that would make it a derivative with respect to lam is left out on purpose: it takes reading
    lam, and here the state of the device sets the size of the step. What a confident synapse does to a pulse is then
    the device's doing (its soft bounds), and forgetting its relaxation.

    Attributes
    ----------
    lr : float
        lam per unit of gradient, at the response that the level grid assumes of a pulse.
    """

    lr: float

    operations = (1, 0)
    reads_lam = False
    memory_bits = 0
    writes_memory = False
    epsilon = 0.0
    weights = "sampled"

    @cached_property
    def _numbers(self) -> Coefficients:
        return coefficients_of(NATIVE, self.lr)

    def coefficients(self, layer: int, n_cells: int) -> Coefficients:
        """Return the rule in numbers, for updates in one pass."""
        return self._numbers

    def request(
        self, layer: int, part: slice, lam: FloatArray, gradient: FloatArray, through_weight: bool, out: FloatArray
    ) -> None:
        """Write the asked change of lam for a part of a layer's cells (all arrays flat float32[cell])."""
        native_request(gradient[part], np.float32(self.lr), out[part])

    def begin_update(self, cells: list[int]) -> None:
        """Do nothing: nothing is counted."""

    def end_task(self, lams: list[FloatArray]) -> None:
        """Do nothing: a device is told of no task boundary."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep of the rule: nothing."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state from `state`."""


Rule = Bimu | BayesBinn | Native | Ste | Metaplasticity

RULES: dict[str, Any] = {
    "bimu": Bimu, "bayesbinn": BayesBinn, "ste": Ste, "metaplasticity": Metaplasticity, "native": Native,
}  # fmt: skip
