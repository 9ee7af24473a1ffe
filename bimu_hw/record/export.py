"""Hand the state of a run's arrays to other programs: conductances as .npz or CSV, one file per layer and device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bimu_hw.errors import RunError
from bimu_hw.record.reader import open_run

#: What an .npz holds of a layer besides its conductances, where the run recorded it.
_ALONG = ("lam", "level", "fault")


def export_conductances(run: str | Path, out: str | Path, form: str = "npz", snapshot: int = -1) -> list[Path]:
    """Write the conductances of every layer of a run; `device.conductance_map` of a scenario takes the files.

    Parameters
    ----------
    run : str or Path
        The run's folder, or its ``run.nc``.
    out : str or Path
        Folder for the files; made if it does not exist.
    form : {"npz", "csv"}
        ``layer_k.npz`` with the arrays ``conductance`` ([wordline, bitline] or [wordline, bitline, device], in
        siemens), ``unit``, ``lam``, ``level`` and ``fault``; or ``layer_k.csv`` with the unit in the first line and
        one row per word line (``layer_k_device_j.csv`` where a cell is a pair).
    snapshot : int
        Which recorded state; -1 is the last.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    RunError
        If there is no such run or state, or the run recorded none.
    SchemaError
        If it is not a run, or one of another schema version.
    """
    layers: list[dict[str, npt.NDArray[np.generic]]] = []
    with open_run(run) as tree:
        names = sorted((name for name in tree.children if name.startswith("layer_")), key=lambda name: int(name[6:]))
        if not names:
            raise RunError(f"{run}: holds no states; run it with record.state = true.")
        n = tree[names[0]].sizes["snapshot"]
        if not -n <= snapshot < n:
            raise RunError(f"{run}, snapshot {snapshot}: there are {n} states; allowed are {-n} to {n - 1}.")
        for name in names:
            state = tree[name].to_dataset().isel(snapshot=snapshot)
            layers.append({key: state[key].values for key in ("conductance", *_ALONG) if key in state})
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, arrays in zip(names, layers, strict=True):
        if form == "npz":
            written.append(folder / f"{name}.npz")
            np.savez(written[-1], unit=np.array("S"), **arrays)  # type: ignore[arg-type]
            continue
        conductance = np.atleast_3d(arrays["conductance"])
        pair = conductance.shape[2] > 1
        for device in range(conductance.shape[2]):
            written.append(folder / (f"{name}_device_{device}.csv" if pair else f"{name}.csv"))
            rows = [",".join(np.format_float_scientific(g, trim="0") for g in row) for row in conductance[:, :, device]]
            written[-1].write_text("\n".join(["# unit: S", *rows]) + "\n", encoding="utf-8")
    return written
