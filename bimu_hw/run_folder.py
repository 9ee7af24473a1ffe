"""The folder of a run: the run's own files, and a hidden folder with all that an unfinished one needs.

``.run`` holds the scenario as it was given, checkpoints and snapshots. When the run is complete its files are put
together there, moved to their places one by one, and the hidden folder goes. A process that dies, at whatever moment,
leaves either a folder that `RunFolder.reopen` can go on from or a finished run. A lock, which dies with its holder,
keeps a second process out.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from bimu_hw.errors import BusyError, RunError
from bimu_hw.record import RUN_FILE, write_durably
from bimu_hw.scenario import Scenario, make_scenario

try:
    import fcntl
except ImportError:  # a system without POSIX locks: nobody checks
    fcntl = None  # type: ignore[assignment]

#: All files that a finished run may have.
FILES = (RUN_FILE, "summary.json", "scenario.json", "accuracy.png", "energy.png", "freezing.png")
_HIDDEN = ".run"
_LIST = "files.json"


class RunFolder:
    """The folder of one run.

    Parameters
    ----------
    out : str or Path

    Attributes
    ----------
    out : Path
    work : Path
        The hidden folder inside it.
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        self.work = self.out / _HIDDEN
        self._given = self.work / "given.json"
        self._complete = self.work / "complete"
        self._made: list[Path] = []

    @property
    def finished(self) -> bool:
        """Whether the folder holds a finished run, and no unfinished one."""
        return (self.out / RUN_FILE).is_file() and not self._given.exists() and not self._complete.exists()

    @property
    def begun_hash(self) -> str:
        """The hash of the scenario of an unfinished run; empty if there is none that can be read."""
        try:
            return str(json.loads(self._given.read_text(encoding="utf-8"))["hash"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    @contextmanager
    def begin(self, scenario: Scenario, overwrite: bool) -> Iterator[None]:
        """Keep the folder to ourselves for a new run.

        Ctrl-C and a full disk leave what `reopen` needs; other errors leave nothing, unless there is a checkpoint.

        Raises
        ------
        RunError
            If the folder holds another run, finished or not, or is a file, or another process is at work in it.
        """
        if self.out.is_file():
            raise RunError(f"{self.out}: is a file; name a folder for the run.")
        if not overwrite and self.finished:
            raise RunError(f"{self.out}: holds another run; choose another folder or pass --overwrite.")
        self._made = [folder for folder in (self.out, *self.out.parents) if not folder.exists()]
        try:
            self.work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.out}: cannot be made ({error.strerror}); choose another folder.") from error
        with self._locked():
            if not overwrite and (self._given.exists() or self._complete.exists()):
                name = shlex.quote(str(self.out))
                raise RunError(
                    f"{self.out}: holds an unfinished run; go on with bimu-hw resume {name}, choose another folder or "
                    "pass --overwrite."
                )
            self._empty()
            self._store(scenario)
            with self._kept_if_useful():
                yield

    @contextmanager
    def reopen(self) -> Iterator[Scenario | None]:
        """Keep the folder of an unfinished run to ourselves.

        Yields
        ------
        Scenario or None
            What is run; None if all is computed and only `publish` is left to do.

        Raises
        ------
        RunError
            If there is nothing to go on with, another process is at work, or the scenario is not what it was.
        """
        nothing = f"{self.out}: holds no run to resume; start one with bimu-hw run."
        if not (self._given.exists() or self._complete.exists()):
            raise RunError(nothing)
        with self._locked():
            if self._complete.exists():
                yield None
                return
            scenario = self._stored()
            with self._hint():
                yield scenario

    @contextmanager
    def assemble(self) -> Iterator[Path]:
        """Hand out a folder for the files of the finished run; from the end of the block on they are complete."""
        place = self.work / "assembling"
        if place.exists():
            shutil.rmtree(place)
        place.mkdir()
        yield place
        names = sorted(path.name for path in place.iterdir())
        (place / _LIST).write_text(json.dumps(names), encoding="utf-8")
        os.replace(place, self._complete)

    def publish(self) -> None:
        """Move the files of the finished run to their places and remove the hidden folder."""
        place = self._complete / _LIST
        # The list was there before the folder had its name: if it is gone, a process died while the folder went.
        if place.exists():
            names = json.loads(place.read_text(encoding="utf-8"))
            for name in names:
                # One that is gone was moved by a process that died here.
                with suppress(FileNotFoundError):
                    os.replace(self._complete / name, self.out / name)
            for name in set(FILES) - set(names):
                (self.out / name).unlink(missing_ok=True)
        self._empty()

    def _empty(self) -> None:
        """Remove all but the lock. The complete files go last: while they are there the run counts as computed."""
        last = (self._complete, self.work / "lock")
        for path in (*(p for p in self.work.iterdir() if p not in last), self._complete):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _store(self, scenario: Scenario) -> None:
        content = {
            "name": scenario.name, "folder": os.path.abspath(scenario.folder), "content": scenario.given,
            "hash": scenario.hash,
        }  # fmt: skip
        write_durably(self._given, lambda file: file.write(json.dumps(content).encode()))

    def _stored(self) -> Scenario:
        try:
            content = json.loads(self._given.read_text(encoding="utf-8"))
            given = {key: content[key] for key in ("content", "folder", "name", "hash")}
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise RunError(f"{self._given}: cannot be read; start again with run --overwrite.") from error
        scenario = make_scenario(given["content"], folder=given["folder"], name=given["name"])
        if scenario.hash != given["hash"]:
            raise RunError(
                f"{self.out}: cannot be resumed: its scenario gives other values than when it was begun (a card, a "
                "file that it starts from or a default has changed); restore what it was, or start again with run "
                "--overwrite."
            )
        return scenario

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock():
            try:
                yield
            finally:
                if self.work.is_dir() and {path.name for path in self.work.iterdir()} <= {"lock"}:
                    shutil.rmtree(self.work)
                    for folder in self._made:
                        if folder.exists() and not any(folder.iterdir()):
                            folder.rmdir()

    def _lock(self) -> IO[str]:
        """Return the lock, taken; closing it lets go."""
        busy = BusyError(f"{self.out}: another process runs there; wait for it, or choose another folder.")
        path = self.work / "lock"
        try:
            file = open(path, "a", encoding="utf-8")
        except FileNotFoundError:
            raise busy from None
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # A lock on a file that its last holder has just removed is worth nothing.
                held = os.path.samestat(os.fstat(file.fileno()), os.stat(path))
            except OSError:
                held = False
            if not held:
                file.close()
                raise busy
        return file

    @contextmanager
    def _hint(self) -> Iterator[None]:
        """Tell who interrupts how to go on."""
        try:
            yield
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"Resume with: bimu-hw resume {shlex.quote(str(self.out))}") from None

    @contextmanager
    def _kept_if_useful(self) -> Iterator[None]:
        try:
            with self._hint():
                yield
        except (KeyboardInterrupt, OSError, RunError):
            raise
        except BaseException:
            if not any(self.work.glob("checkpoint-*.npz")):
                self._empty()
            raise
