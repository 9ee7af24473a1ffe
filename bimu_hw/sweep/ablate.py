"""The cells of an ablation: a scenario with each of its nonidealities off in turn, and on alone.

Which numbers are nonidealities, and at which value each has no effect, the models and the component card declare (their
neutral values); what the keys of the arrays can be without is listed here.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bimu_hw.cards import COMPONENT_COSTS, device_specs
from bimu_hw.devices import get_model
from bimu_hw.errors import ScenarioError
from bimu_hw.scenario import Scenario, load_scenario, make_scenario
from bimu_hw.scenario.checks import devices_change
from bimu_hw.scenario.reading import read_toml
from bimu_hw.sweep.axes import REMOVED, put
from bimu_hw.sweep.plan import Plan, make_plan

#: Name of the axis, and what its points are called.
ABLATION_AXIS = "variant"
AS_DESCRIBED, WITHOUT_ANY, WITHOUT, ALONE = "as described", "without any", "without ", " alone"

#: Nonidealities of any store that are several numbers: the numbers that turn each off.
_STORE_GROUPS = {
    "telegraph_noise": ("rtn_fraction", "rtn_amplitude"), "flicker_noise": ("flicker_noise",),
    "read_disturb": ("read_disturb",), "half_select_disturb": ("half_select_disturb",),
    "endurance": ("endurance", "endurance_narrowing"), "controller_noise": ("controller_noise",),
}  # fmt: skip
#: Parts of names that only say which of several like numbers one is.
_LIKE = re.compile(r"_(up|down|on|off|random|plus|minus)$")
_CONVERTER_ERRORS = ("adc_offset", "adc_gain_error", "adc_noise", "sense_offset")
_WIRES = ("r_wordline", "r_bitline", "r_driver", "r_sense")

#: Keys and the values that turn a nonideality off; `REMOVED` takes a key away that then has no effect.
Neutral = dict[str, Any]


def nonidealities_of(scenario: Scenario) -> dict[str, Neutral]:
    """Return the nonidealities that a scenario has, by name: the keys and values that turn each off.

    Numbers of a card that are alike, such as the failures of pulses up and of pulses down, are one. The order is that
    of the way through the hardware: store, sampling element, converters, wires.
    """
    found: dict[str, Neutral] = {}
    for role, card in (("storage", scenario.storage_card), ("sampler", scenario.sampler_card)):
        params, costs = device_specs(get_model(card.model))
        for name, spec in {**params, **costs}.items():
            if spec.neutral is not None and name != "n_levels" and card.facts[name].value != spec.neutral:
                like = _LIKE.sub("", name)
                value = spec.neutral if spec.unit == "1" else f"{spec.neutral!r} {spec.unit}"
                found.setdefault(like, {})[f"device.{role}_params.{name}"] = value
    stated = scenario.storage_card.nonidealities
    for group, names in _STORE_GROUPS.items():
        idle = group == "controller_noise" and scenario.learning.rule == "native"
        if names[0] in stated and stated[names[0]].value != 0.0 and not idle:
            found[group] = {f"device.storage_params.{n}": 0.0 for n in names if n in stated}
    if scenario.device.programming == "residue" and scenario.n_levels and scenario.device.residue_bits:
        found["residue_register"] = {"device.residue_bits": 0}
    if scenario.n_levels:
        found["finite_levels"] = {
            "device.storage_params.n_levels": 0, "device.lam_max": REMOVED, "device.residue_bits": REMOVED
        }
    found |= _of_arrays(scenario)
    return found


def _of_arrays(scenario: Scenario) -> dict[str, Neutral]:
    crossbar, card = scenario.crossbar, scenario.component_card
    found: dict[str, Neutral] = {}
    if crossbar.adc_bits:
        active = ("sense_offset",) if crossbar.adc_bits == 1 else _CONVERTER_ERRORS[:3]
        for name in active:
            if card.costs[name].value != COMPONENT_COSTS[name].neutral:
                found[name] = {f"components.params.{name}": 0.0}
        found["output_converters"] = {
            "crossbar.adc_bits": 0, "crossbar.adc": REMOVED, "crossbar.adc_range": REMOVED,
            **{f"components.params.{name}": REMOVED for name in _CONVERTER_ERRORS},
        }  # fmt: skip
    if crossbar.dac_bits:
        if card.costs["dac_inl"].value:
            found["dac_inl"] = {"components.params.dac_inl": 0.0}
        found["input_converters"] = {"crossbar.dac_bits": 0, "components.params.dac_inl": REMOVED}
    for key in ("partial_sum_bits", "gradient_bits"):
        if getattr(crossbar, key):
            found[key] = {f"crossbar.{key}": 0}
    if crossbar.ir_drop != "none":
        found["ir_drop"] = {
            "crossbar.ir_drop": "none", "crossbar.compensation": REMOVED,
            **{f"components.params.{name}": REMOVED for name in _WIRES},
        }  # fmt: skip
    return found


def variants(scenario: Scenario) -> dict[str, Neutral]:
    """Return the points of the ablation by name: what each sets, in the order of the axis.

    Raises
    ------
    ScenarioError
        If the scenario has no nonideality.
    """
    each = nonidealities_of(scenario)
    if not each:
        raise ScenarioError(f"{scenario.name}: has no nonideality to turn off: it is ideal hardware already.")

    def off(names: Sequence[str]) -> Neutral:
        return {key: value for name in names for key, value in each[name].items()}

    found: dict[str, Neutral] = {AS_DESCRIBED: {}, WITHOUT_ANY: off(list(each))}
    for name in each:
        found[f"{WITHOUT}{name}"] = off([name])
        found[f"{name}{ALONE}"] = off([other for other in each if other != name])
    return found


def ablation_plan(path: Path, overrides: Sequence[str], seeds: str) -> Plan:
    """Return the plan of an ablation, every cell checked.

    Parameters
    ----------
    path : Path
        Of the scenario; a ``[sweep]`` in it is replaced.
    overrides : sequence of str
        As after ``--set``.
    seeds : str
        As after ``--seeds``.

    Raises
    ------
    ScenarioError
        If the scenario cannot be run, has no nonideality, or cannot do without one of them.
    """
    no_sweep = ["sweep="] if "sweep" in read_toml(path)[0] else []
    scenario = load_scenario(path, [*overrides, *no_sweep])
    points = variants(scenario)
    if scenario.ageing:
        points = {name: point | _without_pauses(scenario, point) for name, point in points.items()}
    keys = list(dict.fromkeys(key for point in points.values() for key in point))
    described = {key: _given(scenario.given, key) for key in keys}
    rows = [[name, *({**described, **point}[key] for key in keys)] for name, point in points.items()]
    axis = f"{{name = {_toml(ABLATION_AXIS)}, keys = {_toml(['title', *keys])}, values = {_toml(rows)}}}"
    plan = make_plan(path, [*overrides, f"sweep={{axis = [{axis}]}}"], [seeds])
    return replace(plan, title=scenario.title)


def _without_pauses(scenario: Scenario, point: Neutral) -> Neutral:
    """Return what takes the pauses out of a variant whose devices no longer feel them."""
    tables = copy.deepcopy(scenario.given)
    for key, value in {**point, "ageing": REMOVED}.items():
        put(tables, key, value)
    left = make_scenario(tables, folder=scenario.folder, name=scenario.name)
    return {} if devices_change(left.storage_card, left.sampler_card) else {"ageing": REMOVED}


def _given(tables: Mapping[str, Any], key: str) -> Any:
    """Return what the file says for a key; `REMOVED` if it says nothing."""
    value: Any = tables
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return REMOVED
        value = value[part]
    return value


def _toml(value: Any) -> str:
    """Return a value as a TOML literal."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {_toml(one)}' for key, one in value.items())}}}"
    if isinstance(value, (bool, str)):
        return json.dumps(value)
    return repr(value)
