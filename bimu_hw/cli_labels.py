"""The command that weighs labels against joules: ``bimu-hw labels``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("scenario", default="active_learning")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/labels"), show_default=True, metavar="DIR",
    help="Keeps what every run measured; the command goes on from it.",
)
@click.option("--policy", "policies", multiple=True, metavar="NAME", help="Only this policy; repeatable. Default: all.")
@click.option(
    "--budget", "budgets", multiple=True, type=float, metavar="SHARE",
    help="Share of the labels; repeatable. Default: 1, 0.3, 0.1, 0.03 and 0.01.",
)
@click.option(
    "--gamma", "gammas", multiple=True, type=click.FloatRange(0.0, min_open=True), metavar="EXPONENT",
    help="Adaptation exponent of the budgeted policy; repeatable. Default: 0.5 and 0.1.",
)
@click.option(
    "--training", default=3000, show_default=True, type=click.IntRange(0), metavar="EXAMPLES",
    help="Labels with which the network is trained on the first task before it is shipped; 0: not at all.",
)
@click.option(
    "--cost", "costs", multiple=True, metavar="ENERGY",
    help="Price of a label; repeatable. Default: 0 J, 1 uJ and 1 mJ.",
)
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1, 100), help="Runs of each point.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As with run.")
@click.option("--quiet", is_flag=True, help="Say nothing until the table.")
def labels(
    scenario: str, out: Path, policies: tuple[str, ...], budgets: tuple[float, ...], gammas: tuple[float, ...],
    training: int, costs: tuple[str, ...], seeds: int, overrides: tuple[str, ...], quiet: bool,
) -> None:  # fmt: skip
    """Train a network, run SCENARIO with label policies and budgets, and set accuracy against energy per query."""
    from bimu_hw.errors import UnitError
    from bimu_hw.report.labels import draw_labels, format_labels
    from bimu_hw.scenario.shipped import find_scenario
    from bimu_hw.studies.labels import BUDGETS, GAMMAS, POLICIES, compare_labels
    from bimu_hw.units import parse_quantity

    prices = [parse_quantity(cost, "J", "--cost") for cost in costs or ("0 J", "1 uJ", "1 mJ")]
    for price, given in zip(prices, costs, strict=False):
        if price < 0.0:
            raise UnitError(f"--cost: got {given!r}; allowed are energies from 0 J.")
    say = (lambda sentence: None) if quiet else (lambda sentence: click.echo(sentence, err=True))
    study = compare_labels(
        find_scenario(scenario), out, policies=policies or POLICIES, budgets=budgets or BUDGETS,
        gammas=gammas or GAMMAS, training=training, seeds=seeds, overrides=overrides, say=say,
    )  # fmt: skip
    table = format_labels(study, prices)
    (out / "labels.txt").write_text(f"{table}\n", encoding="utf-8")
    click.echo(table)
    click.echo(f"\nWritten to {out}: labels.txt, {draw_labels(study, prices, out / 'labels.png').name}")
