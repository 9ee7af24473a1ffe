"""What a layer's synapses are made of and told, as plain data: devices, seeds, plans and what an update did."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bimu_hw.cards import Card
from bimu_hw.devices import SamplerModel, StorageModel, get_model
from bimu_hw.errors import ScenarioError
from bimu_hw.kernels.programming import DETERMINISTIC, RESIDUE, STOCHASTIC

FloatArray = npt.NDArray[np.float32]

#: "native" rounds as "stochastic" does; what differs is the rule (`bimu_hw.learning.rules.Native`).
POLICIES = {"deterministic": DETERMINISTIC, "stochastic": STOCHASTIC, "residue": RESIDUE, "native": STOCHASTIC}


@dataclass(frozen=True)
class SynapseSpec:
    """Which devices, and how they are programmed.

    Attributes
    ----------
    storage, sampler : Card
    policy : {"deterministic", "stochastic", "residue", "native"}
    residue_bits : int
        Width of the residue register below one level; 0: unlimited.
    lam_max : float
        lam of the outermost levels.
    holds : {"read", "query", "until_rewritten"}
    columns : {"differential", "reference", "xnor"}
        A weight is a pair of complementary cells on two bit lines, one cell against a reference column halfway between
        its states, or a pair of complementary cells on two word lines (`bimu_hw.crossbar.layout`).
    weights : {"sampled", "sign"}
        "sign": the sampling elements are driven to their rails, by a comparator on the stored lam, and say its sign.
    """

    storage: Card
    sampler: Card
    policy: str
    residue_bits: int
    lam_max: float
    holds: str
    columns: str
    weights: str = "sampled"

    def models(self) -> tuple[StorageModel, SamplerModel]:
        """Return the models of the two elements.

        Raises
        ------
        ScenarioError
            If a card has the other role, or there is no such policy.
        """
        storage, sampler = get_model(self.storage.model), get_model(self.sampler.model)
        if not isinstance(storage, StorageModel):
            raise ScenarioError(f"device.storage: {self.storage.name!r} is a sampling element; name a storage element.")
        if not isinstance(sampler, SamplerModel):
            raise ScenarioError(f"device.sampler: {self.sampler.name!r} is a storage element; name a sampling element.")
        if self.policy not in POLICIES:
            raise ScenarioError(f"device.programming: got {self.policy!r}; allowed are {', '.join(POLICIES)}.")
        return storage, sampler


@dataclass(frozen=True)
class Seeds:
    """The three seeds of a run: which chip, which noise, which data."""

    fabrication: int
    noise: int
    data: int


class Programming(NamedTuple):
    """What one update did to one layer, as integers.

    Attributes
    ----------
    pulses_up, pulses_down : int
        Pulses sent, summed over cells.
    tiles : int64[tile, 3]
        Row-wise write operations, pulse slots up and pulse slots down of each tile, those of refreshes included.
    refresh_pulses : int
        Pulses of refreshes that came of it, summed over cells.
    """

    pulses_up: int
    pulses_down: int
    tiles: npt.NDArray[np.int64]
    refresh_pulses: int = 0


class UpdatePlan(NamedTuple):
    """What an update in one pass works on (`bimu_hw.kernels.update.update_layer`); `key` is before the event."""

    policy: int
    scales: tuple[np.float32, np.float32, np.float32, np.float32]
    key: np.uint64
    residue: FloatArray
    requested: npt.NDArray[np.float64]
    exact: bool
    tanh: FloatArray
    sech2: FloatArray


@lru_cache(maxsize=8)
def all_cells(n: int) -> npt.NDArray[np.int32]:
    """Return 0, 1, ... n - 1; shared by all arrays of that size."""
    return np.arange(n, dtype=np.int32)
