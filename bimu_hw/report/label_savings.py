"""How many labels a policy needs: runs over a threshold of the variation ratio, against all labels.

Rows are scenarios that differ from one file in rule, device, policy and seed. The threshold is a count of the samples
that disagree; the smallest share of labels whose accuracy, averaged over seeds, is not below that of all labels is the
label saving. Noise is not counted in favour of fewer labels: with few seeds a wide error bar would excuse any loss.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bimu_hw.report.hardware_question import RULES
from bimu_hw.report.style import COLOURS, new_figure, paper_style, plain_log, save_figure
from bimu_hw.scenario import Scenario, load_scenario
from bimu_hw.studies.measure import spread

#: The stores, and the keys that make each of the scenario's.
DEVICES: Mapping[str, tuple[str, ...]] = {
    "ideal, analog": (
        "device.storage=ideal_storage", "device.programming=deterministic", "device.residue_bits=", "device.lam_max=",
    ),
    "memristor pair, 16 levels": (),
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One policy on one rule and device, over seeds.

    Attributes
    ----------
    rule, device, policy : str
    labels, accuracy : tuple of float
        Share of labels requested, and accuracy on the test set at the end, by seed.
    """

    rule: str
    device: str
    policy: str
    labels: tuple[float, ...]
    accuracy: tuple[float, ...]


def policies(counts: Sequence[int], samples: int) -> dict[str, tuple[str, ...]]:
    """Return the policies by name: all labels, and disagreement of at least so many of the samples."""
    found: dict[str, tuple[str, ...]] = {"all": ()}
    for count in counts:
        # Half a count below: no rounding can move a threshold to its neighbour.
        threshold = (count - 0.5) / samples
        found[f"{count} of {samples}"] = ("labels.policy=variation_ratio", f"labels.threshold={threshold!r}")
    return found


def saving_rows(
    path: Path, counts: Sequence[int], seeds: Sequence[int], overrides: Sequence[str] = ()
) -> dict[tuple[str, str, str, int], Scenario]:
    """Return the scenarios by rule, device, policy and seed."""
    samples = load_scenario(path, overrides).network.samples
    return {
        (rule, device, policy, seed): load_scenario(path, (*learning, *keys, *asking, *overrides), seed)
        for rule, learning in RULES.items()
        for device, keys in DEVICES.items()
        for policy, asking in policies(counts, samples).items()
        for seed in seeds
    }


def folder_name(key: tuple[str, str, str, int]) -> str:
    """Return the name of a run's folder."""
    rule, device, policy, seed = key
    return f"{rule}_{device.split(',')[0]}_{policy}_s{seed}".replace(" ", "_").lower()


def read_points(folders: Mapping[tuple[str, str, str, int], Path]) -> list[Point]:
    """Read what the finished runs say."""
    found: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for (rule, device, policy, _), folder in folders.items():
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        values = (float(summary["labels_requested_fraction"]), float(summary["accuracy"]))
        found.setdefault((rule, device, policy), []).append(values)
    return [Point(*key, *zip(*values, strict=True)) for key, values in found.items()]


def saving(points: Sequence[Point]) -> tuple[Point, float] | None:
    """Return the policy with the fewest labels that reaches the accuracy of all labels, and the factor it saves.

    It reaches it if its mean accuracy over seeds is not lower. None if no policy does.
    """
    every = next(point for point in points if point.policy == "all")
    goal = np.mean(every.accuracy)
    reached = [point for point in points if point is not every and np.mean(point.accuracy) >= goal]
    if not reached:
        return None
    best = min(reached, key=lambda point: float(np.mean(point.labels)))
    return best, float(np.mean(every.labels) / np.mean(best.labels))


def curves(points: Sequence[Point]) -> dict[tuple[str, str], list[Point]]:
    """Return the points by rule and device."""
    found: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        found.setdefault((point.rule, point.device), []).append(point)
    return found


def format_savings(points: Sequence[Point]) -> str:
    """Return labels and accuracies as a table in Markdown, and below it what is saved."""

    def both(values: Sequence[float]) -> str:
        deviation = f" ± {100 * spread(values)[1]:.1f}" if len(values) > 1 else ""
        return f"{100 * np.mean(values):.1f}{deviation}"

    lines = ["| rule | device | asks at a disagreement of | labels, % | accuracy, % |", "|---|---|---|---|---|"]
    lines += [f"| {p.rule} | {p.device} | {p.policy} | {both(p.labels)} | {both(p.accuracy)} |" for p in points]
    lines += ["", "| rule | device | reaches all labels at | labels, % | factor |", "|---|---|---|---|---|"]
    for (rule, device), group in curves(points).items():
        found = saving(group)
        what = "no threshold tried | - | -"
        if found:
            what = f"{found[0].policy} | {both(found[0].labels)} | {found[1]:.1f}"
        lines.append(f"| {rule} | {device} | {what} |")
    return "\n".join(lines) + "\n"


def write_savings(points: Sequence[Point], out: Path) -> list[Path]:
    """Write table, numbers and figure into a folder; return the files."""
    table, numbers, figure = (out / f"label_savings.{ending}" for ending in ("md", "json", "png"))
    table.write_text(format_savings(points), encoding="utf-8")
    numbers.write_text(json.dumps([asdict(point) for point in points], indent=1) + "\n", encoding="utf-8")
    draw_savings(points, figure)
    return [table, numbers, figure]


def draw_savings(points: Sequence[Point], path: Path) -> None:
    """Draw accuracy over the share of labels, one curve for each rule and device, with standard deviations."""
    groups = curves(points)
    devices = list(dict.fromkeys(device for _, device in groups))
    with paper_style():
        figure = new_figure("double", 2.9)
        panels = figure.subplots(1, len(devices), sharex=True, sharey=True, squeeze=False)[0]
        for (rule, device), group in groups.items():
            axes = panels[devices.index(device)]
            colour = COLOURS[list(RULES).index(rule)]
            asked = sorted((p for p in group if p.policy != "all"), key=lambda p: float(np.mean(p.labels)))
            x, y, dx, dy = (
                [100 * spread(getattr(p, name))[part] for p in asked]
                for part in (0, 1) for name in ("labels", "accuracy")
            )
            axes.errorbar(x, y, dy, dx, fmt="o-", ms=3, color=colour, capsize=2, label=f"{rule}, variation ratio")
            every = next(p for p in group if p.policy == "all")
            mean, deviation = (100 * part for part in spread(every.accuracy))
            axes.axhspan(mean - deviation, mean + deviation, color=colour, alpha=0.12, lw=0)
            axes.axhline(mean, color=colour, ls="--", lw=1, label=f"{rule}, all labels")
            found = saving(group)
            if found:
                at = 100 * float(np.mean(found[0].labels))
                axes.plot(at, 100 * np.mean(found[0].accuracy), "o", ms=9, mfc="none", mec=colour)
        for axes, device in zip(panels, devices, strict=True):
            axes.set(xlabel="labels requested, %", xscale="log", title=device)
            plain_log(axes.xaxis)
        panels[0].set(ylabel="accuracy on the test set, %")
        panels[0].legend(fontsize=7)
        save_figure(figure, path)
