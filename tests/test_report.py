"""Reports: pages that stand alone and are well-formed, and what lies beside them for a paper."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import bimu_hw
from bimu_hw.cards import shipped_cards
from bimu_hw.cli import run_commands
from bimu_hw.report.bibliography import bibliography, references
from bimu_hw.report.methods import methods
from bimu_hw.report.page import Page


def elements(page: Path) -> list[ET.Element]:
    """Return the elements of a page, which must be well-formed."""
    return list(ET.fromstring(page.read_text(encoding="utf-8").removeprefix("<!DOCTYPE html>")).iter())


def assert_stands_alone(page: Path) -> None:
    """Nothing on the page comes from the network; what it points to lies beside it."""
    for element in elements(page):
        assert element.tag not in ("script", "link", "iframe", "object"), element.tag
        for name, value in element.attrib.items():
            if name == "src":
                assert value.startswith("data:image/"), value[:60]
            if name == "href":
                assert (page.parent / value).is_file(), value
            assert not re.match(r"(https?:)?//", value), value
        if element.tag == "style":
            assert "url(" not in element.text
            assert "@import" not in element.text


@pytest.fixture(scope="module")
def page(short_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    assert run_commands(["report", str(short_run), "--out", str(out)]) == 0
    return out / "index.html"


def test_the_page_of_a_run_stands_alone_and_has_its_numbers(page, short_run):
    assert_stands_alone(page)
    summary = json.loads((short_run / "summary.json").read_text(encoding="utf-8"))
    text = page.read_text(encoding="utf-8")
    assert f"{100 * summary['accuracy_newest_task']:.1f} %" in text
    assert f"{100 * summary['assumed_energy_fraction']:.1f} % of the energy rests on values that are assumed" in text
    assert text.count("<figure") == 8


def test_every_figure_is_there_for_one_and_two_columns(page):
    figures = page.parent / "figures"
    names = {path.name.rpartition("_")[0] for path in figures.iterdir()}
    assert {"accuracy", "energy", "latency", "freezing"} <= names
    for name in names:
        for width in ("1col", "2col"):
            assert (figures / f"{name}_{width}.pdf").read_bytes().startswith(b"%PDF")
            ET.parse(figures / f"{name}_{width}.svg")
    wide, narrow = (
        float(ET.parse(figures / f"accuracy_{width}.svg").getroot().attrib["width"].removesuffix("pt"))
        for width in ("2col", "1col")
    )
    assert (wide, narrow) == pytest.approx((182.0 / 25.4 * 72, 88.9 / 25.4 * 72), rel=1e-4)


def test_the_references_are_those_of_every_card_in_use(page):
    text = (page.parent / "references.bib").read_text(encoding="utf-8")
    keys = re.findall(r"^@\w+\{([^,]+),", text, flags=re.M)
    assert len(keys) == len(set(keys))
    assert "cottart2026" in keys
    for name in ("dw_notched", "smtj_50ns"):
        for reference in shipped_cards()[name].references.values():
            doi = re.search(r"10\.\d{4,9}/[^\s,;]+", reference)
            assert doi is None or doi[0].rstrip(".") in text


def test_two_cards_may_use_one_key_for_different_texts():
    cards = list(shipped_cards().values())
    every = references(cards, "bimu")
    texts = {text for card in cards for text in card.references.values()}
    assert set(every.values()) >= texts
    assert len(every) == len(set(every.values()))
    assert bibliography(cards).count("\n@") == len(references(cards)) - 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not on PATH")
def test_the_table_goes_through_latex(page, tmp_path):
    table = (page.parent / "table.tex").read_text(encoding="utf-8")
    (tmp_path / "t.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{booktabs,textcomp}}\begin{{document}}{table}\end{{document}}",
        encoding="utf-8",
    )
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_methods_say_what_was_run_and_what_was_left_out(short_run):
    resolved = json.loads((short_run / "scenario.json").read_text(encoding="utf-8"))
    text = methods(resolved, "1.2.3")
    for words in ("simulated, with bimu-hw 1.2.3", "S = 5", "16 levels over ±4", "6-bit", "wires were ideal",
                  "cards dw_notched, smtj_50ns, cmos_28nm", "What is not modelled"):  # fmt: skip
        assert words in text
    resolved["crossbar"] |= {"ir_drop": "exact", "adc_bits": 0}
    text = methods(resolved, "1.2.3")
    assert "solved exactly" in text
    assert "Left out here: quantisation by output converters." in text


def test_text_is_escaped():
    page = Page('<b>"&')
    page.paragraph("a < b & c")
    page.table(("<th>",), [("x<y",)])
    page.code("</code><script>alert(1)</script>", "<title>", closed=True)
    page.figures([(b"<svg/>", 'caption "quoted" <i>', (), False)])
    root = ET.fromstring(page.html().removeprefix("<!DOCTYPE html>"))
    assert not list(root.iter("script"))
    assert not list(root.iter("i"))
    assert root.find("body/h1").text == '<b>"&'
    assert root.find(".//img").attrib["alt"] == 'caption "quoted" <i>'


@pytest.mark.parametrize("make", [lambda f: None, lambda f: f.mkdir(), lambda f: f.write_text("x")])
def test_what_is_no_run_is_refused_in_one_sentence(make, tmp_path, capsys):
    folder = tmp_path / "nothing"
    make(folder)
    assert run_commands(["report", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert "holds neither a finished run" in err


def test_a_damaged_run_is_refused_and_leaves_no_page(short_run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(short_run, folder)
    (folder / "summary.json").write_text("{", encoding="utf-8")
    assert run_commands(["report", str(folder)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert not (folder / "report" / "index.html").exists()
    (folder / "run.nc").write_bytes(b"no netcdf")
    assert run_commands(["report", str(folder)]) == 2


def test_the_comparison_of_two_runs(short_run, tmp_path, monkeypatch, capsys):
    from bimu_hw.report import compare_page

    copy = tmp_path / "other"
    shutil.copytree(short_run, copy)
    summary = json.loads((copy / "summary.json").read_text(encoding="utf-8"))
    summary["energy_per_query_J"]["all"] *= 10.0
    summary["accuracy"] -= 0.125
    (copy / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    undrawn = lambda drawings, out: [(b"<svg/>", d.caption, (), False) for d in drawings]  # noqa: E731
    monkeypatch.setattr(compare_page, "draw_all", undrawn)
    assert run_commands(["compare", str(short_run), str(copy), "--out", str(tmp_path / "page")]) == 0
    page = tmp_path / "page" / "index.html"
    assert_stands_alone(page)
    text = " ".join(elements(page)[0].itertext())
    better = f"{short_run.name} is at least as good as other"
    for words in ("−12.5 points", "× 10", "the same scenario and seeds", better):
        assert words in text
    assert run_commands(["compare", str(short_run), str(short_run)]) == 2
    assert "both are this folder" in capsys.readouterr().err
    assert run_commands(["compare", str(short_run), str(tmp_path)]) == 2
    assert "holds no finished run" in capsys.readouterr().err


def sweep_folder(path: Path, accuracy, energy, seeds=(0, 1, 2), levels=(4, 16)) -> Path:
    """Plan a sweep of the quickstart, and write its cells with numbers that are functions of level and seed."""
    import numpy as np

    from bimu_hw.record.cells import CellTable
    from bimu_hw.sweep.folder import SweepFolder
    from bimu_hw.sweep.plan import make_plan

    text = (Path(__file__).parents[1] / "scenarios" / "quickstart.toml").read_text(encoding="utf-8")
    (path / "cells").mkdir(parents=True)
    scenario = path.with_suffix(".toml")
    scenario.write_text(
        f'{text}\n[sweep]\nseeds = {list(seeds)}\n[[sweep.axis]]\nkey = "device.storage_params.n_levels"\n'
        f"values = {list(levels)}\n",
        encoding="utf-8",
    )
    plan = make_plan(scenario)
    folder = SweepFolder(path)
    folder.store(plan)
    grid = [(level, seed) for level in levels for seed in seeds]
    numbers = {
        "accuracy": np.array([accuracy(*one) for one in grid]),
        "energy_per_query_all": np.array([energy(*one) for one in grid]),
        "assumed_energy_fraction": np.full(len(grid), 0.5),
    }
    texts = {"cpu": ["none"] * len(grid), "versions": ['{"bimu_hw": "0.1.0"}'] * len(grid)}
    units = dict.fromkeys(numbers, "1") | {"energy_per_query_all": "J"}
    folder.save(CellTable(list(plan.keys), numbers, {}, texts, units))
    return path


def test_the_comparison_of_two_sweeps(tmp_path, monkeypatch, capsys):
    from bimu_hw.report import compare_sweeps

    monkeypatch.setattr(compare_sweeps, "draw_all", lambda drawings, out: [])
    noise = {0: 0.2, 1: -0.1, 2: 0.03, 3: 0.3}
    # The chance of a seed is common to both, so pairs leave exactly what a point brings: 1 and 5 points, 3 on average.
    a = sweep_folder(tmp_path / "a", lambda n, s: 0.5 + noise[s], lambda n, s: 1e-9 * n)
    b = sweep_folder(
        tmp_path / "b", lambda n, s: 0.5 + noise[s] + {4: 0.01, 16: 0.05, 64: 0.2}[n],
        lambda n, s: 2e-9 * n, (2, 1, 0, 3), (64, 16, 4),
    )  # fmt: skip
    assert run_commands(["compare", str(a), str(b), "--out", str(tmp_path / "page")]) == 0
    page = tmp_path / "page" / "index.html"
    assert_stands_alone(page)
    text = " ".join(" ".join(elements(page)[0].itertext()).split())
    for words in (
        "2 points and 3 seeds are in both", "+3.0 (+3.0 to +3.0) points", "+1.0 (+1.0 to +1.0) points",
        "+5.0 (+5.0 to +5.0) points", "+10 nJ (+10 nJ to +10 nJ)", "+4 nJ (+4 nJ to +4 nJ)",
        # (4 nJ, a) is the cheapest; of b every point is more right than it, and than a's second.
        "1 of 2 of a and 3 of 3 of b",
    ):  # fmt: skip
        assert words in text, words


def test_sweeps_that_share_nothing_are_set_beside_each_other(tmp_path, monkeypatch, capsys):
    from bimu_hw.report import compare_sweeps

    monkeypatch.setattr(compare_sweeps, "draw_all", lambda drawings, out: [])
    a = sweep_folder(tmp_path / "a", lambda n, s: 0.5, lambda n, s: 1e-9, (0, 1))
    b = sweep_folder(tmp_path / "b", lambda n, s: 0.6, lambda n, s: 1e-9, (7, 8))
    assert run_commands(["compare", str(a), str(b), "--out", str(tmp_path / "page")]) == 0
    assert "no seed is in both" in (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert run_commands(["compare", str(a), str(a)]) == 2
    assert "both are this folder" in capsys.readouterr().err


# What has been left behind by another version


def rewritten(run: Path, out: Path, change) -> Path:
    """Copy what a report reads of a run, its record as `change` leaves it; return the folder."""
    out.mkdir()
    shutil.copy(run / "summary.json", out)
    with bimu_hw.open_run(run) as tree:
        changed = tree.load().copy()
        change(changed)
        changed.to_netcdf(out / "run.nc", engine="h5netcdf")
    return out


def make_older(tree):
    """Make it the record of a version that knew one number and one operation fewer, and a model that is gone."""
    content = json.loads(tree.attrs["resolved_scenario"])
    del content["cards"]["components"]["costs"]["wake_energy"]
    content["cards"]["sampler"]["model"] = "not_installed"
    tree.attrs["resolved_scenario"] = json.dumps(content)
    for group in ("ledger", "queries"):
        # No run of the quickstart ever sleeps.
        tree[group] = tree[group].to_dataset().drop_sel(operation="power.wake")


def make_foreign(tree):
    """Let it count an operation that nobody knows here."""
    names = [str(name).replace("radio.request", "radio.call") for name in tree["ledger"]["operation"].values]
    tree["ledger"] = tree["ledger"].to_dataset().assign_coords(operation=names)


def test_the_report_of_an_older_run_opens_and_says_which_cards_have_changed(short_run, page, tmp_path):
    older_run = rewritten(short_run, tmp_path / "older", make_older)
    assert run_commands(["report", str(older_run), "--out", str(tmp_path / "report")]) == 0
    text, today = ((folder / "index.html").read_text(encoding="utf-8") for folder in (tmp_path / "report", page.parent))
    assert "Of smtj_50ns, cmos_28nm only the values that the run recorded are left" in text
    assert "only the values" not in today
    # What was counted costs what it did.
    tables = [re.findall(r"<tr><td>sampler</td>.*?</tr>", one) for one in (text, today)]
    assert tables[0] == tables[1]
    assert tables[0]
    bib = (tmp_path / "report" / "references.bib").read_text(encoding="utf-8")
    assert any(doi in bib for doi in re.findall(r"10\.\d{4,9}/\w+", str(shipped_cards()["dw_notched"].references)))


def test_a_run_that_counts_what_is_not_known_here_is_refused_in_one_sentence(short_run, tmp_path, capsys):
    foreign = rewritten(short_run, tmp_path / "foreign", make_foreign)
    assert run_commands(["report", str(foreign), "--out", str(tmp_path / "report")]) == 2
    said = capsys.readouterr().err
    assert "'radio.call'" in said
    assert "open it with the version that wrote it, or run the scenario again." in said
    assert "Traceback" not in said
    assert not (tmp_path / "report" / "index.html").exists()
