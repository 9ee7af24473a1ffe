"""Pages of the site that the program itself dictates: cards, commands, scenario keys, the Python reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click

    from bimu_hw.cards import Card, Fact

#: Modules of the Python reference, in the order a reader meets them: what it is about, and its name.
MODULES = {
    "Runs": ("bimu_hw.scenario", "bimu_hw.run", "bimu_hw.record", "bimu_hw.record.export"),
    "Analysis": ("bimu_hw.analysis",),
    "Learning": ("bimu_hw.learning.reference", "bimu_hw.learning.metrics", "bimu_hw.learning.policies"),
    "Devices and cards": ("bimu_hw.devices", "bimu_hw.cards", "bimu_hw.fitting", "bimu_hw.testing"),
    "Arrays": ("bimu_hw.crossbar.circuit", "bimu_hw.crossbar.ir_drop"),
    "Cost": ("bimu_hw.ledger", "bimu_hw.operations"),
    "Errors and units": ("bimu_hw.errors", "bimu_hw.units"),
}


#: A larger bound is that of the machine's integers, which tells a reader nothing.
_NO_BOUND = 2**62


def write_all(folder: Path) -> None:
    """Write every generated page; a page that did not change is left alone, so that it is not built again."""
    folder.mkdir(exist_ok=True)
    pages = {
        "cards.md": _cards_index(), "commands.md": _commands(), "scenario.md": _scenario_keys(),
        "python.md": _python(), **{f"card_{name}.md": _card(card) for name, card in _all_cards().items()},
    }  # fmt: skip
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.glob("*.md"):
        if path.name not in pages:
            path.unlink()


def _all_cards() -> dict[str, Card]:
    from bimu_hw.cards import shipped_cards, shipped_component_cards

    return {**dict(sorted(shipped_cards().items())), **dict(sorted(shipped_component_cards().items()))}


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def _table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = list(header)
    lines = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cards_index() -> str:
    from bimu_hw.devices import get_model

    rows = []
    for name, card in _all_cards().items():
        role = "components" if card.model == "components" else get_model(card.model).role
        rows.append(
            (f"[{name}](card_{name}.md)", role, card.title, len(card.references), f"{card.assumed_share:.0%}")
        )
    toc = "\n".join(f"card_{name}" for name in _all_cards())
    return (
        "# Cards\n\nEvery number of every device and circuit, with its unit, how it is known and where it comes from. "
        "The last column is the share of a card's numbers that are assumptions.\n\n"
        f"{_table(('card', 'role', 'what it is', 'sources', 'assumed'), rows)}\n\n"
        f"```{{toctree}}\n:hidden:\n\n{toc}\n```\n"
    )


def _card(card: Card) -> str:
    parts = [f"# {card.name}", card.title + "."]
    if card.notes:
        parts.append(card.notes.strip())
    sections = {"Physics": card.params, "Nonidealities": card.nonidealities, "Energy, time and area": card.costs}
    for title, facts in sections.items():
        if facts:
            rows = [(f"`{key}`", _number(fact), _range(fact), fact.kind, _origin(fact)) for key, fact in facts.items()]
            parts += [f"## {title}", _table(("number", "value", "range", "kind", "from"), rows)]
    if card.references:
        parts += ["## Sources", _table(("key", "source"), card.references.items())]
    return "\n\n".join(parts) + "\n"


def _number(fact: Fact, value: float | None = None) -> str:
    from bimu_hw.units import format_quantity

    return format_quantity(fact.value if value is None else value, fact.unit, 4)


def _range(fact: Fact) -> str:
    return "" if fact.low == fact.high else f"{_number(fact, fact.low)} to {_number(fact, fact.high)}"


def _origin(fact: Fact) -> str:
    where = ", ".join(word for word in (fact.source, fact.where) if word)
    return ": ".join(word for word in (where, fact.why) if word)


def _commands() -> str:
    import click

    from bimu_hw.cli import commands

    parts = [
        "# Commands",
        "As `bimu-hw COMMAND --help` prints them. Exit codes: 0 done, 1 an expected number was missed or a part "
        "failed, 2 bad input, 130 interrupted.",
    ]

    def add(command: click.Command, name: str) -> None:
        context = click.Context(command, info_name=name, terminal_width=100)
        if isinstance(command, click.Group):
            parts.append(f"## {name}" if name.count(" ") else "")
            for sub in command.list_commands(context):
                child = command.get_command(context, sub)
                if child is not None and not child.hidden:
                    add(child, f"{name} {sub}")
            return
        level = "##" if name.count(" ") == 1 else "###"
        parts.append(f"{level} {name}\n\n```text\n{command.get_help(context).strip()}\n```")

    add(commands, "bimu-hw")
    return "\n\n".join(part for part in parts if part) + "\n"


def _scenario_keys() -> str:
    from bimu_hw.scenario import scenario_schema

    schema = scenario_schema()
    definitions: Mapping[str, Any] = schema.get("$defs", {})
    parts = ["# Scenario keys", "Every key of a scenario file, as `bimu-hw describe --scenario` gives it to editors. "
             "A physical value is a text with its unit: `\"25 ns\"`."]  # fmt: skip
    top, tables = [], []
    for key, entry in schema["properties"].items():
        name, many = _table_of(entry)
        if name is None:
            required = key in schema.get("required", ())
            top.append(
                (f"`{key}`", _allowed(entry, definitions), _default(entry, required), entry.get("description", ""))
            )
        else:
            tables.append((key, definitions[name], many, entry.get("description", "")))
    head = ("key", "allowed", "default", "meaning")
    parts.append(_table(head, top))
    for key, table, many, meaning in tables:
        heading = f"`[[{key}]]`" if many else f"`[{key}]`"
        rows = [
            (f"`{name}`", _allowed(entry, definitions), _default(entry, name in table.get("required", ())),
             entry.get("description", ""))
            for name, entry in table.get("properties", {}).items()
        ]  # fmt: skip
        parts += [f"## {heading}", meaning, _table(head, rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table_of(entry: Mapping[str, Any]) -> tuple[str | None, bool]:
    """Return the name of the table that a key of the top level holds, and whether it is a list of them."""
    items = entry.get("items", {})
    for part in (entry, items, *entry.get("anyOf", ()), *entry.get("allOf", ())):
        if "$ref" in part:
            return part["$ref"].rsplit("/", 1)[1], part is items
    return None, False


def _allowed(entry: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in entry:
        return _allowed(definitions[entry["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in entry:
        return ", or ".join(a for a in (_allowed(part, definitions) for part in entry["anyOf"]) if a)
    if "enum" in entry:
        return ", ".join(f"`{value}`" for value in entry["enum"])
    if "const" in entry:
        return f"`{entry['const']}`"
    kind = entry.get("type", "")
    if kind == "null":
        return ""
    if kind == "array":
        return f"list of {_allowed(entry.get('items', {}), definitions) or 'values'}"
    words = {"number": "number", "integer": "integer", "string": "text", "boolean": "true or false", "object": "table"}
    bounds = [
        f"{sign} {entry[name]:g}"
        for name, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
        if name in entry and abs(entry[name]) < _NO_BOUND
    ]
    return " ".join([words.get(kind, kind), *bounds])


def _default(entry: Mapping[str, Any], required: bool = False) -> str:
    if required:
        return "required"
    value = entry.get("default")
    if value is None or value in ("", [], (), {}) or isinstance(value, dict):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _python() -> str:
    import bimu_hw

    parts = ["# Python", "## bimu_hw", "The names that scripts and notebooks need; `import bimu_hw` and use them."]
    names = [name for name in bimu_hw.__all__ if name != "__version__"]
    for name in names:
        thing = getattr(bimu_hw, name)
        kind = "autoclass" if isinstance(thing, type) else "autofunction"
        parts.append(f"```{{eval-rst}}\n.. {kind}:: bimu_hw.{name}\n```")
    for title, modules in MODULES.items():
        parts.append(f"## {title}")
        for module in modules:
            parts.append(
                f"### {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n   :no-index:\n```"
            )
    return "\n\n".join(parts) + "\n"
