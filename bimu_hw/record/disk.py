"""Everything that touches the disk: snapshots on their way, and the file of a run, written whole or not at all."""

from __future__ import annotations

import errno
import gc
import io
import os
import signal
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from bimu_hw.errors import DamagedError, RunError, SchemaError, did_you_mean
from bimu_hw.record.schema import Var, validate

if TYPE_CHECKING:
    import xarray as xr


class Spool:
    """Snapshots of one layer, each variable in a file of its own as one growing array ``[snapshot, ...]``.

    Parameters
    ----------
    variables : dict of str to Var
    shape : tuple of int
        (wordline, bitline, device).
    folder : str or Path or None
        Where the files live; None: where the system keeps temporary ones.
    name : str
        Names the files, which outlive the process, so that a run can be resumed. Empty: they have no names, and vanish
        with the process.
    """

    def __init__(
        self, variables: dict[str, Var], shape: tuple[int, int, int], folder: str | Path | None, name: str = ""
    ) -> None:
        self.variables = variables
        self._sizes = dict(zip(("wordline", "bitline", "device"), shape, strict=True))
        self._folder = folder
        self._name = name
        self._n = self._n_durable = 0
        self._files: dict[str, io.FileIO] = {}

    def state(self) -> int:
        """Return the number of snapshots, all of which are on the disk when this returns."""
        if self._n > self._n_durable:
            for file in self._files.values():
                os.fsync(file.fileno())
            self._n_durable = self._n
        return self._n

    def restore(self, n: int) -> None:
        """Go on behind the first `n` snapshots that a run of the same name left, and forget the others.

        Raises
        ------
        DamagedError
            If there are fewer.
        """
        for name, var in self.variables.items() if n else ():
            path = self._path(name)
            size = n * self._nbytes(var)
            if not path.is_file() or path.stat().st_size < size:
                raise DamagedError(f"{path}: is missing, or shorter than the checkpoint says.")
            file = self._files[name] = self._keep(io.FileIO(path, "r+"))
            file.truncate(size)
            file.seek(size)
        self._n = self._n_durable = n

    def append(self, values: Mapping[str, Any], where: str) -> None:
        """Write one snapshot behind the others; see `bimu_hw.record.writer.RunRecorder.snapshot`.

        Raises
        ------
        SchemaError
            If a variable is missing, unknown or of another shape.
        RunError
            If the disk is full or the file cannot be written.
        """
        for name in values:
            if name not in self.variables:
                raise SchemaError(f"{where}, {name!r}: not in the schema. {did_you_mean(name, self.variables)}")
        for name, var in self.variables.items():
            if name not in values:
                raise SchemaError(f"{where}: {name!r} is missing ({var.long_name}).")
        arrays = {name: self._shaped(values[name], var, f"{where}, {name}") for name, var in self.variables.items()}
        try:
            for name, array in arrays.items():
                if name not in self._files:
                    self._files[name] = self._new_file(name)
                _write_all(self._files[name].write, array.data)
        except OSError as error:
            raise RunError(_disk_sentence(self._folder or tempfile.gettempdir(), error)) from error
        self._n += 1

    def _path(self, variable: str) -> Path:
        return Path(self._folder or ".") / f"{self._name}.{variable}"

    def _new_file(self, variable: str) -> io.FileIO:
        if self._name:
            return self._keep(io.FileIO(self._path(variable), "w+"))
        return self._keep(tempfile.TemporaryFile(buffering=0, dir=self._folder))  # type: ignore[arg-type]

    def _keep(self, file: io.FileIO) -> io.FileIO:
        weakref.finalize(self, file.close)
        return file

    def _nbytes(self, var: Var) -> int:
        return int(np.prod(self._shape(var))) * np.dtype(var.dtype).itemsize

    def _shape(self, var: Var) -> tuple[int, ...]:
        return tuple(self._sizes[d] for d in var.dims if d != "snapshot")

    def _shaped(self, value: Any, var: Var, where: str) -> npt.NDArray[Any]:
        array = var.cast(value, where)
        shape = self._shape(var)
        flat = (int(np.prod(shape[:2])), *shape[2:]) if shape else ()
        alone = {(*shape, 1), (*flat, 1)} if len(shape) == 2 else set()
        if array.shape not in {shape, flat, *alone}:
            raise SchemaError(f"{where}: has shape {array.shape}; expected {shape} or {flat}.")
        return np.ascontiguousarray(array).reshape(shape)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Map the files into memory, read-only."""
        if self._n == 0:
            return {name: np.zeros((0, *self._shape(v)), v.dtype) for name, v in self.variables.items()}
        return {
            name: np.memmap(self._files[name], v.dtype, "r", shape=(self._n, *self._shape(v)))  # type: ignore[call-overload]
            for name, v in self.variables.items()
        }


def write_run(tree: xr.DataTree, path: str | Path) -> None:
    """Write a record to disk: the whole file appears under its name, or nothing does.

    Equal records give equal bytes. Ctrl-C is obeyed, at the end of the writing, and leaves no file.

    Parameters
    ----------
    tree : xarray.DataTree
        From `RunRecorder.finish`.
    path : str or Path
        Replaced if it exists; its folder must exist.

    Raises
    ------
    SchemaError
        If the tree breaks the schema.
    RunError
        If the disk is full or the file cannot be written.
    """
    validate(tree)
    write_netcdf(tree, path, _encoding(tree))


def write_netcdf(data: xr.DataTree | xr.Dataset, path: str | Path, encoding: Mapping[str, Any]) -> None:
    """Write a tree or a dataset, whole or not at all, as `write_run` does; `encoding` is xarray's.

    Raises
    ------
    RunError
        If the disk is full or the file cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _interrupt_held_back(), _no_collection(), _DiskFile(part, "w+") as file:
            try:
                data.to_netcdf(file, engine="h5netcdf", encoding=encoding)  # type: ignore[arg-type, call-overload]
            except Exception:
                if file.error is None:
                    raise
            if file.error is not None:
                raise file.error
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    except OSError as error:
        raise RunError(_disk_sentence(path, error)) from error
    finally:
        part.unlink(missing_ok=True)


def write_durably(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a file that appears under its name when it is complete and on the disk, or not at all.

    Raises
    ------
    RunError
        If the disk is full or the file cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    except OSError as error:
        raise RunError(_disk_sentence(path, error)) from error
    finally:
        part.unlink(missing_ok=True)


class _DiskFile(io.FileIO):
    """A file that keeps its first write error to itself and goes on in memory.

    HDF5 cannot close a file whose last writes fail, and then crashes the interpreter (h5py/h5py#914); nor does it
    survive reading back something else than it wrote. So from the first error on, what it writes is kept in blocks
    that lie over the file, it closes in peace, and the error is raised afterwards.
    """

    error: OSError | None = None
    _BLOCK = 1 << 16

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._blocks: dict[int, bytearray] = {}
        self._size = 0

    def write(self, data: Any, /) -> int:
        view, start = memoryview(data).cast("B"), self.tell()
        if self.error is None:
            try:
                _write_all(super().write, view)
                return len(view)
            except OSError as error:
                self._size = max(super().seek(0, os.SEEK_END), start)
                self.error = error
        for block, inside, part in self._pieces(start, view):
            self._block(block)[inside : inside + len(part)] = part
        self._size = max(self._size, start + len(view))
        super().seek(start + len(view))
        return len(view)

    def readinto(self, buffer: Any, /) -> int:
        if self.error is None:
            return super().readinto(buffer)
        start = self.tell()
        view = memoryview(buffer).cast("B")[: max(0, self._size - start)]
        for block, inside, part in self._pieces(start, view):
            part[:] = self._block(block)[inside : inside + len(part)]
        super().seek(start + len(view))
        return len(view)

    def _pieces(self, start: int, view: memoryview) -> Iterator[tuple[int, int, memoryview]]:
        """Cut a stretch of bytes at the borders of blocks: number of the block, place in it, bytes."""
        done = 0
        while done < len(view):
            block, inside = divmod(start + done, self._BLOCK)
            length = min(self._BLOCK - inside, len(view) - done)
            yield block, inside, view[done : done + length]
            done += length

    def _block(self, number: int) -> bytearray:
        """Return a block as it lies over the file, first filled with what the file holds there."""
        if number not in self._blocks:
            super().seek(number * self._BLOCK)
            held = super().read(self._BLOCK)
            self._blocks[number] = bytearray(held) + bytearray(self._BLOCK - len(held))
        return self._blocks[number]

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if self.error is not None and whence == os.SEEK_END:
            return super().seek(self._size + offset)
        return super().seek(offset, whence)

    def truncate(self, size: int | None = None, /) -> int:
        size = self.tell() if size is None else size
        if self.error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self._size = super().seek(0, os.SEEK_END)
                self.error = error
        self._size = size
        return size


def _write_all(write: Any, data: memoryview) -> None:
    view = memoryview(data).cast("B")
    while view:
        view = view[write(view) :]


@contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """Deliver Ctrl-C at the end of the block: raised inside HDF5's callbacks it would do what a full disk does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)
    held: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if previous is None else previous)
        if held:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector out: HDF5 calls our file's methods, and to close another HDF5 object in there crashes.

    Such objects lie about in reference cycles wherever records were opened.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system lets a folder be opened."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _disk_sentence(path: str | Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: the disk is full; free some space or choose another output folder, then run again."
    return f"{path}: cannot be written ({error.strerror or error}); check the output folder, then run again."


#: Target size of a chunk on disk, in bytes: whole snapshots (or rows), as many as fit.
_CHUNK_BYTES = 1 << 20
#: A smaller array is stored as it is: the index of its chunks would take more than compression saves.
_SMALL_BYTES = 1 << 13


def _encoding(tree: xr.DataTree) -> dict[str, dict[str, dict[str, Any]]]:
    """Choose compression: fast for states, whose bits hardly compress, thorough for the rest."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for node in tree.subtree:
        found[node.path] = {}
        for name, var in node.to_dataset(inherit=False).variables.items():
            if var.dtype.kind in "OUT":
                continue
            how: dict[str, Any] = {"_FillValue": None}
            if var.nbytes >= _SMALL_BYTES:
                state = var.dims[0] == "snapshot"
                row = max(1, var.nbytes // var.shape[0])
                how |= {"zlib": True, "shuffle": True, "complevel": 1 if state else 4}
                how["chunksizes"] = (min(var.shape[0], max(1, _CHUNK_BYTES // row)), *var.shape[1:])
            found[node.path][str(name)] = how
    return found
