"""Variables with a name and units, as every function of the analysis returns them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt
import xarray as xr


def labelled(dims: Sequence[Hashable], values: npt.ArrayLike, units: str, long_name: str) -> xr.Variable:
    """Return a variable with units (UDUNITS spelling, "1" for a plain number) and a long name."""
    return xr.Variable(tuple(dims), np.asarray(values), {"units": units, "long_name": long_name})
