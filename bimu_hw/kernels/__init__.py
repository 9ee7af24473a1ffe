"""Floor 1: pure functions on arrays, compiled by Numba. They know no objects, allocate nothing per cell, never raise.

`jit` is the one decorator of the house: serial, ``nogil`` and cached on disk, with NumPy's error model (a division
needs no zero check, so loops vectorise) and only those floating-point liberties that cannot reorder a sum: fused
multiply-add, and no care for the sign of zero. Bits are therefore the same for any thread count.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any


def _use_full_vector_width() -> None:
    """Let LLVM use 512-bit registers where the processor has them (it prefers 256); worth 1.1 to 1.25 times here.

    A choice the user made, or a Numba that is already loaded, is left alone. The width may change the last bits of
    float32 sums between machines, so runs record the processor's features.
    """
    if "numba" in sys.modules or "NUMBA_CPU_FEATURES" in os.environ or "NUMBA_CPU_NAME" in os.environ:
        return
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        os.environ["NUMBA_CPU_FEATURES"] = f"{features.flatten()},-prefer-256-bit"


_use_full_vector_width()

import numba  # noqa: E402

#: Fused multiply-add and signless zero; never `reassoc`, which would let sums change order.
FLOAT_FLAGS = {"contract", "nsz", "arcp"}


def jit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a kernel with the settings of the house; keyword options go to `numba.njit`."""
    settings: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": FLOAT_FLAGS}
    settings.update(options)
    return numba.njit(**settings) if function is None else numba.njit(**settings)(function)


def inline(function: Callable[..., Any]) -> Any:
    """Compile a scalar helper that LLVM copies into its callers."""
    return numba.njit(error_model="numpy", fastmath=FLOAT_FLAGS, inline="never", forceinline=True)(function)
