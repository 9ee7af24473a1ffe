"""Write ``docs/energy_by_hand.md``: the energy of two queries of the quickstart, added up line by line.

    .venv/bin/python docs/by_hand.py

Counts are worked out here from the scenario, by arithmetic that shares nothing with the simulator's; only what depends
on data and noise (hidden units that are on, pulses) is read off the record of a run. What a line says it counts is then
compared with what the run counted, phase by phase and layer by layer, and the sum with the energy in its record.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "energy_by_hand.md"
SCENARIO = ROOT / "scenarios" / "quickstart.toml"
ARRAY = "array.read"
TEXT = """\
# The energy of a query, by hand

Two queries of `scenarios/quickstart.toml` are added up here, line by line, from the scenario and the cards to the
number that the run reports. `docs/by_hand.py` writes this page: it works the counts out from the layers (64, 128, 10),
the samples (5), the planes and the tiles by arithmetic of its own, and refuses to write if the run counts anything
else, in any phase or layer. A test does it again. What depends on noise, such as which hidden units are on, is taken
off the record.

Prices are those of the cards, but for the converter, which the card states at 8 bits: one of 6 bits takes 7 steps
instead of 9, 1.33 pJ × 7/9 = 1.03444 pJ. A pair of cells dissipates V²·t·(g_on + g_off) in one integration:
(0.1 V)² × 10 ns × (165 + 97.0) µS = 26.197 fJ. The junction's 95.4 µS at no voltage are 97.0 µS at 0.1 V, where its
magnetoresistance is smaller ([how](devices.md)).

Digits are written out so that the sum can be checked; what they are worth is
[another matter](model.md#how-well-an-energy-is-known).

## A query that asks for no label

The second of the stream.

{plain}

## A query that is learned from

The first of the stream: the same forward pass, on other pixels and with other hidden units on, and then the label and
the update.

{learned}

What is spent whether or not there are queries (phase `idle`) belongs to no query and is not in these sums.
"""


class Line(NamedTuple):
    """One line of the sum: what is counted, worked out as a product, and why that is the number."""

    phase: str
    layer: str
    operation: str
    product: str
    why: str

    @property
    def count(self) -> int:
        """The number that the product comes to."""
        return evaluate(self.product)


def evaluate(product: str) -> int:
    """Return the value of a sum of products of whole numbers, written with × and +."""
    total = 0
    for term in product.replace("(", "").replace(")", "").split("+"):
        factors = [int(factor.replace(",", "")) for factor in term.split("×")]
        total += int(np.prod(factors, dtype=np.int64))
    return total


def inference_lines(bits_set: int, hidden_on: int) -> list[Line]:
    """Return what the forward pass of a query takes: 64 pixels, 128 hidden units, 10 classes, 5 samples."""
    first, second = "layer_0", "layer_1"
    rows = [
        (first, "sampler.bit", "64 × 128 × 5", "a weight for every synapse and sample"),
        (second, "sampler.bit", "128 × 10 × 5", "the same"),
        (first, "sampler.latch", "64 × 128 × 5", "each is held while the planes of the query pass"),
        (second, "sampler.latch", "128 × 10 × 5", "the same"),
        (first, "sampler.bias", "8192 × 552 × 5",
         "8,192 elements, biased while their array works: 150 ns for a fresh sample, and for each of 6 planes 1 ns to "
         "settle, 10 ns to integrate and 8 conversions of 7 ns: 150 + 6 × 67 = 552 ns, 5 times"),
        (second, "sampler.bias", "1280 × 217 × 5", "one plane: 150 + 67 = 217 ns"),
        (first, "driver.drive", f"{bits_set} × 2 × 5",
         f"of the 5 bit planes of 64 pixels and the plane of ones, {bits_set} lines are on; each crosses 2 tiles"),
        (second, "driver.drive", f"{hidden_on} × 1",
         f"{hidden_on} of 128 × 5 hidden units are on (noise decides: off the record); 10 columns fit in a tile"),
        (first, ARRAY, f"{bits_set} × 128 × 5", "synapses on driven lines, a pair of cells each"),
        (second, ARRAY, f"{hidden_on} × 10", "the same"),
        (first, "adc.convert", "6 × 1 × 128 × 5", "6 planes, 1 tile of 64 word lines, 128 columns"),
        (second, "adc.convert", "1 × 2 × 10 × 5", "1 plane; 128 word lines take 2 tiles, each with a sum of its own"),
        (first, "adc.integrate", "6 × 1 × 128 × 5", "each of these sums is integrated for one integration time"),
        (second, "adc.integrate", "1 × 2 × 10 × 5", "the same"),
        (first, "digital.add", "6 × 1 × 128 × 5 + 128 × 5", "each conversion is shifted and added; 1 per activation"),
        (second, "digital.add", "1 × 2 × 10 × 5 + 10 × 5", "the same"),
        (first, "digital.mac", "3 × 128 × 5", "layer normalisation: 3 per unit"),
        (second, "digital.mac", "3 × 10 × 5 + 10 × 5", "the same, and 1 per class for the mean over samples"),
        (first, "digital.function", "2 × 5", "a root and a division per layer and sample"),
        (second, "digital.function", "2 × 5 + 2 × 10 × 5", "and an exponential and a logarithm per class"),
        (first, "buffer.read", "64 × 5 × 5", "5 bits of each pixel, for every sample"),
        (second, "buffer.read", "128 × 1 × 5", "1 bit of each hidden unit"),
        (first, "buffer.write", "128 × 1 × 5", "the hidden units"),
        (second, "buffer.write", "10 × 16 × 5", "16 bits of each class"),
    ]  # fmt: skip
    return [Line("inference", *row) for row in rows]


def update_lines(driven: int, pulses: dict[tuple[str, str], int]) -> list[Line]:
    """Return what asking for the label and learning from it take besides."""
    first, second = "layer_0", "layer_1"
    rows = [
        ("label", "chip", "radio.request", "1", "one label; this scenario's comes over a wire"),
        ("backward", second, "digital.mac", "4 × 10 × 5 + 128 × 10 × 5",
         "back through the normalisation, 4 per unit; the gradient of each weight, for each sample"),
        ("backward", first, "digital.mac", "4 × 128 × 5 + 64 × 128 + 128 × 5",
         "the same; the input is one for all samples, so the error is summed over samples first"),
        ("backward", second, "digital.function", "5", "one per layer and sample"),
        ("backward", first, "digital.function", "5", "the same"),
        ("backward", second, "buffer.write", "10 × 5 × 16", "normalised sums, kept for this, 16 bits"),
        ("backward", first, "buffer.write", "128 × 5 × 16", "the same"),
        ("backward", second, "buffer.read", "10 × 5 × 16", "and read back"),
        ("backward", first, "buffer.read", "128 × 5 × 16", "the same"),
        ("backward", second, "adc.convert", "9 × 1 × 128 × 5",
         "the error is driven back through the array in 8 bit planes and one of ones; 128 word lines are sensed"),
        ("backward", second, "adc.integrate", "9 × 1 × 128 × 5", "each of these sums is integrated"),
        ("backward", second, "digital.add", "9 × 1 × 128 × 5 + 128 × 5", "shifted and added; the derivative"),
        ("backward", second, "sampler.bias", "1280 × 603 × 5", "biased meanwhile: 9 × (1 + 10 + 8 × 7) = 603 ns"),
        ("backward", second, "driver.drive", f"{driven} × 2",
         f"{driven} bit lines carry a bit of the error that is 1 (off the record) and cross 2 tiles"),
        ("backward", second, ARRAY, f"{driven} × 128", "synapses on them"),
    ]  # fmt: skip
    for layer, synapses in ((first, "64 × 128"), (second, "128 × 10")):
        rows += [
            ("read_lambda", layer, "storage.read", synapses, "the stored λ of every synapse"),
            ("rule", layer, "digital.mac", f"9 × {synapses}", "BiMU's step: 9 multiply-accumulates"),
            ("rule", layer, "digital.function", f"3 × {synapses}", "and 3 functions"),
            ("rule", layer, "digital.add", synapses, "added to the residue"),
            ("rule", layer, "buffer.read", f"12 × {synapses}", "12 bits of residue"),
            ("rule", layer, "buffer.write", f"12 × {synapses}", "and back"),
        ]
    what = {
        "storage.pulse_up": "pulses up that the residues ask for (off the record)",
        "storage.pulse_down": "pulses down (off the record)",
        "write_driver.row": "rows in which a pulse is due, up and down apart, 32 columns at a time (off the record)",
    }
    rows += [("programming", layer, name, str(n), what[name]) for (layer, name), n in pulses.items()]
    return [Line(*row) for row in rows]


class Query(NamedTuple):
    """One query of the run: what it counted by phase, layer and operation, its joules, and the lines of its input."""

    counts: dict[tuple[str, str, str], int]
    joules: float
    bits_set: int


def simulate(n: int) -> tuple[Any, list[Query]]:
    """Run the first `n` queries of the quickstart one by one; return the record of the last run, and the queries."""
    import bimu_hw
    from bimu_hw.run import Run

    queries: list[Query] = []
    before, tree = None, None
    for k in range(1, n + 1):
        overrides = ("stream.tasks=1", "stream.epochs=1", f"stream.examples={k}", "evaluation.examples=1")
        scenario = bimu_hw.load_scenario(SCENARIO, overrides)
        with tempfile.TemporaryDirectory() as folder:
            tree = bimu_hw.open_run(bimu_hw.run_scenario(scenario, Path(folder) / "run", progress=False).path).load()
        ledger = tree["ledger"].to_dataset().drop_sel(phase="idle")
        own = ledger["count"] if before is None else ledger["count"] - before
        before = ledger["count"]
        axes = [[str(name) for name in ledger[dim].values] for dim in ("phase", "layer", "operation")]
        found = {
            (axes[0][p], axes[1][layer], axes[2][o]): int(c)
            for (p, layer, o), c in np.ndenumerate(own.values) if c
        }  # fmt: skip
        planes = Run(scenario).example(k - 1)[0].planes
        energy = float(tree["queries/energy"].values[k - 1].sum())
        queries.append(Query(found, energy, int((planes != 0).sum())))
    return tree, queries


def lines_of(query: Query, update: bool) -> list[Line]:
    """Return the lines of a query; refuse to go on if they do not count what the run counted."""
    drives = {phase: query.counts.get((phase, "layer_1", "driver.drive"), 0) for phase in ("inference", "backward")}
    lines = inference_lines(query.bits_set, drives["inference"])
    if update:
        names = ("storage.pulse_up", "storage.pulse_down", "write_driver.row")
        pulses = {(key[1], key[2]): n for key, n in query.counts.items() if key[2] in names}
        lines += update_lines(drives["backward"] // 2, pulses)
    counted = {line[:3]: line.count for line in lines if line.operation != ARRAY}
    if counted != query.counts:
        wrong = sorted(set(counted.items()) ^ set(query.counts.items()))
        sys.exit(f"energy by hand: the page and the run do not count the same: {wrong}")
    return lines


def table(lines: list[Line], query: Query, tree: Any) -> list[str]:
    """Return the lines as a table, with the sum."""
    ledger = tree["ledger"].to_dataset()
    operations = [str(name) for name in ledger["operation"].values]
    price = dict(zip(operations, ledger["cost"].values.tolist(), strict=True))
    words = zip(*(ledger[f"cost_{name}"].values for name in ("card", "key", "kind")), strict=True)
    source = {
        name: f"{card}, {str(key).partition('.')[2]} ({kind})"
        for name, (card, key, kind) in zip(operations, words, strict=True)
    }
    price[ARRAY] = read_price()
    source[ARRAY] = f"{ledger['array_card'].item()}, V²·t·(g_on + g_off) ({ledger['array_kind'].item()})"
    out = [
        "| for | layer | operation | worked out | count | price | from | energy | why |",
        "|---|---|---|---|---:|---:|---|---:|---|",
    ]
    total = 0.0
    for line in lines:
        joules = line.count * price[line.operation]
        total += joules
        out.append(
            f"| {line.phase} | {line.layer} | {line.operation} | {line.product} | {line.count:,} | "
            f"{1e15 * price[line.operation]:.6g} fJ | {source[line.operation]} | {1e12 * joules:,.4f} pJ | {line.why} |"
        )
    out.append(f"| **sum** | | | | | | | **{1e12 * total:,.4f} pJ** | |")
    if abs(total / query.joules - 1) > 1e-9:
        sys.exit(f"energy by hand: the page adds up to {total:g} J and the run to {query.joules:g} J.")
    return [*out, "", f"The record of the run says, in `queries/energy`: **{1e12 * query.joules:,.4f} pJ**."]


def read_price() -> float:
    """Return what a driven pair of cells dissipates in one integration, from the card: V² t (g_on + g_off)."""
    from bimu_hw.cards import load_card, read_conductances

    card = load_card("smtj_50ns")
    return card.costs["read_voltage"].value ** 2 * card.costs["read_time"].value * sum(read_conductances(card))


def page() -> str:
    """Return the page."""
    tree, queries = simulate(2)
    asked = tree["queries/asked"].values.tolist()
    if asked != [1, 0]:
        sys.exit(f"energy by hand: expected the first query of the quickstart to ask and the second not; got {asked}.")
    learned, plain = queries
    return TEXT.format(
        plain="\n".join(table(lines_of(plain, update=False), plain, tree)),
        learned="\n".join(table(lines_of(learned, update=True), learned, tree)),
    )


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
