"""Text, numbers with units and tables for LaTeX; tables are for the package booktabs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bimu_hw.errors import ScenarioError
from bimu_hw.units import format_quantity

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "λ": r"$\lambda$", "µ": r"\textmu{}", "Δ": r"$\Delta$",
    "–": "--", "<": r"$<$", ">": r"$>$", "|": r"$|$", '"': "''",
    "±": r"$\pm$", "²": r"\textsuperscript{2}", "−": r"$-$", "×": r"$\times$",
}  # fmt: skip


def tex_escape(text: str) -> str:
    """Return text with LaTeX's special characters escaped."""
    return "".join(_TEX.get(character, character) for character in text)


def tex_unit(unit: str) -> str:
    """Return a unit, prefix included, for LaTeX's math mode."""

    def part(word: str, sign: str) -> str:
        name, _, power = word.partition("^")
        micro, name = (r"\mu", name[1:]) if name.startswith("µ") else ("", name)
        ohm, name = (r"\Omega", name[:-3]) if name.endswith("ohm") else ("", name)
        exponent = f"{sign}{power or '1'}"
        roman = r"\mathrm{" + name + "}" if name else ""
        return micro + roman + ohm + (f"^{{{exponent}}}" if exponent != "1" else "")

    top, _, bottom = unit.replace("**", "^").partition("/")
    parts = [part(word, "") for word in top.split() if word != "1"] + [part(word, "-") for word in bottom.split()]
    return r"\,".join(parts)


def tex_number(value: float, unit: str = "1", digits: int = 3) -> str:
    """Return a value with its unit, SI prefix included, for LaTeX, in math mode; "--" for NaN."""
    if math.isnan(value):
        return "--"
    if math.isinf(value):
        return r"$\infty$" if value > 0 else r"$-\infty$"
    number, _, given = format_quantity(value, unit, digits).partition(" ")
    mantissa, _, power = number.partition("e")
    value_tex = mantissa + (rf"\times 10^{{{int(power)}}}" if power else "")
    return f"${value_tex}" + (rf"\,{tex_unit(given)}" if given else "") + "$"


def booktabs(
    header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", label: str = "", columns: str = ""
) -> str:
    """Return a LaTeX table; cells are LaTeX already, caption and header plain text.

    Raises
    ------
    ScenarioError
        If a row has not as many cells as the header.
    """
    for row in rows:
        if len(row) != len(header):
            raise ScenarioError(f"LaTeX table: a row has {len(row)} cells; expected {len(header)}, as the header has.")
    lines = [r"% needs \usepackage{booktabs}", r"\begin{table}"]
    if caption:
        lines.append(rf"  \caption{{{tex_escape(caption)}}}")
    if label:
        lines.append(rf"  \label{{{label}}}")
    return "\n".join(
        [
            *lines, r"  \centering", rf"  \begin{{tabular}}{{{columns or 'l' + 'r' * (len(header) - 1)}}}",
            r"    \toprule", rf"    {' & '.join(map(tex_escape, header))} \\", r"    \midrule",
            *(rf"    {' & '.join(row)} \\" for row in rows),
            r"    \bottomrule", r"  \end{tabular}", r"\end{table}", "",
        ]
    )  # fmt: skip
