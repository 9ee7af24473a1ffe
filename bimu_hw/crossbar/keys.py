"""Keys of noise, made from other keys."""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import jit
from bimu_hw.kernels.bits import fold


@jit
def _fold(key, word):
    return fold(key, word)


def event_key(base: np.uint64, event: int) -> np.uint64:
    """Return `stream_key(seed, purpose, layer, event)` from the key of the stream without the event."""
    return np.uint64(_fold(base, np.uint64(event)))
