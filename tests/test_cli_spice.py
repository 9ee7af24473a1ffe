"""The commands ``bimu-hw spice``, with a SPICE in miniature in ngspice's place; and the figure of the current loss."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from oracles import spice

from bimu_hw.cli import run_commands
from bimu_hw.crossbar.ir_drop import solve_ir_drop
from bimu_hw.record import write_run
from bimu_hw.report.ir_drop import array_loss, draw_array_loss
from bimu_hw.run import Run
from bimu_hw.scenario import load_scenario
from bimu_hw.spice.netlist import Wires
from bimu_hw.spice.replay import Selection, capture_read

QUICKSTART = Path(__file__).parents[1] / "scenarios" / "quickstart.toml"
SHORT = (
    "stream.examples=20", "stream.tasks=1", "evaluation.examples=2", "network.hidden=[20]", "network.samples=2",
    "crossbar.tile_wordlines=10", "crossbar.tile_bitlines=8", "accelerator.write_columns=8",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    run = Run(load_scenario(QUICKSTART, SHORT))
    run.accelerator.run()
    write_run(run.finish(), path / "run.nc")
    return path


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Return a function that puts a program named ngspice, and no other, on PATH; the body is Python."""

    def put(body):
        place = tmp_path / "bin"
        place.mkdir(exist_ok=True)
        path = place / "ngspice"
        head = f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        path.write_text(head + body, encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(place))

    return put


@pytest.fixture
def wires(monkeypatch):
    """Let the run have reckoned with these wires."""
    some = Wires(1.0, 2.0, 50.0, 10.0)
    monkeypatch.setattr("bimu_hw.spice.check.wires_of", lambda scenario, from_card: some)
    return some


GOOD = "from oracles.spice import main; main()\n"
WRONG = "from oracles.spice import main; main(1e-6)\n"


# export


def test_export_writes_the_netlist_of_the_array(folder, wires, tmp_path, capsys):
    out = tmp_path / "array.cir"
    arguments = ["spice", "export", str(folder), "--layer", "0", "--query", "7", "--tile", "6,2", "--sample", "1",
                 "--plane", "2", "-o", str(out)]  # fmt: skip
    assert run_commands(arguments) == 0
    assert capsys.readouterr().out == ""
    text = out.read_text(encoding="ascii")
    circuit = capture_read(folder, Selection(0, 7, (6, 2), 1)).circuit(2, wires)
    found = spice.operating_point(spice.read(text))
    wanted = solve_ir_drop(circuit.conductance, circuit.voltages, **wires.options()).currents
    np.testing.assert_allclose([found[name.lower()] for name in circuit.sensed], wanted, rtol=1e-10)
    for words in ("query 7 (example 7, task 0", "layer 0, tile 6,2, sample 1, plane 2", "4 x 4 synapses",
                  "seeds: fabrication 1, noise 1, data 1", "r_wordline = 1 ohm"):  # fmt: skip
        assert words in text
    assert [path.name for path in tmp_path.iterdir()] == ["array.cir"]
    assert out.stat().st_mode & 0o777 == 0o666 & ~current_mask()
    assert run_commands([*arguments[:-2]]) == 0
    assert capsys.readouterr().out == text


def current_mask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_without_ir_drop_wires_are_ideal(folder, capsys):
    assert run_commands(["spice", "export", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "* wires: none have resistance" in text
    assert {name[:2] for name in spice.read(text)} == {"vw", "vb", "rc"}


def test_the_wires_of_the_card_on_request(folder, capsys):
    card = load_scenario(QUICKSTART).component_card
    code = run_commands(["spice", "export", str(folder), "--card-wires"])
    assert code == 0
    elements = spice.read(capsys.readouterr().out)
    assert {value for name, (_, _, value) in elements.items() if name.startswith("rw")} == {
        card.costs["r_wordline"].value
    }


def test_the_backward_read_drives_bit_lines(folder, capsys):
    arguments = ["spice", "export", str(folder), "--layer", "1", "--tile", "0,1", "--backward"]
    assert run_commands([*arguments, "--plane", "0"]) == 0
    elements = spice.read(capsys.readouterr().out)
    # The first plane is one of ones: + and - lines of every pair.
    volt = elements["vb0"][2]
    assert volt > 0
    assert [elements[f"vb{j}"][2] for j in range(4)] == [volt, -volt, volt, -volt]
    assert {elements[f"vw{i}"][2] for i in range(10)} == {0.0}


# check


def test_check_compares_every_plane(folder, wires, program, tmp_path, capsys):
    program(GOOD)
    figure = tmp_path / "loss.png"
    assert run_commands(["spice", "check", str(folder), "--tile", "1,1", "--figure", str(figure)]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line[:5].strip().isdigit()]
    assert [row[0] for row in rows] == [str(p) for p in range(6)]
    assert all(float(row[1]) < 1e-10 for row in rows)
    losses = [float(row[4].rstrip("%")) for row in rows]
    assert max(losses) > 1.0
    assert "10 x 8 synapses, mapping differential: 10 word lines, 16 bit lines" in out
    assert out.splitlines()[-1].endswith("tolerance 1e-09: ok")
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_check_of_currents_that_differ_ends_with_code_1(folder, wires, program, capsys):
    program(WRONG)
    assert run_commands(["spice", "check", str(folder), "--plane", "0"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("tolerance 1e-09: MISS")
    assert run_commands(["spice", "check", str(folder), "--plane", "0", "--tolerance", "1e-5"]) == 0


@pytest.mark.parametrize(
    ("body", "more", "words"),
    [
        ("import time; time.sleep(30)\n", ["--timeout", "0.5"], "within 0.5 s; choose a smaller tile or pass a longer"),
        ("print('Error: singular matrix')\n", [], "found no operating point (Error: singular matrix)"),
        ("sys.exit(3)\n", [], "found no operating point"),
        (GOOD, ["--timeout", "0.01"], "ngspice would take about"),
    ],
)
def test_an_ngspice_that_fails_ends_in_one_sentence(folder, wires, program, body, more, words, tmp_path, capsys):
    program(body)
    figure = tmp_path / "loss.png"
    assert run_commands(["spice", "check", str(folder), "--figure", str(figure), *more]) == 2
    error = capsys.readouterr().err.split("\r")[-1].strip()
    assert words in error
    assert "\n" not in error
    assert {path.name for path in tmp_path.iterdir()} == {"bin"}  # no figure, no part of one


def test_without_ngspice_check_says_how_to_get_it(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_commands(["spice", "check", str(folder)]) == 2
    assert "apt-get install ngspice" in capsys.readouterr().err


def test_check_with_ngspice_itself(folder, wires, capsys):
    if shutil.which("ngspice") is None:
        pytest.skip("ngspice is not on PATH; a SPICE in miniature stands in for it")
    assert run_commands(["spice", "check", str(folder), "--tile", "2,1", "--query", "11"]) == 0
    assert run_commands(["spice", "check", str(folder), "--layer", "1", "--backward", "--plane", "3"]) == 0


# Bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export", "nowhere"], "nowhere: no such file"),
        (["export", "RUN", "--layer", "5"], "layer: got 5; allowed are 0 to 1"),
        (["export", "RUN", "--query", "20"], "query: got 20; allowed are 0 to 19"),
        (["export", "RUN", "--tile", "0,3"], "tile, along the bit lines: got 3; allowed are 0 to 2"),
        (["export", "RUN", "--tile", "1"], "'1' is not two integers such as 0,1"),
        (["export", "RUN", "--tile", "a,b"], "'a,b' is not two integers"),
        (["export", "RUN", "--plane", "6"], "plane: got 6; allowed are 0 to 5"),
        (["export", "RUN", "--sample", "2"], "sample: got 2; allowed are 0 to 1"),
        (["export", "RUN", "-o", "missing/x.cir"], "missing/x.cir: cannot be written (No such file or directory)"),
        (["export", "RUN", "-o", "."], "is a folder; name a file"),
        (["check", "RUN", "--tolerance", "-1"], "-1.0 is not in the range"),
        (["check", "RUN", "--timeout", "0"], "0.0 is not in the range"),
    ],
)
def test_bad_input_ends_in_one_sentence(folder, arguments, words, program, tmp_path, monkeypatch, capsys):
    program(GOOD)
    monkeypatch.chdir(tmp_path)
    given = [str(folder) if word == "RUN" else word for word in arguments]
    if given[0] == "export" and "-o" not in given:
        given += ["-o", "x.cir"]
    assert run_commands(["spice", *given]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err
    assert {path.name for path in tmp_path.iterdir()} == {"bin"}


def test_a_file_that_was_there_stays_when_export_fails(folder, tmp_path):
    out = tmp_path / "x.cir"
    out.write_text("mine")
    assert run_commands(["spice", "export", str(folder), "--layer", "9", "-o", str(out)]) == 2
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


# The figure


def test_the_loss_of_one_cell_is_a_voltage_divider():
    cells, volts = np.array([[1e-3]]), np.array([0.5])
    result = solve_ir_drop(cells, volts, r_wordline=125.0, r_bitline=125.0)
    loss = array_loss(cells, volts, result)
    assert loss.cells == pytest.approx(np.array([[0.2]]))
    assert loss.lines == pytest.approx(np.array([0.2]))
    assert loss.current == pytest.approx(4e-4)


@pytest.mark.parametrize("transposed", [False, True])
def test_lines_that_are_not_driven_have_no_loss_to_show(transposed, tmp_path):
    rng = np.random.default_rng(2)
    cells = 10.0 ** rng.uniform(-5, -4, (6, 9))
    volts = rng.choice([-0.1, 0.0, 0.1], 9 if transposed else 6)
    volts[0] = 0.0
    result = solve_ir_drop(cells, volts, r_wordline=20.0, r_bitline=20.0, transposed=transposed)
    loss = array_loss(cells, volts, result)
    shown = np.isfinite(loss.cells).all(axis=0 if transposed else 1)
    np.testing.assert_array_equal(shown, volts != 0.0)
    ideal = volts @ (cells.T if transposed else cells)
    seen = np.isfinite(loss.lines)
    np.testing.assert_allclose(result.currents[seen], ideal[seen] * (1.0 - loss.lines[seen]), rtol=1e-12)
    draw_array_loss(loss, tmp_path / "loss.png", "a title")
    assert (tmp_path / "loss.png").stat().st_size > 5000
