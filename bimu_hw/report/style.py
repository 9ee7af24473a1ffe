"""How figures look: one style file, the widths of journals' columns, and saving without a trace of when.

A figure is made as an object of its own, not through pyplot: to draw must not touch the figures, the settings or the
backend of whoever calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bimu_hw.errors import RunError, ScenarioError, did_you_mean

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

#: The style file, for `matplotlib.style.use`.
STYLE_FILE = Path(__file__).with_name("bimu.mplstyle")
#: Okabe and Ito's colours, the cycle of the style file; told apart by the colour-blind too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")
_INCH = 25.4
#: Widths of figures in inches. "single" and "double" are those of IEEE (88.9 and 182 mm, IEEE Author Center, "Size
#: requirements for graphics"); Nature's are 89 and 183 mm ("Research figure guide"), the same to a millimetre. One and
#: a half columns, 120 to 136 mm, are common elsewhere.
WIDTHS: Mapping[str, float] = {"single": 88.9 / _INCH, "one_and_a_half": 127.0 / _INCH, "double": 182.0 / _INCH}


@contextmanager
def paper_style(changes: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Draw in the style of the package inside the block, with matplotlib's own defaults below it.

    Parameters
    ----------
    changes : mapping, optional
        Settings (`matplotlib.rcParams`) on top of it, such as ``{"font.family": "Arial"}``.
    """
    import matplotlib as mpl
    import matplotlib.style

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.style.use(STYLE_FILE)
        for name, value in (changes or {}).items():
            mpl.rcParams[name] = value  # type: ignore[index]
        yield


def new_figure(width: str | float = "single", height: float | None = None) -> Figure:
    """Return an empty figure of a journal's width; call it, and draw, inside `paper_style`.

    Parameters
    ----------
    width : str or float
        A name of `WIDTHS`, or inches.
    height : float, optional
        In inches; default: 0.7 of a single column's width, however wide the figure is.

    Raises
    ------
    ScenarioError
        If the width has no such name.
    """
    from matplotlib.figure import Figure

    if isinstance(width, str):
        if width not in WIDTHS:
            raise ScenarioError(f"width {width!r}: not known. {did_you_mean(width, WIDTHS)} A number is inches.")
        width = WIDTHS[width]
    return Figure(figsize=(width, 0.7 * WIDTHS["single"] if height is None else height))


def save_figure(figure: Figure, path: str | Path, kind: str | None = None) -> Path:
    """Write a figure as PNG, PDF or SVG by the file's ending; equal figures give equal files.

    Parameters
    ----------
    figure : Figure
    path : str or Path
    kind : {"png", "pdf", "svg"}, optional
        For a file of another ending, such as a temporary one.

    Raises
    ------
    RunError
        If the ending is another one.
    """
    path = Path(path)
    ending = path.suffix if kind is None else f".{kind}"
    nothing: Mapping[str, dict[str, Any]] = {
        ".png": {"Software": "bimu-hw"}, ".pdf": {"Creator": "bimu-hw", "Producer": "bimu-hw", "CreationDate": None},
        ".svg": {"Creator": "bimu-hw", "Date": None},
    }  # fmt: skip
    if ending not in nothing:
        raise RunError(f"{path}: figures are written as {', '.join(nothing)}; choose one of these endings.")
    with paper_style():  # fonts are embedded as the style says, whatever the caller's settings
        figure.savefig(path, format=ending[1:], metadata=nothing[ending])
    return path


def si_axis(axis: Axis, unit: str) -> None:
    """Give an axis ticks with SI prefixes: 2 µs, 30 nJ."""
    from matplotlib.ticker import EngFormatter

    axis.set_major_formatter(EngFormatter(unit, sep="\N{NARROW NO-BREAK SPACE}"))


def whole_numbers(axis: Axis, most: int = 6) -> None:
    """Give an axis whole-numbered ticks."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=most, integer=True))


def plain_log(axis: Axis) -> None:
    """Give a logarithmic axis few ticks, none of them without a number."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_minor_formatter(NullFormatter())
