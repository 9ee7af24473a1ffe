"""bimu-hw: what a metaplastic binary Bayesian network learns, and what it costs, on a given synaptic device."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def _set_numba_cache() -> None:
    """Give Numba a cache folder of our own, named after a hash of our sources.

    Numba notices an edited file but not an edited file that it imports a kernel from; a stale kernel would silently
    compute the wrong physics. The hash in the folder's name cures that, and a private folder works for read-only
    installations too. A folder the user chose, or Numba imported before us, is left alone.
    """
    if "NUMBA_CACHE_DIR" in os.environ or "numba" in sys.modules:
        return
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for folder in (package / "kernels", package.parent / "device_models"):
        for path in sorted(folder.glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    os.environ["NUMBA_CACHE_DIR"] = str(Path(base) / "bimu_hw" / f"kernels-{digest.hexdigest()[:16]}")


_set_numba_cache()

#: Public names and where they live; imported when first used, so that ``import bimu_hw`` stays quick.
_PUBLIC = {
    "load_scenario": "bimu_hw.scenario",
    "make_scenario": "bimu_hw.scenario",
    "run_scenario": "bimu_hw.run",
    "open_run": "bimu_hw.analysis",  # which also puts the accessor `.bimu` on what it opens
    "load_card": "bimu_hw.cards",
    "shipped_cards": "bimu_hw.cards",
    "bimu_delta": "bimu_hw.learning",
    "bayesbinn_delta": "bimu_hw.learning",
    "loss_and_grad": "bimu_hw.learning",
    "uncertainty": "bimu_hw.learning",
    "pulse_response": "bimu_hw.report.characterise_storage",
    "level_distributions": "bimu_hw.report.characterise_storage",
    "sampler_response": "bimu_hw.report.sampler",
    "telegraph": "bimu_hw.report.characterise_sampler",
    "solve_ir_drop": "bimu_hw.crossbar.ir_drop",
    "plot_sigmoid": "bimu_hw.analysis",
    "plot_pulse_response": "bimu_hw.analysis",
    "plot_ir_drop": "bimu_hw.analysis",
    "read_pulses": "bimu_hw.fitting",
    "fit_pulses": "bimu_hw.fitting",
    "fitted_card": "bimu_hw.fitting",
}

__all__ = ["__version__", *_PUBLIC]


def _version() -> str:
    # Imported when it is asked for: it takes more time than all the rest of `import bimu_hw`.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("bimu-hw")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
