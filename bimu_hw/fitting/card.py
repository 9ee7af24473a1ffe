"""A fit written down as a device card: every number with its interval, its kind and the file it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bimu_hw.cards import Card, Fact, device_specs, parse_card
from bimu_hw.devices import ParamSpec, get_model
from bimu_hw.errors import CardError, did_you_mean
from bimu_hw.fitting.estimates import Estimate, Fit
from bimu_hw.fitting.pulses import Pulses
from bimu_hw.units import parse_quantity

SOURCE = "pulses"


def fitted_card(
    fit: Fit, pulses: Pulses, name: str, given: Mapping[str, str] | None = None, costs_of: Card | None = None,
    conditions: str = "",
) -> str:  # fmt: skip
    """Return the text of a card.

    Parameters
    ----------
    fit : Fit
    pulses : Pulses
        What was fitted; name and SHA-256 of the file become the source.
    name : str
        Of the card.
    given : mapping of str to str, optional
        Values for what the data cannot give, by ``costs.NAME`` or ``params.NAME``, with units.
    costs_of : Card, optional
        Another card to take costs from that are not given; they count as assumed.
    conditions : str
        What the measurement was: amplitude, width, temperature; becomes part of the notes.

    Raises
    ------
    CardError
        If a value is missing, not one of the model's, or out of range.
    """
    params, costs = device_specs(get_model(fit.model))
    given = dict(given or {})
    check_given(fit.model, given)
    lines = _head(fit, pulses, name, conditions)
    missing: list[str] = []
    for section, specs in (("params", params), ("costs", costs)):
        for entry, spec in specs.items():
            key = f"{section}.{entry}"
            fact = _fact(fit, spec, given.get(key), costs_of, section)
            if fact is None:
                missing.append(key)
                continue
            lines += ["", f"[{key}]", *(f"{k} = {_toml(v)}" for k, v in fact.items() if v)]
    _refuse(missing)
    text = "\n".join(lines) + "\n"
    parse_card(text, name)
    return text


def check_given(model: str, given: Mapping[str, str]) -> None:
    """Raise `CardError` if a given value is none of the model's, `UnitError` if it has another dimension."""
    params, costs = device_specs(get_model(model))
    for key, text in given.items():
        section, _, entry = key.partition(".")
        known = {"params": params, "costs": costs}.get(section)
        if known is None or entry not in known:
            names = [f"params.{n}" for n in params] + [f"costs.{n}" for n in costs]
            raise CardError(f"--set {key}: no such value of {model}. {did_you_mean(key, names)}")
        parse_quantity(text, known[entry].unit, f"--set {key}")


def check_costs(model: str, given: Mapping[str, str], costs_of: Card | None) -> None:
    """Raise `CardError` if a cost is neither given nor in the other card: no pulse response gives one."""
    costs = device_specs(get_model(model))[1]
    _refuse([
        f"costs.{name}" for name in costs
        if f"costs.{name}" not in given and (costs_of is None or name not in costs_of.costs)
    ])  # fmt: skip


def _refuse(missing: list[str]) -> None:
    if missing:
        raise CardError(
            f"devices fit: the readings cannot give {', '.join(missing)}; give each with --set {missing[0]}=VALUE, or "
            "take costs from another card with --costs-from CARD."
        )


#: Parameters of relaxation (`device_models.nonidealities.RETENTION`): without effect while the rate is 0.
_OF_RELAXATION = ("retention_rate", "activation_energy", "rest_level")


def _head(fit: Fit, pulses: Pulses, name: str, conditions: str) -> list[str]:
    notes = (
        f"Fitted to {pulses.file_name}: {fit.where}. "
        f"Conditions of the measurement: {conditions or 'not stated'}. "
        "Kinds: fitted from these readings; assumed where they say nothing."
    )
    return [
        "[card]", f"name = {_toml(name)}", f"model = {_toml(fit.model)}",
        f"title = {_toml(f'{fit.model} fitted to {pulses.file_name}')}", f"notes = {_toml(notes)}", "",
        "[references]", f"{SOURCE} = {_toml(f'{pulses.file_name}, sha256 {pulses.digest}')}",
    ]  # fmt: skip


def _fact(
    fit: Fit, spec: ParamSpec, given: str | None, costs_of: Card | None, section: str
) -> dict[str, str | list[str]] | None:
    if given is not None:
        return {"value": given, "kind": "assumed", "why": "given by whoever ran the fit"}
    if section == "costs":
        if costs_of is None or spec.name not in costs_of.costs:
            return None
        fact: Fact = costs_of.costs[spec.name]
        return {
            "value": _quantity(fact.value, spec), "kind": "assumed", "range": _range(fact.low, fact.high, spec),
            "why": f"taken from the card {costs_of.name}, where it is {fact.kind}; not from the readings",
        }  # fmt: skip
    if spec.name in fit.estimates:
        estimate: Estimate = fit.estimates[spec.name]
        value, low, high = (min(max(v, spec.low), spec.high) for v in (estimate.value, estimate.low, estimate.high))
        cut = f"the fit gives {_quantity(estimate.value, spec)}, cut to what the model allows"
        why = "; ".join(text for text in (estimate.why, cut if value != estimate.value else "") if text)
        return {
            "value": _quantity(value, spec), "kind": estimate.kind, "source": SOURCE, "where": fit.where, "why": why,
            "range": _range(low, high, spec),
        }  # fmt: skip
    if spec.name in fit.assumed:
        value, why = fit.assumed[spec.name]
        return {"value": _quantity(value, spec), "kind": "assumed", "why": why}
    if spec.name in _OF_RELAXATION:
        why = "a pulse response says nothing of relaxation, which is off here"
        return {"value": _quantity(0.0, spec), "kind": "assumed", "why": why}
    return None


def _quantity(value: float, spec: ParamSpec) -> str:
    return f"{value:.9g}" if spec.unit == "1" else f"{value:.9g} {spec.unit}"


def _range(low: float, high: float, spec: ParamSpec) -> list[str]:
    return [_quantity(low, spec), _quantity(high, spec)]


def _toml(value: str | list[str]) -> str:
    """Return a TOML string or list of strings; JSON's escapes are TOML's."""
    return json.dumps(value, ensure_ascii=False)
