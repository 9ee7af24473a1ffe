"""Stages, and stages added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bimu_hw.operations import CHIP

#: What stages occupy, as a record names it. The controller is busy while a job is in service or in flight.
RESOURCES = ("controller", "arrays", "digital", "write_drivers")


@dataclass(frozen=True)
class Stage:
    """One operation of one resource.

    Attributes
    ----------
    resource : str
    ticks : int
    biased : int
        Sampling elements that are biased meanwhile: those of the layer whose array is looked at.
    layer : int
    converting : tuple of (int, int)
        When converters work meanwhile: ticks after the beginning of the stage, and ticks. For timelines.
    """

    resource: str
    ticks: int
    biased: int = 0
    layer: int = CHIP
    converting: tuple[tuple[int, int], ...] = ()


class Block(NamedTuple):
    """Stages that follow each other, and what they come to.

    Attributes
    ----------
    ticks : int
        How long they take together.
    n_stages : int
    use : tuple of (str, int, int)
        Events and ticks of each resource.
    biased_ticks : tuple of (int, int)
        Layers, and ticks times the sampling elements that are biased meanwhile.
    """

    ticks: int
    n_stages: int
    use: tuple[tuple[str, int, int], ...]
    biased_ticks: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, stages: Sequence[Stage]) -> Block:
        """Add up stages."""
        use: dict[str, tuple[int, int]] = {}
        biased: dict[int, int] = {}
        for stage in stages:
            events, ticks = use.get(stage.resource, (0, 0))
            use[stage.resource] = events + 1, ticks + stage.ticks
            if stage.biased:
                biased[stage.layer] = biased.get(stage.layer, 0) + stage.biased * stage.ticks
        return cls(
            sum(stage.ticks for stage in stages), len(stages), tuple((name, *sums) for name, sums in use.items()),
            tuple(biased.items()),
        )  # fmt: skip
