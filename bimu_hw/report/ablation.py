"""What an ablation found: the effect of each nonideality, among the others and alone, seed against seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bimu_hw.analysis.ablation import paired_difference
from bimu_hw.errors import SchemaError
from bimu_hw.sweep.ablate import ABLATION_AXIS, ALONE, AS_DESCRIBED, WITHOUT, WITHOUT_ANY
from bimu_hw.units import format_quantity

__all__ = ["ABLATION_AXIS", "ablation_differences", "ablation_rows"]

#: The two effects of a nonideality.
HOW = ("among the others", "alone")
#: Results whose differences are reported.
RESULTS = ("accuracy", "energy_per_query_all")


def ablation_differences(results: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return the effect of each nonideality on some results: with it minus without it, for equal seeds.

    Parameters
    ----------
    results : xarray.Dataset
        Of a sweep that ``bimu-hw ablate`` made.

    Returns
    -------
    dict of str to xarray.Dataset
        By result: ``difference``, ``low``, ``high``, ``n_pairs`` [nonideality, how], how being "among the others" (the
        scenario as described minus the one without it) and "alone" (with it alone minus without any).

    Raises
    ------
    SchemaError
        If the dataset is not that of an ablation.
    """
    if ABLATION_AXIS not in results.dims:
        raise SchemaError(f"this dataset is not that of an ablation (no axis {ABLATION_AXIS!r}); run bimu-hw ablate.")
    words = [str(word) for word in results[ABLATION_AXIS].values]
    place = {word: i for i, word in enumerate(words)}
    names = [word.removeprefix(WITHOUT) for word in words if word.startswith(WITHOUT) and word != WITHOUT_ANY]
    found = {}
    for result in RESULTS:
        if result not in results:
            continue

        def at(word: str, result: str = result) -> xr.DataArray:
            return results[result].isel({ABLATION_AXIS: place[word]}, drop=True).reset_coords(drop=True)

        rows = [
            xr.concat(
                [paired_difference(at(AS_DESCRIBED), at(f"{WITHOUT}{name}")),
                 paired_difference(at(f"{name}{ALONE}"), at(WITHOUT_ANY))], "how",
            )
            for name in names
        ]  # fmt: skip
        if rows:
            found[result] = xr.concat(rows, "nonideality").assign_coords(nonideality=names, how=list(HOW))
    return found


def ablation_rows(differences: Mapping[str, xr.Dataset]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of effects."""
    header = ["nonideality"]
    for result in differences:
        what = "accuracy" if result == "accuracy" else "energy per query"
        header += [f"{what}, {how}" for how in HOW]
    names = [str(name) for name in next(iter(differences.values()))["nonideality"].values] if differences else []
    return header, [
        [name.replace("_", " "), *(_cell(found.sel(nonideality=name, how=how), result)
                                   for result, found in differences.items() for how in HOW)]
        for name in names
    ]  # fmt: skip


def _cell(one: xr.Dataset, result: str) -> str:
    values = [float(one[key]) for key in ("difference", "low", "high")]
    if np.isnan(values[0]):
        return "–"
    shown = [
        f"{100 * v:+.1f}" if result == "accuracy" else ("" if v < 0 else "+") + format_quantity(v, "J") for v in values
    ]
    shown = [text[1:] if text[1:] in ("0.0", "0 J") else text.replace("-", "−") for text in shown]
    points = " points" if result == "accuracy" else ""
    return f"{shown[0]}{points}" + ("" if np.isnan(values[1]) else f" ({shown[1]} to {shown[2]})")
