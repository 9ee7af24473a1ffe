"""When a key of a scenario has an effect, and what is said where it has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bimu_hw.scenario.reading import Dotted
from bimu_hw.scenario.tables import ScenarioFile

#: A key and what is wrong with it.
Problem = tuple[Dotted, str]


@dataclass(frozen=True)
class Condition:
    """When a key has an effect.

    Attributes
    ----------
    table, key : str
    applies : callable
        Takes the scenario and the number of levels of its storage element.
    reason : str
        Why it has none otherwise; ``{file}`` is the scenario, ``{levels}`` the levels of its storage element in words.
    needed_by : str
        What needs a value where the key applies; empty where the key can be omitted.
    idle : object
        What the rest of the package gets where the key does not apply and None would be no value of its type.
    """

    table: str
    key: str
    applies: Callable[[ScenarioFile, int], bool]
    reason: str
    needed_by: str = ""
    idle: Any = None
