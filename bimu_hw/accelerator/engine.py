"""The accelerator in SimPy: the controller is a process, arrivals and labels are what it waits for.

The controller serves one job at a time, updates before queries. A query's inference is computed at the moment its
service starts, an update at the moment its own starts, so every computation sees the lam of that moment; the stages
that follow only take time. The one call that changes lam is in `Accelerator._update`.

When the label is there at once, the update follows in the same service and uses the samples that the cells still
hold; a later label means a new forward pass, on the lam of that moment with that query's noise. A label that came
with its input means one forward pass, that of learning, which also predicts.

A SimPy process cannot be saved, but between two jobs of the controller nothing is under way except waiting, for the
next arrival and for labels. `Accelerator.state` writes down what is awaited and when it is due, and `restore` waits for
it anew. What is due at one tick happens in the order in which the waiting began, so that order is kept too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import simpy

from bimu_hw.accelerator.arrivals import Arrivals
from bimu_hw.accelerator.clock import to_seconds
from bimu_hw.accelerator.plan import RESOURCES, Block, WorkPlan
from bimu_hw.accelerator.query import QueryRow, from_columns, to_columns
from bimu_hw.crossbar.chip import Chip, Encoded, LearningRule
from bimu_hw.crossbar.readout import Reads
from bimu_hw.errors import ScheduleError
from bimu_hw.kernels.network import query_uncertainty
from bimu_hw.learning.policies import Evidence, Given, LabelPolicy
from bimu_hw.ledger import Entry, Ledger, Tally
from bimu_hw.operations import CHIP, layer_counts, operation_index, phase_index
from bimu_hw.random import Purpose, stream_key

_TICKS_PER_NANOSECOND = 1000
#: Order among events of one tick: what SimPy calls normal is 1.
_LAST = 2
_TICKS_PER_MICROSECOND = 10**6
_MOST = 2**63 - 1
_INFERENCE, _LABEL, _BACKWARD, _PROGRAMMING, _IDLE = map(
    phase_index, ("inference", "label", "backward", "programming", "idle")
)


class ExampleSource(Protocol):
    """Where examples come from."""

    n_examples: int

    def example(self, index: int) -> tuple[Encoded, int, int, int]:
        """Return the encoded example, its true label, what the oracle answers when asked, and its task."""


class Observer(Protocol):
    """Who watches a run. Watching changes nothing."""

    def between_jobs(self) -> None:
        """Be told that the controller is between two jobs, where `Accelerator.state` can be taken."""

    def before_query(self, index: int, tick: int) -> None:
        """Be told that a query is about to be served."""

    def answered(self, row: QueryRow) -> None:
        """Be handed a query when its prediction is ready, in order of service; it has spent what inference and
        label take.
        """

    def learned(self, row: QueryRow) -> None:
        """Be handed a query when it was learned; it has spent what the update takes, and no more."""


#: Numbers of an `Accelerator` that go into its state as they are.
_COUNTERS = (
    "seen", "requested", "dropped", "learned", "event_count", "_next_index", "_task", "_waits", "_ended",
)  # fmt: skip


@dataclass
class Usage:
    """How much a resource was used.

    Attributes
    ----------
    events : int
        Stages it did.
    busy_ticks : int
    """

    events: int = 0
    busy_ticks: int = 0


@dataclass(frozen=True)
class Pause:
    """A time between two tasks in which the devices age and the accelerator is off: no tick passes, nothing is charged.

    Attributes
    ----------
    after_task : int or None
        Number of a task, the first being 1; None: after each.
    duration, temperature : float
        In seconds and kelvin.
    """

    after_task: int | None
    duration: float
    temperature: float


@dataclass(frozen=True)
class AcceleratorSpec:
    """Time around the chip.

    Attributes
    ----------
    arrivals : Arrivals
    queue : int
        Places in the input queue, without the query in service.
    label_latency : int
        Ticks from the request of a label to its arrival.
    power_gating : bool
        Whether sampling elements are biased only while the array they belong to is looked at.
    gradient : {"relaxed", "hard"}
    pauses : tuple of Pause
    tasks : int
        Tasks of the stream: after the last one there may be a pause too.
    """

    arrivals: Arrivals
    queue: int
    label_latency: int
    power_gating: bool
    gradient: str
    pauses: tuple[Pause, ...] = ()
    tasks: int = 1


class Accelerator:
    """One run of a chip over a stream.

    Parameters
    ----------
    chip : Chip
    plan : WorkPlan
    source : ExampleSource
    policy : LabelPolicy
    rule : LearningRule
    spec : AcceleratorSpec
    noise_seed : int
        For policies that ask at random.
    observer : Observer

    Attributes
    ----------
    ledger : Ledger
    usage : dict of str to Usage
        By resource.
    seen, requested, dropped, learned : int
        Queries served, labels requested, inputs dropped, updates done.
    """

    def __init__(
        self, chip: Chip, plan: WorkPlan, source: ExampleSource, policy: LabelPolicy, rule: LearningRule,
        spec: AcceleratorSpec, noise_seed: int, observer: Observer,
    ) -> None:  # fmt: skip
        self.chip, self.plan, self.source, self.policy, self.rule = chip, plan, source, policy, rule
        self.spec, self.observer = spec, observer
        self.ledger = Ledger.empty(len(chip.layers))
        self.usage = {name: Usage() for name in RESOURCES}
        self.seen = self.requested = self.dropped = self.learned = 0
        self.event_count = 0
        self._env = simpy.Environment()
        self._queue: deque[tuple[int, int]] = deque()
        self._labelled: deque[tuple[QueryRow, Encoded]] = deque()
        # What is awaited, each with its place in the order of waiting and the tick it is due. All labels take equally
        # long, so the first one asked for is the first to come.
        self._awaited: deque[tuple[int, int, QueryRow, Encoded]] = deque()
        self._arrival: tuple[int, int] | None = None
        self._waits = 0
        self._begun = self._ended = False
        self._next_index = 0
        self._task = 0
        self._wake: simpy.Event | None = None
        self._biased_ticks = [0] * len(chip.layers)
        self._noise_seed = noise_seed
        self._bias = {block: self._bias_of(block) for block in (plan.inference_block, plan.update_block)}
        self._request = self._single("radio", "request")
        self._kept = {access: self._single("buffer", access, plan.kept_bits()) for access in ("read", "write")}

    def run(self) -> None:
        """Run until every input is served or dropped and every label that was requested has been learned from."""
        if not self._begun and self.spec.arrivals.kind != "back_to_back":
            self._await_arrival(0, self.spec.arrivals.gap(0))
        self._begun = True
        if not self._ended:
            self._env.run(until=self._env.process(self._control()))
            self._finish()
            for number in range(self._task + 1, self.spec.tasks + 1):
                self._age(number, self.source.n_examples)
            self._ended = True

    def state(self) -> dict[str, Any]:
        """Return all that decides how the run goes on: the chip's and the rule's state, the account, what is awaited.

        To be called from `Observer.between_jobs` or after `run`. Values are numbers, texts, arrays (not copied), and
        lists and dicts of these.
        """
        return {
            **{name: getattr(self, name) for name in _COUNTERS},
            "tick": self.duration_ticks,
            "arrival": self._arrival,
            "queue": [list(entry) for entry in self._queue],
            "labelled": to_columns([row for row, _ in self._labelled]),
            "awaited": to_columns([row for _, _, row, _ in self._awaited]),
            "awaited_when": [[place, due] for place, due, _, _ in self._awaited],
            "usage": {name: [usage.events, usage.busy_ticks] for name, usage in self.usage.items()},
            "counts": self.ledger.counts,
            "array_joules": self.ledger.array_joules,
            "biased_ticks": self._biased_ticks,
            "rule": self.rule.state(),
            "chip": self.chip.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the state of another accelerator of the same scenario; `run` then goes on where that one was."""
        tick = state["tick"]
        self._env = simpy.Environment(initial_time=tick)
        self._begun = True
        self._queue = deque((index, arrival) for index, arrival in state["queue"])
        self._labelled = deque((row, self.source.example(row.example)[0]) for row in from_columns(state["labelled"]))
        waits: list[tuple[int, int, QueryRow | None]] = [
            (place, due, row)
            for (place, due), row in zip(state["awaited_when"], from_columns(state["awaited"]), strict=True)
        ]
        if state["arrival"] is not None:
            waits.append((*state["arrival"], None))
        for _, due, row in sorted(waits, key=lambda wait: wait[0]):
            if row is None:
                self._await_arrival(state["_next_index"], due - tick)
            else:
                self._await_label(row, self.source.example(row.example)[0], due - tick)
        for name in _COUNTERS:
            setattr(self, name, state[name])
        self.usage = {name: Usage(*state["usage"][name]) for name in RESOURCES}
        self.ledger.counts[...] = state["counts"]
        self.ledger.array_joules[...] = state["array_joules"]
        self._biased_ticks = list(state["biased_ticks"])
        self.rule.restore(state["rule"])
        self.chip.restore(state["chip"])

    @property
    def ended(self) -> bool:
        """Whether `run` has come to its end."""
        return self._ended

    @property
    def duration_ticks(self) -> int:
        """Simulated duration so far."""
        return int(self._env.now)

    def _wait(self, ticks: int, then: Callable[[simpy.Event], None]) -> tuple[int, int]:
        """Let something happen after some ticks; return its place in the order of waiting and the tick it is due."""
        self._env.timeout(ticks).callbacks.append(then)
        self._waits += 1
        return self._waits, self.duration_ticks + ticks

    def _await_arrival(self, index: int, ticks: int) -> None:
        self._arrival = self._wait(ticks, partial(self._arrive, index))

    def _arrive(self, index: int, event: simpy.Event) -> None:
        """Bring an input, or drop it if it finds the queue full, and wait for the next one."""
        self.event_count += 1
        self._next_index = index + 1
        if len(self._queue) >= self.spec.queue:
            self.dropped += 1
        else:
            self._queue.append((index, self.duration_ticks))
        self._ring()
        self._arrival = None
        if self._next_index < self.source.n_examples:
            self._await_arrival(self._next_index, self.spec.arrivals.gap(self._next_index))

    def _await_label(self, row: QueryRow, encoded: Encoded, ticks: int) -> None:
        self._awaited.append((*self._wait(ticks, self._bring_label), row, encoded))

    def _bring_label(self, event: simpy.Event) -> None:
        """Bring the label that was asked for first."""
        self.event_count += 1
        _, due, row, encoded = self._awaited.popleft()
        row.label_tick = due
        self._labelled.append((row, encoded))
        self._ring()

    def _ring(self) -> None:
        if self._wake is not None and not self._wake.triggered:
            self._wake.succeed()

    def _control(self) -> Generator[simpy.Event, Any, None]:
        """Serve updates, then queries, until nothing can come any more."""
        back_to_back = self.spec.arrivals.kind == "back_to_back"
        n = self.source.n_examples
        while True:
            self.observer.between_jobs()
            if self._labelled:
                row, encoded = self._labelled.popleft()
                yield from self._learn(row, encoded, held=False)
            elif self._queue:
                yield from self._query(*self._queue.popleft())
            elif back_to_back and self._next_index < n:
                self._next_index += 1
                yield from self._query(self._next_index - 1, int(self._env.now))
            elif self._next_index >= n and not self._awaited:
                return
            else:
                self._wake = self._env.event()
                yield self._wake

    def _query(self, index: int, arrival: int) -> Generator[simpy.Event, Any, None]:
        """Serve one query: inference, the decision to ask, and the update if the label is there at once."""
        start = int(self._env.now)
        encoded, label, answer, task = self.source.example(index)
        while self._task < task:
            self.chip.end_task(self.rule)
            self._task += 1
            self._age(self._task, index)
        self.observer.before_query(index, start)
        row = QueryRow(index, task, label, answer, arrival, start)
        self.seen += 1
        if isinstance(self.policy, Given):
            yield from self._learn_given(row, encoded)
            return
        self.chip.infer(encoded, index, to_seconds(start))
        evidence = self._predict(row)
        self._account_forward(_INFERENCE, row)
        row.asked = self.policy.asks(
            evidence, examples_seen=self.seen - 1, labels_requested=self.requested, uniform=self._uniform(index)
        )
        yield from self._work(self.plan.inference_block)
        row.finish_tick = int(self._env.now)
        if row.asked:
            self.requested += 1
            self.ledger.book(_LABEL, self._request, row.spent)
            if self.spec.label_latency > 0:
                self.ledger.book(_LABEL, self._kept["write"], row.spent)
        self.observer.answered(row)
        if not row.asked:
            return
        if self.spec.label_latency == 0:
            row.label_tick = row.finish_tick
            yield from self._learn(row, encoded, held=True)
        else:
            self._await_label(row, encoded, self.spec.label_latency)

    def _age(self, number: int, index: int) -> None:
        """Let the chip age after a task, before the query of that index."""
        for pause in self.spec.pauses:
            if pause.after_task in (None, number):
                self.chip.age(index, to_seconds(self.duration_ticks), pause.duration, pause.temperature)

    def _predict(self, row: QueryRow) -> Evidence:
        """Note what the last forward pass predicts, and how sure it is."""
        aleatoric, epistemic, predictive, disagreement, row.prediction = query_uncertainty(self.chip.logits)
        row.aleatoric, row.epistemic, row.predictive, row.disagreement = aleatoric, epistemic, predictive, disagreement
        return Evidence(epistemic, aleatoric, predictive, disagreement, self.chip.n_sample)

    def _learn(self, row: QueryRow, encoded: Encoded, held: bool) -> Generator[simpy.Event, Any, None]:
        """Learn one labelled query."""
        row.spent = Tally()
        if not held:
            self.ledger.book(_LABEL, self._kept["read"], row.spent)
        yield from self._work(*self._update(row, encoded, held))
        self.observer.learned(row)

    def _learn_given(self, row: QueryRow, encoded: Encoded) -> Generator[simpy.Event, Any, None]:
        """Learn a query that came with its label: its prediction is that of the forward pass of learning."""
        row.label_tick = row.arrival_tick
        forward, *rest = self._update(row, encoded, held=False)
        self._predict(row)
        yield from self._work(forward)
        row.finish_tick = int(self._env.now)
        # All that was spent is the update's.
        spent, row.spent = row.spent, Tally()
        self.observer.answered(row)
        yield from self._work(*rest)
        row.spent = spent
        self.observer.learned(row)

    def _update(self, row: QueryRow, encoded: Encoded, held: bool) -> tuple[Block, ...]:
        """Learn from one label, the only place where lam changes, and return the work that takes, forward pass first.

        There is none if the cells still hold the samples of the query.
        """
        now = to_seconds(int(self._env.now))
        result = self.chip.learn(
            encoded, row.answer, row.example, now, self.rule, self.spec.gradient, held=held
        )  # fmt: skip
        forward = self.plan.reforward or not held
        if forward:
            self._account_forward(_BACKWARD, row)
        for phase, entry in self.plan.update:
            self.ledger.book(phase, entry, row.spent)
        self._account_bias(_BACKWARD, row, self.plan.update_block)
        if self.spec.gradient == "hard":
            self._account_reads(_BACKWARD, row, self.chip.backward_reads())
        programming, stages = self.plan.programming(result.programming)
        self.ledger.book(_PROGRAMMING, programming, row.spent)
        row.updated = result.changed
        row.pulses = sum(p.pulses_up + p.pulses_down for p in result.programming)
        self.learned += result.changed
        blocks = (self.plan.update_block, Block.of(stages))
        return (self.plan.inference_block, *blocks) if forward else blocks

    def _account_forward(self, phase: int, row: QueryRow) -> None:
        self.ledger.book(phase, self.plan.inference, row.spent)
        self._account_reads(phase, row, self.chip.forward_reads())
        self._account_bias(phase, row, self.plan.inference_block)

    def _account_bias(self, phase: int, row: QueryRow, block: Block) -> None:
        """Book the bias of sampling elements while their arrays are looked at."""
        for layer, ticks in block.biased_ticks:
            self._biased_ticks[layer] += ticks
        self.ledger.book(phase, self._bias[block], row.spent)

    def _account_reads(self, phase: int, row: QueryRow, reads: Reads) -> None:
        """Book what a pass through the arrays drove."""
        self.ledger.book_reads(phase, reads.drives, self.plan.read_joules(reads), row.spent)

    def _single(self, component: str, name: str, count: int = 1) -> Entry:
        return Entry.single(len(self.chip.layers), component, name, count)

    def _bias_of(self, block: Block) -> Entry:
        counts = layer_counts(len(self.chip.layers))
        for layer, ticks in block.biased_ticks:
            counts[layer, operation_index("sampler", "bias")] = ticks // _TICKS_PER_NANOSECOND
        return Entry.of(counts)

    def _uniform(self, index: int) -> float:
        key = int(stream_key(self._noise_seed, Purpose.LABEL_POLICY, index))
        return ((key >> 11) + 0.5) * 2.0**-53

    def _work(self, *blocks: Block) -> Generator[simpy.Event, Any, None]:
        """Let blocks of stages pass one after the other.

        One controller serves one job, so nothing can come between the stages of a job or change them: they pass as one
        event, at whose tick whatever else is due comes first.
        """
        total = 0
        for block in blocks:
            total += block.ticks
            self.event_count += block.n_stages
            for resource, events, ticks in block.use:
                usage = self.usage[resource]
                usage.events += events
                usage.busy_ticks += ticks
            usage = self.usage["controller"]
            usage.events += 1
            usage.busy_ticks += block.ticks
        done = self._env.event()
        done._ok, done._value = True, None
        self._env.schedule(done, _LAST, total)  # type: ignore[arg-type]
        yield done

    def _finish(self) -> None:
        """Charge what was powered all along, and sampling elements for the time their arrays rested."""
        ticks = self.duration_ticks
        rest = ("leakage", "sampler") if self.spec.power_gating else ("sampler", "idle_bias")
        totals = [(CHIP, ("leakage", "periphery"), ticks)]
        for k, (synapses, biased) in enumerate(zip(self.chip.layers, self._biased_ticks, strict=True)):
            cells = synapses.lam.size
            totals += [(k, ("leakage", "storage"), cells * ticks), (k, rest, cells * ticks - biased)]
        for layer, operation, total in totals:
            count = total // _TICKS_PER_MICROSECOND
            if count > _MOST:
                raise ScheduleError(
                    f"accelerator: {to_seconds(ticks):g} s of simulated time are too long for "
                    f"{self.chip.layers[layer].lam.size} cells; raise accelerator.rate."
                )
            self.ledger.counts[_IDLE, layer, operation_index(*operation)] += count
