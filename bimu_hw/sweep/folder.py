"""The folder of a sweep: what is planned, what is finished, what failed, and who may write."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bimu_hw.errors import DamagedError, RunError
from bimu_hw.record import write_durably
from bimu_hw.record.cells import CellTable, read_cells, write_cells
from bimu_hw.sweep.plan import Plan

try:
    import fcntl
except ImportError:  # a system without POSIX locks: nobody checks
    fcntl = None  # type: ignore[assignment]

PLAN_FILE = "sweep.json"
#: Files with fewer cells than this are joined when there are as many of them.
_FULL = 100
#: How often a folder is listed anew because files were joined meanwhile.
_TRIES = 20


class SweepFolder:
    """The folder of one sweep.

    Parameters
    ----------
    out : str or Path

    Attributes
    ----------
    out, cells, failures, quarantine, runs : Path
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        self.cells = self.out / "cells"
        self.failures = self.out / "failures"
        self.quarantine = self.out / "quarantine"
        self.runs = self.out / "runs"

    def plan(self) -> Plan:
        """Return the plan of the sweep; `RunError` if there is none."""
        path = self.out / PLAN_FILE
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise RunError(f"{self.out}: holds no sweep (no {PLAN_FILE}); start one with bimu-hw sweep.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{path}: cannot be read ({error}).") from error
        return Plan.from_json(text, str(path))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder to ourselves, and make it if it is not there.

        Raises
        ------
        RunError
            If it is a file, holds something else, or another process drives a sweep there.
        """
        if self.out.exists() and not self.out.is_dir():
            raise RunError(f"{self.out}: is a file; name a folder for the sweep.")
        known = {PLAN_FILE, "lock", f".{PLAN_FILE}.part"}
        if self.out.is_dir() and (names := {path.name for path in self.out.iterdir()}) and not names & known:
            raise RunError(f"{self.out}: holds something that is no sweep; choose another folder.")
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            file = open(self.out / "lock", "a", encoding="utf-8")
        except OSError as error:
            raise RunError(f"{self.out}: cannot be written ({error.strerror}); choose another folder.") from error
        with file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    raise RunError(
                        f"{self.out}: another process drives a sweep there; wait for it (bimu-hw status shows how far "
                        "it is), or choose another folder."
                    ) from None
            for folder in (self.cells, self.failures):
                folder.mkdir(exist_ok=True)
            yield

    def store(self, plan: Plan) -> None:
        """Write the plan."""
        write_durably(self.out / PLAN_FILE, lambda file: file.write(plan.to_json().encode()))

    def save(self, table: CellTable) -> Path:
        """Write rows of finished cells to a file of their own; return it."""
        # No two processes ever write to one name, even if both ran the same cells.
        path = self.cells / f"{table.keys[0]}-{len(table.keys)}-{uuid.uuid4().hex[:8]}.nc"
        write_cells(table, path)
        return path

    def tables(self, repair: bool = False) -> list[CellTable]:
        """Return the rows of all finished cells, each cell once.

        Parameters
        ----------
        repair : bool
            Put damaged files aside, so that their cells run again; else they are passed over. For who holds the folder.
        """
        for _ in range(_TRIES):
            try:
                return self._tables(repair)
            # Another process has joined files since we listed them.
            except FileNotFoundError:
                continue
        raise RunError(f"{self.cells}: changes all the time; try again when the sweep is done.")

    def _tables(self, repair: bool) -> list[CellTable]:
        found: list[CellTable] = []
        seen: set[str] = set()
        for path in sorted(self.cells.glob("[!.]*.nc")):
            try:
                table = read_cells(path)
            except DamagedError:
                if repair:
                    self.quarantine.mkdir(exist_ok=True)
                    os.replace(path, self.quarantine / path.name)
                continue
            found.append(_unseen(table, seen))
        return [table for table in found if table.keys]

    def finished(self, repair: bool = False) -> set[str]:
        """Return the keys of all finished cells; `repair` as in `tables`."""
        return {key for table in self.tables(repair) for key in table.keys}

    def clean(self) -> None:
        """Remove what processes that were killed left half-written; for who holds the folder."""
        for folder in (self.out, self.cells, self.failures):
            for path in folder.glob(".*.part"):
                path.unlink(missing_ok=True)

    def pack(self, least: int = _FULL) -> None:
        """Join the small files, if there are many: ten thousand files would take a minute to open.

        The new file is there before the old ones go, so no cell is ever missing.
        """
        small = [path for path in self.cells.glob("[!.]*.nc") if _n_cells(path) < _FULL]
        if len(small) < least:
            return
        tables, joined = [], []
        seen: set[str] = set()
        for path in sorted(small):
            # A damaged one stays for who looks for those.
            with suppress(DamagedError, FileNotFoundError):
                tables.append(_unseen(read_cells(path), seen))
                joined.append(path)
        if not seen:
            return
        self.save(CellTable.join(tables))
        for path in joined:
            path.unlink(missing_ok=True)

    def record_failure(self, key: str, cell: str, status: str, attempt: Mapping[str, Any]) -> None:
        """Add one failed attempt to what is known of a cell."""
        path = self.failures / f"{key}.json"
        known = self._failure(path)
        content = {"key": key, "cell": cell, "status": status, "attempts": [*known.get("attempts", []), attempt]}
        write_durably(path, lambda file: file.write(json.dumps(content, indent=2).encode()))

    def failed(self) -> dict[str, dict[str, Any]]:
        """Return what is known of every cell that ever failed, by key; some of them may be finished by now."""
        return {path.stem: self._failure(path) for path in sorted(self.failures.glob("[!.]*.json"))}

    @staticmethod
    def _failure(path: Path) -> dict[str, Any]:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def free_bytes(self) -> int:
        """Return the space on the disk of the folder, or of the first folder above it that is there."""
        place = next(path for path in (self.out, *self.out.absolute().parents) if path.exists())
        return shutil.disk_usage(place).free


def _unseen(table: CellTable, seen: set[str]) -> CellTable:
    """Return the rows of cells that were not seen before, which then are: two processes may have run the same cell."""
    new = []
    for i, key in enumerate(table.keys):
        if key not in seen:
            seen.add(key)
            new.append(i)
    return table if len(new) == len(table.keys) else table.rows(new)


def _n_cells(path: Path) -> int:
    """Return the number of cells of a file, which its name has."""
    part = path.stem.split("-")
    return int(part[1]) if len(part) == 3 and part[1].isdigit() else 1
