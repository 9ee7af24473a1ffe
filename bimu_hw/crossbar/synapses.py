"""The synapses of one layer: a storage element and a sampling element per cell.

This is the one place where lam changes: `SynapseArray.program_request` turns what the rule asked for into pulses,
the device model answers, and lam is read off the device again. Time and looking change it as well, for models that
say so (`bimu_hw.devices`); evaluation and recording never do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.crossbar.cells_read import CellsRead
from bimu_hw.crossbar.encoding import EXACT_STEP, InitialLam, initial_levels, level_grid
from bimu_hw.crossbar.keys import event_key
from bimu_hw.crossbar.nonidealities import LayerNonidealities
from bimu_hw.crossbar.rails import Rails
from bimu_hw.crossbar.snapshot import snapshot
from bimu_hw.crossbar.synapse_spec import POLICIES, Programming, Seeds, SynapseSpec, UpdatePlan, all_cells
from bimu_hw.crossbar.thresholds import Thresholds
from bimu_hw.crossbar.writing import Writing, round_request
from bimu_hw.devices import ROOM_TEMPERATURE, Grid, Site, new_state, time_matters
from bimu_hw.kernels import aligned_zeros
from bimu_hw.kernels.counters import count_all
from bimu_hw.kernels.elementary import fill_tanh_sech2, update_tanh_sech2
from bimu_hw.kernels.programming import accumulate, scale_levels
from bimu_hw.nonidealities import Nonidealities, check_nonidealities
from bimu_hw.random import Purpose, stream_key

FloatArray = npt.NDArray[np.float32]

_NO_TOTAL = np.zeros(0)


class SynapseArray:
    """All synapses of one layer.

    Parameters
    ----------
    shape : tuple of int
        (wordline, bitline).
    spec : SynapseSpec
    seeds : Seeds
    layer : int
        Index of the layer: part of every noise key.
    initial_lam : str, float32[wordline, bitline] or MeasuredLevels
        As `initial_levels` takes it.
    tile_wordlines : int, optional
        Word lines per tile; all of them in one tile if not given.
    temperature : float
        Kelvin.

    Attributes
    ----------
    lam : float32[cell]
        Natural parameter that the device holds, read without noise.
    residue : float32[cell]
        Residue registers, in levels; empty unless the policy is "residue".
    keep_requests : bool
        Whether to add up what is asked of lam, for a record; off until somebody sets it.
    look_interval : float
        Time between successive looks at the sampling elements in seconds; set by who knows time, infinite until then.
    version : int
        Counts changes of lam.
    evolves : bool
        Whether time changes the devices.
    thresholds : Thresholds or None
        Where `sample` is but a comparison with thresholds, which nothing but a bias changes.
    sample_key : uint64
        Key of the noise of `sample`, without the event.
    """

    def __init__(
        self, shape: tuple[int, int], spec: SynapseSpec, seeds: Seeds, layer: int, initial_lam: InitialLam = "uniform",
        tile_wordlines: int | None = None, temperature: float = ROOM_TEMPERATURE,
    ) -> None:  # fmt: skip
        self.shape = shape
        self.spec = spec
        self.layer = layer
        n = shape[0] * shape[1]
        storage, sampler = spec.models()
        self.storage, self.sampler = storage, sampler
        self.grid = level_grid(int(spec.storage.params["n_levels"].value), spec.lam_max, shape[1], temperature)
        self.site = Site(
            shape[1], tile_wordlines or shape[0], temperature, float(spec.sampler.costs["read_time"].value)
        )
        self.params: Any = storage.params(*(spec.storage.params[s.name].value for s in storage.specs))
        self.sampler_params: Any = sampler.params(*(spec.sampler.params[s.name].value for s in sampler.specs))
        self._state = new_state(storage, n)
        # Pulses that all cells got and that their counters do not show yet.
        self._uncounted = 0
        self.writing = Writing(shape, self.grid.quantum == 1.0)
        self._sampler_state = new_state(sampler, n)
        # The second at which the sampling elements should have taken over the lam of all cells; None: they have.
        self._bias_due: float | None = None
        self._rails = Rails(n)
        bits = spec.residue_bits
        self._register_step = 2.0**-bits if bits and self.grid.quantum == 1.0 else EXACT_STEP
        f, grid = np.float32, self.grid
        self._scales = (f(1.0 / grid.step), f(grid.quantum), f(self._register_step), f(grid.level_max))
        values = Nonidealities(**{name: fact.value for name, fact in spec.storage.nonidealities.items()})
        check_nonidealities(values, int(spec.storage.params["n_levels"].value), "device.storage_params")
        keys = (stream_key(seed, Purpose.FAULT, layer) for seed in (seeds.fabrication, seeds.noise))
        self.nonidealities = LayerNonidealities(values, n, *keys)
        self._noisy = values.noisy or any(getattr(self.params, p, 0.0) != 0.0 for p in storage.noisy_reads)

        nothing = np.zeros(0, np.float32)
        self._exact = storage.exact is not None and self.grid.quantum != 1.0 and not self.nonidealities.limit.size
        # The level of an exact continuous element is lam itself.
        self.lam = getattr(self._state, str(storage.exact)) if self._exact else aligned_zeros(n)
        self.residue = np.zeros(n, np.float32) if spec.policy == "residue" else nothing
        self.keep_requests = False
        self._requested = np.zeros(0)
        self._tanh = self._sech2 = nothing
        self._shape_ready = False
        self._seen = np.zeros(n, np.float32) if self._noisy else nothing
        self._cells = np.zeros(n, np.int32)
        self._counts = np.zeros(n, np.float32)
        self.all_cells = all_cells(n)
        # Evaluation works on a copy of a sampling state that the next query would otherwise see.
        self._copies = self._noisy or bool(sampler.remembers)
        self._probe_state: Any = None
        self._storage_evolves = time_matters(storage, self.params)
        self._sampler_evolves = time_matters(sampler, self.sampler_params)
        self.evolves = self._storage_evolves or self._sampler_evolves or values.noisy
        self._disturbed = storage.disturb is not None or values.read_disturb > 0.0
        self._time = 0.0
        #: Seconds that the devices have aged beyond simulated time (`age`).
        self._aged = 0.0
        self._reading = nothing
        alone = not (self._copies or self.evolves or self._disturbed) and sampler.compares is not None
        self.thresholds = Thresholds(str(sampler.compares), self.all_cells) if alone else None
        self.look_interval = float("inf")
        self.version = 0

        def noise(purpose: Purpose) -> np.uint64:
            return stream_key(seeds.noise, purpose, layer)

        self._key_read = noise(Purpose.READ_STORAGE)
        self._key_pulse = noise(Purpose.PULSE)
        self._key_rounding = noise(Purpose.ROUNDING)
        self.sample_key = noise(Purpose.WEIGHT_SAMPLE)
        self._key_advance = noise(Purpose.ADVANCE)
        self._key_disturb = noise(Purpose.DISTURB)
        self._key_controller = noise(Purpose.CONTROLLER_READ)
        storage.fabricate(
            self.state, self.params, self.grid, stream_key(seeds.fabrication, Purpose.FABRICATE_STORAGE, layer)
        )
        sampler.fabricate(
            self._sampler_state, self.sampler_params, self.site,
            stream_key(seeds.fabrication, Purpose.FABRICATE_SAMPLER, layer),
        )  # fmt: skip
        self.cells_read = CellsRead(
            spec.columns, spec.sampler, shape, stream_key(seeds.fabrication, Purpose.FABRICATE_PERIPHERY, layer)
        )
        self.value_middle, self.value_gain = self.cells_read.values()
        self._program_initial(initial_lam, noise(Purpose.INITIAL_LAM))
        # Where lam moves by what is asked and by nothing else, its way from here is the sum of the requests.
        self._start = nothing if self._disturbed or self._storage_evolves or not self._exact else self.lam.copy()

    def _program_initial(self, initial_lam: InitialLam, key: np.uint64) -> None:
        """Round the initial lam to levels; in residue mode the remainder starts the register."""
        levels, target = initial_levels(initial_lam, self.shape, self.grid, key)
        self.storage.program(self.state, target, self.params, self.grid, 0.0)
        if self.spec.policy == "residue":
            register = np.float32(self._register_step)
            self.residue[:] = np.rint((levels - target) / register) * register
        self._refresh(self.all_cells, 0.0)

    def state_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what a checkpoint must keep of this layer, by name; not copied."""
        return {
            "lam": self.lam, "residue": self.residue, "requested": self._requested,
            "time": np.array([self._time, self._aged]),
            "trap": self.nonidealities.trap, "flicker": self.nonidealities.flicker,
            **{f"storage.{name}": array for name, array in self.state._asdict().items()},
            **{f"sampler.{name}": array for name, array in self.sampler_state._asdict().items()},
        }  # fmt: skip

    def restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take over the state that another array of the same spec and seeds had."""
        self._requested = np.array(arrays["requested"])
        self._time, self._aged = (float(second) for second in arrays["time"])
        for name, mine in self.state_arrays().items():
            mine[...] = arrays[name]
        self._shape_ready = False
        self._bias_due, self._rails = None, Rails(self.lam.size)
        if self.thresholds is not None:
            self.thresholds.moved(self.sampler_state, self.all_cells)
        self.version += 1

    def _refresh(self, cells: npt.NDArray[np.int32], now: float) -> None:
        self.storage.peek(self.state, cells, self.params, self.grid, now, self.lam)
        scale_levels(cells, np.float32(self.grid.step), self.lam)
        if self._shape_ready:
            # tanh and sech**2 of a few changed cells follow at once, of many when somebody asks.
            self._shape_ready = 8 * cells.size < self.lam.size
            if self._shape_ready:
                update_tanh_sech2(cells, self.lam, self._tanh, self._sech2)
        self.have_moved(cells, now)

    def have_moved(self, cells: npt.NDArray[np.int32], now: float) -> None:
        """Be told that lam of the listed cells is another one, to which tanh and sech**2 were brought up already.

        The sampling elements take it over: some cells at once, all of them when a sampling element is next looked at,
        for on a stream of updates there may be several until then. Elements that evolve never wait.
        """
        if not self._noisy:
            if not self._sampler_evolves and (cells.size == self.lam.size or self._bias_due is not None):
                self._bias_due = now
            else:
                self._bias(self._sampler_state, self.lam, cells, now)
        self.version += 1

    def all_have_moved(self, pulses_up: int, now: float, *tile: int) -> Programming:
        """Do what `have_moved` and counting do after one pulse for every cell of an exact continuous element."""
        self.have_moved(self.all_cells, now)
        self._uncounted += 1
        return self.writing.of_all(pulses_up, *tile)

    @property
    def requested(self) -> npt.NDArray[np.float64]:
        """Sum of all asked changes of lam, float64[cell]; empty if requests are not kept. Nothing depends on it."""
        if self.keep_requests and self._start.size:
            return self.lam.astype(np.float64) - self._start
        return self._requested

    def _running_total(self) -> npt.NDArray[np.float64]:
        """Return what requests are added to; empty if nobody keeps them, or if lam itself tells."""
        if self.keep_requests and not self._start.size and not self._requested.size:
            self._requested = np.zeros(self.lam.size)
        return self._requested if self.keep_requests else _NO_TOTAL

    @property
    def state(self) -> Any:
        """The state of the storage elements."""
        if self._uncounted:
            count_all(self._uncounted, self._state.pulse_count)
            self._uncounted = 0
        return self._state

    @property
    def sampler_state(self) -> Any:
        """The state of the sampling elements, under the bias of the present lam."""
        if self._bias_due is not None:
            self._bias(self._sampler_state, self.lam, self.all_cells, self._bias_due)
            self._bias_due = None
        return self._sampler_state

    def _bias(self, state: Any, lam: FloatArray, cells: npt.NDArray[np.int32], now: float) -> None:
        if self.spec.weights == "sign":
            lam, cells = self._rails.follow(lam, cells, anew=self._noisy)
        self.sampler.bias(state, lam, cells, self.sampler_params, self.site, now)
        if self.thresholds is not None:
            self.thresholds.moved(state, cells)

    def shape_arrays(self) -> tuple[FloatArray, FloatArray]:
        """Return tanh lam and sech**2 lam, float32[cell]; computed when asked for after a change."""
        if not self._shape_ready:
            if not self._tanh.size:
                self._tanh, self._sech2 = aligned_zeros(self.lam.size), aligned_zeros(self.lam.size)
            fill_tanh_sech2(self.lam, self._tanh, self._sech2)
            self._shape_ready = True
        return self._tanh, self._sech2

    def mean_weight(self) -> FloatArray:
        """Return tanh lam, float32[wordline, bitline]."""
        return self.shape_arrays()[0].reshape(self.shape)

    def advance(self, event: int, now: float) -> None:
        """Let the devices evolve until `now`; nothing happens if they are there already.

        `read` and `program_request` do this first. The sampling elements evolve under the bias they had, then take
        over the new lam.

        Parameters
        ----------
        event : int
            Index of the query.
        now : float
            Simulated time in seconds.
        """
        self._advance(event, now + self._aged, self.grid, self.site)

    def age(self, event: int, now: float, duration: float, temperature: float) -> None:
        """Let the devices evolve at another temperature, outside simulated time (`Chip.age`)."""
        self.advance(event, now)
        self._settle(self.grid, now + self._aged)
        self._aged += duration
        grid = self.grid._replace(temperature=temperature)
        self._advance(event, now + self._aged, grid, self.site._replace(temperature=temperature))
        self._settle(grid, now + self._aged)
        self._refresh(self.all_cells, now + self._aged)

    def _settle(self, grid: Grid, now: float) -> None:
        if self.storage.settle is not None and self._storage_evolves:
            self.storage.settle(self.state, self.params, grid, now)

    def _advance(self, event: int, now: float, grid: Grid, site: Site) -> None:
        since = self._time
        if not self.evolves or now <= since:
            return
        # One event may see several intervals; the second at which one begins tells it from all others.
        key = event_key(event_key(self._key_advance, event), int(np.float64(since).view(np.uint64)))
        self._time = now
        if self._sampler_evolves:
            assert self.sampler.advance is not None
            self.sampler.advance(self.sampler_state, self.sampler_params, site, event_key(key, 1), since, now)
        if self.nonidealities.noisy:
            self.nonidealities.advance(event_key(key, 2), since, now)
        if self._storage_evolves:
            assert self.storage.advance is not None
            self.storage.advance(self.state, self.params, grid, event_key(key, 0), since, now)
            self._refresh(self.all_cells, now)

    def read(self, event: int, now: float, sample: int = 0, probe: bool = False) -> None:
        """Let the sampling elements take over the stored parameter.

        Without read noise they follow the storage elements by themselves. With it, the storage is read with noise of
        its own: once per query, shared by all samples of the query, or once per sample where the sampling element says
        so (`store_reads`).

        Parameters
        ----------
        event : int
            Index of the query.
        now : float
            Simulated time in seconds.
        sample : int
            Which Monte Carlo sample the reading is for; tells readings apart only if `reads_per_sample`.
        probe : bool
            For evaluation: the devices neither advance nor is anything of them changed.
        """
        if not probe:
            self.advance(event, now)
        now += self._aged
        state = self._sampling(probe, fresh=sample == 0)
        if self._noisy:
            key = event_key(self._key_read, event)
            if self.reads_per_sample:
                key = event_key(key, sample)
            self.storage.read(self.state, self.params, self.grid, key, now, self._seen)
            self.nonidealities.see(self._seen)
            scale_levels(self.all_cells, np.float32(self.grid.step), self._seen)
            self._bias(state, self._seen, self.all_cells, now)

    @property
    def reads_per_sample(self) -> bool:
        """Whether every Monte Carlo sample needs a reading of the store of its own."""
        return self._noisy and self.sampler.store_reads == "sample"

    def _sampling(self, probe: bool, fresh: bool = False) -> Any:
        """Return the sampling state to work on; for a probe a copy where the next query would see the difference."""
        if not (probe and self._copies):
            return self.sampler_state
        if self._probe_state is None:
            self._probe_state, fresh = new_state(self.sampler, self.lam.size), True
        if fresh:
            for mine, theirs in zip(self._probe_state, self.sampler_state, strict=True):
                mine[...] = theirs
        return self._probe_state

    def sample(
        self, event: int, now: float, out: npt.NDArray[np.int8], first: int = 0, stream: int = 0, probe: bool = False
    ) -> None:
        """Draw weights for one query; `read` comes before.

        Parameters
        ----------
        event : int
            Index of the query.
        now : float
            Simulated time in seconds at which the query began.
        out : int8[look, wordline, bitline]
            *Mutated*.
        first : int
            Index of the first of these looks among those of the query.
        stream : int
            0 for the forward looks, 1 for looks of the backward read.
        probe : bool
            As in `read`.
        """
        key = event_key(self.sample_key, event)
        if stream:
            key = event_key(key, 2**63 + stream)
        n_looks = out.shape[0]
        now += self._aged
        self.sampler.sample(
            self._sampling(probe), self.sampler_params, self.site, key, first, self.look_interval, now,
            out.reshape(n_looks, -1),
        )  # fmt: skip
        if self._disturbed and not probe:
            self._disturb(event, now, n_looks, stream, first)

    def _disturb(self, event: int, now: float, n_looks: int, *words: int) -> None:
        """Let the storage elements feel `n_looks` looks; `now` is the devices' own time."""
        key = event_key(self._key_disturb, event)
        for word in (int(np.float64(now).view(np.uint64)), *words):
            key = event_key(key, word)
        if self.storage.disturb is not None:
            self.storage.disturb(self.state, self.params, self.grid, key, n_looks, now)
            self._refresh(self.all_cells, now)
        if self.nonidealities.values.read_disturb > 0.0:
            self._pulse(*self.nonidealities.read_disturb(event_key(key, 1), n_looks), event_key(key, 2), now)

    def _pulse(self, cells: npt.NDArray[np.int32], counts: FloatArray, key: np.uint64, now: float) -> None:
        """Send pulses, wanted or not, to the cells that still answer; `now` is the devices' own time."""
        if self.nonidealities.limit.size:
            level = (self.lam / np.float32(self.grid.step)).astype(np.float32)
            used, grid = self.state.pulse_count, self.grid
            cells, counts = self.nonidealities.answering(
                cells, counts, level, used, grid.level_max, grid.quantum == 1.0
            )
        self.storage.pulse(self.state, cells, counts, self.params, self.grid, key, now)
        self._refresh(cells, now)

    @property
    def read_with_error(self) -> bool:
        """Whether the controller's reading of lam differs from lam."""
        return self.nonidealities.values.controller_noise != 0.0

    def controller_lam(self, event: int) -> FloatArray:
        """Return lam as the controller reads it for the rule, float32[cell]: `lam` itself, or lam with an error."""
        if not self.read_with_error:
            return self.lam
        if not self._reading.size:
            self._reading = np.empty_like(self.lam)
        key = event_key(self._key_controller, event)
        self.nonidealities.controller_reading(key, self.lam, self.grid.step, self._reading)
        return self._reading

    def program_request(
        self, request: FloatArray, event: int, now: float, tile_wordlines: int, tile_bitlines: int, write_columns: int
    ) -> Programming:
        """Turn the asked change of lam into pulses and send them.

        Parameters
        ----------
        request : float32[cell]
            *Mutated*: it serves as work space.
        event : int
            Index of the query that is learned.
        now : float
            Simulated time in seconds.
        tile_wordlines, tile_bitlines, write_columns : int
            Size of a tile, and columns written together.
        """
        self.advance(event, now)
        if self._running_total().size:
            accumulate(request, self._requested)
        policy, lists = POLICIES[self.spec.policy], (self._cells, self._counts)
        n = round_request(request, policy, self._scales, event_key(self._key_rounding, event), self.residue, *lists)
        cells, counts = (self._cells[:n], self._counts[:n]) if n < request.size else (self.all_cells, request)
        return self.send(cells, counts, event, now, tile_wordlines, tile_bitlines, write_columns)

    def send(
        self, cells: npt.NDArray[np.int32], counts: FloatArray, event: int, now: float, tile_wordlines: int,
        tile_bitlines: int, write_columns: int,
    ) -> Programming:  # fmt: skip
        """Send pulses to the listed cells, read off what became of lam, and count what that took."""
        tile = (tile_wordlines, tile_bitlines, write_columns)
        key, now = event_key(self._key_pulse, event), now + self._aged
        before = self._refreshes().copy()
        self._pulse(cells, counts, key, now)
        if self.nonidealities.values.half_select_disturb > 0.0:
            for direction in (1, -1):
                own = event_key(key, direction % 2**64)
                unwanted = self.nonidealities.half_select(own, direction, cells, counts, self.shape[1], *tile)
                self._pulse(*unwanted, event_key(own, 1), now)
        done = self.writing.of_list(cells, counts, *tile)
        if not before.size:
            return done
        refreshes = (self._refreshes().astype(np.int64) - before) * self.storage.refresh_pulses
        return self.writing.with_refreshes(done, refreshes, tile_wordlines, tile_bitlines)

    def _refreshes(self) -> npt.NDArray[Any]:
        """Return what counts the refreshes of each cell; empty if the model has none."""
        return getattr(self.state, self.storage.refreshes) if self.storage.refreshes else _NO_TOTAL

    def plan_update(self, event: int, now: float) -> UpdatePlan:
        """Bring the devices to `now` and return what an update in one pass works on.

        What is asked of an exact continuous element is sent in the same pass, after which `have_moved` is due; the
        counts for any other are handed to `send`.
        """
        self.advance(event, now)
        tanh, sech2 = self.shape_arrays()
        return UpdatePlan(
            POLICIES[self.spec.policy], self._scales, self._key_rounding, self.residue, self._running_total(),
            self._exact, tanh, sech2,
        )  # fmt: skip

    def snapshot(self, now: float) -> dict[str, npt.NDArray[np.generic]]:
        """Return what a record keeps of this layer (`bimu_hw.crossbar.snapshot`); changes nothing."""
        return snapshot(self, now + self._aged)
