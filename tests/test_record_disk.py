"""Writing a record in a process that has other HDF5 objects lying about."""

from __future__ import annotations

import errno
import gc
from pathlib import Path

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


def test_after_a_failed_write_the_file_still_reads_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a plain array of bytes: HDF5 crashes on anything else than it wrote."""
    rng = np.random.default_rng(3)
    with disk._DiskFile(tmp_path / "part", "w+") as file:
        monkeypatch.setattr(disk._DiskFile, "_BLOCK", 97)
        twin = bytearray()

        def write(start: int, data: bytes) -> None:
            file.seek(start)
            assert file.write(data) == len(data)
            twin.extend(bytes(max(0, start + len(data) - len(twin))))
            twin[start : start + len(data)] = data

        def fail(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        for step in range(400):
            write(int(rng.integers(3000)), rng.bytes(int(rng.integers(1, 400))))
            if step == 150:
                monkeypatch.setattr(disk, "_write_all", fail)
            start, wanted = int(rng.integers(3500)), bytearray(int(rng.integers(1, 500)))
            file.seek(start)
            n = file.readinto(wanted)
            assert bytes(wanted[:n]) == bytes(twin[start : start + len(wanted)])
            assert file.tell() == start + n
            assert file.seek(0, 2) == len(twin)
        assert file.error is not None
        assert file.error.errno == errno.ENOSPC
