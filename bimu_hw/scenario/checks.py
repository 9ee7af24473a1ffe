"""What the keys of a scenario mean together: no key without effect, no contradiction, nothing left open."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bimu_hw.cards import Card, neutral_values
from bimu_hw.devices import DeviceModel, get_model, time_matters
from bimu_hw.errors import ScenarioError, did_you_mean
from bimu_hw.learning.data import DATASET_NAMES
from bimu_hw.learning.policies import POLICY_PARAMETERS
from bimu_hw.learning.streams import OWN_SETS, STREAM_PARAMETERS
from bimu_hw.nonidealities import Nonidealities
from bimu_hw.presets import PRESETS, RULE_PARAMETERS, SIGN_RULES
from bimu_hw.scenario.cards import LoadedCards
from bimu_hw.scenario.condition import Condition, Problem
from bimu_hw.scenario.reading import Source, example_of
from bimu_hw.scenario.tables import Crossbar, ScenarioFile
from bimu_hw.scenario.timing import TIME_CONDITIONS, time_problems

_SCENARIO_WORDS = {"exponent": "gamma"}

#: For each label policy: its parameters, and the key of ``[labels]`` that gives each.
POLICY_KEYS: Mapping[str, Mapping[str, str]] = {
    policy: {name: _SCENARIO_WORDS.get(name, name) for name in names} for policy, names in POLICY_PARAMETERS.items()
}


def _policy_uses(key: str) -> Callable[[ScenarioFile, int], bool]:
    return lambda file, n_levels: key in POLICY_KEYS[file.labels.policy].values()


def _rule_uses(key: str) -> Callable[[ScenarioFile, int], bool]:
    return lambda file, n_levels: key in RULE_PARAMETERS[file.learning.rule]


def _kind_uses(key: str) -> Callable[[ScenarioFile, int], bool]:
    return lambda file, n_levels: key in STREAM_PARAMETERS[file.stream.kind]


_KIND = "stream.kind = \"{file.stream.kind}\""
_POLICY = "labels.policy = \"{file.labels.policy}\""
_RULE = "learning.rule = \"{file.learning.rule}\""

#: Every key that others can leave without effect. It is then refused in a file and absent from the resolved scenario.
CONDITIONS = (
    *(
        Condition("stream", key, _kind_uses(key), f"{_KIND} does not use it", needed_by=_KIND)
        for key in sorted({key for keys in STREAM_PARAMETERS.values() for key in keys})
    ),
    *(
        Condition(
            "stream", key, lambda file, n_levels: file.stream.kind != "stationary",
            f"all tasks of {_KIND} are the same", idle=idle,
        )
        for key, idle in (("task_order", None), ("switch_window", 0))
    ),
    *(
        Condition("labels", key, _policy_uses(key), f"{_POLICY} does not use it", needed_by=_POLICY)
        for key in sorted({key for keys in POLICY_KEYS.values() for key in keys.values()})
    ),
    *(
        Condition(
            "labels", key, lambda file, n_levels: file.labels.policy not in ("given", "never"),
            f"{_POLICY} asks for no label",
        )
        for key in ("latency", "energy")
    ),
    *(
        Condition("learning", key, _rule_uses(key), f"{_RULE} does not use it", needed_by=_RULE)
        for key in sorted({key for keys in RULE_PARAMETERS.values() for key in keys})
    ),
    Condition(
        "network", "statistics_window", lambda file, n_levels: file.network.normalisation == "batch",
        "network.normalisation = \"layer\" keeps no statistics", needed_by="network.normalisation = \"batch\"",
        idle=1.0,
    ),
    Condition(
        "network", "activation", lambda file, n_levels: bool(file.network.hidden),
        "only hidden layers have an activation, and there is none",
    ),
    Condition(
        "device", "residue_bits", lambda file, n_levels: file.device.programming == "residue" and n_levels > 0,
        "only device.programming = \"residue\" on finite levels keeps a residue, and here it is "
        "\"{file.device.programming}\" on {levels}", needed_by="device.programming = \"residue\" on {levels}", idle=0,
    ),
    Condition(
        "device", "conductance_map", lambda file, n_levels: n_levels > 0,
        "a measured conductance is read as a level, and the storage element is continuous",
    ),
    Condition(
        "network", "initial_lam", lambda file, n_levels: file.device.conductance_map is None,
        "the cells start from device.conductance_map",
    ),
    Condition(
        "device", "lam_max", lambda file, n_levels: n_levels > 0,
        "it places the outermost level, and the storage element is continuous",
        needed_by="a storage element of {levels}", idle=math.inf,
    ),
    Condition(
        "crossbar", "input_bits", lambda file, n_levels: file.crossbar.inputs != "analog",
        "crossbar.inputs = \"{file.crossbar.inputs}\" does not send bits",
    ),
    Condition(
        "crossbar", "dac_bits", lambda file, n_levels: file.crossbar.inputs == "analog",
        "crossbar.inputs = \"{file.crossbar.inputs}\" has no converters at the word lines", idle=0,
    ),
    *(
        Condition(
            "crossbar", key, lambda file, n_levels: file.crossbar.accumulate == "analog",
            "crossbar.accumulate = \"popcount\" counts bits and converts no sum",
            needed_by="crossbar.accumulate = \"analog\"", idle=idle,
        )
        for key, idle in (("adc_bits", 0), ("columns_per_adc", 1))
    ),
    Condition(
        "crossbar", "adc", lambda file, n_levels: _has_converters(file),
        "an exact converter (adc_bits = 0) is of no kind", idle="sar",
    ),
    Condition(
        "crossbar", "compensation", lambda file, n_levels: file.crossbar.ir_drop == "exact",
        "there is nothing to compensate without crossbar.ir_drop = \"exact\"", idle="none",
    ),
    Condition(
        "crossbar", "adc_range", lambda file, n_levels: _has_converters(file),
        "an exact converter (adc_bits = 0) has no range", needed_by="crossbar.adc_bits = {file.crossbar.adc_bits}",
        idle=1.0,
    ),
    Condition(
        "crossbar", "gradient_bits", lambda file, n_levels: _reads_backwards(file),
        "only the hard gradient of a network with hidden layers and inputs in bits is driven back in bits",
        needed_by="the backward read of a hidden layer with inputs in bits", idle=0,
    ),
    *TIME_CONDITIONS,
    *(
        Condition(
            "record", key, lambda file, n_levels: file.record.state, "record.state = false leaves the states out",
        )
        for key in ("snapshots", "snapshot_limit")
    ),
)  # fmt: skip


def _has_converters(file: ScenarioFile) -> bool:
    crossbar = file.crossbar
    # Without their number of bits, which is asked for, nothing else about them is at fault.
    return crossbar.accumulate == "analog" if crossbar.adc_bits is None else crossbar.adc_bits > 0


def _reads_backwards(file: ScenarioFile) -> bool:
    hard = bool(file.network.hidden) and file.learning.gradient == "hard"
    return hard and file.crossbar.inputs != "analog"


def _in_words(n_levels: int) -> str:
    return f"{n_levels} levels" if n_levels else "continuous levels"


def idle_keys(file: ScenarioFile, n_levels: int) -> Iterator[tuple[str, str]]:
    """Yield (table, key) of every key that has no effect in this scenario."""
    for condition in CONDITIONS:
        if not condition.applies(file, n_levels):
            yield condition.table, condition.key


def check_and_fill(file: ScenarioFile, cards: LoadedCards, folder: Path, source: Source) -> ScenarioFile:
    """Return the scenario with its preset, and what follows from other keys, filled in.

    Raises
    ------
    ScenarioError
        For the first problem, with the number of the others.
    """
    n_levels = int(cards.storage.params["n_levels"].value)
    # The gradient first: who asks for the wrong one would else be told to remove what the right one needs.
    _raise_first(
        [
            *_native_problems(file), *_sign_problems(file), *_gradient_problems(file, cards),
            *_without_effect(file, n_levels, source), *_preset_problems(file),
        ],
        source,
    )  # fmt: skip
    filled = _fill(file, cards, n_levels)
    _raise_first(list(_missing(filled, n_levels)), source)
    _raise_first([*_popcount_problems(filled), *_contradictions(filled, cards, folder)], source)
    return filled


def _raise_first(problems: list[Problem], source: Source) -> None:
    if problems:
        key, sentence = problems[0]
        raise ScenarioError(f"{source.at(key)}: {sentence}{source.and_more(len(problems) - 1)}")


def _without_effect(file: ScenarioFile, n_levels: int, source: Source) -> Iterator[Problem]:
    for condition in CONDITIONS:
        given = condition.key in getattr(file, condition.table).model_fields_set
        if given and not condition.applies(file, n_levels):
            key = f"{condition.table}.{condition.key}"
            reason = condition.reason.format(file=file, levels=_in_words(n_levels))
            # Who changed another key on the command line cannot edit the file for it.
            how = f" (on the command line: --set {key}=)" if source.overrides else ""
            yield key, f"has no effect, because {reason}; remove it{how}."


def _native_problems(file: ScenarioFile) -> Iterator[Problem]:
    """Yield what does not go with a device that is its own learning rule."""
    rule, programming = file.learning.rule, file.device.programming
    if programming == "native" and rule != "native":
        yield "device.programming", (
            f"got \"native\" with learning.rule = \"{rule}\", whose request it would not send: the device itself is "
            "the rule; write learning.rule = \"native\", or another programming."
        )
    elif rule == "native" and programming != "native":
        yield "learning.rule", (
            f"got \"native\" with device.programming = \"{programming}\"; the rule of a device's own response sends "
            "its pulses by device.programming = \"native\"; write that, or another rule."
        )
    elif rule == "native" and file.learning.gradient == "relaxed":
        yield "learning.gradient", (
            "got \"relaxed\", whose weights contain the lam that learning.rule = \"native\" does not read; write "
            "gradient = \"hard\"."
        )
    elif rule == "native" and "controller_noise" in file.device.storage_params:
        yield "device.storage_params.controller_noise", (
            "has no effect, because learning.rule = \"native\" does not read lam; remove it."
        )


def _sign_problems(file: ScenarioFile) -> Iterator[Problem]:
    """Yield what does not go with weights that are signs, or with running statistics."""
    rule = file.learning.rule
    if rule in SIGN_RULES and file.learning.gradient == "relaxed":
        yield "learning.gradient", (
            f"got \"relaxed\" with learning.rule = \"{rule}\", whose weights are the signs of what is stored; write "
            "gradient = \"hard\"."
        )
    if rule in SIGN_RULES and file.network.samples != 1:
        yield "network.samples", (
            f"got {file.network.samples}; with learning.rule = \"{rule}\" nothing is drawn, so all samples are alike: "
            "write samples = 1."
        )
    if file.network.normalisation == "batch" and file.learning.gradient == "relaxed":
        yield "network.normalisation", (
            "got \"batch\" with learning.gradient = \"relaxed\", which normalises over the units of a layer; write "
            "\"layer\", or gradient = \"hard\"."
        )


def _gradient_problems(file: ScenarioFile, cards: LoadedCards) -> Iterator[Problem]:
    faults = list(_not_ideal(file, cards)) if file.learning.gradient == "relaxed" else []
    if faults:
        yield "learning.gradient", (
            "got \"relaxed\", which belongs to ideal hardware: binary in-memory cells can only do the hard "
            f"gradient, and here {' and '.join(faults)}; write gradient = \"hard\"."
        )


def _preset_problems(file: ScenarioFile) -> Iterator[Problem]:
    name, rule = file.learning.preset, file.learning.rule
    if name is None:
        return
    if name not in PRESETS:
        yield "learning.preset", f"got {name!r}. {did_you_mean(name, PRESETS)}"
    elif PRESETS[name].rule != rule:
        fitting = ", ".join(sorted(n for n, preset in PRESETS.items() if preset.rule == rule))
        there = f"there are: {fitting}" if fitting else "there are none; remove it"
        yield "learning.preset", f"{name!r} belongs to rule {PRESETS[name].rule!r}; for {rule!r} {there}."


def _fill(file: ScenarioFile, cards: LoadedCards, n_levels: int) -> ScenarioFile:
    values: dict[str, dict[str, Any]] = {"learning": {}, "device": {}, "crossbar": {}}
    if file.learning.preset is not None:
        preset = PRESETS[file.learning.preset].values
        values["learning"] = {key: value for key, value in preset.items() if getattr(file.learning, key) is None}
    if file.device.holds is None:
        values["device"]["holds"] = cards.sampler_model.holds[0]
    if file.crossbar.adc is None:
        values["crossbar"]["adc"] = "sense_amplifier" if file.crossbar.adc_bits == 1 else "sar"
    if file.architecture.adcs_per_tile is not None:
        values["crossbar"]["columns_per_adc"] = -(-file.crossbar.tile_bitlines // file.architecture.adcs_per_tile)
    if file.crossbar.adc_range == "full_scale":
        values["crossbar"]["adc_range"] = 1.0
    for condition in CONDITIONS:
        if condition.idle is not None and not condition.applies(file, n_levels):
            values.setdefault(condition.table, {})[condition.key] = condition.idle
    tables = {name: getattr(file, name).model_copy(update=new) for name, new in values.items()}
    return file.model_copy(update=tables)


def _missing(file: ScenarioFile, n_levels: int) -> Iterator[Problem]:
    for condition in CONDITIONS:
        table = getattr(file, condition.table)
        if condition.needed_by and condition.applies(file, n_levels) and getattr(table, condition.key) is None:
            meaning = type(table).model_fields[condition.key].description or ""
            needed_by = condition.needed_by.format(file=file, levels=_in_words(n_levels))
            example = example_of(type(table), condition.key)
            preset = ", or name a learning.preset" if condition.table == "learning" else ""
            yield (
                f"{condition.table}.{condition.key}",
                f"missing, and {needed_by} needs it ({meaning.rstrip('.')}); give it a value{example}{preset}.",
            )


def _popcount_problems(file: ScenarioFile) -> Iterator[Problem]:
    """Yield what does not go with sums that are counted bit by bit."""
    crossbar = file.crossbar
    if crossbar.accumulate != "popcount":
        return
    because = "crossbar.accumulate = \"popcount\""
    if crossbar.columns != "xnor":
        yield "crossbar.columns", (
            f"got \"{crossbar.columns}\" with {because}, which compares each weight bit with its input bit and has no "
            "columns to subtract; write columns = \"xnor\"."
        )
    if crossbar.inputs not in ("bit_serial", "signed_bits"):
        yield "crossbar.inputs", (
            f"got \"{crossbar.inputs}\" with {because}, whose gates take one bit of an input at a time; write "
            "\"signed_bits\" or \"bit_serial\"."
        )
    for key in ("adcs_per_tile", "tiles_per_adc"):
        if key in file.architecture.model_fields_set:
            yield f"architecture.{key}", f"has no effect, because {because} has no converters; remove it."
    if crossbar.ir_drop != "none":
        yield "crossbar.ir_drop", (
            f"got \"{crossbar.ir_drop}\" with {because}: no current adds up in its wires; remove it."
        )
    if _reads_backwards(file) and crossbar.gradient_bits == 0:
        yield "crossbar.gradient_bits", (
            f"got 0 with {because}, whose gates take one bit of a gradient at a time; allowed are 2 to 16."
        )


def _contradictions(file: ScenarioFile, cards: LoadedCards, folder: Path) -> Iterator[Problem]:
    stream, crossbar, accelerator = file.stream, file.crossbar, file.accelerator
    if stream.dataset.lower().endswith(".npz"):
        if not (folder / stream.dataset).is_file():
            yield "stream.dataset", f"got {stream.dataset!r}; there is no such file in the scenario's folder."
    elif stream.dataset not in DATASET_NAMES:
        yield "stream.dataset", f"got {stream.dataset!r}. {did_you_mean(stream.dataset, DATASET_NAMES)} " \
                                "A path must end in .npz."  # fmt: skip
    if stream.examples is not None and stream.examples < stream.tasks:
        yield "stream.examples", f"got {stream.examples} for {stream.tasks} tasks; allowed is at least one each."
    order = stream.task_order
    if order is not None and len(order) != stream.tasks:
        yield "stream.task_order", f"got {len(order)} tasks, and stream.tasks = {stream.tasks}; make the two agree."
    share = (stream.examples or 0) // stream.tasks
    if stream.examples is not None and stream.switch_window > share:
        yield "stream.switch_window", (
            f"got {stream.switch_window}; allowed are 0 to {share}, the examples of a task, so that the windows of two "
            "switches do not overlap."
        )
    if stream.kind == "from_file" and not stream.dataset.lower().endswith(".npz"):
        yield "stream.kind", (
            f"got \"from_file\" with dataset = \"{stream.dataset}\", which has no tasks of its own; give an .npz file "
            "with task_train and task_test, or another kind."
        )
    yield from _ood_problems(file, folder)
    if file.labels.policy == "variation_ratio" and file.labels.threshold is not None and file.labels.threshold > 1:
        yield "labels.threshold", f"got {file.labels.threshold:g}; a variation ratio is a fraction: allowed are 0 to 1."
    levels = cards.storage.params["n_levels"].value
    if levels == 1 or levels != int(levels):
        key = "storage_params.n_levels" if "n_levels" in file.device.storage_params else "storage"
        yield f"device.{key}", f"got n_levels = {levels:g}; allowed are integers from 2, or 0 for a continuous element."
    holds = cards.sampler_model.holds
    if file.device.holds not in holds:
        able = ", ".join(f'"{word}"' for word in holds)
        yield "device.holds", f"got {file.device.holds!r}; the sampling element {file.device.sampler!r} can do {able}."
    elif file.device.holds == "read" and crossbar.columns != "reference" and crossbar.accumulate == "analog":
        yield "device.holds", (
            "\"read\" lets the two cells of a pair run freely, so they are not each other's opposite as "
            f"crossbar.columns = \"{crossbar.columns}\" needs; write columns = \"reference\" or holds = \"query\"."
        )
    if crossbar.adc_bits and (crossbar.adc == "sense_amplifier") != (crossbar.adc_bits == 1):
        yield "crossbar.adc", (
            f"got \"{crossbar.adc}\" with adc_bits = {crossbar.adc_bits}; a converter of 1 bit is a sense amplifier, "
            "and of more bits \"sar\" or \"flash\"; change one of the two."
        )
    if crossbar.ir_drop == "exact" and crossbar.inputs == "pulse_width":
        yield "crossbar.ir_drop", (
            "got \"exact\" with inputs = \"pulse_width\", whose lines go off one after the other, each time another "
            "circuit; write another encoding, or ir_drop = \"none\"."
        )
    yield from _idle_facts(file)
    yield from _ageing_problems(file, cards)
    yield from time_problems(file)
    for key, value in (
        ("crossbar.columns_per_adc", crossbar.columns_per_adc),
        ("accelerator.write_columns", accelerator.write_columns),
    ):
        if value > crossbar.tile_bitlines:
            yield key, f"got {value}, but a tile has {crossbar.tile_bitlines} bit lines; allowed is up to that many."


def _ood_problems(file: ScenarioFile, folder: Path) -> Iterator[Problem]:
    """Yield what is wrong with sets that the stream never shows; what their images are is seen when they are loaded."""
    stream, names = file.stream, file.evaluation.ood
    for n, name in enumerate(names):
        key = f"evaluation.ood.{n}"
        if name.lower().endswith(".npz"):
            if not (folder / name).is_file():
                yield key, f"got {name!r}; there is no such file in the scenario's folder."
        elif name not in (*OWN_SETS, *DATASET_NAMES):
            yield key, f"got {name!r}. {did_you_mean(name, (*OWN_SETS, *DATASET_NAMES))} A path must end in .npz."
        elif name in OWN_SETS and stream.kind != "permuted":
            yield key, f"got {name!r} with stream.kind = \"{stream.kind}\"; it is for permuted streams; remove it."
        elif name == stream.dataset:
            yield key, f"got {name!r}, which is what the stream shows; name another data set."
        if name in names[:n]:
            yield key, f"got {name!r} twice; remove one."


#: Numbers of the component card that have no effect in some scenarios: names, when they have one, and why not.
_IDLE_FACTS: tuple[tuple[tuple[str, ...], Callable[[Crossbar], bool], str], ...] = (
    (("r_wordline", "r_bitline", "r_driver", "r_sense"), lambda c: c.ir_drop == "exact",
     "crossbar.ir_drop = \"none\" leaves resistances out"),
    (("adc_offset", "adc_gain_error", "adc_noise"), lambda c: c.adc_bits > 1,
     "it is an error of converters of 2 bits or more"),
    (("sense_offset",), lambda c: c.adc_bits == 1, "there are no sense amplifiers (adc_bits = 1)"),
    (("popcount_bit_energy", "popcount_time", "popcount_area"), lambda c: c.accumulate == "popcount",
     "sums are not counted bit by bit (crossbar.accumulate = \"analog\")"),
    (("dac_inl",), lambda c: c.inputs == "analog" and c.dac_bits > 0,
     "no input passes a converter of some resolution (inputs = \"analog\" and dac_bits)"),
)  # fmt: skip


def _idle_facts(file: ScenarioFile) -> Iterator[Problem]:
    """Yield what the scenario sets on the component card to no effect."""
    for names, applies, reason in _IDLE_FACTS:
        for name in names:
            if name in file.components.params and not applies(file.crossbar):
                yield f"components.params.{name}", f"has no effect, because {reason}; remove it."


def _ageing_problems(file: ScenarioFile, cards: LoadedCards) -> Iterator[Problem]:
    """Yield what is wrong with pauses: none comes after the last task, and some device must feel them."""
    for n, pause in enumerate(file.ageing):
        if pause.after_task != "every" and pause.after_task > file.stream.tasks:
            yield f"ageing.{n}.after_task", (
                f"got {pause.after_task} for {file.stream.tasks} tasks; allowed are 1 to the number of tasks, or "
                "\"every\"."
            )
    if file.ageing and not devices_change(cards.storage, cards.sampler):
        yield "ageing", (
            f"has no effect, because with these values neither {file.device.storage!r} nor {file.device.sampler!r} "
            "changes with time; remove it, or let the store relax, hop, drift or fluctuate."
        )


def devices_change(storage: Card, sampler: Card) -> bool:
    """Return whether time alone changes a store or a sampling element: it relaxes, hops, drifts or fluctuates."""
    for card in (storage, sampler):
        model = get_model(card.model)
        if time_matters(model, model.params(*(card.params[s.name].value for s in model.specs))):
            return True
    return Nonidealities(**{name: fact.value for name, fact in storage.nonidealities.items()}).noisy


def _not_ideal(file: ScenarioFile, cards: LoadedCards) -> Iterator[str]:
    devices: tuple[tuple[str, str, Card, DeviceModel], ...] = (
        ("device.storage", file.device.storage, cards.storage, cards.storage_model),
        ("device.sampler", file.device.sampler, cards.sampler, cards.sampler_model),
    )
    for key, name, card, model in devices:
        if model.family != "ideal":
            yield f"{key} is {name!r} ({model.family})"
            continue
        facts = {**card.params, **card.costs}
        for number, neutral in neutral_values(model).items():
            if facts[number].value != neutral:
                yield f"{key} has {number} = {facts[number].value:g}, not {neutral:g}"
        for number, fact in card.nonidealities.items():
            if fact.value != 0.0:
                yield f"{key} has {number} = {fact.value:g}, not 0"
    if file.crossbar.inputs != "analog":
        yield f"crossbar.inputs is {file.crossbar.inputs!r}, not 'analog'"
    if file.crossbar.adc_bits != 0:
        yield f"crossbar.adc_bits is {file.crossbar.adc_bits}, not 0"
    for key, ideal in (("accumulate", "analog"), ("dac_bits", 0), ("partial_sum_bits", 0), ("ir_drop", "none")):
        value = getattr(file.crossbar, key)
        if value != ideal:
            yield f"crossbar.{key} is {value!r}, not {ideal!r}"
    holds = file.device.holds or cards.sampler_model.holds[0]
    if holds != "query":
        yield f"device.holds is {holds!r}, not 'query'"
