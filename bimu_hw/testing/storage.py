"""The checks of a storage element; `bimu_hw.testing.conformance` says how to run them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.cards import Card, neutral_values
from bimu_hw.devices import FAULTS, Grid, StorageModel, get_model, new_state
from bimu_hw.testing.promises import (
    Z_LIMIT,
    Check,
    copy_state,
    declarations_are_consistent,
    params_of,
    require,
    same_state,
)

CONTINUOUS = Grid(float("inf"), 1.0, 2.0**-90)
_FABRICATION = np.uint64(0x243F6A8885A308D3)
_EVENT = np.uint64(0x13198A2E03707344)
_OTHER_EVENT = np.uint64(0xA4093822299F31D0)


def grid_of(n_levels: float, lam_max: float = 4.0) -> Grid:
    """Return the grid of a number of levels over +-`lam_max`; 0: continuous."""
    if n_levels == 0:
        return CONTINUOUS
    return Grid((n_levels - 1.0) / 2.0, 2.0 * lam_max / (n_levels - 1.0), 1.0)


class Bench:
    """An array of one model under test: state, parameters and grid, with the kernels as methods.

    Parameters
    ----------
    model : StorageModel
    card : Card
    n : int
        Number of cells.
    neutral : bool
        Whether every nonideality has its neutral value.
    n_levels : float, optional
        Number of levels; that of the card if not given.
    changes : dict, optional
        Parameters that shall differ from the card.
    """

    def __init__(
        self, model: StorageModel, card: Card, n: int, neutral: bool = False, n_levels: float | None = None,
        changes: dict[str, float] | None = None,
    ) -> None:  # fmt: skip
        self.model = model
        self.n = n
        self.grid = grid_of(card.params["n_levels"].value if n_levels is None else n_levels)
        self.params: Any = params_of(model, card, **{**(neutral_values(model) if neutral else {}), **(changes or {})})
        self.state: Any = new_state(model, n)
        self.all = np.arange(n, dtype=np.int32)
        model.fabricate(self.state, self.params, self.grid, _FABRICATION)

    def program(self, target: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Program all cells and return the target as the kernel got it."""
        levels = np.ascontiguousarray(np.broadcast_to(np.asarray(target, np.float32), self.n))
        self.model.program(self.state, levels, self.params, self.grid, 0.0)
        return levels

    def pulse(self, cells: npt.NDArray[np.int32], counts: npt.ArrayLike, key: np.uint64 = _EVENT) -> None:
        """Send one programming event."""
        self.model.pulse(
            self.state, cells, np.ascontiguousarray(np.broadcast_to(np.asarray(counts, np.float32), cells.size)),
            self.params, self.grid, key, 0.0,
        )  # fmt: skip

    def peek(self, now: float = 0.0) -> npt.NDArray[np.float32]:
        """Return the noise-free levels."""
        out = np.zeros(self.n, np.float32)
        self.model.peek(self.state, self.all, self.params, self.grid, now, out)
        return out

    def read(self, key: np.uint64 = _EVENT, now: float = 0.0) -> npt.NDArray[np.float32]:
        """Return the levels of one look."""
        out = np.zeros(self.n, np.float32)
        self.model.read(self.state, self.params, self.grid, key, now, out)
        return out

    def conductance(self, now: float = 0.0) -> npt.NDArray[np.float32]:
        """Return the conductances, [cell, device]."""
        out = np.zeros((self.n, self.model.n_devices), np.float32)
        self.model.conductance(self.state, self.params, self.grid, now, out)
        return out

    def advance(self, since: float, now: float, key: np.uint64 = _EVENT) -> None:
        """Let time pass, where the model knows time."""
        if self.model.advance is not None:
            self.model.advance(self.state, self.params, self.grid, key, since, now)

    def disturb(self, looks: int, key: np.uint64 = _EVENT) -> None:
        """Let the cells feel some looks, where the model feels them."""
        if self.model.disturb is not None:
            self.model.disturb(self.state, self.params, self.grid, key, looks, 0.0)

    def faulty(self) -> npt.NDArray[np.bool_]:
        """Return which devices are faulty, [cell, device]."""
        fault = self.state.fault.reshape(self.n, -1) != 0
        return np.broadcast_to(fault, (self.n, self.model.n_devices))

    def levels(self, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """Return random levels of the grid."""
        if np.isinf(self.grid.level_max):
            return rng.normal(0.0, 1.5, self.n).astype(np.float32)
        top = self.grid.level_max
        return (rng.integers(0, int(2 * top) + 1, self.n) - top).astype(np.float32)

    def counts(self, rng: np.random.Generator, n: int) -> npt.NDArray[np.float32]:
        """Return random pulse counts, none of them zero."""
        if np.isinf(self.grid.level_max):
            return rng.normal(0.0, 0.3, n).astype(np.float32)
        return (rng.integers(1, 5, n) * rng.choice([-1, 1], n)).astype(np.float32)


def _stuck(model: StorageModel, share: float) -> dict[str, float]:
    return {s.name: share for s in model.specs if s.name.startswith("stuck")}


def program_honours_targets(model: StorageModel, card: Card) -> None:
    """A cell without fault stands exactly where it was programmed to."""
    rng = np.random.default_rng(1)
    for n_levels in (None, 0.0):
        bench = Bench(model, card, 500, n_levels=n_levels)
        target = bench.program(bench.levels(rng))
        sound = ~bench.faulty().any(axis=1)
        require(bool(sound.any()), model, card, "not one of 500 cells is without fault.")
        require(np.array_equal(bench.peek()[sound], target[sound]), model, card, "program misses its target.")


def pulses_move_the_right_way(model: StorageModel, card: Card) -> None:
    """From the middle of the range and half way to its ends, a pulse moves lam on average as asked, up and down."""
    for n_levels, starts, count in ((None, None, 1.0), (0.0, (-2.0, 0.0, 2.0), 0.25)):
        bench = Bench(model, card, 4096, n_levels=n_levels)
        if starts is None:
            top = bench.grid.level_max
            # Half way to the ends: beyond, a step may have shrunk to nothing, and noise is cut off on one side.
            middle = (2 * top % 2) / 2 if np.isfinite(top) else 0.0
            half = np.floor(top / 2) + middle if np.isfinite(top) else 2.0
            starts = (-half, middle, half)
        for start in starts:
            for sign in (1.0, -1.0):
                if abs(start + sign * count) > bench.grid.level_max:
                    continue
                bench.program(start)
                before = bench.peek()
                bench.pulse(bench.all, sign * count)
                moved = sign * (bench.peek().astype(np.float64) - before)
                error = moved.std() / np.sqrt(moved.size)
                require(
                    moved.mean() > Z_LIMIT * error, model, card,
                    f"a pulse of {sign * count:g} at level {start:g} moves lam by {sign * moved.mean():g} on average.",
                )  # fmt: skip


def levels_stay_in_bounds(model: StorageModel, card: Card) -> None:
    """No sequence of pulses leaves the grid, and all numbers stay finite."""
    rng = np.random.default_rng(2)
    for n_levels in (None, 0.0):
        bench = Bench(model, card, 300, n_levels=n_levels)
        bench.program(bench.levels(rng))
        for event in range(40):
            # Runs of one direction, so that both ends are reached.
            counts = np.abs(bench.counts(rng, bench.n)) * (1.0 if event // 10 % 2 else -1.0)
            bench.pulse(bench.all, counts, np.uint64(event + 1))
        levels, conductance = bench.peek(), bench.conductance()
        require(bool(np.isfinite(levels).all()), model, card, "a level is not finite.")
        require(bool((np.abs(levels) <= bench.grid.level_max).all()), model, card, "a level lies outside the grid.")
        require(bool(np.isfinite(conductance).all()), model, card, "a conductance is not finite.")
        require(bool((conductance >= 0.0).all()), model, card, "a conductance is negative.")


def only_listed_cells_change(model: StorageModel, card: Card) -> None:
    """A pulse list leaves every array of every other cell alone; an empty list leaves everything alone."""
    rng = np.random.default_rng(3)
    bench = Bench(model, card, 400)
    bench.program(bench.levels(rng))
    before = copy_state(bench.state)
    bench.pulse(bench.all[:0], 1.0)
    require(same_state(bench.state, before), model, card, "an empty list of pulses changes the state.")
    listed = np.sort(rng.choice(bench.all, 90, replace=False))
    bench.pulse(listed, bench.counts(rng, 90))
    others = np.setdiff1d(bench.all, listed)
    require(same_state(bench.state, before, others), model, card, "a pulse changes a cell that is not listed.")


def lists_may_be_split(model: StorageModel, card: Card) -> None:
    """One list, the same list in pieces, and the full list give the same bits: noise belongs to the cell."""
    rng = np.random.default_rng(4)
    for n_levels in (None, 0.0):
        benches = [Bench(model, card, 300, n_levels=n_levels) for _ in range(3)]
        start, counts = benches[0].levels(rng), benches[0].counts(rng, 300)
        for bench, pieces in zip(benches, (1, 2, 7), strict=True):
            bench.program(start)
            for part in np.array_split(bench.all, pieces):
                bench.pulse(part, counts[part])
        whole = copy_state(benches[0].state)
        for bench in benches[1:]:
            require(
                same_state(bench.state, whole), model, card,
                "a list of pulses in pieces gives other bits than the whole list.",
            )  # fmt: skip


def noise_ignores_other_cells(model: StorageModel, card: Card) -> None:
    """What one cell does with its pulses is independent of the pulses of its neighbours in the same event."""
    rng = np.random.default_rng(5)
    quiet, busy = Bench(model, card, 200), Bench(model, card, 200)
    start = quiet.levels(rng)
    quiet.program(start)
    busy.program(start)
    watched = quiet.all[3::10]
    counts = busy.counts(rng, 200)
    quiet.pulse(watched, counts[watched])
    busy.pulse(busy.all, counts)
    require(
        same_state(quiet.state, copy_state(busy.state), watched), model, card,
        "the pulses of other cells change what a cell does.",
    )  # fmt: skip


def neutral_is_ideal(model: StorageModel, card: Card) -> None:
    """With every nonideality neutral, any sequence of pulses gives the bits of ideal storage, whatever time passes."""
    ideal = get_model("ideal_storage")
    assert isinstance(ideal, StorageModel)
    rng = np.random.default_rng(6)
    for n_levels in (0.0, 16.0, 5.0):
        mine = Bench(model, card, 250, neutral=True, n_levels=n_levels)
        target = mine.levels(rng)
        mine.program(target)
        grid = mine.grid
        params, state = ideal.params(0.0, 1.0, 4.0), new_state(ideal, 250)
        ideal.program(state, target, params, grid, 0.0)
        for event in range(60):
            size = 250 if event % 3 == 0 else int(rng.integers(1, 249))
            cells = np.sort(rng.choice(mine.all, size, replace=False)).astype(np.int32)
            counts = mine.counts(rng, size)
            key = np.uint64(rng.integers(2**63))
            mine.pulse(cells, counts, key)
            ideal.pulse(state, cells, counts, params, grid, key, 0.0)
            mine.advance(float(event), event + 1.0, key)
            mine.disturb(5, key)
        expected = np.zeros(250, np.float32)
        ideal.peek(state, mine.all, params, grid, 0.0, expected)
        what = f"with {n_levels:g} levels and everything else neutral,"
        peeked, seen = mine.peek(60.0), mine.read(now=60.0)
        require(np.array_equal(peeked, expected), model, card, f"{what} pulses give other bits than ideal ones.")
        require(np.array_equal(seen, expected), model, card, f"{what} a look differs from the level.")


def looking_changes_nothing(model: StorageModel, card: Card) -> None:
    """Peek, read and conductance leave the state alone at any time; peek writes only where it was asked to."""
    rng = np.random.default_rng(7)
    bench = Bench(model, card, 120)
    bench.program(bench.levels(rng))
    bench.pulse(bench.all, bench.counts(rng, 120))
    before = copy_state(bench.state)
    whole = bench.peek()
    for moment in (0.0, 1e-3, 1e3):
        bench.peek(moment)
        bench.read(now=moment)
        bench.conductance(moment)
    some = bench.all[5:90:7]
    out = np.full(120, np.float32(99.0))
    model.peek(bench.state, some, bench.params, bench.grid, 0.0, out)
    others = np.setdiff1d(bench.all, some)
    require(np.array_equal(out[some], whole[some]), model, card, "peek of a list differs from peek of all cells.")
    require(bool((out[others] == 99.0).all()), model, card, "peek writes a cell it was not asked for.")
    require(same_state(bench.state, before), model, card, "looking at a cell changes its state.")


def stuck_devices_do_not_move(model: StorageModel, card: Card) -> None:
    """A faulty device keeps its conductance whatever is sent to it; fault codes are those of `FAULTS`.

    Parameters whose names begin with "stuck" are raised for this check.
    """
    rng = np.random.default_rng(8)
    raised = _stuck(model, 0.25)
    for n_levels in (None, 0.0):
        bench = Bench(model, card, 400, n_levels=n_levels, changes=raised)
        faulty = bench.faulty()
        codes = set(np.unique(bench.state.fault).tolist())
        require(codes <= set(FAULTS.values()), model, card, f"unknown fault codes among {sorted(codes)}.")
        require(not raised or bool(faulty.any()), model, card, "a share of stuck devices of 0.25 makes none.")
        before = bench.conductance()
        bench.program(bench.levels(rng))
        for event in range(20):
            bench.pulse(bench.all, bench.counts(rng, 400), np.uint64(event + 7))
        after = bench.conductance()
        require(np.array_equal(after[faulty], before[faulty]), model, card, "a stuck device moves.")
        require(bool((after[~faulty] != before[~faulty]).any()), model, card, "no sound device moves.")


def pulses_are_counted(model: StorageModel, card: Card) -> None:
    """The counter of a cell adds up the pulses sent to it, at least one per event, and stops at its end."""
    rng = np.random.default_rng(9)
    bench = Bench(model, card, 200)
    listed = bench.all[::3]
    discrete = bench.grid.quantum == 1.0
    expected = np.zeros(200, np.int64)
    for event in range(5):
        counts = bench.counts(rng, listed.size)
        bench.pulse(listed, counts, np.uint64(event))
        expected[listed] += np.abs(counts).astype(np.int64) if discrete else 1
    require(np.array_equal(bench.state.pulse_count, expected), model, card, "pulses are miscounted.")
    bench.state.pulse_count[:] = 2**31 - 2
    bench.pulse(bench.all, 3.0)
    require(bool((bench.state.pulse_count == 2**31 - 1).all()), model, card, "the pulse counter overflows.")


def noise_follows_the_key(model: StorageModel, card: Card) -> None:
    """The same key repeats every bit; another key draws fresh noise, uncorrelated with the first.

    Each nonideality of the card is tried alone, on cells that are all alike, so that what differs between cells
    after a pulse or in a look is noise and not spread.
    """
    for spec in model.specs:
        value = card.params[spec.name].value
        if spec.neutral is None or value == spec.neutral or spec.name.startswith("stuck"):
            continue
        results = []
        for key in (_EVENT, _EVENT, _OTHER_EVENT):
            bench = Bench(model, card, 4096, neutral=True, changes={spec.name: value})
            bench.program(bench.grid.level_max % 1.0 if bench.grid.quantum == 1.0 else 0.0)
            alike = all((array == array[:1]).all() for array in copy_state(bench.state).values())
            bench.pulse(bench.all, 1.0, key)
            results.append((bench.peek(), bench.read(key) - bench.peek()))
        for i, what in enumerate(("pulse", "look")):
            first, again, other = (r[i].astype(np.float64) for r in results)
            require(np.array_equal(first, again), model, card, f"a {what} is not a function of its key.")
            if alike and first.std() > 0.0:
                shared = np.corrcoef(first, other)[0, 1] * np.sqrt(first.size) if other.std() > 0.0 else np.inf
                require(
                    abs(shared) < Z_LIMIT, model, card,
                    f"two keys share the noise of a {what} that {spec.name!r} makes.",
                )  # fmt: skip


def chips_differ(model: StorageModel, card: Card) -> None:
    """A chip is a function of its fabrication key, and where its devices differ, so do two chips."""
    grid, params = grid_of(card.params["n_levels"].value), params_of(model, card)
    chips = [new_state(model, 2000) for _ in range(3)]
    for chip, key in zip(chips, (_FABRICATION, _FABRICATION, _OTHER_EVENT), strict=True):
        model.fabricate(chip, params, grid, key)
    first = copy_state(chips[0])
    require(same_state(chips[1], first), model, card, "fabrication is not a function of its key.")
    alike = all((array == array[:1]).all() for array in first.values())
    require(alike or not same_state(chips[2], first), model, card, "two chips with spread are the same.")


def time_passes_exactly(model: StorageModel, card: Card) -> None:
    """Time that does not pass changes nothing; one step has the distribution of two half as long; bounds hold.

    A model without ``advance`` passes. Steps from a microsecond to a quarter of an hour are tried.
    """
    if model.advance is None:
        return
    rng = np.random.default_rng(10)
    for duration in 10.0 ** np.arange(-6, 4):
        once, twice, again = (Bench(model, card, 4096) for _ in range(3))
        start = once.levels(rng)
        for bench in (once, twice, again):
            bench.program(start)
        before = copy_state(once.state)
        once.advance(0.0, 0.0)
        require(same_state(once.state, before), model, card, "advancing by no time changes the state.")
        for bench in (once, again):
            bench.advance(0.0, duration)
        require(same_state(again.state, copy_state(once.state)), model, card, "advance is not a function of its key.")
        twice.advance(0.0, duration / 2.0, _OTHER_EVENT)
        twice.advance(duration / 2.0, duration, np.uint64(int(_OTHER_EVENT) + 1))
        one, two = (bench.peek(duration).astype(np.float64) for bench in (once, twice))
        require(bool(np.isfinite(one).all()), model, card, "a level is not finite after some time.")
        require(bool((np.abs(one) <= once.grid.level_max).all()), model, card, "a level drifts off the grid.")
        for what, difference in (("mean", one - two), ("spread", (one - start) ** 2 - (two - start) ** 2)):
            # What is left without noise is the rounding of float32.
            limit = Z_LIMIT * difference.std() / np.sqrt(difference.size) + 1e-5 * (1.0 + np.abs(one).max())
            require(
                abs(difference.mean()) < limit, model, card,
                f"advancing by {duration:g} s and twice by half of it differ in the {what} of the levels.",
            )  # fmt: skip


def disturbance_follows_the_looks(model: StorageModel, card: Card) -> None:
    """No look disturbs nothing, and what looks do is a function of their key and number.

    A model without ``disturb`` passes.
    """
    rng = np.random.default_rng(11)
    benches = [Bench(model, card, 500) for _ in range(2)]
    start = benches[0].levels(rng)
    for bench in benches:
        bench.program(start)
    before = copy_state(benches[0].state)
    benches[0].disturb(0)
    require(same_state(benches[0].state, before), model, card, "a disturbance by no look changes the state.")
    for bench in benches:
        bench.disturb(1000)
    require(
        same_state(benches[1].state, copy_state(benches[0].state)), model, card,
        "a disturbance is not a function of its key.",
    )  # fmt: skip
    levels = benches[0].peek()
    require(bool((np.abs(levels) <= benches[0].grid.level_max).all()), model, card, "looks push a level off the grid.")


def exact_means_adding(model: StorageModel, card: Card) -> None:
    """What is declared `exact` moves by what is asked on a continuous grid. Without the declaration: passes."""
    if model.exact is None:
        return
    bench = Bench(model, card, 400, n_levels=0)
    rng = np.random.default_rng(21)
    level = bench.program(rng.normal(0.0, 2.0, 400)).copy()
    held = getattr(bench.state, model.exact)
    require(held.dtype == np.float32 and held.shape == (400,), model, card, "exact: not one float32 per cell.")
    pulses = np.zeros(400, np.int64)
    for cells in (bench.all, bench.all[3::7]):
        counts = (rng.normal(size=cells.size) * 10.0 ** rng.uniform(-9, 1, cells.size)).astype(np.float32)
        bench.pulse(cells, counts)
        level[cells] += counts
        pulses[cells] += np.maximum(np.floor(np.abs(counts) + np.float32(0.5)).astype(np.int64), counts != 0.0)
        same = np.array_equal(held, level) and np.array_equal(bench.peek(), level)
        require(same, model, card, "exact: the level did not move by what was asked.")
        require(np.array_equal(bench.state.pulse_count, pulses), model, card, "exact: pulses are counted otherwise.")


STORAGE_CHECKS: tuple[Check, ...] = (
    declarations_are_consistent,
    program_honours_targets,
    pulses_move_the_right_way,
    levels_stay_in_bounds,
    only_listed_cells_change,
    lists_may_be_split,
    noise_ignores_other_cells,
    neutral_is_ideal,
    looking_changes_nothing,
    stuck_devices_do_not_move,
    pulses_are_counted,
    noise_follows_the_key,
    time_passes_exactly,
    disturbance_follows_the_looks,
    exact_means_adding,
    chips_differ,
)
