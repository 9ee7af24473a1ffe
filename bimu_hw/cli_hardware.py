"""The commands that run several scenarios and show them together: ``hardware-question`` and ``label-savings``."""

from __future__ import annotations

from pathlib import Path

import click

_OUT = click.Path(path_type=Path)


@click.command("hardware-question")
@click.option(
    "--out", type=_OUT, default=Path("runs/hardware_question"), show_default=True, metavar="DIR",
    help="Folder of the runs, the table and the figure. What is finished is not run again, what was begun goes on.",
)  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Run seeds 1 to this number.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Another value for a key of every row, such as stream.dataset=mnist. Repeatable.",
)  # fmt: skip
@click.option("--rows", metavar="WORD", default="", help="Only rows whose name contains this; --list names them.")
@click.option("--list", "only_list", is_flag=True, help="Name the rows and stop.")
@click.option("--quiet", is_flag=True, help="Show no progress; print the path of the table and nothing else.")
def hardware_question(
    out: Path, seeds: int, overrides: tuple[str, ...], rows: str, only_list: bool, quiet: bool
) -> None:
    """Run one stream on every store, way of programming and rule, and compare.

    The rows are those of scenarios/hardware_question.toml. Written are hardware_question.md, .json and .png.
    """
    import json

    from bimu_hw.errors import ScenarioError
    from bimu_hw.report.hardware_question import hardware_rows, read_outcome, row_scenario
    from bimu_hw.report.hardware_table import format_outcomes, write_outcomes
    from bimu_hw.report.row_runs import run_rows
    from bimu_hw.scenario.shipped import find_scenario

    chosen = [row for row in hardware_rows() if rows in row.name]
    if not chosen:
        raise ScenarioError(f"--rows: got {rows!r}, which no row's name contains; --list names them.")
    if only_list:
        for row in chosen:
            click.echo(f"{row.name:<45} {row.store}, {row.programming}, {row.rule}")
        return
    path = find_scenario("hardware_question")
    runs = {
        f"{row.name}_s{seed}": (row, row_scenario(row, path, overrides, seed))
        for row in chosen for seed in range(1, seeds + 1)
    }  # fmt: skip
    scenarios = {name: scenario for name, (_, scenario) in runs.items()}
    folders = run_rows(scenarios, out, progress=not quiet, tell=lambda text: None if quiet else click.echo(text))
    outcomes = []
    for name, (row, scenario) in runs.items():
        summary = json.loads((folders[name] / "summary.json").read_text(encoding="utf-8"))
        outcomes.append(read_outcome(row, scenario, folders[name], summary))
    files = write_outcomes(outcomes, out)
    if quiet:
        click.echo(files[0])
        return
    click.echo(f"\n{format_outcomes(outcomes)}\nWritten to {out}: {', '.join(sorted(file.name for file in files))}")


@click.command("label-savings")
@click.option(
    "--out", type=_OUT, default=Path("runs/label_savings"), show_default=True, metavar="DIR",
    help="Folder of the runs, the table and the figure. What is finished is not run again, what was begun goes on.",
)  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Run seeds 1 to this number.")
@click.option(
    "--counts", default="1,2,3,5,7", show_default=True, metavar="N,...",
    help="Ask where at least so many samples of a query disagree.",
)  # fmt: skip
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Another value for a key of every row. Repeatable."
)
@click.option("--quiet", is_flag=True, help="Show no progress; print the path of the table and nothing else.")
def label_savings(out: Path, seeds: int, counts: str, overrides: tuple[str, ...], quiet: bool) -> None:
    """Find the share of labels at which asking where samples disagree is as accurate as all labels.

    The rows are those of scenarios/label_savings.toml for each rule, device, threshold and seed. Written are
    label_savings.md, .json and .png.
    """
    from bimu_hw.errors import ScenarioError
    from bimu_hw.report.label_savings import folder_name, format_savings, read_points, saving_rows, write_savings
    from bimu_hw.report.row_runs import run_rows
    from bimu_hw.scenario.shipped import find_scenario

    try:
        thresholds = [int(word) for word in counts.split(",")]
    except ValueError:
        raise ScenarioError(f"--counts: got {counts!r}; write numbers of samples such as 1,2,3.") from None
    rows = saving_rows(find_scenario("label_savings"), thresholds, range(1, seeds + 1), overrides)
    named = {folder_name(key): scenario for key, scenario in rows.items()}
    folders = run_rows(named, out, progress=not quiet, tell=lambda text: None if quiet else click.echo(text))
    points = read_points({key: folders[folder_name(key)] for key in rows})
    files = write_savings(points, out)
    if quiet:
        click.echo(files[0])
        return
    click.echo(f"\n{format_savings(points)}\nWritten to {out}: {', '.join(sorted(file.name for file in files))}")
