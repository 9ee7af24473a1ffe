"""Scenarios: one TOML file describes one run, and a wrong one is refused in one sentence.

`tables` says what each key means by itself and `checks` what keys mean together; `reading` turns a file and the
overrides of the command line into tables; `cards` loads the cards it names; `model` is the `Scenario` that the rest of
the package sees; `expectations` holds a finished run against the numbers a scenario must hit.
"""

from __future__ import annotations

from bimu_hw.scenario.expectations import Outcome as Outcome
from bimu_hw.scenario.expectations import expectation_outcomes as expectation_outcomes
from bimu_hw.scenario.model import Scenario as Scenario
from bimu_hw.scenario.model import load_scenario as load_scenario
from bimu_hw.scenario.model import make_scenario as make_scenario
from bimu_hw.scenario.model import scenario_schema as scenario_schema
