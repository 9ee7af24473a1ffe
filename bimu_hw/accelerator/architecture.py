"""What the chip is made of besides its arrays, and how its parts are shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bimu_hw.accelerator.machine import Segment

if TYPE_CHECKING:
    from bimu_hw.accelerator.stage import Stage


@dataclass(frozen=True)
class Architecture:
    """Parts and sharing; the defaults are one part for each that needs it, and no pipelining.

    Attributes
    ----------
    pipeline : {"none", "samples", "queries"}
        What works side by side: nothing, the samples of one job, or several jobs too.
    in_flight : int
        Queries in flight ("queries").
    tiles_per_adc : int
        Tiles of a layer that share a set of converters, which turns to one after the other.
    samplers_per_tile : int
        Sampling elements of a tile, which draw its weights in turn; 0: one per cell.
    digital_units : int
        Digital units, each with all lanes of the card.
    tile_groups : int
        Groups of layers that share a bus to the digital units, layers being dealt to groups in turn; 0: moving data
        takes no time and no energy.
    write_drivers : int
        Tiles of a layer that are programmed at once; 0: all.
    verify_retries : int
        How often each pulse is repeated after a read that verifies it; -1: programming is not verified.
    """

    pipeline: str = "none"
    in_flight: int = 1
    tiles_per_adc: int = 1
    samplers_per_tile: int = 0
    digital_units: int = 1
    tile_groups: int = 0
    write_drivers: int = 0
    verify_retries: int = -1

    def capacities(self, n_layers: int) -> tuple[int, ...]:
        """Return how many units there are of each kind: the arrays of each layer, digital units, a bus per group."""
        return (*(1,) * n_layers, self.digital_units, *(1,) * self.tile_groups)

    def segment(self, stages: Sequence[Stage], chains: int, n_layers: int) -> Segment:
        """Return stages with the units they occupy; who writes to an array occupies it."""
        units = []
        for stage in stages:
            if stage.resource == "digital":
                units.append(n_layers)
            elif stage.resource == "interconnect":
                units.append(n_layers + 1 + stage.layer % self.tile_groups)
            else:
                units.append(stage.layer)
        return Segment(chains, np.array(units, np.int64), np.array([stage.ticks for stage in stages], np.int64))


#: One job at a time, converters and write drivers for every tile, and data that move for nothing.
PLAIN = Architecture()
