"""The tables of published macros: expected, simulated, error, and what each row tests."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from bimu_hw.units import format_quantity

if TYPE_CHECKING:
    from bimu_hw.published import PublishedOutcome
    from bimu_hw.scenario.published import Case

_HEADER = ("", "point", "number", "published", "simulated", "error", "kept within", "tests", "role", "where")
_WIDTH = 120
#: An error above this is no success, whatever is allowed.
_LARGE = 0.25


def format_case(case: Case, rows: Sequence[PublishedOutcome], *, provenance: bool = False) -> str:
    """Return the table of a case as text, with what it takes, assumes and leaves out where asked for."""
    lines = [f"{case.name}: {case.title}", *_wrapped("", case.citation)]
    if provenance:
        sections = {
            "taken": case.taken, "assumed": case.assumed, "trap avoided": case.traps, "not modelled": case.not_modelled,
        }  # fmt: skip
        for word, texts in sections.items():
            for text in texts:
                lines += _wrapped(f"{word}: ", text)
    from bimu_hw.published import fact_of, solve

    for name, value in solve(case).items():
        lines.append(f"  fitted here: {name} = {format_quantity(value, fact_of(case, name).unit)}")
    cells = [
        (
            _mark(row), row.point, row.metric, row.expected, f"{row.simulated:.4g}",
            _signed(row.error) if row.allowed or row.error else "inside", f"{row.allowed:.0%}" if row.allowed else "",
            row.tests, row.role, row.where,
        )
        for row in rows
    ]  # fmt: skip
    return "\n".join([*lines, "", *_table(cells)])


def _mark(row: PublishedOutcome) -> str:
    return "off" if not row.met else "bias" if abs(row.error) > _LARGE else "ok"


def format_totals(rows: Sequence[PublishedOutcome]) -> str:
    """Return, by what rows test and whether they were fitted, how many there are and how far off they are."""
    lines = []
    for tests in ("counting", "scaling", "absolute"):
        for role in ("fed in", "fitted", "predicted"):
            errors = [abs(row.error) for row in rows if (row.tests, row.role) == (tests, role)]
            if errors:
                rows_are = "row, " if len(errors) == 1 else "rows,"
                lines.append(
                    f"{tests:<9} {role:<10} {len(errors):>3} {rows_are} |error| median {median(errors):.1%}, largest "
                    f"{max(errors):.1%}"
                )
    off = sum(not row.met for row in rows)
    bias = sum(_mark(row) == "bias" for row in rows)
    lines.append(
        f"{len(rows)} rows: {off} outside what their case allows; {bias} more than {_LARGE:.0%} off and known to be "
        "(bias)."
    )
    return "\n".join(lines)


def _wrapped(before: str, text: str) -> list[str]:
    return textwrap.wrap(before + " ".join(text.split()), _WIDTH, initial_indent="  ", subsequent_indent="    ")


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in (_HEADER, *rows)) for i in range(len(_HEADER))]
    lines = [_HEADER, ["-" * width for width in widths], *rows]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _signed(error: float) -> str:
    """Return an error in per cent; none of either sign if it rounds to none."""
    text = f"{error:+.1%}"
    return "0.0%" if text[1:] == "0.0%" else text
