"""The source tree as the house tests see it: modules, their syntax trees and what they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("bimu_hw", "device_models")


@cache
def modules() -> dict[str, Path]:
    """Return every module of both packages by dotted name; a package goes by its own name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    path = modules()[name]
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def imports(name: str, at_import_time: bool = False) -> frozenset[tuple[str, int]]:
    """Return what a module imports as (module, line): wherever in it, or only what runs when it is itself imported."""
    found = set()
    package = name if modules()[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in _statements(tree(name)) if at_import_time else ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, node.lineno) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.add((full if full in modules() else base, node.lineno))
    return frozenset(found)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree, but not into functions, nor into what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _statements(child)


def is_part_of(name: str, places: tuple[str, ...]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)
