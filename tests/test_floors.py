"""The house rules that a machine can keep: floors, exceptions, docstrings, short files, no hidden randomness."""

from __future__ import annotations

import ast
import doctest
import importlib
import sys
import tomllib
from importlib.metadata import entry_points

import pytest
from house import ROOT, imports, is_part_of, modules, tree

from bimu_hw import errors

#: The floor of every file and folder. A module imports from floors below its own, and from its own floor.
FLOORS = {
    "bimu_hw.errors": 0, "bimu_hw.units": 0, "bimu_hw.random": 0,
    "bimu_hw.kernels": 1,
    "bimu_hw.devices": 2, "bimu_hw.cards": 2, "bimu_hw.operations": 2, "bimu_hw.scaling": 2, "bimu_hw.nonidealities": 2,
    "bimu_hw.components": 2,
    "bimu_hw.crossbar": 3,
    "bimu_hw.learning": 4,
    "bimu_hw.ledger": 5, "bimu_hw.intervals": 5,
    "bimu_hw.accelerator": 6,
    "bimu_hw.record": 7,
    "bimu_hw.presets": 8, "bimu_hw.scenario": 8, "bimu_hw.run": 8, "bimu_hw.run_folder": 8,
    "bimu_hw.checkpoint": 8, "bimu_hw.costs": 8, "bimu_hw.evaluation": 8, "bimu_hw.freezing": 8, "bimu_hw.sweep": 8,
    "bimu_hw.analysis": 8,
    "bimu_hw.report": 8, "bimu_hw.cli": 8, "bimu_hw.testing": 8, "bimu_hw.spice": 8, "bimu_hw.cli_spice": 8,
    "bimu_hw.cli_start": 8, "bimu_hw.cli_trace": 8,
    "bimu_hw.cli_devices": 8, "bimu_hw.cli_native": 8, "bimu_hw.cli_sampler": 8, "bimu_hw.cli_characterise": 8,
    "bimu_hw.fitting": 8, "bimu_hw.reproduction": 8, "bimu_hw.cli_reproduce": 8, "bimu_hw.published": 8,
    "bimu_hw.cli_published": 8, "bimu_hw.cli_sweep": 8, "bimu_hw.cli_report": 8,
    "bimu_hw.cli_reprice": 8, "bimu_hw.reprice": 8,
    "bimu_hw.studies": 8, "bimu_hw.cli_cells": 8, "bimu_hw.cli_labels": 8, "bimu_hw.cli_hardware": 8,
    "bimu_hw": 9, "bimu_hw.__main__": 9,
}  # fmt: skip

#: Who may import what comes from outside; numpy and the standard library are everybody's.
OUTSIDE = {
    "pint": ("bimu_hw.units",),
    # A device's pulses live with the device; a run writes down numba's version and the processor's features.
    "numba": ("bimu_hw.kernels", "device_models", "bimu_hw.run"),
    "llvmlite": ("bimu_hw.kernels", "bimu_hw.run"),
    "scipy": ("bimu_hw.crossbar", "bimu_hw.learning", "bimu_hw.analysis", "bimu_hw.fitting", "bimu_hw.sweep"),
    "simpy": ("bimu_hw.accelerator",),
    "xarray": ("bimu_hw.record", "bimu_hw.analysis", "bimu_hw.report", "bimu_hw.run", "bimu_hw.sweep",
               "bimu_hw.reprice"),
    "h5netcdf": ("bimu_hw.record",),
    "h5py": ("bimu_hw.record",),
    "pooch": ("bimu_hw.learning",),
    "pydantic": ("bimu_hw.scenario",),
    "pydantic_core": ("bimu_hw.scenario",),
    "dask": ("bimu_hw.sweep",),
    "distributed": ("bimu_hw.sweep",),
    "dask_jobqueue": ("bimu_hw.sweep",),
    "zarr": ("bimu_hw.sweep",),
    "matplotlib": ("bimu_hw.report", "bimu_hw.analysis", "bimu_hw.fitting"),
    "click": ("bimu_hw.cli", "bimu_hw.cli_spice", "bimu_hw.cli_start",
              "bimu_hw.cli_devices", "bimu_hw.cli_native", "bimu_hw.cli_sampler",
              "bimu_hw.cli_characterise", "bimu_hw.cli_reproduce", "bimu_hw.cli_published", "bimu_hw.cli_sweep",
              "bimu_hw.cli_report", "bimu_hw.cli_reprice", "bimu_hw.cli_trace",
              "bimu_hw.cli_cells", "bimu_hw.cli_labels", "bimu_hw.cli_hardware"),
    "tqdm": ("bimu_hw.cli", "bimu_hw.run", "bimu_hw.sweep"),
    "pytest": ("bimu_hw.testing",),  # the conformance suite is a test that strangers run
    "hypothesis": ("bimu_hw.testing",),
}

#: What else a module keeps away from, although its floor would let it.
STAYS_AWAY = {
    "bimu_hw.learning": ("bimu_hw.devices", "bimu_hw.cards", "bimu_hw.crossbar"),  # it knows no hardware
    "bimu_hw.kernels": ("bimu_hw.errors", "bimu_hw.units", "bimu_hw.random"),  # pure functions on arrays
    "bimu_hw": ("device_models",),  # models are found by entry point, ours too
}
DEVICE_MODELS_IMPORT = ("device_models", "bimu_hw.devices", "bimu_hw.kernels", "bimu_hw.random")

#: Exceptions of the language itself that a module may raise, and why.
FOREIGN_ERRORS = {
    "AttributeError": "a module's or object's __getattr__ answers with it",
    "IndexError": "what sequences answer with beyond their end",
    "KeyboardInterrupt": "Ctrl-C goes on to whoever started us",
    "SystemExit": "the command line's exit code",
}
#: pydantic turns a ValueError of a validator into the message that the scenario's reader makes a sentence of.
VALIDATORS_RAISE_VALUE_ERROR = (
    "bimu_hw.scenario.tables", "bimu_hw.scenario.sweep_tables", "bimu_hw.scenario.values", "bimu_hw.scenario.model",
    "bimu_hw.scenario.published",
)  # fmt: skip

NEVER_LONGER = 500


def home(name):
    """Return the entry of FLOORS a module belongs to."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "bimu_hw" and len(parts) > 1 else parts[0]


def ours(name):
    return is_part_of(name, ("bimu_hw", "device_models"))


@pytest.mark.parametrize("name", [m for m in modules() if is_part_of(m, ("bimu_hw",))])
def test_a_module_imports_from_floors_below(name):
    assert home(name) in FLOORS, f"{name}: give the new file or folder a floor in FLOORS"
    for other, line in imports(name):
        if not ours(other) or home(other) == home(name):
            continue
        where = f"{modules()[name].relative_to(ROOT)}:{line} imports {other}"
        if other == "bimu_hw":
            assert FLOORS[home(name)] >= 7, f"{where}; only the version may be had from the top, and only high up"
            continue
        assert home(other) in FLOORS, where
        assert FLOORS[home(other)] <= FLOORS[home(name)], f"{where}, which lies on a higher floor"


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_from_outside_what_it_may(name):
    for other, line in imports(name):
        top = other.partition(".")[0]
        if ours(other) or top == "numpy" or top in sys.stdlib_module_names:
            continue
        where = f"{modules()[name].relative_to(ROOT)}:{line} imports {other}"
        assert top in OUTSIDE, f"{where}, which is no dependency"
        assert is_part_of(name, OUTSIDE[top]), f"{where}; {', '.join(OUTSIDE[top])} may"


@pytest.mark.parametrize("name", modules())
def test_a_module_keeps_away_from_what_is_not_its_business(name):
    for place, forbidden in STAYS_AWAY.items():
        if is_part_of(name, (place,)):
            for other, line in imports(name):
                assert not is_part_of(other, forbidden), f"{name}, line {line}: imports {other}"
    if is_part_of(name, ("device_models",)):
        for other, line in imports(name):
            assert not ours(other) or is_part_of(other, DEVICE_MODELS_IMPORT), f"{name}, line {line}: imports {other}"


def test_imports_run_in_no_circle():
    """Imports inside functions run later and are let be; the floors hold for them as well."""
    state = {}

    def visit(name, path):
        if state.get(name) == "done":
            return
        assert state.get(name) != "open", f"circle of imports: {' -> '.join([*path, name])}"
        state[name] = "open"
        for other, _ in imports(name, at_import_time=True):
            # The face of a package imports its modules; they may name it, as all Python packages do.
            if other in modules() and not name.startswith(f"{other}."):
                visit(other, [*path, name])
        state[name] = "done"

    for name in modules():
        visit(name, [])


@pytest.mark.parametrize("name", modules())
def test_files_stay_short(name):
    lines = modules()[name].read_text(encoding="utf-8").count("\n")
    assert lines <= NEVER_LONGER, f"{name}: {lines} lines; split it"


def random_calls(module):
    for node in ast.walk(module):
        target = node.func if isinstance(node, ast.Call) else None
        if isinstance(target, ast.Attribute) and ast.unparse(target.value) in ("np.random", "numpy.random", "random"):
            # A generator without a seed takes one from the operating system.
            unseeded = not (node.args or node.keywords)
            yield ast.unparse(target) + ("()" if unseeded else ""), node.lineno


SOURCES = sorted(path for folder in ("bimu_hw", "device_models", "tests") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_draws_from_a_global_generator(path):
    """Generators are objects with a key; np.random.<draw> and the random module are shared state."""
    makers = {"Generator", "Philox", "default_rng", "SeedSequence", "PCG64"}
    syntax = ast.parse(path.read_text(encoding="utf-8"))
    for call, line in random_calls(syntax):
        assert call.rpartition(".")[2] in makers, f"{path.relative_to(ROOT)}:{line} calls {call}"
    for node in ast.walk(syntax):
        if isinstance(node, ast.Import):
            assert "random" not in {alias.name for alias in node.names}, f"{path}:{node.lineno} imports random"
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert node.module not in ("random", "numpy.random"), f"{path}:{node.lineno} imports from {node.module}"


def test_the_guard_against_global_generators_sees_one():
    text = "np.random.normal(0, 1)\nnumpy.random.default_rng()\nrng.normal()\nnp.random.default_rng(3)"
    seen = [call for call, _ in random_calls(ast.parse(text)) if not call.endswith("default_rng")]
    assert seen == ["np.random.normal", "numpy.random.default_rng()"]


def public_definitions(body, prefix):
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        yield f"{prefix}.{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from public_definitions(node.body, f"{prefix}.{node.name}")


@pytest.mark.parametrize("name", modules())
def test_what_is_public_says_what_it_is(name):
    docstring = ast.get_docstring(tree(name))
    assert docstring, f"{name}: no docstring"
    assert docstring.splitlines()[0].endswith((".", ":")), f"{name}: the first line of the docstring is no sentence"
    for full, node in public_definitions(tree(name).body, name):
        assert ast.get_docstring(node), f"{full}: no docstring"


def raised(module):
    """Yield the name of every exception that is raised anew, and the line."""
    for node in ast.walk(module):
        if isinstance(node, ast.Raise) and node.exc is not None:
            target = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            yield ast.unparse(target), node.lineno


@pytest.mark.parametrize("name", modules())
def test_errors_are_of_the_house(name):
    family = {n for n, e in vars(errors).items() if isinstance(e, type) and issubclass(e, errors.BimuError)}
    caught = {node.name for node in ast.walk(tree(name)) if isinstance(node, ast.ExceptHandler) and node.name}
    for error, line in raised(tree(name)):
        last = error.rpartition(".")[2]
        # A small letter or an underscore begins a variable, or a function that builds the error.
        if error in caught or last in family or last in FOREIGN_ERRORS or not last[0].isupper():
            continue
        if is_part_of(name, ("bimu_hw.cli",)) and error.startswith("click."):
            continue
        if is_part_of(name, ("bimu_hw.testing",)) and error == "AssertionError":
            continue
        if is_part_of(name, VALIDATORS_RAISE_VALUE_ERROR) and error == "ValueError":
            continue
        pytest.fail(f"{name}, line {line}: raises {error}")


@pytest.mark.parametrize("name", modules())
def test_nobody_catches_everything_silently(name):
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name}, line {node.lineno}: bare except"
            silent = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
            everything = ast.unparse(node.type) in ("Exception", "BaseException")
            assert not (silent and everything), f"{name}, line {node.lineno}: swallows every error"


def test_every_leaf_is_a_builtin_too():
    leaves = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.BimuError)]
    leaves.remove(errors.BimuError)
    assert len(leaves) >= 8
    for leaf in leaves:
        assert leaf.__doc__
        assert issubclass(leaf, (ValueError, TypeError, RuntimeError)), leaf
    for name in modules():
        for _, node in public_definitions(tree(name).body, name):
            if isinstance(node, ast.ClassDef) and name != "bimu_hw.errors":
                assert not node.name.endswith(("Error", "Exception")), f"{name}: {node.name} belongs in errors"


@pytest.mark.parametrize(
    ("given", "allowed", "sentence"),
    [
        ("n_level", ["n_levels", "name"], "Did you mean 'n_levels'?"),
        ("zzz", ["b", "a", "b"], "Allowed: a, b."),
        ("zzz", [], "Nothing is allowed here."),
        ("wordlines", iter(["tile_wordlines"]), "Did you mean 'tile_wordlines'?"),
    ],
)
def test_did_you_mean(given, allowed, sentence):
    assert errors.did_you_mean(given, allowed) == sentence


def declared_entry_points():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    return [(group, name, value) for group, entries in groups.items() for name, value in entries.items()]


@pytest.mark.parametrize(("group", "name", "value"), declared_entry_points())
def test_every_entry_point_loads(group, name, value):
    installed = [p for p in entry_points(group=group) if p.name == name]
    assert [p.value for p in installed] == [value], "the installed package is not this one; install it again"
    loaded = installed[0].load()
    if group == "bimu_hw.device_models":
        assert loaded.name == name
    else:
        assert callable(loaded)


def test_every_device_model_is_registered():
    registered = {value.partition(":")[0] for group, _, value in declared_entry_points() if group.endswith("models")}
    with_a_model = {
        name
        for name in modules()
        if is_part_of(name, ("device_models",))
        for node in tree(name).body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == "MODEL"
    }
    assert registered == with_a_model


@pytest.mark.parametrize("name", [m for m, path in modules().items() if ">>> " in path.read_text(encoding="utf-8")])
def test_examples_in_docstrings_are_true(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
