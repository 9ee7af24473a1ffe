"""The timeline of a run in the Trace Event Format, which Perfetto (ui.perfetto.dev) and chrome://tracing show.

Source of the format: "Trace Event Format", the Chromium project's document. Times are in microseconds there; complete
events (phase X) of one thread must lie in each other or apart, so a track on which things overlap gets several lanes.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from bimu_hw.accelerator.timeline import JOBS
from bimu_hw.errors import RunError

if TYPE_CHECKING:
    import xarray as xr

_TICKS_PER_MICROSECOND = 1e6
_PROCESS = 1
_NAMES = dict(zip(JOBS, ("inference", "forward pass", "update", "refresh", "label", "query"), strict=True))


def chrome_trace(tree: xr.DataTree) -> dict[str, Any]:
    """Return the timeline of a record as an object of the Trace Event Format.

    Parameters
    ----------
    tree : DataTree
        A record with a group ``/timeline``.

    Raises
    ------
    RunError
        If the run recorded none.
    """
    if "timeline" not in tree.children:
        raise RunError(
            "the run recorded no timeline; run it again with --set record.timeline=100000, the number of rows to keep."
        )
    data = tree["timeline"].to_dataset()
    rows = sorted(
        zip(*(data[name].values.tolist() for name in ("event_track", "start_tick", "ticks", "job", "example")),
            strict=True)
    )  # fmt: skip
    title = str(tree.attrs.get("title", "bimu-hw"))
    events = [_meta("process_name", 0, {"name": title})]
    thread = 0
    for number, track in enumerate(data["track"].values.tolist()):
        free: list[tuple[int, int]] = []
        lanes: list[int] = []
        for _, start, ticks, job, example in (row for row in rows if row[0] == number):
            if free and free[0][0] <= start:
                _, lane = heappop(free)
            else:
                thread += 1
                lane = thread
                lanes.append(lane)
                name = str(track) if len(lanes) == 1 else f"{track}, {len(lanes)}"
                events += [
                    _meta("thread_name", lane, {"name": name}), _meta("thread_sort_index", lane, {"sort_index": lane}),
                ]  # fmt: skip
            heappush(free, (start + ticks, lane))
            word = _NAMES[JOBS[job]]
            events.append(
                {
                    "name": word if example < 0 else f"{word} {example}", "cat": JOBS[job], "ph": "X",
                    "ts": start / _TICKS_PER_MICROSECOND, "dur": ticks / _TICKS_PER_MICROSECOND, "pid": _PROCESS,
                    "tid": lane, "args": {"example": example, "start_ps": start, "duration_ps": ticks},
                }
            )  # fmt: skip
    return {"traceEvents": events, "displayTimeUnit": "ns"}


def _meta(name: str, thread: int, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "ph": "M", "ts": 0.0, "pid": _PROCESS, "tid": thread, "args": arguments}
