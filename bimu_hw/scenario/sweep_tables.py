"""The table ``[sweep]`` of a scenario: which keys take which values, and which seeds.

Only its form is checked here. What the axes mean is worked out in `bimu_hw.sweep.axes`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from bimu_hw.errors import ScenarioError
from bimu_hw.random import check_seed
from bimu_hw.scenario.reading import Source, explain
from bimu_hw.scenario.table import Table

_STRETCH = re.compile(r"\s*(\d+)\s*:\s*(\d+)\s*")
_MOST_SEEDS = 100_000


def read_seeds(given: object) -> tuple[int, ...]:
    """Return the seeds that a text such as "0:16" (0 to 15) or a list names; ValueError if it names none.

    Examples
    --------
    >>> read_seeds("2:5")
    (2, 3, 4)
    """
    allowed = "allowed are a text such as \"0:16\", which is 0 to 15, or a list of different seeds from 0."
    if isinstance(given, str):
        if found := _STRETCH.fullmatch(given):
            first, end = (int(number) for number in found.groups())
            if first < end <= min(first + _MOST_SEEDS, 2**63):
                return tuple(range(first, end))
        raise ScenarioError(f"got {given!r}; {allowed}")
    if not isinstance(given, (list, tuple)) or not given:
        raise ScenarioError(f"got {given!r}; {allowed}")
    try:
        seeds = tuple(check_seed(seed) for seed in given)
    except ScenarioError:
        raise ScenarioError(f"got {given!r}; {allowed}") from None
    if len(set(seeds)) < len(seeds):
        raise ScenarioError(f"got {given!r}, which names a seed twice; {allowed}")
    return seeds


SweptSeeds = Annotated[
    tuple[int, ...],
    BeforeValidator(read_seeds),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "examples": ["0:16"]}, {"type": "array", "items": {"type": "integer"}}]}
    ),
]
Values = Annotated[tuple[Any, ...], Field(strict=False, min_length=1), WithJsonSchema({"type": "array"})]
Ends = Annotated[
    tuple[Any, Any],
    Field(strict=False),
    WithJsonSchema({"type": "array", "items": {"type": ["number", "string"]}, "minItems": 2, "maxItems": 2}),
]


class Axis(Table):
    """One axis: a key of the scenario and its values, or several keys that vary together."""

    key: str = ""
    """Key that varies, with dots between levels, such as "device.storage_params.n_levels"."""
    keys: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Keys that vary together; `values` then has one row per point, with a value for each key ("" removes the key)."""
    name: str = ""
    """Name of the dimension; omitted: the last part of the (first) key."""
    values: Values | None = None
    """The values, one after the other."""
    range: Ends | None = None
    """First and last value instead of a list; both whole numbers: all values are; with a unit: as texts."""
    number: Annotated[int, Field(ge=2)] | None = None
    """How many values the range has; omitted: the key is sampled (sampling and samples in [sweep])."""
    scale: Literal["linear", "log"] = "linear"
    """Whether the values of a range lie at equal distances or at equal ratios."""

    @model_validator(mode="after")
    def _check(self) -> Axis:
        if bool(self.key) == bool(self.keys):
            raise ValueError("give either key or keys.")
        if (self.values is None) == (self.range is None):
            raise ValueError("give either values or range.")
        if self.range is None and {"number", "scale"} & self.model_fields_set:
            raise ValueError("number and scale belong to range, and here are values; remove them.")
        if self.keys and self.values is None:
            raise ValueError("keys that vary together need values, one row for each point.")
        return self


class Sweep(Table):
    """Many runs of this scenario: every combination of the axes' values, and of the seeds."""

    axis: Annotated[tuple[Axis, ...], Field(strict=False)] = ()
    """The axes, in the order of the dimensions of the result."""
    sampling: Literal["random", "sobol"] | None = None
    """How the axes with a range and no number are sampled, all together."""
    samples: Annotated[int, Field(ge=1)] | None = None
    """Number of samples; a power of 2 for sobol."""
    sampling_seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """Seed of the samples."""
    seeds: SweptSeeds | None = None
    """Seeds of the runs: each is the fabrication, noise and data seed of one run for every point of the axes."""
    seeds_fabrication: SweptSeeds | None = None
    """Fabrication seeds, if they are swept apart from the others."""
    seeds_noise: SweptSeeds | None = None
    """Noise seeds, if they are swept apart from the others."""
    seeds_data: SweptSeeds | None = None
    """Data seeds, if they are swept apart from the others."""
    common_random_numbers: bool = True
    """Whether all points of the axes have the same seeds, so that they can be compared in pairs."""


class _SweepFile(Table):
    """What is looked at first in a scenario that is to be swept."""

    sweep: Sweep


def read_sweep(table: object, source: Source) -> Sweep:
    """Check the table ``[sweep]`` of a scenario.

    Raises
    ------
    ScenarioError
        In one sentence, for the first fault of its form.
    """
    try:
        return _SweepFile.model_validate({"sweep": table}).sweep
    except ValidationError as error:
        raise explain(error, source, _SweepFile) from None
