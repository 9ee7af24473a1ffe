"""Commands to begin with, and to leave with: ``bimu-hw init`` and ``bimu-hw export``."""

from __future__ import annotations

import shutil
from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--from", "name", default="quickstart", show_default=True, metavar="NAME", help="Shipped scenario to start from."
)
def init(folder: Path, name: str) -> None:
    """Write a commented scenario into FOLDER, to be changed and run, with the schema that editors check it by."""
    import json

    from bimu_hw.errors import ScenarioError
    from bimu_hw.scenario import scenario_schema
    from bimu_hw.scenario.shipped import find_scenario

    source, target = find_scenario(name), folder / "scenario.toml"
    if target.exists():
        raise ScenarioError(f"{target}: exists; choose another folder, or remove it.")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    (folder / "schema.json").write_text(json.dumps(scenario_schema(), indent=2) + "\n", encoding="utf-8")
    steps = {
        f"bimu-hw validate {target}": "check it after a change", f"bimu-hw run {target}": "run it",
        "bimu-hw devices list": "what device.storage and device.sampler may be",
    }  # fmt: skip
    width = max(map(len, steps))
    click.echo(f"Written: {target}, schema.json\n\nType next:")
    for command, what in steps.items():
        click.echo(f"  {command:{width}}   {what}")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder for the files.")
@click.option("--csv", is_flag=True, help="CSV, one row per word line, instead of .npz.")
@click.option("--snapshot", default=-1, show_default=True, metavar="N", help="Which recorded state; -1 is the last.")
def export(run: Path, out: Path, csv: bool, snapshot: int) -> None:
    """Write the conductances of every layer of RUN, as other programs and device.conductance_map read them."""
    from bimu_hw.record.export import export_conductances

    for path in export_conductances(run, out, "csv" if csv else "npz", snapshot):
        click.echo(path)
