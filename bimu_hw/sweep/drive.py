"""Drive a sweep: plan it, run what is not there yet, and leave a folder that says what became of every cell."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from bimu_hw.errors import RunError
from bimu_hw.sweep.batch import Outcome
from bimu_hw.sweep.folder import PLAN_FILE, SweepFolder
from bimu_hw.sweep.plan import Plan
from bimu_hw.sweep.work import Work

#: An engine runs all the work: it is given the work and the time that a cell may take, or None.
Engine = Callable[[Work, float | None], None]

#: Space that one cell takes: measured, with a margin.
_CELL_BYTES = 4096
_FILE_BYTES = 80_000
#: Small files are joined when there may be so many that it pays.
_PACK_EVERY = 100


@dataclass(frozen=True)
class SweepResult:
    """How a sweep ended.

    Attributes
    ----------
    out : Path
    n_cells, n_done, n_failed : int
        Cells of the plan; those that are finished; those whose last attempt failed.
    n_before : int
        Those that were finished before.
    """

    out: Path
    n_cells: int
    n_done: int
    n_failed: int
    n_before: int


def run_sweep(
    plan: Plan, out: str | Path, engine: Engine, n_workers: int, *, command: str = "",
    cell_timeout: float | None = None, retries: int = 0, batch_size: int | None = None, keep_runs: bool = False,
    progress: bool = True, tell: Callable[[str], None] = lambda sentence: None,
) -> SweepResult:  # fmt: skip
    """Run all cells of a plan that the folder does not have yet.

    Parameters
    ----------
    plan : Plan
        From `bimu_hw.sweep.plan.make_plan`.
    out : str or Path
    engine : callable
        Runs the work, for example `bimu_hw.sweep.local.run_local`.
    n_workers : int
        For the estimate of the time only.
    command : str
        What starts the sweep again, for who interrupts it.
    cell_timeout : float, optional
        Seconds after which a cell is killed.
    retries : int
        How often a cell that failed runs again.
    batch_size : int, optional
        Cells in one batch; as many as take a few seconds if not given.
    keep_runs : bool
        Keep the whole run of every cell.
    progress : bool
        Show a progress bar.
    tell : callable, optional
        Is told, in sentences, what is going on.

    Raises
    ------
    RunError
        If another process drives a sweep there, the folder belongs to other sources of the package, or the disk is
        full.
    """
    folder = SweepFolder(out)
    with folder.held():
        folder.clean()
        before = folder.finished(repair=True) if (folder.out / PLAN_FILE).exists() else set()
        _adopt(folder, plan, before, tell)
        to_do = [i for i, key in enumerate(plan.keys) if key not in before]
        n_unique = len(set(plan.keys))
        n_before = len(before & set(plan.keys))
        there = f", {n_before:,} of them there" if n_before else ""
        disk = f"{_disk(n_unique - n_before)} of {folder.free_bytes() / 1e9:,.1f} GB free"
        tell(f"{n_unique:,} cells{there}; disk: {disk}.")
        watch = _Watch(folder, plan, n_unique, n_before, n_workers, progress, tell)
        work = Work(plan, str(folder.out.resolve()), to_do, retries, batch_size, keep_runs, watch.outcome, watch.say)
        try:
            if work.n_open:
                engine(work, cell_timeout)
        except KeyboardInterrupt:
            hint = f"Go on with the same command: {command}" if command else "Start it again to go on."
            raise KeyboardInterrupt(hint) from None
        finally:
            watch.close()
        folder.pack()
        return SweepResult(folder.out, n_unique, n_before + watch.n_done, len(watch.failed), n_before)


def _adopt(folder: SweepFolder, plan: Plan, before: set[str], tell: Callable[[str], None]) -> None:
    """Make the plan that of the folder; refuse to mix what other sources computed."""
    if (folder.out / PLAN_FILE).exists():
        known = folder.plan()
        if known.identity != plan.identity and before:
            raise RunError(
                f"{folder.out}: was begun with bimu-hw {known.identity.get('bimu_hw_version')} and other sources than "
                "there are now, whose cells may have other bits; use those, or another folder."
            )
        if known == plan:
            return
        if known.keys != plan.keys:
            tell(f"{folder.out}: the sweep has changed; cells that it shares with the earlier one are not run again.")
    folder.store(plan)


def _disk(n_cells: int) -> str:
    size = n_cells * _CELL_BYTES + min(n_cells, _PACK_EVERY) * _FILE_BYTES
    return f"at most {size / 1e6:,.1f} MB"


class _Watch:
    """Takes in outcomes: the progress bar, the record of failures, the joining of files."""

    def __init__(
        self, folder: SweepFolder, plan: Plan, n_cells: int, n_before: int, n_workers: int, progress: bool,
        tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._folder, self._plan, self._tell, self._n_workers = folder, plan, tell, n_workers
        self.n_done = self._n_attempts_failed = self._unpacked = 0
        self.failed: set[str] = set()
        self._n_left = n_cells - n_before
        self._probe_due = True
        self._bar = tqdm(
            total=n_cells, initial=n_before, unit=" cells", disable=not progress, mininterval=0.5, smoothing=0.2,
            dynamic_ncols=True,
        )  # fmt: skip

    def outcome(self, number: int, outcome: Outcome, last: bool) -> None:
        """Take in one outcome."""
        if outcome.kind == "done":
            self.n_done += 1
            if self._probe_due:
                self._estimate(outcome)
            self._unpacked += 1
        else:
            self._n_attempts_failed += 1
            self._folder.record_failure(
                outcome.key, self._plan.describe(number), outcome.kind,
                {
                    "status": outcome.kind, "message": outcome.message, "traceback": outcome.traceback,
                    "seconds": round(outcome.seconds, 3), "host": outcome.host,
                    "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                },
            )  # fmt: skip
            if last:
                self.failed.add(outcome.key)
            again = "" if last else "; it runs again"
            self.say(f"cell {outcome.key} ({self._plan.describe(number)}): {outcome.kind}: {outcome.message}{again}")
        if last:
            self._bar.update(1)
            self._bar.set_postfix_str(f"{self._n_attempts_failed} failures")
        if self._unpacked >= _PACK_EVERY:
            self._unpacked = 0
            self._folder.pack()

    def _estimate(self, probe: Outcome) -> None:
        if probe.warming:
            if self.n_done == 1:
                self.say(f"The first cell took {probe.seconds:.3g} s, in which kernels were compiled or loaded.")
            return
        self._probe_due = False
        n_left = self._n_left - self.n_done
        n = max(1, min(self._n_workers, n_left))
        kept = sum(path.stat().st_size for path in (self._folder.runs / probe.key).glob("*"))
        disk = f" and {kept * n_left / 1e6:,.0f} MB for their runs" if kept else ""
        self.say(
            f"A cell took {probe.seconds:.3g} s; the other {n_left:,} take about "
            f"{_duration(probe.seconds * n_left / n)} with {n} worker{'s' if n > 1 else ''}{disk}."
        )

    def say(self, sentence: str) -> None:
        """Write a sentence above the progress bar."""
        self._bar.clear()
        self._tell(sentence)
        self._bar.refresh()

    def close(self) -> None:
        """Leave the terminal to others."""
        self._bar.close()


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def command_line(arguments: list[str]) -> str:
    """Return a command as a shell takes it."""
    return " ".join(shlex.quote(word) for word in arguments)
