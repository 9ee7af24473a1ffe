"""Open a finished run, lazily."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bimu_hw.errors import RunError, SchemaError
from bimu_hw.record.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    import xarray as xr

#: Name of the record in a run's folder.
RUN_FILE = "run.nc"


def open_run(path: str | Path) -> xr.DataTree:
    """Open the record of a run; data are read from disk when they are used.

    Parameters
    ----------
    path : str or Path
        The run's folder, or its ``run.nc``.

    Returns
    -------
    xarray.DataTree
        Groups ``queries``, ``layer_0`` and so on, ``tasks``, ``freezing``, ``ledger``, ``resources``; provenance in
        ``attrs``.
        The file stays open until ``.close()`` or the end of a ``with`` block.

    Raises
    ------
    RunError
        If there is no such file, or it cannot be read as NetCDF-4.
    SchemaError
        If it is not a run, or one of another schema version.

    Examples
    --------
    >>> with open_run("out") as run:  # doctest: +SKIP
    ...     run["queries/energy"].mean("query")
    """
    # xarray takes seconds to import where disks are slow; commands that open no run should not wait for it.
    import xarray as xr

    file = Path(path)
    if file.is_dir():
        file = file / RUN_FILE
    if not file.is_file():
        raise RunError(f"{file}: no such file; give the folder of a finished run, or its {RUN_FILE}.")
    try:
        # No recorded variable is a date, whatever its units look like.
        tree = xr.open_datatree(file, engine="h5netcdf", decode_times=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise RunError(f"{file}: cannot be read as NetCDF-4 ({_first_line(error)}).") from error
    version = tree.attrs.get("schema_version")
    if version == SCHEMA_VERSION:
        return tree
    tree.close()
    if version is None:
        raise SchemaError(f"{file}: is not a run of bimu-hw (it has no attribute 'schema_version').")
    writer = tree.attrs.get("bimu_hw_version", "unknown")
    raise SchemaError(
        f"{file}: has schema version {version}, written by bimu-hw {writer}; this one reads version {SCHEMA_VERSION}: "
        "open it with the version that wrote it, or run the scenario again."
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
