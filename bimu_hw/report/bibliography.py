"""The references behind a result, as one BibTeX file: those of every card in use, and of the learning rule."""

from __future__ import annotations

from collections.abc import Iterable

from bimu_hw.cards import Card
from bimu_hw.report.characterise_text import bibtex_entry, cite_key

#: Where each learning rule comes from. The native rule is the device's own response.
RULES = {
    "bimu": ("cottart2026", "Cottart, Ballet, Bonnet and Querlioz, Active Continual Learning with Metaplastic Binary "
             "Bayesian Neural Networks, ICML 2026, arXiv:2605.30198"),
    "bayesbinn": ("meng2020", "Meng, Bachmann and Khan, Training Binary Neural Networks using the Bayesian Learning "
                  "Rule, ICML 2020, arXiv:2002.10778"),
}  # fmt: skip


def references(cards: Iterable[Card], *rules: str) -> dict[str, str]:
    """Return the references by BibTeX key, each text once.

    A key that two cards use for different texts carries the card's name.
    """
    found: dict[str, str] = {}
    for rule in rules:
        if rule in RULES:
            key, text = RULES[rule]
            found[key] = text
    for card in cards:
        for name, text in card.references.items():
            key = cite_key(card, name)
            if text in found.values():
                continue
            found[key if key not in found else f"{cite_key(card, card.name)}-{key}"] = text
    return found


def bibliography(cards: Iterable[Card], *rules: str) -> str:
    """Return the references as BibTeX, with what their texts say and no more."""
    return "\n".join(bibtex_entry(key, text) for key, text in references(cards, *rules).items())
