"""The figures, tables and references that `devices characterise` writes, for every card that ships."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from PIL import Image

from bimu_hw.cards import Fact, shipped_cards
from bimu_hw.cli import run_commands
from bimu_hw.devices import get_model
from bimu_hw.report.characterise_text import bibtex, latex_table, reference_fields, tex_quantity

CARDS = sorted(shipped_cards())
REFERENCES = sorted({text for card in shipped_cards().values() for text in card.references.values()})
NOISE = ("rtn_fraction=0.5", "rtn_amplitude=0.5", "rtn_capture_time=1 ms", "rtn_emission_time=3 ms")


def run(*arguments):
    return run_commands(["devices", "characterise", *arguments, "--devices", "100"])


@pytest.mark.parametrize("name", CARDS)
def test_every_card_gives_its_figures_without_a_warning(name, tmp_path, capsys):
    assert run(name, "--out", str(tmp_path), "--latex", "--bibtex") == 0  # a warning is an error in these tests
    printed = capsys.readouterr().out
    figures = {path.stem.removeprefix(f"{name}_") for path in tmp_path.glob("*.png")}
    card = shipped_cards()[name]
    model = get_model(card.model)
    assert figures >= ({"pulses", "levels"} if model.role == "storage" else {"response"})
    assert ("telegraph" in figures) == (card.model == "smtj")
    assert ("switching" in figures) == (card.model in ("stt_mtj", "sot_mtj", "domain_wall_mtj"))
    assert ("retention" in figures) == (card.model == "pcm")
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as image:
            assert image.width in (1050, 2149)  # 88.9 and 182 mm at 300 dots an inch
    for fact in (*card.params, *card.costs):
        assert f".{fact} " in printed
    assert (tmp_path / f"{name}.tex").read_text(encoding="utf-8") == latex_table(card)
    assert (tmp_path / f"{name}.bib").read_text(encoding="utf-8") == bibtex(card)


def test_what_is_set_is_measured_and_said(tmp_path, capsys):
    values = ("retention_rate=1e-6 Hz", "endurance=1e6", "endurance_sigma=0.3", "sigma_c2c=0.1", *NOISE)
    given = [word for value in values for word in ("--set", value)]
    assert run("hfox_2t2r", "--out", str(tmp_path), *given) == 0
    printed = capsys.readouterr().out
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {f"hfox_2t2r_{n}.png" for n in ("pulses", "levels", "retention", "endurance", "noise")}
    assert re.search(r"nonidealities\.endurance +1e\+06 +assumed +set on the command line", printed)
    assert re.search(r"params\.sigma_c2c +0\.1 +assumed +set on the command line", printed)


def test_what_a_card_lacks_is_said_instead_of_drawn(tmp_path, capsys):
    assert run("sram_28nm", "--out", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    for sentence in ("no drift, relaxation or thermal motion", "endurance: not stated", "read noise: none"):
        assert sentence in printed


def test_without_a_folder_the_figures_go_to_one_of_the_cards_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("ideal_sampler") == 0
    capsys.readouterr()
    assert (tmp_path / "characterise" / "ideal_sampler" / "ideal_sampler_response.png").exists()


@pytest.mark.parametrize("name", CARDS)
def test_the_latex_table_is_balanced_and_escaped(name):
    card = shipped_cards()[name]
    text = latex_table(card)
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 1 + len(card.facts)
    for row in rows:
        assert len(re.findall(r"(?<!\\)&", row)) == 3
        assert not re.search(r"(?<!\\)[%#]", row)
        outside = re.sub(r"\$[^$]*\$|\\cite\{[^}]*\}", "", row)
        assert not re.search(r"(?<!\\)[_^$]", outside), row
    for brace in ("{}", "()"):
        assert text.count(brace[0]) == text.count(brace[1])
    assert text.isascii() or "°" in text
    for left, right in pairwise(["toprule", "midrule", "bottomrule"]):
        assert text.index(left) < text.index(right)
    cited = set(re.findall(r"\\cite\{([^}]*)\}", text))
    assert cited <= set(re.findall(r"@\w+\{([^,]*),", bibtex(card)))


@pytest.mark.parametrize(
    ("value", "unit", "typeset"),
    [
        (2.54e-4, "S", r"$254\,\mu\mathrm{S}$"),
        (7.14e-14, "m^2", r"$0.0714\,\mu\mathrm{m}^{2}$"),
        (1e-6, "1/s", r"$1\times 10^{-6}\,\mathrm{s}^{-1}$"),
        (0.0, "W", r"$0\,\mathrm{W}$"),
        (-0.03, "1", "$-0.03$"),
        (1e6, "1", r"$1\times 10^{6}$"),
        (2200.0, "ohm", r"$2.2\,\mathrm{k}\Omega$"),
    ],
)
def test_quantities_are_typeset(value, unit, typeset):
    assert tex_quantity(Fact(value, unit, "assumed", why="test")) == typeset


@pytest.mark.parametrize(
    ("text", "kind", "fields"),
    [
        ("Bonnet et al., Nat. Commun. 14, 7530 (2023), doi:10.1038/s41467-023-43317-9", "article",
         {"author": "Bonnet and others", "journal": "Nat. Commun.", "volume": "14", "pages": "7530", "year": "2023",
          "doi": "10.1038/s41467-023-43317-9"}),
        ("Camsari, Sutton, Datta, Appl. Phys. Rev. 6, 011305 (2019), doi:10.1063/1.5055860, arXiv:1809.04028",
         "article",
         {"author": "Camsari and Sutton and Datta", "journal": "Appl. Phys. Rev.", "volume": "6", "pages": "011305",
          "year": "2019", "doi": "10.1063/1.5055860", "eprint": "1809.04028", "archiveprefix": "arXiv"}),
        ("Lee et al., IEEE Solid-State Circuits Lett. (2025), doi:10.1109/LSSC.2025.3608187", "article",
         {"author": "Lee and others", "journal": "IEEE Solid-State Circuits Lett.", "year": "2025",
          "doi": "10.1109/LSSC.2025.3608187"}),
        ("Leonard et al., arXiv:2111.11516", "misc",
         {"author": "Leonard and others", "eprint": "2111.11516", "archiveprefix": "arXiv"}),
        ("Gong, Rasch et al., IEDM 2022, IEEE Xplore document 10019569; fits as published", "misc",
         {"author": "Gong and Rasch and others", "year": "2022"}),
        ("imec, announcement of a scaled spin-orbit-torque MRAM bit (press release)", "misc", {}),
        ("Zhang et al., A 0.186-pJ per Bit Latch-Based True Random Number Generator (2022)", "misc",
         {"author": "Zhang and others", "year": "2022"}),
    ],
)  # fmt: skip
def test_a_reference_becomes_the_fields_that_its_text_states(text, kind, fields):
    assert reference_fields(text) == (kind, {**fields, "note": text})


@pytest.mark.parametrize("text", REFERENCES, ids=lambda text: text[:40])
def test_no_field_of_a_reference_is_invented(text):
    _, fields = reference_fields(text)
    assert fields.pop("note") == text
    for name, value in fields.items():
        for part in value.split(" and ") if name == "author" else [value]:
            assert part in text or (name, part) == ("author", "others"), (name, part)
    if "doi:" in text:
        assert fields["doi"].startswith("10.")
    if "arXiv:" in text:
        assert "eprint" in fields


def test_the_list_of_devices_has_enough_of_them_and_says_what_they_rest_on(capsys):
    assert run_commands(["devices", "list"]) == 0
    header, _, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["name", "role", "family", "model", "levels", "sources", "assumed"]
    rows = [line.split() for line in lines]
    models = {role: {row[3] for row in rows if row[1] == role} for role in ("storage", "sampler")}
    assert len(models["storage"]) >= 8
    assert len(models["sampler"]) >= 6
    assert all(row[-1].endswith("%") and row[-2].isdigit() for row in rows)
