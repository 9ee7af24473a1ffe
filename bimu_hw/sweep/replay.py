"""Run one cell again and hold every number against the stored one, bit by bit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bimu_hw.errors import RunError
from bimu_hw.record.cells import CellTable
from bimu_hw.sweep.cell import run_cell
from bimu_hw.sweep.folder import SweepFolder
from bimu_hw.sweep.plan import Plan, cell_scenario, sources


@dataclass(frozen=True)
class Replay:
    """What a comparison found.

    Attributes
    ----------
    equal : bool
    sentences : list of str
    """

    equal: bool
    sentences: list[str]


def replay_cell(cell: str) -> Replay:
    """Run a cell of a sweep again, in this process.

    Parameters
    ----------
    cell : str
        ``FOLDER/KEY``, or the file of a single cell; of the key as many digits as tell it from the others.

    Raises
    ------
    RunError
        If there is no such cell, it is not finished, or its scenario can no longer be made.
    """
    path = Path(cell)
    out = path.parent.parent if path.parent.name == "cells" else path.parent
    start = path.name.partition("-")[0].removesuffix(".nc")
    folder = SweepFolder(out)
    plan = folder.plan()
    keys = sorted({key for key in plan.keys if key.startswith(start)}) if start else []
    if len(keys) != 1:
        raise RunError(f"{cell}: {len(keys)} cells of the sweep have a key that begins like this; give one of them.")
    stored = _stored(folder, keys[0])
    number = plan.keys.index(keys[0])
    scenario = cell_scenario(plan.content(number), plan.folder, plan.name, keys[0])
    return _compare(plan, number, stored, run_cell(scenario, keys[0]))


def _stored(folder: SweepFolder, key: str) -> CellTable:
    for table in folder.tables():
        if key in table.keys:
            return table.rows([table.keys.index(key)])
    raise RunError(f"{folder.out}: cell {key} is not finished; run the sweep first.")


def _compare(plan: Plan, number: int, stored: CellTable, again: CellTable) -> Replay:
    sentences = [f"Cell {stored.keys[0]}: {plan.describe(number)}"]
    if stored.texts["cpu"] != again.texts["cpu"]:
        sentences.append(
            f"The processor differs: {stored.texts['cpu'][0]} then, {again.texts['cpu'][0]} now; the last bits of "
            "float32 sums may differ with it."
        )
    if plan.identity["source_digest"] != sources():
        sentences.append("The sources of the package are others than those of the sweep.")
    if stored.texts["versions"] != again.texts["versions"]:
        sentences.append(f"The versions differ: {stored.texts['versions'][0]} then, {again.texts['versions'][0]} now.")
    different = []
    for old, new in ((stored.numbers, again.numbers), (stored.tasks, again.tasks)):
        for name, before in old.items():
            now = new.get(name)
            # A pack holds columns, and tasks, that only other cells have.
            if now is None:
                if not np.isnan(before).all():
                    different.append(f"{name}: is no longer there")
                continue
            n = now.shape[-1] if now.ndim == 2 else None
            before = before[:, :n] if n else before
            if before.tobytes() != now.tobytes() and not (np.isnan(before) & np.isnan(now)).all():
                different.append(f"{name}: {before.ravel().tolist()} then, {now.ravel().tolist()} now")
    n_all = len(again.numbers) + len(again.tasks)
    if different:
        sentences += [f"{len(different)} of {n_all} numbers differ:", *(f"  {line}" for line in different)]
    else:
        sentences.append(f"All {n_all} numbers are the same, bit by bit.")
    return Replay(not different, sentences)
