"""Checkpoints: the state of a run in one file, from which the run goes on to the same bits.

A checkpoint is an ``.npz`` file: arrays, and a header in JSON for everything else. It holds no code and no pickled
object, every array has a checksum, and the file appears under its name only when it is complete and on the disk. It
says what it belongs to (scenario, versions, processor, sources, data), and a run that is anything else refuses it.
Random numbers need no state (`bimu_hw.random`).
"""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bimu_hw.errors import DamagedError, RunError
from bimu_hw.record import write_durably

#: Raised whenever the content of a checkpoint changes its meaning.
CHECKPOINT_VERSION = 3

_KEPT = 2
#: Writing takes at most this share of the time.
_SHARE = 0.02
_ARRAY = "$array"
#: What reading a damaged file can raise.
_DAMAGE = (
    OSError, EOFError, ValueError, KeyError, IndexError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip

State = Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run: at most two, written at most every so often.

    Parameters
    ----------
    folder : Path
    identity : mapping of str to str or int
        What the run is; a checkpoint of anything else is refused.
    interval : float
        Least time between two, in seconds. Where writing is slow the time is longer, so that it takes at most a
        fiftieth of the run. 0: whenever asked.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], interval: float) -> None:
        self._folder = folder
        self._identity = dict(identity)
        self._interval = interval
        self._next = time.monotonic() + interval

    def offer(self, state: Callable[[], State]) -> None:
        """Write a checkpoint if it is time.

        Parameters
        ----------
        state : callable
            Returns numbers, texts, arrays, and lists and dicts of these (arrays not inside lists).

        Raises
        ------
        RunError
            If the disk is full.
        """
        begin = time.monotonic()
        if begin < self._next:
            return
        numbers = [_number(path) for path in self._files()]
        write_checkpoint(self._folder / f"checkpoint-{max(numbers, default=0) + 1}.npz", state(), self._identity)
        for path in self._files()[_KEPT:]:
            path.unlink()
        end = time.monotonic()
        self._next = end + max(self._interval, (end - begin) / _SHARE if self._interval else 0.0)

    def restore(self, take_over: Callable[[State], None], tell: Callable[[str], None]) -> bool:
        """Hand the newest checkpoint that is whole to `take_over`; return whether there was any.

        Parameters
        ----------
        take_over : callable
            Raises `DamagedError` if the files that belong to the state are not what they were.
        tell : callable
            Is told, in a sentence, of a checkpoint that could not be used.

        Raises
        ------
        RunError
            If none can be read, or the newest belongs to another scenario, version, machine or data set.
        """
        files = self._files()
        for path in files:
            try:
                state, identity = read_checkpoint(path)
                self._check_identity(path, identity)
                take_over(state)
                return True
            except DamagedError as error:
                if path == files[-1]:
                    raise RunError(f"{error} There is no other; start again with run --overwrite.") from error
                tell(f"{error} The one before it is used.")
                path.unlink()
        return False

    def _files(self) -> list[Path]:
        """Return the files, newest first."""
        return sorted(self._folder.glob("checkpoint-*.npz"), key=_number, reverse=True)

    def _check_identity(self, path: Path, identity: Mapping[str, Any]) -> None:
        for name, here in self._identity.items():
            there = identity.get(name)
            if there != here:
                raise RunError(
                    f"{path.parent.parent}: cannot be resumed with the same bits: {name.replace('_', ' ')} was "
                    f"{_short(there)} and is {_short(here)} now; restore what it was, or start again with "
                    "run --overwrite."
                )


def _number(path: Path) -> int:
    text = path.stem.rpartition("-")[2]
    return int(text) if text.isdecimal() else 0


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:20]}..."


def write_checkpoint(path: Path, state: State, identity: Mapping[str, Any]) -> None:
    """Write a state to a file that is there in full or not at all.

    Raises
    ------
    RunError
        If the disk is full or the file cannot be written.
    """
    arrays: dict[str, np.ndarray] = {}
    header = {"version": CHECKPOINT_VERSION, "identity": dict(identity), "state": _take_out(state, arrays)}
    arrays["header"] = np.frombuffer(json.dumps(header, default=_plain).encode(), np.uint8)

    def write(file: BinaryIO) -> None:
        # What np.savez does, which cannot be told in all versions of NumPy to pickle nothing.
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    write_durably(path, write)


def read_checkpoint(path: Path) -> tuple[State, Mapping[str, Any]]:
    """Return the state in a file and what it belongs to.

    Raises
    ------
    DamagedError
        If the file is not what was written.
    RunError
        If it is of another version of the format.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:
            header = json.loads(content["header"].tobytes())
            version, identity = header["version"], header["identity"]
            if version == CHECKPOINT_VERSION:
                return _put_back(header["state"], content), identity
    except _DAMAGE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DamagedError(f"{path}: is damaged ({reason}).") from error
    raise RunError(
        f"{path}: has checkpoint version {version}, written by bimu-hw {identity.get('bimu_hw_version', 'unknown')}; "
        f"this one reads version {CHECKPOINT_VERSION}: resume with the version that wrote it, or start again with "
        "run --overwrite."
    )


def _take_out(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return a tree with numbers in place of its arrays, which join `arrays`."""
    if isinstance(value, np.ndarray):
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {_ARRAY: name}
    return {key: _take_out(inner, arrays) for key, inner in value.items()} if isinstance(value, Mapping) else value


def _put_back(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    return arrays[value[_ARRAY]] if _ARRAY in value else {key: _put_back(v, arrays) for key, v in value.items()}


def _plain(value: Any) -> Any:
    """Return what JSON can hold of a NumPy number."""
    return value.item()


def source_digest(models: Iterable[str] = ()) -> str:
    """Return the SHA-256 (hexadecimal) of all sources that a run computes with.

    Parameters
    ----------
    models : iterable of str
        Modules of device models, which may come from elsewhere.
    """
    package = Path(__file__).parent
    files = {*package.rglob("*.py"), *_model_files(models)}
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: (path.name, str(path))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _model_files(models: Iterable[str]) -> Iterator[Path]:
    """Yield the files of the models' packages, or of the modules alone where they are in none."""
    for module in models:
        package = module.rpartition(".")[0]
        found = find_spec(package or module)
        if found is None or found.origin is None:
            continue
        origin = Path(found.origin)
        yield from origin.parent.rglob("*.py") if package else (origin,)
