"""How far a run has come, read from its folder without touching it; and what computing it took.

A finished run says so in its summary. Of an unfinished one the newest checkpoint tells: the tasks that have ended and
the accuracies measured so far.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bimu_hw import __version__
from bimu_hw.checkpoint import read_checkpoint
from bimu_hw.errors import BimuError, DamagedError, RunError
from bimu_hw.learning.metrics import last_k_average
from bimu_hw.record import write_durably
from bimu_hw.run_folder import RunFolder

#: Seconds between two notes of the time a run has taken.
_BEAT = 60.0


@dataclass(frozen=True)
class Standing:
    """Where a run stands.

    Attributes
    ----------
    state : {"done", "begun", "not run"}
    tasks : int
        Tasks that have ended.
    summary : dict
        Of a finished run its ``summary.json``; of one that has begun the mean accuracy of the newest five tasks, if the
        first task has ended; else empty.
    scenario_hash : str
        Empty if nothing is there.
    examples : int
        Examples that were shown so far to a run that has begun; -1 if only another version of bimu-hw can tell.
    """

    state: str
    tasks: int = 0
    summary: dict[str, Any] = field(default_factory=dict)
    scenario_hash: str = ""
    examples: int = 0


def standing(out: Path, tasks: int) -> Standing:
    """Return where the run in a folder stands; `tasks` is how many it has when it is done."""
    folder = RunFolder(out)
    if folder.finished:
        summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
        return Standing("done", tasks, summary, summary["scenario_hash"], summary["queries"])
    begun = folder.begun_hash
    if not begun:
        return Standing("not run")
    foreign = False
    checkpoints = sorted(folder.work.glob("checkpoint-*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in checkpoints:
        try:
            state, _ = read_checkpoint(path)
            ended = int(state["open_task"])
            examples, accuracy = int(state["shown"]), np.array(state["accuracy"])
        except (BimuError, OSError, KeyError) as error:
            foreign |= isinstance(error, RunError) and not isinstance(error, DamagedError)
            continue  # being replaced while we look, or damaged: the one before it
        summary = {}
        if ended:
            square = accuracy[:ended, :ended]
            summary["accuracy_last_k"] = last_k_average(square, min(5, ended))
        return Standing("begun", ended, summary, begun, examples)
    return Standing("begun", 0, {}, begun, -1 if foreign else 0)


def session_file(out: Path) -> Path:
    """Return the file that has what computing a run took, beside its folder."""
    return out.with_name(f"{out.name}.sessions.json")


def sessions_of(out: Path) -> list[dict[str, Any]]:
    """Return the sessions in which a run was computed, oldest first."""
    try:
        return list(json.loads(session_file(out).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return []


@contextmanager
def session(out: Path) -> Iterator[None]:
    """Note, every minute and at the end, when and where a run is computed and the processor time it takes.

    A process that is killed loses less than a minute of the account. One that cannot begin leaves no note.
    """
    earlier = sessions_of(out)
    note = {**_where(), "began": datetime.now(UTC).isoformat(timespec="seconds")}
    start, over = time.process_time(), threading.Event()

    def write() -> None:
        note["cpu_s"] = round(time.process_time() - start, 1)
        note["peak_memory_MiB"] = _peak_memory()
        text = json.dumps([*earlier, note], indent=1)
        write_durably(session_file(out), lambda file: file.write(text.encode()))

    def beat() -> None:
        while not over.wait(_BEAT):
            with suppress(BimuError):  # a full disk ends the run itself, with its own sentence
                write()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    begun = True
    try:
        yield
    except BimuError:
        begun = False
        raise
    finally:
        over.set()
        thread.join()
        if begun:
            write()


def _peak_memory() -> int | None:
    try:
        import resource
    except ImportError:  # a system without POSIX accounting
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak // (1 << 20) if sys.platform == "darwin" else peak // (1 << 10))


def _where() -> dict[str, Any]:
    return {
        "version": __version__,
        "commit": _commit(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str:
    """Return the commit of a checkout, with a mark if files differ from it; empty for an installed package."""
    place = Path(__file__).parents[2]
    if not (place / ".git").exists():
        return ""


    def git(*words: str) -> str:
        command = ["git", "-C", str(place), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short=10", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain", "--", "bimu_hw", "device_models") else "")
    except (OSError, subprocess.SubprocessError):
        return ""
