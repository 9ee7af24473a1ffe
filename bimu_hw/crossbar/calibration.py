"""What the factory sets on a fresh chip: the range of its converters. It is no part of a run and costs it nothing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bimu_hw.crossbar.chip import Chip, Encoded

#: Training inputs that are sent through a chip to calibrate it.
CALIBRATION_EXAMPLES = 64
#: Percentage of the column sums' magnitudes that a calibrated range holds.
PERCENTILE = 99.9
#: Noise keys of the calibration start here, out of reach of any query's or evaluation's.
_EVENTS = 1 << 62


def calibrate(chip: Chip, examples: Iterable[Encoded], ranges: bool) -> None:
    """Set the range of every layer's converters in the forward read, first layer first, so that each sees what it will.

    Full scale is the `PERCENTILE` of the magnitude of an example's column sums, over all planes, tiles, columns and
    samples, averaged over the examples.

    Parameters
    ----------
    chip : Chip
        Freshly made. Its devices are looked at without being touched.
    examples : iterable of Encoded
    ranges : bool
        Whether to do so; otherwise no example is taken.
    """
    if not ranges:
        return
    inputs = list(examples)
    for readout in chip.readouts:
        scale = 0.0
        for i, example in enumerate(inputs):
            chip.infer(example, _EVENTS + i, 0.0, probe=True)
            scale += float(np.percentile(np.abs(readout.sums), PERCENTILE)) / len(inputs)
        if scale > 0.0:
            readout.set_full_scale(scale)
