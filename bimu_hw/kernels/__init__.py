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

import numpy as np
import numpy.typing as npt


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


def _allow_many_arrays() -> None:
    """Let LLVM vectorise loops over more than a few arrays: it checks at run time that none overlaps another.

    By default it gives up where more than eight pairs had to be compared.
    """
    from llvmlite import binding

    binding.set_option("bimu_hw", "-runtime-memory-check-threshold=64")


_use_full_vector_width()
_allow_many_arrays()

import numba  # noqa: E402

#: Fused multiply-add and signless zero; never `reassoc`, which would let sums change order.
FLOAT_FLAGS = {"contract", "nsz", "arcp"}


def jit(function: Callable[..., Any] | None = None, *, borrowed: bool = False, **options: Any) -> Any:
    """Compile a kernel with the settings of the house; keyword options go to `numba.njit`.

    Parameters
    ----------
    function : callable
    borrowed : bool
        For kernels that cut arrays into short pieces and call helpers on them: the pieces are not reference-counted,
        which would take as long as the work on a block. They and their helpers allocate nothing and return no array.
    """
    settings: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": FLOAT_FLAGS}
    if borrowed:
        settings["_nrt"] = False
    settings.update(options)
    return numba.njit(**settings) if function is None else numba.njit(**settings)(function)


def inline(function: Callable[..., Any] | None = None, *, borrowed: bool = False) -> Any:
    """Compile a helper that LLVM copies into its callers; `borrowed` as in `jit`."""
    settings: dict[str, Any] = {"error_model": "numpy", "fastmath": FLOAT_FLAGS, "inline": "never", "forceinline": True}
    if borrowed:
        settings["_nrt"] = False
    return numba.njit(**settings) if function is None else numba.njit(**settings)(function)


def aligned_zeros(shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """Return zeros that begin on a cache line: a 512-bit access that crosses two of them takes twice as long."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)
