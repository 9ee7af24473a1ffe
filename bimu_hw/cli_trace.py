"""The command that draws a run in time: ``bimu-hw trace``."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("path", type=click.Path(path_type=Path), metavar="RUN")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="JSON file to write.")
def trace(path: Path, out: Path) -> None:
    """Write the timeline of RUN, a folder or its run.nc, as a trace that ui.perfetto.dev shows.

    A run keeps a timeline if it is told to: --set record.timeline=100000 (stages, from the first on).
    """
    from bimu_hw.record import open_run, write_durably
    from bimu_hw.report.trace import chrome_trace

    with open_run(path) as tree:
        content = chrome_trace(tree)
    text = json.dumps(content, separators=(",", ":"))
    write_durably(out, lambda file: file.write(text.encode()))
    n = sum(event["ph"] == "X" for event in content["traceEvents"])
    click.echo(f"{out}: {n:,} events; open it at ui.perfetto.dev")
