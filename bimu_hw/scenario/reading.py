"""Reading a scenario file: TOML, overrides from the command line, and one sentence for whatever is wrong with it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bimu_hw.errors import ScenarioError, did_you_mean

#: Keys of a scenario in dotted form: ``"device.storage_params.n_levels"``; tables of a list are counted from 0.
Dotted = str

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_HEADER = re.compile(rf"^\s*(\[\[?)\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*\]")
_ASSIGNMENT = re.compile(rf"^\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")

_EXPECTED = {
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text in quotes",
    "string_too_short": "a text that is not empty",
    "bool_type": "true or false",
    "tuple_type": "a list in brackets",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_BOUNDS = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}


@dataclass(frozen=True)
class Source:
    """Where the keys of a scenario come from, for messages.

    Attributes
    ----------
    name : str
        The file as the user named it.
    text : str
        Its content.
    overrides : mapping of str to str
        Dotted keys that the command line set, with the option that did.
    """

    name: str
    text: str = ""
    overrides: Mapping[Dotted, str] = field(default_factory=dict)

    def at(self, key: Dotted) -> str:
        """Return the place of a key: file, line where it can be found, and dotted key; or the option that set it."""
        setters = [given for given in self.overrides if f"{key}.".startswith(f"{given}.")]
        if setters:
            return f"{self.overrides[max(setters, key=len)]} {key}"
        # A key that is not there has the line of its table.
        line = self._lines.get(key) or self._lines.get(key.rpartition(".")[0])
        place = self.name if line is None else f"{self.name}:{line}"
        return f"{place}, {key}" if key else place

    def and_more(self, others: int) -> str:
        """Return what ends the sentence about the first of several faults."""
        return "" if others == 0 else f" ({others} more {'fault' if others == 1 else 'faults'} in this scenario.)"

    @cached_property
    def _lines(self) -> dict[Dotted, int]:
        # tomllib gives no line numbers. This is a search, not a parser: a key it does not find has no line.
        found: dict[Dotted, int] = {}
        table = ""
        counts: dict[str, int] = {}
        for number, line in enumerate(self.text.splitlines(), start=1):
            if header := _HEADER.match(line):
                table = _plain(header[2])
                if header[1] == "[[":
                    counts[table] = counts.get(table, -1) + 1
                    table = f"{table}.{counts[table]}"
                found.setdefault(table, number)
            elif assignment := _ASSIGNMENT.match(line):
                key = _plain(assignment[1])
                found.setdefault(f"{table}.{key}" if table else key, number)
        return found


def _plain(key: str) -> Dotted:
    return ".".join(part.strip().strip("\"'") for part in key.split("."))


def read_toml(path: Path) -> tuple[dict[str, Any], str]:
    """Return the content of a TOML file as tables and as text.

    Raises
    ------
    ScenarioError
        If there is no such file, or it is not UTF-8 or not TOML.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ScenarioError(f"{path}: no such file; give the path of a scenario.") from None
    except IsADirectoryError:
        inside = sorted(path.glob("*.toml"))
        such = f", such as {inside[0]}" if inside else ""
        raise ScenarioError(f"{path}: is a folder; give the path of a scenario file{such}.") from None
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8.") from None
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{path}: not valid TOML: {str(error).rstrip('.')}.") from None


def apply_overrides(tables: dict[str, Any], overrides: Sequence[str]) -> dict[Dotted, str]:
    """Set keys of `tables` as ``--set`` asks, in order.

    Parameters
    ----------
    tables : dict
        Changed in place.
    overrides : sequence of str
        ``"dotted.key=value"``: the value a TOML literal, else a text. An empty value removes the key.

    Returns
    -------
    dict of str to str
        The dotted keys that were set or removed, each with ``"--set"``.

    Raises
    ------
    ScenarioError
        If one is not of this form, leads through something that is no table, or removes what is not there.
    """
    done: dict[Dotted, str] = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        key = key.strip()
        parts = key.split(".")
        if not equals or not all(parts):
            raise ScenarioError(f"--set {override!r}: expected KEY=VALUE, for example --set stream.tasks=5.")
        table = tables
        for i, part in enumerate(parts[:-1]):
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise ScenarioError(f"--set {key}: {'.'.join(parts[: i + 1])!r} is not a table, so it has no keys.")
        if value.strip():
            table[parts[-1]] = _literal(value.strip())
        elif parts[-1] in table:
            del table[parts[-1]]
        else:
            raise ScenarioError(f"--set {key}=: nothing to remove, the scenario has no such key. "
                                f"{did_you_mean(parts[-1], table)}")  # fmt: skip
        done[key] = "--set"
    return done


def _literal(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text


def explain(error: ValidationError, source: Source, model: type[BaseModel]) -> ScenarioError:
    """Turn what pydantic found into one sentence about the first fault, and the number of the others."""
    # An unknown key first: it is often the misspelt one that a "missing" is about.
    faults = sorted(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")
    first = faults[0]
    where = source.at(".".join(str(part) for part in first["loc"]))
    return ScenarioError(f"{where}: {_sentence(first, model)}{source.and_more(len(faults) - 1)}")


def _sentence(fault: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    key = str(fault["loc"][-1]) if fault["loc"] else ""
    given = brief(fault["input"])
    parent = _table_at(model, fault["loc"][:-1])
    if kind == "extra_forbidden":
        return f"unknown key. {did_you_mean(key, parent.model_fields if parent else ())}"
    if kind == "missing":
        return f"missing; give it a value{example_of(parent, key)}{_description(parent, key)}."
    if kind == "value_error":
        return str(context["error"]).removeprefix(f"{key}: ")
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", context["expected"])
        return f"got {given}. " + (did_you_mean(str(fault["input"]), words) if words else
                                   f"Allowed: {context['expected']}.")  # fmt: skip
    if kind in _EXPECTED:
        return f"got {given}; expected {_EXPECTED[kind]}."
    bounds = {**_bounds_of(parent, key), **{k: v for k, v in context.items() if k in _BOUNDS}}
    if bounds:
        allowed = " ".join(f"{word} {bounds[k]:.10g}" for k, word in _BOUNDS.items() if k in bounds)
        return f"got {given}; allowed are numbers {allowed}."
    return f"got {given}: {fault['msg'][0].lower()}{fault['msg'][1:]}."


def brief(value: object) -> str:
    """Return the repr of a value, shortened for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _table_at(model: type[BaseModel], loc: Sequence[int | str]) -> type[BaseModel] | None:
    """Return the class of the table at a location, if it is one."""
    current: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, int):
            continue
        info = current.model_fields.get(part) if current else None
        current = next(_tables_in(info.annotation), None) if info else None
    return current


def _tables_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _tables_in(part)


def example_of(table: type[BaseModel] | None, key: str) -> str:
    """Return what ends a request for a key with an example of it; empty for a key that has none."""
    info = table.model_fields.get(key) if table else None
    return f", for example {key} = {json.dumps(info.examples[0])}" if info and info.examples else ""


def _description(table: type[BaseModel] | None, key: str) -> str:
    info = table.model_fields.get(key) if table else None
    return f" ({info.description.rstrip('.')})" if info and info.description else ""


def _bounds_of(table: type[BaseModel] | None, key: str) -> dict[str, float]:
    info = table.model_fields.get(key) if table else None
    constraints = [*info.metadata, *_constraints_in(info.annotation)] if info else []
    return {name: getattr(c, name) for c in constraints for name in _BOUNDS if hasattr(c, name)}


def _constraints_in(annotation: Any) -> Iterator[Any]:
    """Yield the constraints inside an annotation such as ``Annotated[float, Field(ge=0)] | None``."""
    for part in get_args(annotation):
        yield from getattr(part, "metadata", ())
        yield from _constraints_in(part)
