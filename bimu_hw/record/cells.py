"""What the finished cells of a sweep gave: a table with a row per cell, in a NetCDF-4 file that is whole or not there.

Many sweeps have thousands of cells, so a file holds any number of them, and opening it costs a few milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.errors import DamagedError
from bimu_hw.record.disk import write_durably
from bimu_hw.record.schema import SCHEMA_VERSION


@dataclass(frozen=True)
class CellTable:
    """Rows of cells.

    Attributes
    ----------
    keys : list of str
        The key of each cell.
    numbers : dict of str to float64[cell]
    tasks : dict of str to float64[cell, task]
        NaN beyond the tasks that a cell has.
    texts : dict of str to list of str
        Where the numbers come from: versions, processor.
    units : dict of str to str
        Of numbers and of numbers per task, by name.
    """

    keys: list[str]
    numbers: dict[str, npt.NDArray[np.float64]]
    tasks: dict[str, npt.NDArray[np.float64]]
    texts: dict[str, list[str]]
    units: dict[str, str]

    @staticmethod
    def of(
        key: str, numbers: Mapping[str, float], tasks: Mapping[str, npt.ArrayLike], texts: Mapping[str, str],
        units: Mapping[str, str],
    ) -> CellTable:  # fmt: skip
        """Return the table of one cell."""
        return CellTable(
            [key],
            {name: np.array([value], np.float64) for name, value in numbers.items()},
            {name: np.asarray(values, np.float64)[None] for name, values in tasks.items()},
            {name: [text] for name, text in texts.items()},
            dict(units),
        )

    @staticmethod
    def join(tables: Sequence[CellTable]) -> CellTable:
        """Return all rows in one table; NaN, or an empty text, where a table has no such column."""
        n = sum(len(table.keys) for table in tables)
        n_tasks = max((_n_tasks(table) for table in tables), default=0)
        numbers = {name: np.full(n, np.nan) for name in _names(tables, "numbers")}
        tasks = {name: np.full((n, n_tasks), np.nan) for name in _names(tables, "tasks")}
        texts = {name: [""] * n for name in _names(tables, "texts")}
        start = 0
        for table in tables:
            rows = slice(start, start + len(table.keys))
            for name, column in table.numbers.items():
                numbers[name][rows] = column
            for name, block in table.tasks.items():
                tasks[name][rows, : block.shape[1]] = block
            for name, words in table.texts.items():
                texts[name][rows] = words
            start = rows.stop
        units = {name: unit for table in tables for name, unit in table.units.items()}
        return CellTable([key for table in tables for key in table.keys], numbers, tasks, texts, units)

    def rows(self, chosen: Sequence[int]) -> CellTable:
        """Return some of the rows."""
        index = np.asarray(chosen, np.int64)
        return CellTable(
            [self.keys[i] for i in chosen],
            {name: column[index] for name, column in self.numbers.items()},
            {name: block[index] for name, block in self.tasks.items()},
            {name: [words[i] for i in chosen] for name, words in self.texts.items()},
            self.units,
        )

    def digest(self) -> str:
        """Return the SHA-256 (hexadecimal) of all that the table holds."""
        found = hashlib.sha256("\n".join(self.keys).encode())
        for columns in (self.numbers, self.tasks):
            for name, values in sorted(columns.items()):
                found.update(f"\0{name}{values.shape}".encode() + np.ascontiguousarray(values, "<f8").tobytes())
        for name, words in sorted(self.texts.items()):
            found.update(f"\0{name}\0".encode() + "\n".join(words).encode())
        return found.hexdigest()


def _names(tables: Sequence[CellTable], part: str) -> list[str]:
    return sorted({name for table in tables for name in getattr(table, part)})


def write_cells(table: CellTable, path: Path) -> None:
    """Write a table: the whole file appears under its name, on the disk, or nothing does.

    Parameters
    ----------
    table : CellTable
    path : Path
        Replaced if it exists; its folder must exist.

    Raises
    ------
    RunError
        If the disk is full or the file cannot be written.
    """
    image = _image(table)
    write_durably(path, lambda file: file.write(image))


def _image(table: CellTable) -> bytes:
    """Return the bytes of the file.

    Through h5py, six times as fast as h5netcdf for a hundred small variables; and in memory, so that no error of the
    disk meets HDF5. A netCDF dimension without values is a scale with this name.
    """
    import h5py

    sizes = {"cell": len(table.keys)} | ({"task": n} if (n := _n_tasks(table)) else {})
    with h5py.File("cells", "w", driver="core", backing_store=False, libver="latest") as file:
        scales = {}
        for number, (name, size) in enumerate(sizes.items()):
            scale = scales[name] = file.create_dataset(name, data=np.zeros(size, ">f4"))
            scale.make_scale(f"This is a netCDF dimension but not a netCDF variable.{size:10d}")
            scale.attrs["_Netcdf4Dimid"] = np.int32(number)
        text = h5py.string_dtype()
        texts = {"cell_key": table.keys, **table.texts}
        columns = {name: np.array(words, object) for name, words in texts.items()}
        for name, data in {**columns, **table.numbers, **table.tasks}.items():
            variable = file.create_dataset(name, data=data, dtype=text if data.dtype == object else "<f8")
            for axis, dim in enumerate(("cell", "task")[: data.ndim]):
                variable.dims[axis].attach_scale(scales[dim])
            if name in table.units:
                variable.attrs["units"] = table.units[name]
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["digest"] = table.digest()
        file.flush()
        return file.id.get_file_image()


def _n_tasks(table: CellTable) -> int:
    return max((block.shape[1] for block in table.tasks.values()), default=0)


def read_cells(path: Path) -> CellTable:
    """Read a table of cells, all of it.

    Raises
    ------
    DamagedError
        If it is not what was written.
    FileNotFoundError
        If it is not there: another process may have joined it with others.
    """
    import h5py

    numbers: dict[str, Any] = {}
    tasks: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    units: dict[str, str] = {}
    try:
        with h5py.File(path, "r") as file:
            wanted = file.attrs["digest"]
            keys = _words(file["cell_key"])
            for name, variable in file.items():
                if name in ("cell_key", "cell", "task"):
                    continue
                if h5py.check_string_dtype(variable.dtype):
                    texts[name] = _words(variable)
                else:
                    (numbers if variable.ndim == 1 else tasks)[name] = np.asarray(variable[()], np.float64)
                    units[name] = str(variable.attrs["units"])
    except FileNotFoundError:
        raise
    # A damaged file makes HDF5 raise nearly anything.
    except Exception as error:
        raise DamagedError(f"{path}: cannot be read ({type(error).__name__}).") from error
    table = CellTable(keys, numbers, tasks, texts, units)
    if table.digest() != wanted:
        raise DamagedError(f"{path}: does not hold what was written.")
    return table


def _words(variable: Any) -> list[str]:
    return [word.decode() if isinstance(word, bytes) else str(word) for word in variable[()]]
