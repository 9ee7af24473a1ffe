"""A card's numbers and references as text, as a LaTeX table and as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bimu_hw.cards import Card, Fact
from bimu_hw.report.latex import tex_escape, tex_unit
from bimu_hw.units import format_quantity

_HEADER = ("number", "value", "kind", "source")
_DOI = re.compile(r"\bdoi:\s*(10\.\d{4,9}/[^\s,;]+)")
_ARXIV = re.compile(r"\barXiv:(\d{4}\.\d{4,5})\b")
_URL = re.compile(r"https?://[^\s,;]+")
_YEAR = re.compile(r"\b((?:19|20)\d\d)\b")
_ARTICLE = re.compile(r"(?:^|, )(?P<journal>[A-Z][\w.\- ]*?) (?P<volume>\d+), (?P<pages>\w+) \((?P<year>\d{4})\)")
_JOURNAL = re.compile(r"(?:^|, )(?P<journal>[A-Z][\w.\- ]*\.[\w.\- ]*) \((?P<year>\d{4})\), doi:")
_SURNAME = re.compile(r"[A-Z][\w'’-]+")
_NO_SURNAMES = {"Nature", "Science"}


def card_rows(card: Card) -> list[tuple[str, str, str, str]]:
    """Return number, value with its unit, kind, and source or reason of every fact of a card."""
    return [(name, quantity(fact), fact.kind, _provenance(fact)) for name, fact in _facts(card).items()]


def quantity(fact: Fact) -> str:
    """Return a fact's value with unit and SI prefix."""
    return format_quantity(fact.value, fact.unit, 6).replace(" 1 / ", " 1/")


def format_card(card: Card) -> str:
    """Return title and table of a card as plain text."""
    rows: list[Sequence[str]] = [_HEADER, *card_rows(card)]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    rows.insert(1, [*("-" * width for width in widths), "-" * len(_HEADER[-1])])
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    return "\n".join([f"{card.name}: {card.title}", f"model {card.model}, read from {card.origin}", "", *lines])


def _facts(card: Card) -> dict[str, Fact]:
    return {
        f"{section}.{name}": fact
        for section in ("params", "nonidealities", "costs")
        for name, fact in getattr(card, section).items()
    }


def _provenance(fact: Fact) -> str:
    return ", ".join(word for word in (fact.source, fact.where) if word) or fact.why


def tex_quantity(fact: Fact) -> str:
    """Return a value with its unit for LaTeX, in math mode."""
    number, _, unit = quantity(fact).partition(" ")
    mantissa, _, power = number.partition("e")
    value = mantissa + (rf"\times 10^{{{int(power)}}}" if power else "")
    return f"${value}" + (r"\," + tex_unit(unit) if unit else "") + "$"


def cite_key(card: Card, key: str) -> str:
    """Return a reference's key in a form that BibTeX takes."""
    return re.sub(r"[^A-Za-z0-9:.+-]", "-", key)


def latex_table(card: Card) -> str:
    """Return a card's numbers as a LaTeX table for the package booktabs, sources as citations."""
    lines = [
        f"% {card.name}, written by bimu-hw; needs \\usepackage{{booktabs}}",
        r"\begin{table}",
        rf"  \caption{{{tex_escape(card.title)} (card {tex_escape(card.name)}).}}",
        r"  \centering",
        r"  \begin{tabular}{llll}",
        r"    \toprule",
        r"    Number & Value & Kind & Source \\",
        r"    \midrule",
    ]
    previous = ""
    for name, fact in _facts(card).items():
        section, _, short = name.partition(".")
        if previous and section != previous:
            lines.append(r"    \midrule")
        previous = section
        cite = rf"\cite{{{cite_key(card, fact.source)}}}" if fact.source else ""
        source = ", ".join(word for word in (cite, tex_escape(fact.where)) if word) or "--"
        lines.append(rf"    {tex_escape(short)} & {tex_quantity(fact)} & {fact.kind} & {source} \\")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def _authors(text: str) -> str:
    """Return the surnames that a reference begins with, in BibTeX's form; empty if it begins with anything else."""
    names: list[str] = []
    for part in text.split(", "):
        first, et_al, rest = part.partition(" et al.")
        if et_al and not rest and _SURNAME.fullmatch(first):
            return " and ".join([*names, first, "others"])
        pair = part.split(" and ")
        if part in _NO_SURNAMES or not all(_SURNAME.fullmatch(name) for name in pair) or part.isupper():
            break
        names += pair
    return " and ".join(names)


def reference_fields(text: str) -> tuple[str, dict[str, str]]:
    """Return the kind of entry and the fields that the text of a reference states; nothing is added to it.

    The whole text is kept as ``note``.
    """
    fields: dict[str, str] = {}
    authors = _authors(text)
    if authors:
        fields["author"] = authors
    doi, arxiv, url = _DOI.search(text), _ARXIV.search(text), _URL.search(text)
    bare = _URL.sub("", _ARXIV.sub("", _DOI.sub("doi:", text)))
    article = _ARTICLE.search(bare) or (_JOURNAL.search(bare) if doi else None)
    if article:
        fields.update({name: value for name, value in article.groupdict().items() if value})
    else:
        years = set(_YEAR.findall(bare))
        if len(years) == 1:
            fields["year"] = years.pop()
    if doi:
        fields["doi"] = doi.group(1).rstrip(".")
    if arxiv:
        fields.update(eprint=arxiv.group(1), archiveprefix="arXiv")
    if url:
        fields["url"] = url.group(0).rstrip(".")
    fields["note"] = text
    return ("article" if article else "misc"), fields


def bibtex(card: Card) -> str:
    """Return a card's references as BibTeX, with what their texts say and no more."""
    return "\n".join(bibtex_entry(cite_key(card, key), text) for key, text in card.references.items())


def bibtex_entry(key: str, text: str) -> str:
    """Return the text of one reference as a BibTeX entry, with what it says and no more."""
    return _entry(key, *reference_fields(text))


def _entry(key: str, kind: str, fields: Mapping[str, str]) -> str:
    verbatim = ("doi", "eprint", "url")
    lines = [
        f"  {name} = {{{value if name in verbatim else tex_escape(value)}}}," for name, value in fields.items()
    ]
    return "\n".join([f"@{kind}{{{key},", *lines, "}", ""])
