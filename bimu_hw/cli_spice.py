"""The commands ``bimu-hw spice``: an array of a finished run as a netlist, and the check against ngspice."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bimu_hw.errors import RunError

if TYPE_CHECKING:
    from bimu_hw.spice.replay import CapturedRead

#: ngspice runs longer than this, altogether, are announced.
_LONG_SECONDS = 30.0


class _Tile(click.ParamType):
    """Two integers with a comma between them."""

    name = "I,J"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        parts = value.split(",") if isinstance(value, str) else value
        try:
            i, j = (int(part) for part in parts)
        except ValueError:
            self.fail(f"{value!r} is not two integers such as 0,1 (along word lines, along bit lines).", param, ctx)
        return i, j


_SELECTORS = (
    click.argument("run"),
    click.option("--layer", type=int, default=0, metavar="K", help="Layer, from 0; default 0."),
    click.option("--query", type=int, default=0, metavar="Q", help="Query in order of service, from 0; default 0."),
    click.option(
        "--tile", type=_Tile(), default=(0, 0), help="Tile along word lines and along bit lines; default 0,0."
    ),
    click.option("--sample", type=int, default=0, metavar="S", help="Monte Carlo sample, from 0; default 0."),
    click.option("--backward", is_flag=True, help="The backward read of the query's update, not its inference."),
    click.option(
        "--card-wires", is_flag=True,
        help="Take the wire resistances of the component card although the run was computed without any "
             "(crossbar.ir_drop = \"none\", whose wires are ideal here too).",
    ),
    click.option(
        "--folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
        help="Folder of the scenario, for a data set given as a file; default: the current one, then the run's.",
    ),
)  # fmt: skip


def _selectors(command: Callable[..., None]) -> Callable[..., None]:
    for decorate in reversed(_SELECTORS):
        command = decorate(command)
    return command


@click.group()
def spice() -> None:
    """Write arrays of a run as SPICE netlists; check the simulator against ngspice.

    The scenario is run again up to the query, so a late query of a long run takes as long as the run did.
    """


@spice.command()
@_selectors
@click.option("--plane", type=int, default=0, metavar="P", help="Input plane, from 0; default 0.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Default: standard output.")
def export(run: str, plane: int, out: Path | None, card_wires: bool, **selectors: Any) -> None:
    """Write one array of RUN (its folder, or run.nc) with its inputs as a netlist."""
    with _whole_file(out) as part:
        read = _capture(run, plane, selectors)
        from bimu_hw.spice.check import describe_read, wires_of
        from bimu_hw.spice.netlist import write_netlist

        wires = wires_of(read.scenario, from_card=card_wires)
        title, *comments = describe_read(read, plane, wires)
        text = write_netlist(read.circuit(plane, wires), title, comments)
        if part is None:
            click.echo(text, nl=False)
        else:
            part.write_text(text, encoding="ascii")


@spice.command()
@_selectors
@click.option("--plane", type=int, metavar="P", help="Input plane, from 0; default: all, one operating point each.")
@click.option(
    "--tolerance", type=click.FloatRange(min=0.0), default=1e-9, show_default=True, metavar="X",
    help="Largest difference between two currents, over the largest current, that passes.",
)  # fmt: skip
@click.option(
    "--timeout", type=click.FloatRange(min=0.0, min_open=True), default=600.0, show_default=True, metavar="SECONDS",
    help="Longest time for one operating point of ngspice.",
)  # fmt: skip
@click.option("--figure", type=click.Path(path_type=Path), metavar="FILE", help="Draw the current loss as a PNG file.")
@click.pass_context
def check(
    context: click.Context, run: str, plane: int | None, tolerance: float, timeout: float, figure: Path | None,
    card_wires: bool, **selectors: Any,
) -> None:  # fmt: skip
    """Solve one array of RUN (its folder, or run.nc) with ngspice and with the simulator, and compare the currents.

    Exit code 1 if they differ by more than the tolerance. ngspice takes some 2 s for 64 x 64 cells, 10 s for 64 x 128
    and minutes for 128 x 128.
    """
    with _whole_file(figure) as part:
        from bimu_hw.spice.ngspice import find_ngspice

        find_ngspice()
        read = _capture(run, plane, selectors)
        from bimu_hw.spice.check import compare, wires_of

        wires = wires_of(read.scenario, from_card=card_wires)
        planes = range(read.n_planes) if plane is None else [plane]
        circuits = [read.circuit(p, wires) for p in planes]
        if not wires.ideal:
            _announce(circuits[0].conductance.shape, len(circuits), timeout)
        _print_head(read, wires)
        differences = []
        for p, circuit in zip(planes, circuits, strict=True):
            found = compare(circuit, f"plane {p}", timeout)
            differences.append(found.difference)
            click.echo(
                f"{p:>5}  {found.difference:>16.2e}  {_quantity(found.largest, 'A'):>15}  {found.loss:>9.2%}  "
                f"{_quantity(found.power, 'W', 6):>13}  {_quantity(found.power_ngspice, 'W', 6):>13}  "
                f"{found.seconds:>6.1f} s"
            )
        passed = max(differences) <= tolerance
        click.echo(f"largest difference {max(differences):.2e}, tolerance {tolerance:g}: {'ok' if passed else 'MISS'}")
        if part is not None:
            _draw(read, circuits, part)
    if not passed:
        context.exit(1)


def _capture(run: str, plane: int | None, selectors: dict[str, Any]) -> CapturedRead:
    from bimu_hw.spice.replay import Selection, capture_read

    folder = selectors.pop("folder")
    return capture_read(run, Selection(**selectors), plane=plane, folder=folder, progress=True)


def _announce(shape: tuple[int, ...], n_points: int, timeout: float) -> None:
    """Say how long ngspice will take, or refuse what it will not manage in time."""
    from bimu_hw.spice.ngspice import estimate_seconds

    m, n = shape
    each = estimate_seconds(m, n)
    if each > 3.0 * timeout:
        raise RunError(
            f"ngspice would take about {_duration(each)} for {m} x {n} cells, more than --timeout {timeout:g} allows; "
            "choose a smaller tile, or a longer --timeout."
        )
    if each * n_points > _LONG_SECONDS:
        points = "operating point" if n_points == 1 else "operating points"
        click.echo(f"ngspice takes about {_duration(each * n_points)} for {n_points} {points} of {m} x {n} cells",
                   err=True)  # fmt: skip


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000 else \
        f"{seconds / 3600:.0f} h"  # fmt: skip


def _print_head(read: CapturedRead, wires: Any) -> None:
    from bimu_hw.spice.check import describe_read

    # The last two lines explain names of a netlist, and the plane has a column of its own.
    for line in describe_read(read, 0, wires)[:-2]:
        click.echo(line.removesuffix(", plane 0"))
    click.echo("\nplane  max |dI|/max |I|  largest current       loss     power here  power ngspice   ngspice")


def _quantity(value: float, unit: str, digits: int = 4) -> str:
    from bimu_hw.units import format_quantity

    return format_quantity(value, unit, digits)


def _draw(read: CapturedRead, circuits: list[Any], path: Path) -> None:
    """Draw the loss of the plane that drives the largest current."""
    import numpy as np

    from bimu_hw.report.ir_drop import array_loss, draw_array_loss
    from bimu_hw.spice.check import solve

    circuit = max(circuits, key=lambda c: float(np.abs(c.voltages).sum()))
    chosen = read.selection
    title = f"{read.scenario.title}\nquery {chosen.query}, layer {chosen.layer}, tile {chosen.tile[0]},{chosen.tile[1]}"
    draw_array_loss(array_loss(circuit.conductance, circuit.voltages, solve(circuit)), path, title)


@contextmanager
def _whole_file(path: Path | None) -> Iterator[Path | None]:
    """Hand out a hidden file beside `path` that takes its name if all goes well, and vanishes if not."""
    if path is None:
        yield None
        return
    if path.is_dir():
        raise RunError(f"{path}: is a folder; name a file.")
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); choose another path.") from error
    os.close(number)
    part = Path(name)
    try:
        yield part
        # A temporary file is the user's alone; this one is as any other file.
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o666 & ~mask)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
