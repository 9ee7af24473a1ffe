"""Commands for many runs: ``bimu-hw sweep``, ``status``, ``collect`` and ``replay``.

Exit codes: 0 all cells are finished (or equal); 1 some failed (or differ); 2 bad input; 130 interrupted.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

#: Cells that failed which ``status`` lists at most.
_SHOWN = 20

_OUT = click.argument("folder", type=click.Path(path_type=Path))


@click.command()
@click.argument("scenario")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", required=True, help="Folder of the sweep.")
@click.option(
    "--seeds", multiple=True, metavar="A:B",
    help="Seeds A to B - 1 for every point; noise=A:B sweeps the noise seeds apart (fabrication, noise, data). "
    "Repeatable.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Another value for a key of the scenario, such as stream.tasks=5; an empty value removes the key. Repeatable.",
)
@click.option(
    "--engine", type=click.Choice(["local", "dask", "slurm"]), default="local", show_default=True,
    help="Where cells run: processes of this machine, a Dask cluster, or jobs of SLURM.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask: address of a scheduler, or its scheduler file.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes; default: one per core.")
@click.option(
    "--cluster", multiple=True, metavar="KEY=VALUE",
    help="SLURM: an argument of dask-jobqueue's SLURMCluster, such as queue=debug or walltime=02:00:00. Repeatable.",
)
@click.option("--cell-timeout", type=click.FloatRange(0, min_open=True), metavar="S", help="Seconds a cell may take.")
@click.option("--retries", type=click.IntRange(0), default=0, show_default=True, help="Runs of a cell that failed.")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Cells per file; default: some seconds' worth.")
@click.option("--keep-runs", is_flag=True, help="Keep run.nc and figures of every cell.")
@click.option("--dry-run", is_flag=True, help="Check all cells, say what would run, write nothing.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
@click.pass_context
def sweep(context: click.Context, scenario: str, out: Path, **options: Any) -> None:
    """Run every cell of SCENARIO's [sweep] that DIR does not have yet.

    The same command goes on with a sweep that was interrupted.
    """
    from bimu_hw.scenario.shipped import find_scenario
    from bimu_hw.sweep.drive import command_line, run_sweep
    from bimu_hw.sweep.engines import make_engine
    from bimu_hw.sweep.plan import make_plan

    quiet = options["quiet"]
    plan = make_plan(find_scenario(scenario), options["overrides"], options["seeds"])
    engine = make_engine(options["engine"], options["workers"], options["scheduler"], options["cluster"], out)
    if options["dry_run"]:
        sizes = " x ".join(f"{n} {name}" for name, n in plan.sizes.items())
        click.echo(f"{plan.title}\n{len(set(plan.keys)):,} cells ({sizes}); all are valid.")
        click.echo(engine.describe())
        return
    result = run_sweep(
        plan, out, engine.run, engine.n_workers, command=command_line(["bimu-hw", *sys.argv[1:]]),
        cell_timeout=options["cell_timeout"], retries=options["retries"], batch_size=options["batch"],
        keep_runs=options["keep_runs"], progress=not quiet, tell=functools.partial(click.echo, err=True),
    )  # fmt: skip
    click.echo(
        f"{result.n_done:,} of {result.n_cells:,} cells are finished, {result.n_done - result.n_before:,} of them now; "
        f"{result.n_failed:,} failed. Next: bimu-hw {'status' if result.n_failed else 'collect'} {out}"
    )
    if result.n_failed:
        context.exit(1)


@click.command()
@_OUT
@click.option("--failures", is_flag=True, help="Show the traceback of every cell that failed.")
def status(folder: Path, failures: bool) -> None:
    """Say how far the sweep in FOLDER is, from its files alone."""
    from bimu_hw.sweep.collect import STATUS, status_of
    from bimu_hw.sweep.folder import SweepFolder

    sweep = SweepFolder(folder)
    plan, failed = sweep.plan(), sweep.failed()
    words = dict(zip(plan.keys, status_of(plan, sweep.finished(), failed), strict=True))
    counts = Counter(words.values())
    click.echo(f"{plan.title}\n{len(words):,} cells ({' x '.join(f'{n} {name}' for name, n in plan.sizes.items())})")
    for word in STATUS:
        if counts[word]:
            click.echo(f"  {word:<10} {counts[word]:>7,}")
    if sweep.quarantine.is_dir():
        click.echo(f"  damaged files put aside: {sum(1 for _ in sweep.quarantine.iterdir())} ({sweep.quarantine})")
    broken = [key for key, word in words.items() if word not in ("done", "missing")]
    for key in broken if failures else broken[:_SHOWN]:
        last = failed[key]["attempts"][-1]
        click.echo(f"{key}  {words[key]}: {failed[key]['cell']}: {last['message']}")
        if failures:
            click.echo(last["traceback"])
    if len(broken) > _SHOWN and not failures:
        click.echo(f"... and {len(broken) - _SHOWN:,} more; --failures shows all, with tracebacks")


@click.command("collect")
@_OUT
@click.option("--zarr", is_flag=True, help="Write results.zarr instead (needs bimu-hw[zarr]).")
def collect_command(folder: Path, zarr: bool) -> None:
    """Collect the sweep in FOLDER into one dataset, results.nc."""
    from bimu_hw.sweep.collect import write_collected

    path, data = write_collected(folder, zarr)
    n, done = data.attrs["n_cells"], data.attrs["n_done"]
    click.echo(f"Written to {path}: {', '.join(f'{name} {size}' for name, size in data.sizes.items())}; "
               f"{len(data.data_vars)} variables.")  # fmt: skip
    if done < n:
        click.echo(f"Incomplete: {n - done:,} of {n:,} cells are not finished; their numbers are NaN (see status).")


@click.command()
@click.argument("cell")
@click.pass_context
def replay(context: click.Context, cell: str) -> None:
    """Run one cell again and compare it bit by bit. CELL is FOLDER/KEY, with as much of the key as tells it."""
    from bimu_hw.sweep.replay import replay_cell

    found = replay_cell(cell)
    for sentence in found.sentences:
        click.echo(sentence)
    if not found.equal:
        context.exit(1)

