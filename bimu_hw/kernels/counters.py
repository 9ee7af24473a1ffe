"""Counters of programming pulses, which a wear model reads and a record shows."""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit

_F = np.float32
_I = np.int32
_MOST = 2**31 - 1


@inline
def add_pulses(pulse_count, count):
    """Return a cell's pulse counter (int32) after an event of `count` pulses: at least one, full at 2**31 - 1.

    Fractions, which only continuous elements receive, are rounded; a count of zero is no event.
    """
    size = abs(count)
    whole = _I(min(size, _F(1e9)) + _F(0.5))
    whole = max(whole, _I(size > _F(0.0)))
    return _I(pulse_count + min(whole, _I(_I(_MOST) - pulse_count)))


@jit
def count_pulses(cells, counts, pulse_count):
    """Count the pulses of a list as `add_pulses` does. *Mutates* `pulse_count` (int32[cell])."""
    for n in range(cells.size):
        pulse_count[cells[n]] = add_pulses(pulse_count[cells[n]], counts[n])


@jit
def count_all(n, pulse_count):
    """Count n pulses of every cell, up to the counter's end. *Mutates* `pulse_count`."""
    for c in range(pulse_count.size):
        pulse_count[c] = _I(min(np.int64(pulse_count[c]) + n, np.int64(_MOST)))
