"""The command line. Bad input ends in one sentence on standard error and exit code 2, never in a traceback.

Exit codes: 0 done; 1 a number the scenario expects was missed (with ``--strict``); 2 bad input; 130 interrupted.
Whatever is slow to import is imported inside the command that needs it: ``bimu-hw --help`` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from bimu_hw.cli_cells import cells
from bimu_hw.cli_characterise import characterise_command
from bimu_hw.cli_devices import fit_command
from bimu_hw.cli_hardware import hardware_question, label_savings
from bimu_hw.cli_labels import labels
from bimu_hw.cli_native import native
from bimu_hw.cli_published import published
from bimu_hw.cli_report import ablate, compare, report
from bimu_hw.cli_reprice import reprice
from bimu_hw.cli_reproduce import reproduce
from bimu_hw.cli_sampler import sampler
from bimu_hw.cli_spice import spice
from bimu_hw.cli_start import export, init
from bimu_hw.cli_sweep import collect_command, replay, status, sweep
from bimu_hw.cli_trace import trace
from bimu_hw.errors import BimuError, CardError, ScenarioError, did_you_mean

if TYPE_CHECKING:
    from bimu_hw.cards import Card, Fact
    from bimu_hw.run import RunResult
    from bimu_hw.scenario import Outcome

_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_WHAT_NEXT = """\
bimu-hw simulates what a binary Bayesian network learns on synaptic devices, and what that costs.

Type next:
  bimu-hw run quickstart     learn real images on a simulated chip, in about a minute
  bimu-hw init my_chip       write a commented scenario to change
  bimu-hw devices list       the devices and components there are
  bimu-hw --help             all commands
"""


def _show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from bimu_hw import __version__

        click.echo(f"bimu-hw, version {__version__}")
        context.exit()


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def commands(context: click.Context) -> None:
    """Simulate neuromorphic hardware that learns: device physics, crossbars, time and energy."""
    if context.invoked_subcommand is None:
        click.echo(_WHAT_NEXT, nl=False)


_SCENARIO = click.argument("scenario")
_SEED = click.option("--seed", type=int, metavar="N", help="All three seeds; --set seeds.noise=N sets one apart.")
_SET = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Another value for a key of the scenario, such as stream.tasks=5; an empty value removes the key. Repeatable.",
)  # fmt: skip
_STRICT = click.option("--strict", is_flag=True, help="Exit with code 1 if a number the scenario expects is missed.")
_QUIET = click.option("--quiet", is_flag=True, help="Print the folder of the run and nothing else.")


@commands.command()
@_SCENARIO
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the run; default: in runs/.")
@_SEED
@_SET
@click.option("--overwrite", is_flag=True, help="Replace another run in that folder.")
@_STRICT
@_QUIET
@click.pass_context
def run(
    context: click.Context, scenario: str, out: Path | None, seed: int | None, overrides: tuple[str, ...],
    overwrite: bool, strict: bool, quiet: bool,
) -> None:  # fmt: skip
    """Run SCENARIO: a file, or the name of a shipped one such as quickstart."""
    from bimu_hw.scenario import expectation_outcomes, load_scenario
    from bimu_hw.scenario.shipped import find_scenario

    described = load_scenario(find_scenario(scenario), overrides, seed)
    if strict and not described.expect:
        raise ScenarioError(f"--strict: {scenario} has no [[expect]] rows to check; leave it out.")
    from bimu_hw.run import run_scenario

    out = Path("runs") / described.run_name if out is None else out
    if not quiet:
        _tell_of_compiling()
    result = run_scenario(described, out, overwrite=overwrite, progress=not quiet)
    outcomes = expectation_outcomes(result.summary, described)
    _report(result, outcomes, quiet)
    if strict and not all(outcome.met for outcome in outcomes):
        context.exit(1)


@commands.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_STRICT
@_QUIET
@click.pass_context
def resume(context: click.Context, folder: Path, strict: bool, quiet: bool) -> None:
    """Go on with the run in FOLDER that was interrupted or killed; it ends as if it had not been."""
    from bimu_hw.run_folder import RunFolder

    if RunFolder(folder).finished:
        click.echo(f"{folder}: the run is finished; there is nothing to resume.")
        return
    from bimu_hw.run import resume_run
    from bimu_hw.scenario import expectation_outcomes

    result = resume_run(folder, progress=not quiet, tell=lambda sentence: click.echo(sentence, err=True))
    outcomes = expectation_outcomes(result.summary, result.scenario) if result.scenario else []
    _report(result, outcomes, quiet)
    if strict and not all(outcome.met for outcome in outcomes):
        context.exit(1)


def _tell_of_compiling() -> None:
    """Say why the first run of an installation begins slowly: its kernels are compiled, and kept."""
    cache = os.environ.get("NUMBA_CACHE_DIR")
    if cache and not any(Path(cache).rglob("*.nbc")):
        click.echo("Compiling kernels, once per version and machine; this takes about a minute.", err=True)


def _report(result: RunResult, outcomes: Sequence[Outcome], quiet: bool) -> None:
    if quiet:
        click.echo(result.path)
        return
    from bimu_hw.report.summary import format_summary

    click.echo(format_summary(result.summary))
    if outcomes:
        click.echo(f"\n{_expectations(outcomes)}")
    click.echo(f"\nWritten to {result.path}: {', '.join(sorted(file.name for file in result.path.iterdir()))}")


@commands.command()
@_SCENARIO
@_SEED
@_SET
@click.option("--resolved", is_flag=True, help="Print every value, presets and cards included, as JSON (SI units).")
def validate(scenario: str, seed: int | None, overrides: tuple[str, ...], resolved: bool) -> None:
    """Check SCENARIO without running it."""
    from bimu_hw.scenario import load_scenario
    from bimu_hw.scenario.shipped import find_scenario

    path = find_scenario(scenario)
    described = load_scenario(path, overrides, seed)
    if resolved:
        import json

        click.echo(json.dumps(described.resolved(), indent=2))
        return
    click.echo(f"{path}: valid: {described.title}")
    levels = f"{described.n_levels} levels" if described.n_levels else "continuous"
    click.echo(
        f"storage {described.storage_card.name} ({levels}), sampling {described.sampler_card.name}, "
        f"components {described.component_card.name}, hash {described.hash[:8]}"
    )


@commands.command()
@click.option("--scenario", is_flag=True, help="Print the JSON schema of scenario files instead.")
def describe(scenario: bool) -> None:
    """Print every variable that a run records: dimensions, type, unit and meaning."""
    if scenario:
        import json

        from bimu_hw.scenario import scenario_schema

        click.echo(json.dumps(scenario_schema(), indent=2))
        return
    from bimu_hw.record import schema

    click.echo(schema.describe())


@commands.group()
def devices() -> None:
    """Show device cards and component cards, and fit new ones."""


devices.add_command(fit_command)


@devices.command("list")
def list_devices() -> None:
    """List all cards: what each is, and what its numbers rest on."""
    from bimu_hw.cards import shipped_cards, shipped_component_cards
    from bimu_hw.devices import get_model

    rows = []
    for card in shipped_cards().values():
        model = get_model(card.model)
        levels = f"{card.params['n_levels'].value:.0f}" if "n_levels" in card.params else "-"
        rows.append(_list_row(card, model.role, model.family, "continuous" if levels == "0" else levels))
    rows.sort(key=lambda row: (row[1] != "storage", row[0]))
    rows += [_list_row(card, "components", "-", "-") for _, card in sorted(shipped_component_cards().items())]
    click.echo(_table(("name", "role", "family", "model", "levels", "sources", "assumed"), rows))


@devices.command("show")
@click.argument("name")
def show_device(name: str) -> None:
    """Show every number of the card NAME (or of a .toml file) with its unit, kind and source."""
    card = _find_card(name)
    rows = []
    for section in ("params", "nonidealities", "costs"):
        facts: Mapping[str, Fact] = getattr(card, section)
        for key, fact in facts.items():
            rows.append((f"{section}.{key}", f"{fact.value:.6g}", fact.unit, fact.kind, _provenance(fact)))
    click.echo(f"{card.name}: {card.title}\nmodel {card.model}, read from {card.origin}")
    if card.notes:
        click.echo(f"\n{card.notes.strip()}")
    click.echo(f"\n{_table(('number', 'value', 'unit', 'kind', 'source'), rows)}")
    if card.references:
        click.echo("\nReferences")
        for key, text in card.references.items():
            click.echo(f"  {key}: {text}")


commands.add_command(init)
commands.add_command(export)
commands.add_command(spice)
commands.add_command(trace)
commands.add_command(reproduce)
commands.add_command(cells)
commands.add_command(labels)
commands.add_command(published)
for command in (sweep, status, collect_command, replay, reprice):
    commands.add_command(command)
for command in (report, compare, ablate):
    commands.add_command(command)
devices.add_command(sampler)
devices.add_command(characterise_command)
devices.add_command(native)
commands.add_command(hardware_question)
commands.add_command(label_savings)


def _find_card(name: str) -> Card:
    from bimu_hw.cards import load_card, load_component_card, shipped_cards, shipped_component_cards

    devices, components = shipped_cards(), shipped_component_cards()
    if name in components:
        return components[name]
    if name in devices or not name.endswith(".toml"):
        if name not in devices:
            raise CardError(f"card {name!r}: not known. {did_you_mean(name, {*devices, *components})}")
        return devices[name]
    import tomllib

    try:
        with open(name, "rb") as file:
            model = tomllib.load(file).get("card", {}).get("model")
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError):
        model = None  # the loader below says what is wrong
    return load_component_card(name) if model == "components" else load_card(name)


def _list_row(card: Card, role: str, family: str, levels: str) -> tuple[str, ...]:
    return card.name, role, family, card.model, levels, str(len(card.references)), f"{card.assumed_share:.0%}"


def _provenance(fact: Fact) -> str:
    return ", ".join(word for word in (fact.source, fact.where) if word) or fact.why


def _expectations(outcomes: Sequence[Outcome]) -> str:
    rows = [
        (
            "ok" if outcome.met else "miss",
            outcome.metric,
            outcome.note if outcome.value is None else f"{outcome.value:.6g}",
            outcome.allowed,
            outcome.source,
        )
        for outcome in outcomes
    ]
    return _table(("", "expected", "value", "allowed", "source"), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    sys.exit(run_commands(arguments))


def run_commands(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.
    """
    try:
        code = commands.main(args=arguments, prog_name="bimu-hw", standalone_mode=False)
    except BimuError as error:
        return _fail(str(error))
    except (click.Abort, KeyboardInterrupt) as error:
        # click turns Ctrl-C into its own exception; a run adds how to go on with it.
        interrupt = error.__cause__ or error
        return _fail(" ".join(["Interrupted.", *(f"{hint}" for hint in interrupt.args)]), 130)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        # Who reads our output has seen enough; point stdout elsewhere so that the flush at exit stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno in _FULL_DISK or "No space left" in str(error):
            return _fail("The disk is full, or a file may not grow further; free space or choose another --out.")
        if error.filename is None:
            raise
        return _fail(f"{error.filename}: {error.strerror}; choose another path or change its permissions.")
    return code if isinstance(code, int) else 0


def _fail(sentence: str, code: int = 2) -> int:
    click.echo(sentence, err=True)
    return code
