"""Open a finished run, lazily."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

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


def lam_from_record(
    path: str | Path, shapes: Sequence[tuple[int, int]] | None = None
) -> list[npt.NDArray[np.float32]]:
    """Return what a finished run has learned: the natural parameters of its last snapshot.

    Parameters
    ----------
    path : str or Path
        The run's folder, or its ``run.nc``.
    shapes : sequence of (int, int), optional
        ``(wordlines, bitlines)`` of each layer of the network that is to have them; any if not given.

    Returns
    -------
    list of float32[wordline, bitline]
        One array per layer.

    Raises
    ------
    RunError
        If there is no such file, it holds no states, its network has other layers, or a natural parameter is not
        finite.
    SchemaError
        If it is not a run, or one of another schema version.
    """
    with open_run(path) as tree:
        names = sorted((name for name in tree.children if name.startswith("layer_")), key=lambda name: int(name[6:]))
        if not names or not all(tree[name].sizes["snapshot"] for name in names):
            raise RunError(f"{path}: holds no states to start from; run it with record.state = true.")
        lams = [np.asarray(tree[name]["lam"].isel(snapshot=-1).values, np.float32) for name in names]
    for k, lam in enumerate(lams):
        if not np.isfinite(lam).all():
            raise RunError(f"{path}, layer_{k}/lam: holds values that are not finite; start from another run.")
    found = [lam.shape for lam in lams]
    wanted = found if shapes is None else [tuple(int(n) for n in shape) for shape in shapes]
    if found != wanted:
        words = [" and ".join(f"{m} x {n}" for m, n in layers) or "none" for layers in (found, wanted)]
        raise RunError(f"{path}: has layers of {words[0]} synapses; this network needs {words[1]}.")
    return lams


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
