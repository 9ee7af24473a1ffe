"""A stranger's NumPy archive, read with suspicion: no pickles, and one sentence for whatever is wrong with it."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from bimu_hw.errors import DataError

#: What NumPy and zipfile raise on archives that are damaged, encrypted, compressed in an unknown way, or announce more
#: than fits the memory.
_DAMAGES = (
    OSError, ValueError, TypeError, EOFError, RuntimeError, MemoryError, OverflowError, LookupError, SyntaxError,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a NumPy archive by name; nothing in the file is ever executed.

    Raises
    ------
    DataError
        If there is no such file, it is damaged or no archive, or holds something else than arrays of numbers.
    """
    try:
        # Opened here: given a name, numpy.load leaves a damaged archive open.
        with open(path, "rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise DataError(f"{path}: holds one bare array; write an archive with numpy.savez.")
            with loaded:
                return {key: _member(loaded, key, path) for key in loaded.files}
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except DataError:
        raise
    except _DAMAGES as error:
        raise DataError(f"{path}: not a readable .npz archive ({_brief(error)}).") from None


def _member(archive: np.lib.npyio.NpzFile, key: str, path: Path) -> np.ndarray:
    try:
        member = archive[key]
    except ValueError as error:
        raise DataError(
            f"{path}, {key}: cannot be read ({_brief(error)}); pickled objects are refused, arrays of numbers are "
            f"allowed."
        ) from None
    if not isinstance(member, np.ndarray):
        raise DataError(f"{path}, {key}: is no array; write the archive with numpy.savez.")
    return member


def _brief(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split()).rstrip(".")
