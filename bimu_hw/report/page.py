"""One HTML page that stands alone: style, figures and all inside it, no script and nothing from the network."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

_CSS = """
:root { color-scheme: light; --ink: #1d2733; --soft: #5b6876; --line: #d9dfe5; --tint: #f5f7f9; --blue: #0072B2; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 74rem; color: var(--ink); background: #fff;
  font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .8rem; padding-bottom: .25rem; border-bottom: 2px solid var(--line); }
p { max-width: 46rem; } .soft { color: var(--soft); } .claim { font-size: 1.05rem; }
.note { border-left: 4px solid #E69F00; background: #fff8ea; padding: .6rem .9rem; max-width: 46rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(26rem, 1fr)); gap: 1.4rem 1.8rem; }
figure { margin: 0; break-inside: avoid; } figure img { width: 100%; height: auto; display: block; }
figure.wide { grid-column: 1 / -1; max-width: 56rem; }
figcaption { color: var(--soft); font-size: .86rem; margin-top: .35rem; }
table { border-collapse: collapse; font-size: .92rem; border: solid var(--ink); border-width: 2px 0; }
thead th { border-bottom: 1px solid var(--ink); } th, td { padding: .28rem .8rem .28rem 0; text-align: left;
  vertical-align: top; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.scroll { overflow-x: auto; } .figures + .scroll, .scroll + .scroll, .scroll + .figures { margin-top: 1.4rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(25rem, 1fr));
  gap: 1.5rem 2.5rem; align-items: start; }
pre { background: var(--tint); padding: .8rem 1rem; overflow-x: auto; font-size: .8rem; line-height: 1.4;
  border-radius: 4px; } code { font-size: .92em; }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--blue); } a { color: var(--blue); }
@media (max-width: 40rem) { .figures { grid-template-columns: 1fr; } body { padding: 1rem; } }
@media print { body { max-width: none; } details { display: none; } }
"""


class Page:
    """A page, put together from top to bottom.

    Parameters
    ----------
    title : str
        Plain text, as all texts here; what is HTML already says so.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[str] = [f"<h1>{escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def paragraph(self, text: str, kind: str = "") -> None:
        """Add a paragraph; `kind` is "soft", "claim", "note" or empty."""
        attribute = f' class="{kind}"' if kind else ""
        self._parts.append(f"<p{attribute}>{escape(text)}</p>")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> None:
        """Add a table; `numbers` are the columns that are aligned to the right."""
        self._parts.append(f'<div class="scroll">{table(header, rows, numbers)}</div>')

    def tables(self, *each: str) -> None:
        """Add tables (HTML, from `table`) side by side where there is room."""
        inner = "\n".join(f'<div class="scroll">{one}</div>' for one in each)
        self._parts.append(f'<div class="pair">{inner}</div>')

    def figures(self, figures: Iterable[tuple[bytes, str, Sequence[Path], bool]]) -> None:
        """Add figures: an SVG each, its caption, the files beside the page that hold it too, and whether it is wide."""
        self._parts.append('<div class="figures">')
        for svg, caption, files, wide in figures:
            data = base64.b64encode(svg).decode("ascii")
            links = ", ".join(f'<a href="{escape(f.as_posix())}">{escape(f.name)}</a>' for f in files)
            attribute = ' class="wide"' if wide else ""
            self._parts.append(
                f'<figure{attribute}><img alt="{escape(caption)}" src="data:image/svg+xml;base64,{data}"/>'
                f"<figcaption>{escape(caption)}{f' [{links}]' if links else ''}</figcaption></figure>"
            )
        self._parts.append("</div>")

    def code(self, text: str, title: str = "", closed: bool = False) -> None:
        """Add text as it stands; `closed` hides it behind its title until it is asked for."""
        block = f"<pre><code>{escape(text)}</code></pre>"
        if closed:
            block = f"<details><summary>{escape(title)}</summary>{block}</details>"
        elif title:
            block = f"<p>{escape(title)}</p>{block}"
        self._parts.append(block)

    def links(self, text: str, files: Iterable[Path]) -> None:
        """Add a line that points to files beside the page."""
        items = ", ".join(f'<a href="{escape(f.as_posix())}">{escape(f.name)}</a>' for f in files)
        self._parts.append(f'<p class="soft">{escape(text)} {items}</p>')

    def html(self) -> str:
        """Return the page."""
        body = "\n".join(self._parts)
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
            f"<title>{escape(self._title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
        )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return a table as HTML."""

    def line(cells: Sequence[str], tag: str) -> str:
        marks = (' class="n"' if i in numbers else "" for i in range(len(cells)))
        return "<tr>" + "".join(f"<{tag}{m}>{escape(c)}</{tag}>" for c, m in zip(cells, marks, strict=True)) + "</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    head = f"<thead>{line(header, 'th')}</thead>" if any(header) else ""
    return f"<table>{head}<tbody>\n{body}\n</tbody></table>"
