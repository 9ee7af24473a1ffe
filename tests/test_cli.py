"""The command line: what it prints, what it passes on, and how it ends. The engine is a stand-in here."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bimu_hw.cards import load_card, shipped_cards, shipped_component_cards
from bimu_hw.cli import run_commands
from bimu_hw.devices import get_model
from bimu_hw.scenario import Scenario, load_scenario

ROOT = Path(__file__).parents[1]
HEAVY = ("numba", "xarray", "matplotlib", "pydantic", "scipy", "pint", "simpy", "numpy")


@dataclass
class Call:
    """What the stand-in for the engine was asked, and what it answers."""

    summary: dict[str, Any]
    error: BaseException | None = None
    scenario: Scenario | None = None
    out: Path | None = None
    overwrite: bool | None = None
    progress: bool | None = None


@dataclass
class Result:
    path: Path
    summary: dict[str, Any]


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """Replace `bimu_hw.run` and the summary's table; run in an empty folder."""
    call = Call({"accuracy_newest_task": 0.9, "accuracy": 0.5})

    def run_scenario(scenario: Scenario, out: Path, *, overwrite: bool = False, progress: bool = True) -> Result:
        call.scenario, call.out, call.overwrite, call.progress = scenario, out, overwrite, progress
        if call.error is not None:
            raise call.error
        out.mkdir(parents=True, exist_ok=True)
        (out / "run.nc").touch()
        return Result(out, call.summary)

    run = ModuleType("bimu_hw.run")
    run.run_scenario = run_scenario
    summary = ModuleType("bimu_hw.report.summary")
    summary.format_summary = lambda summary: "the summary's table"
    monkeypatch.setitem(sys.modules, "bimu_hw.run", run)
    monkeypatch.setitem(sys.modules, "bimu_hw.report.summary", summary)
    monkeypatch.chdir(tmp_path)
    return call


# First contact


def test_alone_it_says_what_to_type_next(capsys):
    assert run_commands([]) == 0
    out = capsys.readouterr().out
    assert "bimu-hw run quickstart" in out
    assert "bimu-hw --help" in out


@pytest.mark.parametrize("arguments", [[], ["--help"], ["run", "--help"], ["--version"], ["devices", "list", "-h"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom bimu_hw.cli import run_commands\n"
        f"code = run_commands({arguments!r})\n"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "0 []\n"
    assert done.stdout


def test_the_help_of_every_command_imports_nothing_heavy():
    code = (
        "import sys, click, bimu_hw\nfrom bimu_hw.cli import commands\n"
        "def visit(command, words):\n"
        "    context = click.Context(command, info_name=words)\n"
        "    assert command.get_help(context)\n"
        "    for name in command.list_commands(context) if isinstance(command, click.Group) else ():\n"
        "        visit(command.get_command(context, name), f'{words} {name}')\n"
        "        visited.append(name)\n"
        "visited = []\nvisit(commands, 'bimu-hw')\n"
        f"print('sweep' in visited, [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True []\n"


def test_module_and_script_are_the_same_command():
    done = subprocess.run([sys.executable, "-m", "bimu_hw", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("bimu-hw, version ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["run"], "Missing argument 'SCENARIO'"),
        (["run", "quickstart", "--sede", "3"], "No such option"),
        (["run", "quickstart", "--seed", "three"], "'three' is not a valid integer"),
        (["run", "quickstart", "extra"], "unexpected extra argument"),
        (["devices", "shwo"], "No such command 'shwo'"),
    ],
)
def test_wrong_usage_ends_with_code_2(arguments, words, capsys):
    assert run_commands(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err


# run


def test_run_passes_everything_on(engine, capsys):
    arguments = ["run", "quickstart", "--out", "here", "--seed", "7", "--set", "seeds.noise=3", "--set",
                 "stream.tasks=2", "--overwrite"]  # fmt: skip
    assert run_commands(arguments) == 0
    assert engine.out == Path("here")
    assert (engine.overwrite, engine.progress) == (True, True)
    assert engine.scenario.stream.tasks == 2
    assert (engine.scenario.seeds.fabrication, engine.scenario.seeds.noise) == (7, 3)
    out = capsys.readouterr().out
    assert "the summary's table" in out
    assert "Written to here: run.nc" in out


def test_default_folder_is_named_after_the_content(engine):
    assert run_commands(["run", "quickstart"]) == 0
    assert engine.out == Path("runs") / engine.scenario.run_name
    assert engine.overwrite is False


def test_quiet_prints_the_folder_alone(engine, capsys):
    assert run_commands(["run", "quickstart", "--quiet", "--out", "q"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "q\n"
    assert captured.err == ""
    assert engine.progress is False


def test_a_shipped_name_works_from_anywhere_and_a_file_comes_first(engine):
    assert run_commands(["run", "quickstart"]) == 0
    text = (ROOT / "scenarios" / "quickstart.toml").read_text(encoding="utf-8")
    Path("quickstart").write_text(text.replace('title = "', 'title = "My own: '), encoding="utf-8")
    assert run_commands(["run", "quickstart"]) == 0
    assert engine.scenario.title.startswith("My own")


@pytest.mark.parametrize(
    ("accuracy", "strict", "word", "code"),
    [(0.9, False, "ok", 0), (0.9, True, "ok", 0), (0.1, False, "miss", 0), (0.1, True, "miss", 1)],
)
def test_expectations_are_shown_and_strict_makes_them_count(engine, capsys, accuracy, strict, word, code):
    engine.summary["accuracy_newest_task"] = accuracy
    arguments = ["run", "quickstart", *(["--strict"] if strict else []), "--set"]
    arguments.append('expect=[{metric = "accuracy_newest_task", low = 0.8, source = "a paper"}]')
    assert run_commands(arguments) == code
    row = next(line for line in capsys.readouterr().out.splitlines() if "accuracy_newest_task" in line)
    assert row.split() == [word, "accuracy_newest_task", f"{accuracy:g}", "at", "least", "0.8", "a", "paper"]


def test_strict_without_expectations_is_refused(engine, capsys):
    assert run_commands(["run", "quickstart", "--strict", "--set", "expect="]) == 2
    assert "--strict" in capsys.readouterr().err
    assert engine.scenario is None


# How a run that fails ends


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "Interrupted."),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run.nc"), 2, "disk is full"),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), 2, "may not grow"),
        (OSError("Can't write data (errno = 28, error message = 'No space left on device')"), 2, "disk is full"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/locked/run.nc"), 2, "/locked/run.nc: Permission"),
    ],
)
def test_an_interrupted_run_ends_in_one_sentence(engine, capsys, error, code, words):
    engine.error = error
    assert run_commands(["run", "quickstart"]) == code
    message = capsys.readouterr().err.strip()
    assert words in message
    assert "\n" not in message
    assert "Traceback" not in message


@pytest.mark.parametrize("error", [ZeroDivisionError("a defect"), OSError(errno.EBADF, "a defect")])
def test_a_defect_is_not_dressed_up_as_bad_input(engine, error):
    engine.error = error
    with pytest.raises(type(error), match="a defect"):
        run_commands(["run", "quickstart"])


def test_a_closed_pipe_is_no_error():
    code = "from bimu_hw.cli import main; main(['describe', '--scenario'])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()  # before it could write anything
        assert process.stderr.read() == b""
        assert process.wait() == 1


# validate, describe


def test_validate(capsys):
    assert run_commands(["validate", "quickstart"]) == 0
    out = capsys.readouterr().out
    assert ": valid: " in out
    assert load_scenario(ROOT / "scenarios" / "quickstart.toml").hash[:8] in out


def test_validate_resolved_prints_every_value(capsys):
    assert run_commands(["validate", "quickstart", "--resolved", "--seed", "5"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(json.dumps(load_scenario(ROOT / "scenarios" / "quickstart.toml", seed=5).resolved()))


def test_describe_prints_the_schema_of_a_record(capsys):
    from bimu_hw.record import schema

    assert run_commands(["describe"]) == 0
    assert capsys.readouterr().out.strip() == schema.describe().strip()


def test_describe_scenario_prints_the_committed_schema(capsys):
    assert run_commands(["describe", "--scenario"]) == 0
    assert capsys.readouterr().out == (ROOT / "scenarios" / "schema.json").read_text(encoding="utf-8")


# devices


def test_devices_list_has_a_row_for_every_card(capsys):
    assert run_commands(["devices", "list"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    header, _, *rows = rows
    assert header == ["name", "role", "family", "model", "levels", "sources", "assumed"]
    table = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert set(table) == set(shipped_cards()) | set(shipped_component_cards())
    for name, card in shipped_cards().items():
        model = get_model(card.model)
        assert (table[name]["role"], table[name]["family"], table[name]["model"]) == (
            model.role, model.family, model.name,
        )  # fmt: skip
        facts = [*card.params.values(), *card.costs.values()]
        share = sum(fact.kind == "assumed" for fact in facts) / len(facts)
        assert abs(float(table[name]["assumed"].rstrip("%")) / 100 - share) < 0.0051
        assert int(table[name]["sources"]) == len(card.references)
    assert table["ideal_storage"]["levels"] == "continuous"
    assert table["hfox_2t2r"]["levels"] == "16"


def test_devices_show_has_every_number_with_unit_kind_and_source(capsys):
    card = load_card("hfox_2t2r")
    assert run_commands(["devices", "show", "hfox_2t2r"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith(("params.", "costs."))}
    for section, facts in (("params", card.params), ("costs", card.costs)):
        for name, fact in facts.items():
            _, value, unit, kind, *_ = lines[f"{section}.{name}"].split()
            assert float(value) == pytest.approx(fact.value, rel=1e-5)
            assert (unit, kind) == (fact.unit, fact.kind)
            assert (fact.source or fact.why) in lines[f"{section}.{name}"]
    for key, text in card.references.items():
        assert f"{key}: {text}" in out


def test_devices_show_takes_component_cards_and_files(capsys):
    for name in shipped_component_cards():
        assert run_commands(["devices", "show", name]) == 0
        assert "costs.adc_convert_energy" in capsys.readouterr().out
    assert run_commands(["devices", "show", str(ROOT / "device_models" / "cards" / "hfox_2t2r.toml")]) == 0
    assert "hfox_2t2r" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["hfox_2t", "nowhere.toml"])
def test_devices_show_of_an_unknown_card(name, capsys):
    assert run_commands(["devices", "show", name]) == 2
    message = capsys.readouterr().err.strip()
    assert name in message
    assert "\n" not in message
