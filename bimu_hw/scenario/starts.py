"""What the cells of a chip start from, where a scenario names files for it: what a run learned, or a measurement.

The content of the files, not their place, is part of what a run is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bimu_hw.crossbar.encoding import InitialLam, MeasuredLevels, level_grid
from bimu_hw.devices import StorageModel, get_model
from bimu_hw.errors import BimuError, RunError, ScenarioError, did_you_mean
from bimu_hw.record import RUN_FILE, lam_from_record
from bimu_hw.scenario.reading import Source
from bimu_hw.scenario.tables import ScenarioFile

if TYPE_CHECKING:
    from bimu_hw.scenario.model import Scenario

#: How the name of a conductance map ends.
MAPS = (".npz", ".csv")

#: The values of ``network.initial_lam`` that are no path.
WORDS = ("uniform", "zero")


@dataclass(frozen=True)
class Starts:
    """What was read from the files that a scenario starts from.

    Attributes
    ----------
    lams : tuple of float32[wordline, bitline]
        Natural parameters of the last snapshot of a run, one array per layer; empty if none was named.
    maps : tuple of float64[wordline, bitline] or [wordline, bitline, device]
        Measured conductances in siemens, one array per layer; empty if none was named.
    digests : tuple of str
        SHA-256 (hexadecimal) of what was read, in the same order.
    """

    lams: tuple[npt.NDArray[np.float32], ...] = ()
    maps: tuple[npt.NDArray[np.float64], ...] = ()
    digests: tuple[str, ...] = ()


def load_starts(file: ScenarioFile, folder: Path, source: Source) -> Starts:
    """Read the files that a scenario starts from.

    Raises
    ------
    ScenarioError
        If one is not there or cannot be read, or there is not one conductance map for each layer.
    """
    given, maps = file.network.initial_lam, file.device.conductance_map
    if maps is not None:
        layers = len(file.network.hidden) + 1
        if len(maps) != layers:
            raise ScenarioError(f"{source.at('device.conductance_map')}: got {len(maps)} of them for {layers} layers; "
                                "name one file per layer, input first.")  # fmt: skip
        read = tuple(_read_map(folder / name, source) for name in maps)
        return Starts(maps=read, digests=tuple(digest(values) for values in read))
    if given in WORDS:
        return Starts()
    where = source.at("network.initial_lam")
    path = Path(os.path.normpath(folder / given))
    if not (path if path.suffix == ".nc" else path / RUN_FILE).is_file():
        if Path(given).name == given and not path.exists():
            raise ScenarioError(f"{where}: got {given!r}. {did_you_mean(given, WORDS)} "
                                "Or give the path of a finished run.")  # fmt: skip
        scenario = path.name if (folder / f"{path.name}.toml").is_file() else "SCENARIO"
        raise ScenarioError(f"{where}: got {given!r}, where there is no finished run; "
                            f"make it first: bimu-hw run {scenario} --out {path}")  # fmt: skip
    try:
        lams = tuple(lam_from_record(path))
    except BimuError as error:
        raise ScenarioError(f"{where}: {error}") from error
    return Starts(lams=lams, digests=tuple(digest(lam) for lam in lams))


def _read_map(path: Path, source: Source) -> npt.NDArray[np.float64]:
    from bimu_hw.fitting.maps import read_map

    try:
        return read_map(path)
    except BimuError as error:
        raise ScenarioError(f"{source.at('device.conductance_map')}: {error}") from error


def find_start(given: str, wanted: str, file: Path, folder: str | Path | None) -> str:
    """Return the absolute path of a file that a recorded scenario starts from.

    Parameters
    ----------
    given : str
        As the scenario had it: relative to its own folder, which the record does not tell.
    wanted : str
        The digest of its content, of the first layer's if it is a run.
    file : Path
        The record.
    folder : str or Path, optional
        Where to look. Default: the current folder, that of the run, and among the run's neighbours.

    Raises
    ------
    RunError
        If it is not there, or with another content.
    """
    run = file.resolve().parent
    places = [Path(folder) / given] if folder is not None else [Path(given), run / given, run.parent / Path(given).name]
    found = [place for place in places if place.exists()]
    for place in found:
        with suppress(BimuError):
            values = _read_map(place, Source(str(file))) if place.suffix in MAPS else lam_from_record(place)[0]
            if digest(values) == wanted:
                return str(place.resolve())
    what = "not what it was" if found else "not there"
    looked = " and ".join(f"'{place}'" for place in dict.fromkeys(found or places))
    raise RunError(f"{file}: {given!r}, which it starts from, is {what}; looked at {looked}: name the folder of its "
                   "scenario.")  # fmt: skip


def digest(values: npt.NDArray[Any]) -> str:
    """Return the SHA-256 (hexadecimal) of an array: its shape and its numbers."""
    plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return hashlib.sha256(f"{plain.shape} {plain.dtype}".encode() + plain.tobytes()).hexdigest()


def initial_lam(scenario: Scenario, sizes: Sequence[int]) -> str | list[InitialLam]:
    """Return what the layers of a network start from, as `bimu_hw.crossbar.chip.Chip` takes it.

    Parameters
    ----------
    scenario : Scenario
    sizes : sequence of int
        Units of each layer, input first.

    Raises
    ------
    ScenarioError
        If the run that it starts from has other layers.
    DataError
        If a conductance map has another shape, or lies beyond what the storage element can be.
    """
    shapes = list(pairwise(sizes))
    starts = scenario.starts
    if starts.maps:
        return [_measured(scenario, k, shape) for k, shape in enumerate(shapes)]
    if not starts.lams:
        return scenario.network.initial_lam
    if [lam.shape for lam in starts.lams] != shapes:
        has, needs = (
            " and ".join(f"{m} x {n}" for m, n in layers) for layers in ([lam.shape for lam in starts.lams], shapes)
        )
        raise ScenarioError(f"network.initial_lam: {scenario.network.initial_lam!r} has layers of {has} synapses; "
                            f"this network needs {needs}.")  # fmt: skip
    return list(starts.lams)


def _measured(scenario: Scenario, layer: int, shape: tuple[int, int]) -> MeasuredLevels:
    from bimu_hw.fitting.maps import cell_levels, levels_of_map

    card, files = scenario.storage_card, scenario.device.conductance_map or ()
    model = get_model(card.model)
    assert isinstance(model, StorageModel)
    params = model.params(*(card.params[spec.name].value for spec in model.specs))
    grid = level_grid(scenario.n_levels, scenario.device.lam_max, shape[1], scenario.device.temperature)
    return MeasuredLevels(
        cell_levels(levels_of_map(scenario.starts.maps[layer], model, params, grid, shape, files[layer]))
    )
