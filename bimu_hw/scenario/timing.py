"""What the keys of time and architecture mean together with others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bimu_hw.accelerator.trace import read_trace, trace_digest
from bimu_hw.errors import RunError, ScenarioError
from bimu_hw.scenario.condition import Condition, Problem
from bimu_hw.scenario.reading import Source
from bimu_hw.scenario.starts import Starts
from bimu_hw.scenario.tables import Architecture, ScenarioFile

_ARRIVALS = "accelerator.arrivals = \"{file.accelerator.arrivals}\""
_LATE = "labels that are there at once (latency = \"0 s\", or none asked for) take no time"


def _waits(file: ScenarioFile, n_levels: int) -> bool:
    return file.accelerator.arrivals != "back_to_back"


def _late(file: ScenarioFile, n_levels: int) -> bool:
    return file.labels.policy not in ("never", "given") and file.labels.latency > 0


def _pipeline(*kinds: str) -> Callable[[ScenarioFile, int], bool]:
    return lambda file, n_levels: file.architecture.pipeline in kinds


TIME_CONDITIONS = (
    Condition(
        "accelerator", "rate", lambda file, n_levels: file.accelerator.arrivals in ("periodic", "poisson"),
        f"{_ARRIVALS} has no rate of its own", needed_by=_ARRIVALS,
    ),
    Condition(
        "accelerator", "trace", lambda file, n_levels: file.accelerator.arrivals == "trace",
        f"{_ARRIVALS} reads no file", needed_by=_ARRIVALS,
    ),
    Condition(
        "accelerator", "queue", _waits, f"{_ARRIVALS} lets examples arrive as fast as they are served",
        needed_by=_ARRIVALS, idle=1,
    ),
    Condition(
        "accelerator", "when_full", lambda file, n_levels: _waits(file, n_levels)
        and file.accelerator.queue != "unbounded", "no example ever finds the queue full", idle="drop",
    ),
    Condition(
        "accelerator", "priority", lambda file, n_levels: file.labels.policy not in ("never", "given"),
        "labels.policy = \"{file.labels.policy}\" lets no update wait", idle="update_first",
    ),
    Condition("labels", "distribution", _late, _LATE, idle="constant"),
    Condition(
        "labels", "latency_sigma", lambda file, n_levels: _late(file, n_levels)
        and file.labels.distribution == "lognormal",
        "labels.distribution = \"{file.labels.distribution}\" does not use it",
        needed_by="labels.distribution = \"lognormal\"",
    ),
    Condition("labels", "annotators", _late, _LATE),
    Condition("labels", "deadline", _late, _LATE),
    Condition(
        "architecture", "in_flight", _pipeline("queries"),
        "architecture.pipeline = \"{file.architecture.pipeline}\" serves one job at a time",
        needed_by="architecture.pipeline = \"queries\"", idle=1,
    ),
    Condition(
        "architecture", "digital_units", _pipeline("samples", "queries"),
        "architecture.pipeline = \"none\" lets nothing work side by side", idle=1,
    ),
    Condition(
        "architecture", "tile_groups", lambda file, n_levels: file.architecture.interconnect == "bus",
        "architecture.interconnect = \"none\" has no bus", idle=1,
    ),
    Condition(
        "crossbar", "columns_per_adc", lambda file, n_levels: file.architecture.adcs_per_tile is None,
        "architecture.adcs_per_tile says how converters are shared",
    ),
)  # fmt: skip


#: Keys, each with the value at which it is as if the key did not exist; a resolved scenario leaves them out then.
NEUTRAL = (
    ("crossbar", "accumulate", "analog"),
    *(("architecture", name, field.default) for name, field in Architecture.model_fields.items()),
    ("labels", "distribution", "constant"), ("labels", "latency_sigma", None), ("labels", "annotators", None),
    ("labels", "deadline", None), ("accelerator", "trace", None), ("accelerator", "when_full", "drop"),
    ("accelerator", "priority", "update_first"), ("accelerator", "verify_retries", None),
    ("accelerator", "sleep_after", None), ("accelerator", "refresh_interval", None), ("record", "timeline", 0),
)  # fmt: skip


def load_trace(file: ScenarioFile, folder: Path, source: Source) -> npt.NDArray[np.int64] | None:
    """Read the arrival times that a scenario names.

    Raises
    ------
    ScenarioError
        If the file cannot be read or is not sorted.
    """
    if file.accelerator.trace is None:
        return None
    try:
        return read_trace(folder / file.accelerator.trace)
    except ScenarioError as error:
        raise ScenarioError(f"{source.at('accelerator.trace')}: {error}") from error


def find_trace(given: str, wanted: str, file: Path, folder: str | Path | None) -> str:
    """Return the absolute path of the arrivals of a recorded scenario, whose digest is `wanted`.

    Raises
    ------
    RunError
        If the file is not where the scenario had it, or has another content.
    """
    run = file.resolve().parent
    places = [Path(folder) / given] if folder is not None else [Path(given), run / given]
    for place in places:
        with suppress(ScenarioError):
            if trace_digest(read_trace(place)) == wanted:
                return str(place.resolve())
    looked = " and ".join(f"'{place}'" for place in places)
    raise RunError(
        f"{file}: its arrivals {given!r} are not there as they were; looked at {looked}: name the folder of its "
        "scenario."
    )


def check_maps(file: ScenarioFile, starts: Starts, source: Source) -> None:
    """Refuse tiles that are larger than every measured array they would be part of.

    Raises
    ------
    ScenarioError
    """
    for axis, (key, lines) in enumerate((("tile_wordlines", "word"), ("tile_bitlines", "bit"))):
        tile = getattr(file.crossbar, key)
        most = max((measured.shape[axis] for measured in starts.maps), default=tile)
        if tile > most:
            raise ScenarioError(
                f"{source.at(f'crossbar.{key}')}: got {tile}, and no map of device.conductance_map has more than "
                f"{most} {lines} lines; a tile is no larger than an array that was measured: allowed is up to that."
            )


def time_problems(file: ScenarioFile) -> Iterator[Problem]:
    """Yield what is impossible, with the number that is wrong."""
    crossbar, architecture, accelerator, labels = file.crossbar, file.architecture, file.accelerator, file.labels
    n_layers = len(file.network.hidden) + 1
    converters = architecture.adcs_per_tile
    if converters is not None and converters > crossbar.tile_bitlines:
        yield "architecture.adcs_per_tile", (
            f"got {converters} converters for {crossbar.tile_bitlines} bit lines of a tile; allowed is up to that many."
        )
    cells = crossbar.tile_wordlines * crossbar.tile_bitlines
    samplers = architecture.samplers_per_tile
    if samplers is not None and samplers > cells:
        yield "architecture.samplers_per_tile", (
            f"got {samplers} for {cells} cells of a tile; allowed is up to that many."
        )
    if samplers is not None and file.device.holds != "query":
        yield "architecture.samplers_per_tile", (
            f"got {samplers} with device.holds = \"{file.device.holds}\", where every cell has an element of its own "
            "that carries the current; write holds = \"query\", whose latches keep what shared elements draw, or "
            "remove it."
        )
    if architecture.tile_groups > n_layers:
        yield "architecture.tile_groups", (
            f"got {architecture.tile_groups} groups for {n_layers} layers; allowed is up to one group per layer."
        )
    if architecture.pipeline == "queries" and labels.policy == "given":
        yield "architecture.pipeline", (
            "got \"queries\" with labels.policy = \"given\", which learns one example after the other; write "
            "\"samples\" or \"none\"."
        )
    if accelerator.priority == "inference_first" and accelerator.arrivals == "back_to_back":
        yield "accelerator.priority", (
            "got \"inference_first\" with arrivals = \"back_to_back\", which would let every update wait for the end "
            "of the stream; write \"fifo\" or \"update_first\"."
        )
    if accelerator.refresh_interval == 0:
        yield "accelerator.refresh_interval", "got 0 s; allowed are durations from 1 ps, or none."
    if labels.deadline == 0:
        yield "labels.deadline", "got 0 s, which no label can meet; allowed are durations from 1 ps, or none."
