"""Writing a record in a process that has other HDF5 objects lying about."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import xarray as xr

from bimu_hw.errors import RunError
from bimu_hw.record import disk, write_run


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("full", [True, False])
def test_no_garbage_is_collected_inside_hdf5(enabled, full, tmp_path, monkeypatch):
    """A collection inside a callback of HDF5 may close another file's objects, and HDF5 crashes the interpreter."""
    seen = []

    def write_all(write, data):
        seen.append(gc.isenabled())
        if full and len(seen) > 3:
            raise OSError(28, "No space left on device")
        real(write, data)

    real = disk._write_all
    monkeypatch.setattr(disk, "_write_all", write_all)
    monkeypatch.setattr(disk, "validate", lambda tree: None)
    tree = xr.DataTree(xr.Dataset({"x": ("snapshot", np.arange(5000.0))}))
    was = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        if full:
            with pytest.raises(RunError, match="disk is full"):
                write_run(tree, tmp_path / "run.nc")
        else:
            write_run(tree, tmp_path / "run.nc")
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if was else gc.disable)()
    assert len(seen) > 3
    assert not any(seen)
