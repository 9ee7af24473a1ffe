"""Results as LaTeX tables for the package booktabs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bimu_hw.errors import ScenarioError
from bimu_hw.report.latex import booktabs, tex_escape, tex_number
from bimu_hw.units import format_quantity


def to_latex(data: xr.Dataset | xr.DataArray, caption: str = "", label: str = "", digits: int = 3) -> str:
    r"""Return results as a LaTeX table for booktabs.

    Parameters
    ----------
    data : xarray.Dataset or DataArray
        Numbers: one row each. One dimension: a row for each place and a column for each variable. A DataArray of two
        dimensions: rows and columns. Values carry their own SI prefix.
    caption, label : str
        Plain text; and the name for ``\ref``.
    digits : int
        Significant digits.

    Raises
    ------
    ScenarioError
        If there are more dimensions than a table has.

    Examples
    --------
    >>> import xarray as xr
    >>> energy = xr.DataArray([7e-8], dims="component", coords={"component": ["adc"]}, attrs={"units": "J"})
    >>> print(to_latex(energy.rename("energy")).splitlines()[7])
        adc & $70\,\mathrm{nJ}$ \\
    """
    if isinstance(data, xr.DataArray) and data.ndim == 2:
        rows_name, columns_name = (str(d) for d in data.dims)
        units = str(data.attrs.get("units", "1"))
        names = [_words(v) for v in _labels(data, columns_name)]
        rows = [
            [tex_escape(_words(place)), *(tex_number(float(v), units, digits) for v in values)]
            for place, values in zip(_labels(data, rows_name), data.values, strict=True)
        ]
        return booktabs([_words(rows_name), *names], rows, caption, label)
    table = data.to_dataset(name=data.name or "value") if isinstance(data, xr.DataArray) else data
    numbers = {str(n): v for n, v in table.data_vars.items() if v.dtype.kind in "fiub"}
    dims = {d for v in numbers.values() for d in v.dims}
    if len(dims) > 1:
        raise ScenarioError(
            f"to_latex: got dimensions {', '.join(sorted(map(str, dims)))}; a table has rows and columns: choose "
            "places or means first, or pass a DataArray of two dimensions."
        )
    if not dims:
        rows = [[tex_escape(_words(n)), _cell(v, digits)] for n, v in numbers.items()]
        return booktabs(["quantity", "value"], rows, caption, label)
    (dim,) = dims
    rows = []
    for i, place in enumerate(_labels(table, str(dim))):
        here = [v.isel({dim: i}) if dim in v.dims else v for v in numbers.values()]
        rows.append([tex_escape(_words(place)), *(_cell(v, digits) for v in here)])
    return booktabs([_words(str(dim)), *map(_words, numbers)], rows, caption, label)


def _cell(value: xr.DataArray, digits: int) -> str:
    return tex_number(float(value), str(value.attrs.get("units", "1")), digits)


def _labels(data: xr.Dataset | xr.DataArray, dim: str) -> Sequence[object]:
    found: Sequence[object] = (data[dim].values if dim in data.coords else np.arange(data.sizes[dim])).tolist()
    units = str(data[dim].attrs.get("units", "1")) if dim in data.coords else "1"
    return [format_quantity(v, units) if isinstance(v, float) else v for v in found]


def _words(name: object) -> str:
    return str(name).replace("_", " ")
