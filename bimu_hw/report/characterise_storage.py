"""What is measured on a storage element: pulse response, levels and their overlap, switching, drift, wear, noise.

Functions compute and return datasets with units; `bimu_hw.report.characterise_plots` draws them. Cells with a stuck
device are left out of what a cell does; how many there are is an attribute, ``stuck_fraction``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import xarray as xr

from bimu_hw.cards import Card
from bimu_hw.devices import ROOM_TEMPERATURE, time_matters
from bimu_hw.report.characterise_bench import Bench

Values = npt.NDArray[np.float64]

#: Points kept of a long train of pulses.
_MOST_POINTS = 300
#: Seconds from programming to the look at a level: some read noise builds up.
READ_DELAY = 1.0
#: Kelvin: room temperature, and the 85 and 125 degrees Celsius of retention tests.
TEMPERATURES = (ROOM_TEMPERATURE, 358.15, 398.15)
#: Longest time of a retention figure: ten years, in seconds.
_TEN_YEARS = 3.156e8


def _variable(dims: Sequence[str], values: npt.ArrayLike, units: str, long_name: str) -> xr.Variable:
    return xr.Variable(dims, values, {"units": units, "long_name": long_name})


def _attrs(bench: Bench, card: Card) -> dict[str, float | str]:
    return {
        "card": card.name, "stuck_fraction": float(np.mean(~bench.sound)), "top": bench.top,
        "lam_per_level": bench.step, "levels_per_pulse": bench.take,
    }  # fmt: skip


def pulse_response(card: Card, n_devices: int, seed: int, n_pulses: int | None = None) -> xr.Dataset:
    """Pulse cells from the lowest level up and down again.

    Parameters
    ----------
    card : Card
        Of a storage element.
    n_devices : int
        Cells.
    seed : int
        Fabrication seed.
    n_pulses : int, optional
        Pulses in each direction; default: half as many again as carry a linear device through its range, or on a
        continuous element as many.

    Returns
    -------
    xarray.Dataset
        ``seen[pulse, cell]``, the level as one look sees it, and ``conductance[pulse, cell, device]`` in siemens, of
        sound cells, over the number of pulses; attribute ``n_up``: the last pulse up.

    Raises
    ------
    CardError
        If the card is that of a sampling element.
    """
    bench = Bench(card, n_devices, seed)
    n_up = n_pulses or int(np.ceil((1.5 if bench.grid.quantum == 1.0 else 1.0) * bench.n_steps))
    kept = np.unique(np.r_[np.linspace(0, n_up, _MOST_POINTS // 2), np.linspace(n_up, 2 * n_up, _MOST_POINTS // 2)]
                     .round().astype(int) if n_up > _MOST_POINTS // 2 else np.arange(2 * n_up + 1))  # fmt: skip
    wanted = set(kept.tolist())
    seen, conductance = [], []
    bench.program(-bench.top)
    for pulse in range(2 * n_up + 1):
        if pulse:
            bench.pulse(1 if pulse <= n_up else -1)
        if pulse in wanted:
            seen.append(bench.look()[bench.sound])
            conductance.append(bench.conductance()[bench.sound])
    return xr.Dataset(
        {
            "seen": _variable(("pulse", "cell"), np.array(seen), "1", "level as one look sees it"),
            "conductance": _variable(("pulse", "cell", "device"), np.array(conductance), "S", "conductance"),
        },
        {"pulse": _variable(("pulse",), kept, "1", "number of pulses")},
        {**_attrs(bench, card), "n_up": n_up},
    )


def fresh_response(card: Card, n_devices: int, seed: int) -> xr.Dataset | None:
    """Pulse fresh pairs in one direction, if each device of a pair goes one way only.

    Returns
    -------
    xarray.Dataset or None
        ``conductance[pulse, cell]`` of the device that is pulsed, from level 0, in siemens; None where a pulse acts on
        all devices of a cell.
    """
    bench = Bench(card, n_devices, seed)
    if bench.model.n_devices < 2:
        return None
    bench.program(0.0)
    values = [bench.conductance()[bench.sound]]
    for _ in range(max(bench.n_steps // 2, 1)):
        bench.pulse(1)
        values.append(bench.conductance()[bench.sound])
    moved = [bool(np.any(values[1][:, d] != values[0][:, d])) for d in range(bench.model.n_devices)]
    if sum(moved) != 1:
        return None
    conductance = np.stack([at[:, moved.index(True)] for at in values])
    return xr.Dataset(
        {"conductance": _variable(("pulse", "cell"), conductance, "S", "conductance of the pulsed device")},
        {"pulse": _variable(("pulse",), np.arange(len(values)), "1", "number of pulses")},
        _attrs(bench, card),
    )


def overlap(below: npt.ArrayLike, above: npt.ArrayLike) -> float:
    """Return how much two samples overlap: the sum of both error rates of the best threshold between them.

    It is 1 minus the largest distance of the two cumulative distributions; for normals of equal sigma a distance d
    apart 2 Phi(-d / (2 sigma)). 0: told apart without error; 1: alike.
    """
    a, b = np.sort(np.asarray(below, np.float64)), np.sort(np.asarray(above, np.float64))
    at = np.concatenate([a, b])
    shares = [np.searchsorted(sample, at, "right") / sample.size for sample in (a, b)]
    return float(1.0 - np.abs(shares[0] - shares[1]).max())


def level_distributions(card: Card, n_devices: int, seed: int, n_shown: int = 32) -> xr.Dataset:
    """Bring cells to levels in two ways, and look at them.

    Parameters
    ----------
    card : Card
        Of a storage element.
    n_devices : int
        Cells at each level.
    seed : int
        Fabrication seed.
    n_shown : int
        Levels taken, evenly spaced over the grid, if it has more.

    Returns
    -------
    xarray.Dataset
        ``seen[how, level, cell]``: cells programmed to a level and looked at one second later, or pulsed up from the
        lowest level as often as a nominal device needs; ``overlap[how, level]`` with the next level up; per ``how`` the
        number of levels that ``n_apart`` tells apart. Coordinate ``level`` is counted from 0.
    """
    programmed, pulsed = Bench(card, n_devices, seed), Bench(card, n_devices, seed)
    n_steps, top, take = programmed.n_steps, programmed.top, programmed.take
    level = np.unique(np.linspace(0, n_steps - 1, min(n_steps, n_shown)).round().astype(int))
    wanted = np.unique(np.r_[level, level + 1])
    seen: dict[tuple[str, int], npt.NDArray[np.float32]] = {}
    for k in wanted:
        programmed.program(-top + take * k)
        programmed.wait(READ_DELAY)
        seen["programmed", k] = programmed.look()[programmed.sound]
    pulsed.program(-top)
    for k in range(int(wanted[-1]) + 1):
        if k:
            pulsed.pulse(1)
        if k in wanted:
            seen["pulsed", k] = pulsed.look()[pulsed.sound]
    ways = ("programmed", "pulsed")
    return xr.Dataset(
        {
            "seen": _variable(("how", "level", "cell"), [[seen[h, k] for k in wanted] for h in ways], "1",
                              "level as one look sees it"),
            "overlap": _variable(("how", "lower"), [[overlap(seen[h, k], seen[h, k + 1]) for k in level] for h in ways],
                                 "1", "overlap with the next level"),
            "n_apart": _variable(
                ("how",), [levels_told_apart(wanted, [seen[h, k] for k in wanted], n_steps) for h in ways], "1",
                "levels told apart with an error below 1 %",
            ),
        },
        {"how": list(ways), "level": wanted, "lower": level},
        _attrs(programmed, card),
    )  # fmt: skip


def levels_told_apart(level: npt.ArrayLike, seen: Sequence[npt.ArrayLike], n_steps: int) -> int:
    """Return how many levels of a grid a look tells apart with 0.5 % of error on either side.

    Parameters
    ----------
    level : int[k]
        Levels that were looked at, ascending; what lies between them is interpolated.
    seen : sequence of float[cell]
        What was seen of each.
    n_steps : int
        The last level; the first is 0.

    Notes
    -----
    Beginning with the lowest level, the next is the first whose lowest 0.5 % lies above the highest 0.5 % of the one
    before. Distributions are those over cells and looks together.
    """
    quantiles = np.array([np.quantile(np.asarray(s, np.float64), (0.005, 0.995)) for s in seen])
    every = np.arange(n_steps + 1)
    low, high = (np.interp(every, np.asarray(level), quantiles[:, i]) for i in range(2))
    count, at = 1, 0
    while True:
        above = np.flatnonzero(low[at + 1 :] >= high[at]) + at + 1
        if not above.size or low[above[0]] <= low[at]:
            return count
        count, at = count + 1, int(above[0])


def switching_probability(card: Card, n_devices: int, seed: int, n_pulses: int = 10) -> xr.Dataset | None:
    """Count the cells that one, two, ... pulses have moved, if a pulse moves a cell by whole levels or not at all.

    Returns
    -------
    xarray.Dataset or None
        ``moved[direction, pulse]``, share of sound cells away from where they were; None where every pulse moves a cell
        somewhat.
    """
    moved = []
    for direction in (1, -1):
        bench = Bench(card, n_devices, seed)
        bench.program(-direction * bench.top)
        start = bench.level()[bench.sound]
        rows = [0.0]
        for _ in range(n_pulses):
            bench.pulse(direction)
            change = bench.level()[bench.sound] - start
            if np.any(change != np.rint(change)):
                return None
            rows.append(float(np.mean(change != 0.0)))
        moved.append(rows)
    if min(rows[1] for rows in moved) == 1.0 or bench.grid.quantum != 1.0:
        return None
    return xr.Dataset(
        {"moved": _variable(("direction", "pulse"), moved, "1", "share of cells that have moved")},
        {"direction": ["up", "down"], "pulse": _variable(("pulse",), np.arange(n_pulses + 1), "1", "number of pulses")},
        {**_attrs(bench, card), "n_cells": int(bench.sound.sum())},
    )


def retention(card: Card, n_devices: int, seed: int, n_times: int = 33) -> xr.Dataset | None:
    """Program levels and leave the cells alone at several temperatures.

    Returns
    -------
    xarray.Dataset or None
        ``level[temperature, start, time, cell]``, noise-free, and ``conductance`` of the first device alike; None if
        time does not matter on this card. Temperatures are one if the model has no activation energy. Times span from
        well before the change begins to its end or to ten years.
    """
    bench = Bench(card, 1, seed)
    if not time_matters(bench.model, bench.params):
        return None
    temperatures = TEMPERATURES if "activation_energy" in card.params else TEMPERATURES[:1]
    time = _times(card, seed, temperatures, n_times)
    starts = np.array([1.0, 0.5, -0.5, -1.0]) * bench.top
    if bench.grid.quantum == 1.0:
        starts = np.rint(starts + bench.top) - bench.top
    level, conductance = [], []
    for temperature in temperatures:
        for start in starts:
            rows = _left_alone(card, n_devices, seed, temperature, float(start), time)
            level.append([r[0] for r in rows])
            conductance.append([r[1] for r in rows])
    shape = (len(temperatures), len(starts), time.size, -1)
    dims = ("temperature", "start", "time", "cell")
    return xr.Dataset(
        {
            "level": _variable(dims, np.array(level).reshape(shape), "1", "level"),
            "conductance": _variable(dims, np.array(conductance).reshape(shape), "S", "conductance, first device"),
        },
        {
            "temperature": _variable(("temperature",), np.array(temperatures), "K", "temperature"),
            "start": _variable(("start",), starts, "1", "level at the start"),
            "time": _variable(("time",), time, "s", "time since programming"),
        },
        _attrs(bench, card),
    )


def _left_alone(
    card: Card, n_devices: int, seed: int, temperature: float, start: float, time: Values
) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    bench = Bench(card, n_devices, seed, temperature)
    bench.program(start)
    rows = []
    for second in time:
        bench.wait(float(second) - bench.now)
        rows.append((bench.level()[bench.sound], bench.conductance()[bench.sound, 0]))
    return rows


def _times(card: Card, seed: int, temperatures: Sequence[float], n_times: int) -> Values:
    """Return times, evenly spaced in the logarithm, in which what happens at these temperatures is seen."""
    decades: Values = np.logspace(-9, 8, 18)
    changed = []
    for temperature in (temperatures[0], temperatures[-1]):
        rows = [r[0] for r in _left_alone(card, 64, seed, temperature, Bench(card, 1, seed).top, decades)]
        change = np.array([np.mean(np.abs(row - rows[0])) for row in rows])
        changed.append(change / max(float(np.mean(np.abs(rows[0]))), 1e-30))
    begins = int(np.argmax(changed[-1] > 0.01)) if (changed[-1] > 0.01).any() else len(decades) - 1
    ends = int(np.argmax(changed[0] > 0.9 * changed[0].max())) if changed[0].max() > 0.5 else len(decades) - 1
    low, high = decades[max(begins - 2, 0)], min(decades[ends] * 10.0, _TEN_YEARS)
    return np.geomspace(low, max(high, low * 100.0), n_times)


def endurance(card: Card, n_devices: int, seed: int, n_counts: int = 25) -> xr.Dataset | None:
    """Measure the window of cells that have received more and more pulses.

    A cell's wear follows from its pulse counter, which is set; the window is then what pulses up and down still span.

    Returns
    -------
    xarray.Dataset or None
        ``window[count, cell]``, highest minus lowest level reached, and ``worn_out[count]``, share of cells; None if
        the card states no endurance, or one beyond what a counter holds (2**31 - 1).
    """
    bench = Bench(card, n_devices, seed)
    # Pulses of many levels are many; fewer cells then do.
    bench = Bench(card, min(n_devices, max(50, 200_000 // bench.n_steps)), seed)
    limit = bench.noise.values.endurance
    if limit == 0.0 or limit > 2.0**30:
        return None
    low, high = np.quantile(bench.noise.limit, (0.001, 0.999))
    counts = np.unique(np.geomspace(max(low / 30.0, 1.0), min(3.0 * high, 2.0**31 - 1e4), n_counts).round())
    windows, worn = [], []
    size = max(1, bench.n_steps // 30)  # pulses of one event
    for count in counts:
        bench.program(0.5 * bench.take if bench.n_steps % 2 else 0.0)
        reached = []
        for direction, n_pulses in ((1, 3 * bench.n_steps), (-1, 6 * bench.n_steps)):
            for _ in range(-(-n_pulses // size)):
                bench.state.pulse_count[:] = np.int32(count)
                bench.pulse(direction * size)
            reached.append(bench.level()[bench.sound])
        windows.append(reached[0] - reached[1])
        worn.append(np.mean(bench.noise.limit <= count))
    return xr.Dataset(
        {
            "window": _variable(("count", "cell"), np.array(windows), "1", "levels between the ends that pulses reach"),
            "worn_out": _variable(("count",), worn, "1", "share of cells that are worn out"),
        },
        {"count": _variable(("count",), counts, "1", "pulses received")},
        _attrs(bench, card),
    )


def read_noise(card: Card, n_devices: int, seed: int, n_looks: int = 8192) -> xr.Dataset | None:
    """Look at cells at rest again and again, if the card has noise that evolves in time.

    Returns
    -------
    xarray.Dataset or None
        ``seen[time, cell]`` at level 0 and, one-sided and averaged over cells, ``spectrum[frequency]`` with what is
        expected of it, ``expected[frequency]``, in levels squared per hertz; None without such noise.
    """
    bench = Bench(card, n_devices, seed)
    values = bench.noise.values
    if not values.noisy:
        return None
    fastest = []
    if values.telegraph:
        fastest.append(1.0 / (1.0 / values.rtn_capture_time + 1.0 / values.rtn_emission_time))
    if values.flicker:
        fastest.append(values.flicker_fastest)
    interval = min(fastest) / 10.0
    bench.program(0.0)
    quiet = Bench(replace(card, nonidealities={}), 4096, seed)
    quiet.program(0.0)
    white = float(np.std((quiet.look() - quiet.level())[quiet.sound]))
    seen = np.empty((n_looks, int(bench.sound.sum())))
    for row in seen:
        bench.wait(interval)
        row[:] = bench.look()[bench.sound]
    taper = np.hanning(n_looks)
    power = np.abs(np.fft.rfft((seen - seen.mean(axis=0)) * taper[:, None], axis=0)) ** 2
    spectrum = 2.0 * interval * power.mean(axis=1) / np.sum(taper**2)
    frequency: Values = np.fft.rfftfreq(n_looks, interval).astype(np.float64)
    keep = slice(2, -1)  # the mean and its neighbour, which the taper mixes, and the last
    return xr.Dataset(
        {
            "seen": _variable(("time", "cell"), seen, "1", "level as one look sees it"),
            "spectrum": _variable(("frequency",), spectrum[keep], "1 / Hz", "power spectral density, levels squared"),
            "expected": _variable(
                ("frequency",), _expected_spectrum(bench, white, frequency[keep], interval), "1 / Hz",
                "expected power spectral density",
            ),
        },
        {
            "time": _variable(("time",), interval * np.arange(n_looks), "s", "time"),
            "frequency": _variable(("frequency",), frequency[keep], "Hz", "frequency"),
        },
        _attrs(bench, card),
    )  # fmt: skip


def _expected_spectrum(bench: Bench, white: float, frequency: Values, interval: float) -> Values:
    """Return the one-sided spectrum of white noise and sampled relaxing processes, which is exact.

    A process of correlation rho from look to look has 2 dt variance (1 - rho**2) / (1 - 2 rho cos(2 pi f dt) + rho**2).
    """
    values = bench.noise.values

    def relaxing(variance: float, rate: float) -> Values:
        rho = np.exp(-rate * interval)
        return (
            2.0 * interval * variance * (1.0 - rho**2)
            / (1.0 - 2.0 * rho * np.cos(2.0 * np.pi * frequency * interval) + rho**2)
        )  # fmt: skip

    total = np.full(frequency.size, 2.0 * interval * white**2)
    if values.telegraph:
        both = values.rtn_capture_time + values.rtn_emission_time
        occupied = values.rtn_emission_time / both
        square = float(np.mean(bench.noise.shift[bench.sound].astype(np.float64) ** 2))
        rate = 1.0 / values.rtn_capture_time + 1.0 / values.rtn_emission_time
        total += relaxing(square * occupied * (1.0 - occupied), rate)
    if values.flicker:
        for k in range(int(values.flicker_decades)):
            total += relaxing(values.flicker_noise**2, 1.0 / (values.flicker_fastest * 10.0**k))
    return total
