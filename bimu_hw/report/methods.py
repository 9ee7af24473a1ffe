"""The paragraph of a paper's methods, written from the resolved scenario: what was computed, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bimu_hw.units import format_quantity

_INPUTS = {
    "bit_serial": "inputs applied bit by bit", "analog": "inputs applied as analog voltages",
    "pulse_width": "inputs applied as pulse widths", "signed_bits": "inputs applied as bits of ±1",
}  # fmt: skip
_COLUMNS = {
    "differential": "each weight a differential pair of cells", "reference": "cells read against a reference column",
    "xnor": "each weight an XNOR pair of complementary cells",
}  # fmt: skip
_HOLDS = {
    "read": "a weight is drawn afresh for every look of the array",
    "query": "a drawn weight is held for one Monte Carlo sample of a query",
    "until_rewritten": "a drawn weight is kept until it is rewritten",
}  # fmt: skip
_PROGRAMMING = {
    "deterministic": "rounded to the nearest number of pulses", "stochastic": "rounded at random to whole pulses",
    "residue": "turned into whole pulses, the rest being kept in a digital residue",
    "native": "sent as pulses rounded at random from the gradient alone, the stored state unread",
}  # fmt: skip
_ARRIVALS = {
    "periodic": "periodically", "poisson": "as a Poisson process", "back_to_back": "as fast as they were served",
}  # fmt: skip
_POLICIES = {
    "always": "for every query", "never": "for no query", "random": "at random", "budgeted": "under a label budget",
}  # fmt: skip


def methods(resolved: Mapping[str, Any], version: str, varied: str = "") -> str:
    """Return the paragraph.

    Parameters
    ----------
    resolved : mapping
        The resolved scenario: the content of ``scenario.json``.
    version : str
        Of the simulator.
    varied : str
        What was varied, in words, for a sweep; its values then stand for the first cell.
    """
    parts = [_learning(resolved, version), _stream(resolved), _synapse(resolved), _arrays(resolved), _cost(resolved)]
    if varied:
        parts.append(f"Varied: {varied}; values given above that are varied are those of the first cell.")
    parts.append(_left_out(resolved))
    return " ".join(parts)


def _learning(r: Mapping[str, Any], version: str) -> str:
    network, learning = r["network"], r["learning"]
    rule = {"bimu": "the BiMU rule (Cottart et al., arXiv:2605.30198)",
            "bayesbinn": "the BayesBiNN rule (Meng et al., arXiv:2002.10778)",
            "native": "pulses proportional to the gradient, the device standing in for a rule"}  # fmt: skip
    hidden = network["hidden"]
    words = "hidden layers" if len(hidden) > 1 else "a hidden layer"
    layers = f"{words} of {', '.join(map(str, hidden))} units" if hidden else "no hidden layer"
    values = ", ".join(
        f"{name.replace('_', ' ')} {learning[name]:g}"
        for name in ("lr", "lr_max", "likelihood_multiplier", "kl_multiplier", "memory_window", "prior_strength")
        if learning.get(name) is not None
    )
    gradient = "through the sampled binary weights" if learning["gradient"] == "hard" else "through relaxed weights"
    return (
        f"All results are simulated, with bimu-hw {version}; none is measured. A binary Bayesian network with {layers} "
        f"and S = {network['samples']} weight samples per query learned online with "
        f"{rule.get(learning['rule'], learning['rule'])} ({values}), the gradient taken {gradient}."
    )


def _stream(r: Mapping[str, Any]) -> str:
    stream, labels = r["stream"], r["labels"]
    name = str(stream["dataset"]).replace("_", " ")
    asked = _POLICIES.get(labels["policy"], f"where the {str(labels['policy']).replace('_', ' ')} uncertainty was high")
    if labels.get("budget") is not None:
        asked += f" of {100 * labels['budget']:g} %"
    late = f", and arrived {format_quantity(labels['latency'], 's')} later" if labels.get("latency") else ""
    n = stream["tasks"]
    return (
        f"The stream was {n} {stream['kind']} task{'s' if n > 1 else ''} of {name} ({stream['inputs']} inputs), one "
        f"example at a time; labels were requested {asked}{late}."
    )


def _synapse(r: Mapping[str, Any]) -> str:
    device, cards = r["device"], r["cards"]
    n = int(cards["storage"]["params"]["n_levels"])
    levels = f"{n} levels over ±{device['lam_max']:g}" if n else "a continuum of levels"
    return (
        f"Each synapse stored its natural parameter λ in a {_named(cards['storage'])} with {levels} at "
        f"{device['temperature']:g} K, and drew its weight with a {_named(cards['sampler'])}; "
        f"{_HOLDS.get(device['holds'], device['holds'])}. "
        f"Requested changes of λ were {_PROGRAMMING.get(device['programming'], device['programming'])}."
    )


def _arrays(r: Mapping[str, Any]) -> str:
    c = r["crossbar"]
    adc = f"{c['adc_bits']}-bit converters" if c.get("adc_bits") else "exact converters"
    wires = (
        "wire, driver and sense resistance were solved exactly"
        if c["ir_drop"] == "exact" else "wires were ideal"
    )  # fmt: skip
    return (
        f"Weights lay on tiles of {c['tile_wordlines']} × {c['tile_bitlines']} lines, "
        f"{_COLUMNS.get(c['columns'], c['columns'])}, "
        f"{_INPUTS.get(c['inputs'], c['inputs'])}, read by {adc}, {c['columns_per_adc']} columns to each; {wires}."
    )


def _cost(r: Mapping[str, Any]) -> str:
    a = r["accelerator"]
    rate = f" at {format_quantity(a['rate'], 'Hz')}" if a.get("rate") else ""
    return (
        f"Inputs arrived {_ARRIVALS.get(a['arrivals'], a['arrivals'])}{rate}; time advanced in integer "
        "picoseconds. Energy is the number of each operation times its price on the cards "
        f"{_names(r)}, plus V²Gt of driven cells; a share of these prices is assumed, not measured (see the table)."
    )


def _left_out(r: Mapping[str, Any]) -> str:
    ideal = [
        words for words, there in (
            ("wire resistance", r["crossbar"]["ir_drop"] == "none"),
            ("quantisation by output converters", not r["crossbar"].get("adc_bits")),
        ) if there
    ]
    resistance = f"Left out here: {' and '.join(ideal)}. " if ideal else ""
    return f"{resistance}What the simulator leaves out in general its documentation lists (What is not modelled)."


def _named(card: Mapping[str, Any]) -> str:
    return f"device of the model {card['model']} (card {card['name']})"


def _names(r: Mapping[str, Any]) -> str:
    return ", ".join(str(r["cards"][role]["name"]) for role in ("storage", "sampler", "components"))
