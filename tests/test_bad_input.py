"""Bad input: each ends with exit code 2 (130 for Ctrl-C) and one sentence, with no traceback and nothing written.

Every row below is a complete answer, as a user reads it.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bimu_hw.cli import run_commands
from bimu_hw.learning.data import DATASET_NAMES

BASE = """\
schema_version = 1
title = "A small stream for tests of bad input"

[stream]
dataset = "digits"
kind = "permuted"
tasks = 2
examples = 20
inputs = "standardised"

[network]
hidden = [8]
samples = 2

[learning]
rule = "bimu"
gradient = "hard"
preset = "bimu_mnist_1_task"

[labels]
policy = "budgeted"
budget = 0.5
gamma = 0.5
latency = "1 us"

[device]
storage = "dw_notched"
sampler = "smtj_50ns"
holds = "query"
programming = "residue"
residue_bits = 12
lam_max = 4.0

[device.storage_params]
n_levels = 8

[crossbar]
tile_wordlines = 32
tile_bitlines = 32
columns = "differential"
inputs = "bit_serial"
adc_bits = 6
adc_range = 0.5
columns_per_adc = 8
gradient_bits = 8

[components]
card = "cmos_28nm"

[accelerator]
arrivals = "periodic"
rate = "10 kHz"
queue = 4
write_columns = 32

[evaluation]
examples = 10
"""


def line_of(text: str) -> int:
    return BASE.splitlines().index(text) + 1


PRESET_LINE = line_of('preset = "bimu_mnist_1_task"')
STORAGE_LINE = line_of('storage = "dw_notched"')

NATIVE = [
    option for override in (
        "learning.rule=native", "device.programming=native", "learning.preset=", "device.residue_bits=",
        "learning.lr=1.0",
    ) for option in ("--set", override)
]  # fmt: skip
#: What the file has instead of a line of BASE, and the answer, which starts with "s.toml:<line of the new text>, ".
FILE_CASES = [
    # unknown key
    ("tasks = 2", "taks = 2",
     "stream.taks: unknown key. Did you mean 'tasks'? (1 more fault in this scenario.)"),
    # wrong unit
    ('latency = "1 us"', 'latency = "1 V"',
     "labels.latency: got '1 V' (a quantity in V); expected a quantity in s, for example \"50 ns\"."),
    # bare number where a unit is needed
    ('rate = "10 kHz"', "rate = 10000",
     "accelerator.rate: got 10000; write a number with its unit as a text, for example rate = \"10 kHz\"."),
    # shorter than a tick
    ('latency = "1 us"', 'latency = "0.5 ps"',
     "labels.latency: got '0.5 ps'; allowed are 0 s and durations from 1 ps, the clock's tick, to 1e6 s."),
    # out of range
    ("budget = 0.5", "budget = 1.5",
     "labels.budget: got 1.5; allowed are numbers from 0 to 1."),
    ("tile_wordlines = 32", "tile_wordlines = 1",
     "crossbar.tile_wordlines: got 1; allowed are numbers from 2 to 65536."),
    ("queue = 4", "queue = 0",
     "accelerator.queue: got 0; allowed are \"unbounded\" or an integer from 1 to 1048576, the number of places."),
    # wrong type
    ("samples = 2", 'samples = "2"',
     "network.samples: got '2'; expected an integer."),
    ("hidden = [8]", "hidden = 8",
     "network.hidden: got 8; expected a list in brackets."),
    # unknown word
    ('kind = "permuted"', 'kind = "permutd"',
     "stream.kind: got 'permutd'. Did you mean 'permuted'?"),
    # a data set, a card, a preset that does not exist
    ('dataset = "digits"', 'dataset = "digit"',
     "stream.dataset: got 'digit'. Did you mean 'digits'? A path must end in .npz."),
    ('dataset = "digits"', 'dataset = "mine.npz"',
     "stream.dataset: got 'mine.npz'; there is no such file in the scenario's folder."),
    ('storage = "dw_notched"', 'storage = "dw_notch"',
     "device.storage: device card 'dw_notch': not known. Did you mean 'dw_notched'? A path must end in .toml."),
    ('storage = "dw_notched"', 'storage = "./mine.toml"',
     "device.storage: card './mine.toml': cannot be read (No such file or directory); looked for 'mine.toml' "
     "in '.'."),
    ('card = "cmos_28nm"', 'card = "cmos_29nm"',
     "components.card: component card 'cmos_29nm': not known. Did you mean 'cmos_28nm'? A path ends in .toml."),
    ('preset = "bimu_mnist_1_task"', 'preset = "bimu_mnist"',
     "learning.preset: got 'bimu_mnist'. Did you mean 'bimu_mnist_1_task'?"),
    # cards in the wrong place, and their values
    ('storage = "dw_notched"', 'storage = "cmos_lfsr"',
     "device.storage: got 'cmos_lfsr', the card of a sampling element; name that of a storage element "
     "(bimu-hw devices list shows them)."),
    ("n_levels = 8", "n_level = 8",
     "device.storage_params.n_level: unknown parameter of 'domain_wall_mtj'. Did you mean 'n_levels'?"),
    ("n_levels = 8", "read_time = 10",
     "device.storage_params.read_time: got 10; write the number with its unit as a text, for example "
     "read_time = \"10 s\"."),
    ("n_levels = 8", "n_levels = 1",
     "device.storage_params.n_levels: got n_levels = 1; allowed are integers from 2, or 0 for a continuous element."),
    # keys that contradict each other
    ("examples = 20", "examples = 1",
     "stream.examples: got 1 for 2 tasks; allowed is at least one each."),
    ('holds = "query"', 'holds = "until_rewritten"',
     "device.holds: got 'until_rewritten'; the sampling element 'smtj_50ns' can do \"read\", \"query\"."),
    ('gradient = "hard"', 'gradient = "relaxed"',
     "learning.gradient: got \"relaxed\", which belongs to ideal hardware: binary in-memory cells can only do the "
     "hard gradient, and here device.storage is 'dw_notched' (spintronic) and device.sampler is 'smtj_50ns' "
     "(spintronic) and crossbar.inputs is 'bit_serial', not 'analog' and crossbar.adc_bits is 6, not 0; "
     "write gradient = \"hard\". (1 more fault in this scenario.)"),
    ("columns_per_adc = 8", "columns_per_adc = 33",
     "crossbar.columns_per_adc: got 33, but a tile has 32 bit lines; allowed is up to that many."),
    ('holds = "query"', 'holds = "read"',
     "device.holds: \"read\" lets the two cells of a pair run freely, so they are not each other's opposite as "
     "crossbar.columns = \"differential\" needs; write columns = \"reference\" or holds = \"query\"."),
    # converters and encodings that cannot be, or have nothing to act on
    ("adc_bits = 6", 'adc_bits = 6\nadc = "sense_amplifier"',
     "crossbar.adc: got \"sense_amplifier\" with adc_bits = 6; a converter of 1 bit is a sense amplifier, and of more "
     "bits \"sar\" or \"flash\"; change one of the two."),
    ("adc_bits = 6", 'adc_bits = 1\nadc = "flash"',
     "crossbar.adc: got \"flash\" with adc_bits = 1; a converter of 1 bit is a sense amplifier, and of more bits "
     "\"sar\" or \"flash\"; change one of the two."),
    ("adc_range = 0.5", 'adc_range = "auto"',
     "crossbar.adc_range: got 'auto'; allowed are numbers above 0 up to 1, a fraction of the largest column sum, "
     "\"full_scale\", or \"calibrated\"."),
    ("adc_range = 0.5", "adc_range = 1.5",
     "crossbar.adc_range: got 1.5; allowed are numbers above 0 up to 1, a fraction of the largest column sum, "
     "\"full_scale\", or \"calibrated\"."),
    ("columns_per_adc = 8", "columns_per_adc = 8\npartial_sum_bits = 25",
     "crossbar.partial_sum_bits: got 25; allowed are numbers from 0 to 24."),
    ("columns_per_adc = 8", "columns_per_adc = 8\ndac_bits = 8",
     "crossbar.dac_bits: has no effect, because crossbar.inputs = \"bit_serial\" has no converters at the word lines; "
     "remove it."),
    ("columns_per_adc = 8", 'columns_per_adc = 8\ncompensation = "column_gain"',
     "crossbar.compensation: has no effect, because there is nothing to compensate without crossbar.ir_drop = "
     "\"exact\"; remove it."),
    ('inputs = "bit_serial"', 'inputs = "pulse_width"\nir_drop = "exact"',
     "crossbar.ir_drop: got \"exact\" with inputs = \"pulse_width\", whose lines go off one after the other, each time "
     "another circuit; write another encoding, or ir_drop = \"none\"."),
    ('columns = "differential"', 'columns = "xnr"',
     "crossbar.columns: got 'xnr'. Did you mean 'xnor'?"),
    ('card = "cmos_28nm"', 'card = "cmos_28nm"\nparams = { r_wordline = "1 ohm" }',
     "components.params.r_wordline: has no effect, because crossbar.ir_drop = \"none\" leaves resistances out; "
     "remove it."),
    ('card = "cmos_28nm"', 'card = "cmos_28nm"\nparams = { sense_offset = 0.1 }',
     "components.params.sense_offset: has no effect, because there are no sense amplifiers (adc_bits = 1); remove it."),
    ('card = "cmos_28nm"', 'card = "cmos_28nm"\nparams = { dac_inl = 0.5 }',
     "components.params.dac_inl: has no effect, because no input passes a converter of some resolution (inputs = "
     "\"analog\" and dac_bits); remove it."),
    # a key that has no effect
    ('inputs = "bit_serial"', 'inputs = "analog"\ninput_bits = 4',
     "crossbar.input_bits: has no effect, because crossbar.inputs = \"analog\" does not send bits; remove it. "
     "(1 more fault in this scenario.)"),
    # a temperature without unit, one in the wrong unit, one that no card covers
    ("lam_max = 4.0", "lam_max = 4.0\ntemperature = 300",
     "device.temperature: got 300; write a number with its unit as a text, for example temperature = \"300 K\"."),
    ("lam_max = 4.0", 'lam_max = 4.0\ntemperature = "300 V"',
     "device.temperature: got '300 V' (a quantity in V); expected a quantity in K, for example \"300 K\"."),
    ("lam_max = 4.0", 'lam_max = 4.0\ntemperature = "3 K"',
     "device.temperature: got '3 K'; allowed are temperatures from 4 K to 500 K."),
]  # fmt: skip

#: Options after ``run s.toml``, and the answer.
OPTION_CASES = [
    (["--set", "stream.tasks"],
     "--set 'stream.tasks': expected KEY=VALUE, for example --set stream.tasks=5."),
    (["--set", "stream.tasks.first=5"],
     "--set stream.tasks.first: 'stream.tasks' is not a table, so it has no keys."),
    (["--set", "labels.treshold=0.5"],
     "--set labels.treshold: unknown key. Did you mean 'threshold'?"),
    (["--set", "labels.policy=always"],
     f"s.toml:{line_of('budget = 0.5')}, labels.budget: has no effect, because labels.policy = \"always\" does not "
     "use it; remove it (on the command line: --set labels.budget=). (1 more fault in this scenario.)"),
    (["--set", "labels.gamma="],
     "--set labels.gamma: missing, and labels.policy = \"budgeted\" needs it (Adaptation exponent "
     "(budgeted)); give it a value."),
    (["--set", "learning.lr=1e300"],
     "--set learning.lr: got 1e+300; allowed are numbers from 1e-30 to 1e+30."),
    (["--set", "stream.tasks=200000"],
     "--set stream.tasks: got 200000; allowed are numbers from 1 to 10000."),
    (["--set", "crossbar.tile_wordlines="],
     "--set crossbar.tile_wordlines: missing; give it a value, for example tile_wordlines = 128 "
     "(Word lines (inputs) of a tile)."),
    (["--set", "device.lam_max="],
     "--set device.lam_max: missing, and a storage element of 8 levels needs it (Natural parameter of the outermost "
     "level (storage of finite levels)); give it a value, for example lam_max = 4.0."),
    (["--set", "device.programming=stochastic"],
     f"s.toml:{line_of('residue_bits = 12')}, device.residue_bits: has no effect, because only device.programming = "
     "\"residue\" on finite levels keeps a residue, and here it is \"stochastic\" on 8 levels; remove it (on the "
     "command line: --set device.residue_bits=)."),
    (["--set", "learning.rule=bayesbinn"],
     f"s.toml:{PRESET_LINE}, learning.preset: 'bimu_mnist_1_task' "
     "belongs to rule 'bimu'; for 'bayesbinn' there are: bayesbinn_permuted_mnist_1000_tasks."),
    (["--set", "learning.rule=ste", "--set", "learning.gradient=relaxed"],
     "--set learning.gradient: got \"relaxed\" with learning.rule = \"ste\", whose weights are the signs of what is "
     "stored; write gradient = \"hard\". (4 more faults in this scenario.)"),
    (["--set", "learning.rule=metaplasticity", "--set", "learning.preset="],
     f"s.toml:{line_of('samples = 2')}, network.samples: got 2; with learning.rule = \"metaplasticity\" nothing is "
     "drawn, so all samples are alike: write samples = 1."),
    (["--set", "learning.rule=native"],
     "--set learning.rule: got \"native\" with device.programming = \"residue\"; the rule of a device's own response "
     "sends its pulses by device.programming = \"native\"; write that, or another rule. (1 more fault in this "
     "scenario.)"),
    (["--set", "device.programming=native"],
     "--set device.programming: got \"native\" with learning.rule = \"bimu\", whose request it would not send: the "
     "device itself is the rule; write learning.rule = \"native\", or another programming. (1 more fault in this "
     "scenario.)"),
    (["--set", "learning.rule=native", "--set", "device.programming=native", "--set", "device.residue_bits="],
     f"s.toml:{PRESET_LINE}, learning.preset: 'bimu_mnist_1_task' "
     "belongs to rule 'bimu'; for 'native' there are none; remove it."),
    ([*NATIVE, "--set", "learning.gradient=relaxed"],
     "--set learning.gradient: got \"relaxed\", whose weights contain the lam that learning.rule = \"native\" does not "
     "read; write gradient = \"hard\". (2 more faults in this scenario.)"),
    ([*NATIVE, "--set", "device.storage_params.controller_noise=0.1"],
     "--set device.storage_params.controller_noise: has no effect, because learning.rule = \"native\" does not read "
     "lam; remove it."),
    (["--set", "ageing=[{after_task=3,duration='10 h',temperature='398 K'}]"],
     "--set ageing.0.after_task: got 3 for 2 tasks; allowed are 1 to the number of tasks, or \"every\"."),
    (["--set", "ageing=[{after_task=0,duration='10 h',temperature='398 K'}]"],
     "--set ageing.0.after_task: got 0; allowed are \"every\" or an integer from 1, the number of a task."),
    (["--set", "ageing=[{after_task=1,duration='30 year',temperature='398 K'}]"],
     "--set ageing.0.duration: got '30 year'; allowed are durations from 1 us to 20 years."),
    (["--set", "ageing=[{after_task=1,duration='10 h',temperature='900 K'}]"],
     "--set ageing.0.temperature: got '900 K'; allowed are temperatures from 4 K to 700 K."),
    (["--set", "device.sampler=cmos_lfsr", "--set",
      "ageing=[{after_task=1,duration='10 h',temperature='398 K'}]"],
     "--set ageing: has no effect, because with these values neither 'dw_notched' nor 'cmos_lfsr' changes with time; "
     "remove it, or let the store relax, hop, drift or fluctuate."),
    (["--seed", "-1"],
     "seed: got -1; allowed are integers from 0 to 2**63 - 1."),
    (["--set", "seeds.noise=1.5"],
     "--set seeds.noise: got 1.5; expected an integer."),
    (["--strict"],
     "--strict: s.toml has no [[expect]] rows to check; leave it out."),
]  # fmt: skip


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An empty folder with ``s.toml`` in it, as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BIMU_DATA_DIR", raising=False)
    (tmp_path / "s.toml").write_text(BASE, encoding="utf-8")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def answer(desk: Path, capsys: pytest.CaptureFixture[str], *arguments: str, out: str = "out") -> str:
    """Run, and return the one sentence; check code and form, and that nothing was written."""
    before = contents(desk)
    assert run_commands(["run", *arguments, "--out", out, "--quiet"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert "Traceback" not in captured.err
    assert contents(desk) == before
    return captured.err.rstrip("\n")


# The file


@pytest.mark.parametrize(("line", "instead", "expected"), FILE_CASES, ids=[case[1] for case in FILE_CASES])
def test_a_wrong_key(desk, capsys, line, instead, expected):
    assert BASE.count(line + "\n") == 1
    (desk / "s.toml").write_text(BASE.replace(line, instead), encoding="utf-8")
    number = line_of(line) + instead.count("\n")
    assert answer(desk, capsys, "s.toml") == f"s.toml:{number}, {expected}"


@pytest.mark.parametrize(("options", "expected"), OPTION_CASES, ids=[" ".join(case[0]) for case in OPTION_CASES])
def test_a_wrong_option(desk, capsys, options, expected):
    assert answer(desk, capsys, "s.toml", *options) == expected


def test_no_such_file(desk, capsys):
    assert answer(desk, capsys, "t.toml") == "t.toml: no such file; give the path of a scenario."


def test_no_such_shipped_scenario(desk, capsys):
    assert answer(desk, capsys, "quickstrat") == (
        "scenario 'quickstrat': neither a file nor a shipped scenario. Did you mean 'quickstart'?"
    )


def test_a_folder(desk, capsys):
    (desk / "d").mkdir()
    assert answer(desk, capsys, "d") == "d: is a folder; give the path of a scenario file."
    (desk / "d" / "scenario.toml").touch()
    assert answer(desk, capsys, "d").endswith("a scenario file, such as d/scenario.toml.")


def test_malformed_toml(desk, capsys):
    (desk / "s.toml").write_text("title = \nschema_version = 1\n", encoding="utf-8")
    assert answer(desk, capsys, "s.toml") == "s.toml: not valid TOML: Invalid value (at line 1, column 9)."


def test_not_utf8(desk, capsys):
    (desk / "s.toml").write_bytes(b'title = "\xff"\n')
    assert answer(desk, capsys, "s.toml") == "s.toml: is not UTF-8 text (byte 9); save it as UTF-8."


def test_an_empty_file(desk, capsys):
    (desk / "s.toml").write_text("", encoding="utf-8")
    assert answer(desk, capsys, "s.toml") == (
        "s.toml, schema_version: missing; give it a value (Version of this format). (9 more faults in this scenario.)"
    )


def test_a_card_file_that_breaks_the_rules(desk, capsys):
    card = (Path(__file__).parents[1] / "device_models" / "cards" / "dw_notched.toml").read_text(encoding="utf-8")
    (desk / "mine.toml").write_text(card.replace('kind = "assumed"', 'kind = "guessed"', 1), encoding="utf-8")
    (desk / "s.toml").write_text(BASE.replace('"dw_notched"', '"mine.toml"'), encoding="utf-8")
    sentence = answer(desk, capsys, "s.toml")
    assert sentence.startswith(f"s.toml:{STORAGE_LINE}, device.storage: mine.toml, params.")
    assert "got 'guessed'; allowed are measured, fitted, derived, assumed." in sentence


# The data


def idx(shape: tuple[int, ...], n_bytes: int) -> bytes:
    """Return an IDX file of unsigned bytes that announces a shape and holds some zeros."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape) + bytes(n_bytes)


def use_mnist(desk: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> None:
    assert "mnist" in DATASET_NAMES
    (desk / "data").mkdir()
    for name, content in files.items():
        (desk / "data" / name).write_bytes(content)
    monkeypatch.setenv("BIMU_DATA_DIR", str(desk / "data"))
    (desk / "s.toml").write_text(BASE.replace('"digits"', '"mnist"'), encoding="utf-8")


def test_an_incomplete_data_folder_is_never_completed_by_download(desk, capsys, monkeypatch):
    use_mnist(desk, monkeypatch, {"train-labels-idx1-ubyte": idx((2,), 2)})
    sentence = answer(desk, capsys, "s.toml")
    assert str(desk / "data") in sentence
    assert "train-images-idx3-ubyte" in sentence
    assert "BIMU_DATA_DIR" in sentence


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (idx((60_000, 28, 28), 1000), "train-images-idx3-ubyte"),  # truncated
        (idx((2, 28, 28), 2 * 28 * 28), "train-images-idx3-ubyte"),  # whole, but not MNIST: wrong checksum
    ],
    ids=["truncated", "wrong checksum"],
)
def test_a_damaged_idx_file(desk, capsys, monkeypatch, content, words):
    files = {
        "train-images-idx3-ubyte": content,
        "train-labels-idx1-ubyte": idx((2,), 2),
        "t10k-images-idx3-ubyte": idx((2, 28, 28), 2 * 28 * 28),
        "t10k-labels-idx1-ubyte": idx((2,), 2),
    }
    use_mnist(desk, monkeypatch, files)
    assert words in answer(desk, capsys, "s.toml")


def test_a_damaged_npz(desk, capsys):
    (desk / "mine.npz").write_bytes(b"PK\x03\x04 and then nothing")
    (desk / "s.toml").write_text(BASE.replace('"digits"', '"mine.npz"'), encoding="utf-8")
    assert "mine.npz: not a readable .npz archive" in answer(desk, capsys, "s.toml")


def test_more_examples_than_the_data_have(desk, capsys):
    sentence = answer(desk, capsys, "s.toml", "--set", "stream.examples=3001")
    assert sentence.startswith("stream.examples: got 3001;")
    assert "2 to 3000" in sentence


# The output


def test_an_output_that_is_a_file(desk, capsys):
    (desk / "out").write_text("precious", encoding="utf-8")
    assert answer(desk, capsys, "s.toml") == "out: is a file; name a folder for the run."


def test_an_output_below_a_file(desk, capsys):
    (desk / "file").touch()
    sentence = answer(desk, capsys, "s.toml", out="file/out")
    assert sentence.startswith("file/out: cannot be made (Not a directory)")


def test_an_output_that_holds_another_run(desk, capsys):
    assert run_commands(["run", "s.toml", "--out", "out", "--quiet"]) == 0
    capsys.readouterr()
    assert answer(desk, capsys, "s.toml") == (
        "out: holds another run; choose another folder or pass --overwrite."
    )
    assert run_commands(["run", "s.toml", "--out", "out", "--quiet", "--overwrite", "--seed", "5"]) == 0


# A run that is cut short. In a process of its own, as a user has it.


def start(desk: Path, *options: str, before: Callable[[], object] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bimu_hw", "run", "s.toml", "--out", "out", "--quiet", *options]
    return subprocess.Popen(
        command, cwd=desk, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before
    )


def visible(folder: Path) -> dict[str, bytes]:
    """Return the files outside the hidden folder from which a run is resumed."""
    files = {name: content for name, content in contents(folder).items() if "/.run" not in name}
    return {name: content for name, content in files.items() if name != "out" or os.listdir(folder / name) != [".run"]}


def test_interrupted_in_mid_run(desk):
    # Compile first: the interrupt is to meet the run, not the compiler.
    assert run_commands(["run", "s.toml", "--out", "first", "--quiet"]) == 0
    before = contents(desk)
    long = ["--set", "stream.epochs=1000", "--set", "stream.examples=1000000"]
    # A shell that starts the tests in the background has them ignore interrupts, and children inherit that.
    with start(desk, *long, before=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as process:
        try:
            deadline = time.monotonic() + 120
            while not (desk / "out" / ".run" / "lock").exists():
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(1.0)
            # One signal may meet a moment, in a callback of a library, that swallows it.
            for _ in range(5):
                process.send_signal(signal.SIGINT)
                try:
                    out, err = process.communicate(timeout=60)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
    assert process.returncode == 130
    assert (out, err.splitlines()[-1].strip()) == ("", "Interrupted. Resume with: bimu-hw resume out")
    assert os.listdir(desk / "out") == [".run"]
    assert visible(desk) == before


@pytest.mark.parametrize("share", [0.1, 0.9, 1.0])
def test_a_disk_that_is_full_in_mid_run(desk, share):
    """No file may grow beyond a share of the longest one: a stand-in for a full disk that needs no disk to fill."""
    resource = pytest.importorskip("resource")
    # Compile first: the limit would forbid Numba's own files too.
    assert run_commands(["run", "s.toml", "--out", "first", "--quiet"]) == 0
    before = contents(desk)
    largest = int(share * max(len(content) for content in before.values())) - 1

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    with start(desk, before=limit) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    assert "cannot be written" in err or "disk is full" in err
    assert visible(desk) == before


def test_an_output_that_cannot_be_written(desk):
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        pytest.skip("the superuser may write everywhere")
    locked = desk / "locked"
    locked.mkdir(mode=0o500)
    code = run_commands(["run", "s.toml", "--out", "locked/out", "--quiet"])
    assert code == 2
    assert not any(locked.iterdir())


def test_there_are_at_least_fifteen():
    assert len(FILE_CASES) + len(OPTION_CASES) >= 15
