"""What several test files share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# Before anything imports matplotlib: no test needs a display.
os.environ["MPLBACKEND"] = "Agg"

# A shell that starts the tests in the background has them, and whatever they start, ignore interrupts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def short_run(tmp_path_factory) -> Path:
    """Return the folder of a short run of the quickstart, which nobody changes."""
    import bimu_hw

    options = ("stream.examples=300", "stream.tasks=2", "evaluation.examples=40", "record.snapshots=75")
    scenario = bimu_hw.load_scenario(Path(__file__).parents[1] / "scenarios" / "quickstart.toml", options)
    out = tmp_path_factory.mktemp("short_run") / "run"
    return bimu_hw.run_scenario(scenario, out, progress=False).path


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """Return the folder named by BIMU_DATA_DIR, if it holds MNIST; skip the test otherwise."""
    name = os.environ.get("BIMU_DATA_DIR")
    if not name:
        pytest.skip("BIMU_DATA_DIR is not set: MNIST is not at hand")
    folder = Path(name)
    for place in (folder / "mnist", folder):
        if any((place / f"train-images-idx3-ubyte{end}").is_file() for end in ("", ".gz")):
            return folder
    pytest.skip(f"BIMU_DATA_DIR={name} does not hold MNIST")
