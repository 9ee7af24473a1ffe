"""The accelerator in SimPy: arrivals, labels, refreshes and the ends of jobs are its events.

A *turn* is what the controller does at a tick at which something has happened: it takes note of the jobs that are done,
and begins those for which there is room. It comes after everything else that is due at its tick. A job is computed in
the turn in which it begins, on the lam of that moment; a query's answer and an update's end follow when its stages are
through. So an update takes effect at once, when it begins, and whoever is in flight keeps what it has computed. The one
call that changes lam is in `bimu_hw.accelerator.jobs`. Where nothing can come between, the chip has computed it before
(`bimu_hw.accelerator.foresight`).

With one job at a time a label that is there at once is learned in the same service, from the samples that the cells
still hold. A later label, or any label where several queries are in flight and others may have passed through the
cells, means a new forward pass, on the lam of its moment with that query's noise. A label that came with its input
means one forward pass, that of learning, which also predicts.

What is awaited, and the jobs in flight, can be written down between two turns (`Accelerator.state`) and be waited for
anew (`restore`). What is due at one tick happens in the order in which the waiting began, so that order is kept too.
With one job at a time this is done while none is in service: the cells' samples are not part of a state.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import simpy

from bimu_hw.accelerator.arrivals import Arrivals
from bimu_hw.accelerator.events import Events
from bimu_hw.accelerator.foresight import Foresight
from bimu_hw.accelerator.jobs import Jobs, uniform_for
from bimu_hw.accelerator.machine import InFlight, Machine, OneAtATime
from bimu_hw.accelerator.oracle import Oracle
from bimu_hw.accelerator.plan import Piece, WorkPlan
from bimu_hw.accelerator.query import QueryRow, from_columns, to_columns
from bimu_hw.accelerator.service import Job
from bimu_hw.accelerator.spec import AcceleratorSpec, ExampleSource, Observer, Pause, Usage
from bimu_hw.accelerator.timeline import Timeline
from bimu_hw.crossbar.chip import Chip, Encoded, LearningRule
from bimu_hw.learning.policies import Given, LabelPolicy
from bimu_hw.ledger import Ledger, Tally

__all__ = ["Accelerator", "AcceleratorSpec", "Arrivals", "Pause"]

#: Numbers of an `Accelerator` that go into its state as they are.
_COUNTERS = (
    "seen", "requested", "dropped", "stale", "asleep_ticks", "wakes", "in_system_ticks", "sojourn_ticks", "_in_system",
    "_counted", "_next_index", "_ended", "_blocked", "_refreshing", "_idle_since", "_waking",
)  # fmt: skip


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
    machine : Machine, optional
        Who lets stages pass; by default what the plan's architecture says.
    timeline : int
        Stages and spans of the beginning to keep, for a timeline.
    next_look : callable, optional
        Returns, for the index of an example, the first later one before which the observer looks at the chip. Until
        then the chip may be ahead of the time; without, it never is.

    Attributes
    ----------
    jobs : Jobs
    oracle : Oracle
    seen, requested, dropped, stale : int
        Queries served, labels requested, inputs dropped, labels that were of no use any more.
    asleep_ticks, wakes : int
        Time in which the chip was switched off, and how often it was woken.
    in_system_ticks, sojourn_ticks : int
        The number of queries waiting or in service summed over the ticks, and the times from arrival to answer summed
        over the queries. Little's law says that they are equal.
    """

    def __init__(
        self, chip: Chip, plan: WorkPlan, source: ExampleSource, policy: LabelPolicy, rule: LearningRule,
        spec: AcceleratorSpec, noise_seed: int, observer: Observer, machine: Machine | None = None, timeline: int = 0,
        next_look: Callable[[int], int] | None = None,
    ) -> None:  # fmt: skip
        self.chip, self.plan, self.source, self.policy, self.rule = chip, plan, source, policy, rule
        self.spec, self.observer = spec, observer
        self.jobs = Jobs(chip, plan, rule, spec)
        self.oracle = Oracle(spec.labels)
        self._shared = plan.architecture.pipeline == "queries"
        #: Slots: one for each query in flight, one for an update, one for a refresh.
        self._query_slots = range(plan.architecture.in_flight if self._shared else 1)
        self._update_slot, self._refresh_slot = len(self._query_slots), len(self._query_slots) + 1
        self.timeline = Timeline(plan, len(chip.layers), timeline) if timeline else None
        self.machine = machine or self._new_machine()
        self.seen = self.requested = self.dropped = self.stale = self.asleep_ticks = self.wakes = 0
        self.in_system_ticks = self.sojourn_ticks = self._in_system = self._counted = 0
        self._events = Events(self._turn)
        self._queue: deque[tuple[int, int]] = deque()
        self._labelled: deque[tuple[QueryRow, Encoded]] = deque()
        self._service: dict[int, Job] = {}
        # What is awaited: the tick it is due and its place in the order of waiting.
        self._awaited: list[tuple[int, int, QueryRow, Encoded, bool]] = []
        self._arrival: tuple[int, int] | None = None
        self._refresh: tuple[int, int] | None = None
        self._blocked: list[int] | None = None
        self._begun = self._ended = self._refreshing = False
        self._next_index = self._idle_since = 0
        self._waking = -1
        self._noise_seed = noise_seed
        self._given = isinstance(policy, Given)
        self._priority = {job: spec.unit_priority(job) for job in ("query", "update")}
        self._back_to_back = spec.arrivals.kind == "back_to_back"
        self._example = source.example
        if next_look is not None and Foresight.is_certain(policy, spec, self._shared):
            self._example = Foresight(source, chip, next_look).example

    def _new_machine(self) -> Machine:
        if not self._shared:
            return OneAtATime()
        plan, n_layers = self.plan, len(self.chip.layers)
        longest = max(
            len(plan.inference_piece.stages), len(plan.update_stages) + n_layers, len(plan.refresh[1].stages)
        )
        n_slot, n_chain = len(self._query_slots) + 2, self.chip.n_sample
        log = 3 * n_slot * n_chain * longest if self.timeline else 0
        return InFlight(plan.architecture.capacities(n_layers), n_slot, n_chain, longest, log)

    @property
    def ledger(self) -> Ledger:
        """The account."""
        return self.jobs.ledger

    @property
    def usage(self) -> dict[str, Usage]:
        """Use of every resource."""
        return self.jobs.usage

    @property
    def learned(self) -> int:
        """Updates done."""
        return self.jobs.learned

    @property
    def event_count(self) -> int:
        """Events of the simulated clock: arrivals, labels that came, and stages."""
        return self.jobs.event_count

    @property
    def ended(self) -> bool:
        """Whether `run` has come to its end."""
        return self._ended

    @property
    def duration_ticks(self) -> int:
        """Simulated duration so far."""
        return self._events.now

    def run(self) -> None:
        """Run until every input is served or dropped and every label that was requested has been learned from."""
        if not self._begun:
            if not self._back_to_back:
                self._await_arrival(0, self.spec.arrivals.gap(0))
            if self.spec.refresh:
                self._await_refresh(self.spec.refresh)
        self._begun = True
        if not self._ended:
            self._events.turn_at(self.duration_ticks)
            self._events.run()
            self.jobs.finish(self.duration_ticks, self.asleep_ticks, self.wakes)
            self.jobs.age_on(self.source.n_examples, self.duration_ticks)
            self._ended = True

    def state(self) -> dict[str, Any]:
        """Return all that decides how the run goes on: the chip's and the rule's state, the account, what is awaited.

        To be called from `Observer.between_jobs` or after `run`. Values are numbers, texts, arrays (not copied), and
        lists and dicts of these.
        """
        service = [(slot, job) for slot, job in self._service.items() if job.row is not None]
        return {
            **{name: getattr(self, name) for name in _COUNTERS},
            "tick": self.duration_ticks, "waits": self._events.waits,
            "arrival": self._arrival, "refresh": self._refresh,
            "queue": [list(entry) for entry in self._queue],
            "labelled": to_columns([row for row, _ in self._labelled]),
            "awaited": to_columns([row for _, _, row, _, _ in self._awaited]),
            "awaited_when": [[due, place, stale] for due, place, _, _, stale in self._awaited],
            "service": to_columns([job.row for _, job in service if job.row is not None]),
            "service_what": [[slot, job.kind, job.begun] for slot, job in service],
            "service_other": [[slot, job.kind, job.begun] for slot, job in self._service.items() if job.row is None],
            "service_rest": [job.rest_state() for _, job in service],
            "oracle": self.oracle.state(), "machine": self.machine.state(), "jobs": self.jobs.state(),
            "timeline": self.timeline.state() if self.timeline else {},
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the state of another accelerator of the same scenario; `run` then goes on where that one was."""
        tick = state["tick"]
        self._events = Events(self._turn, tick)
        self._begun = True
        self._queue = deque((index, arrival) for index, arrival in state["queue"])
        self._labelled = deque((row, self._encoded(row)) for row in from_columns(state["labelled"]))
        self._service = {
            slot: Job(kind, begun, row, self._encoded(row))
            for (slot, kind, begun), row in zip(state["service_what"], from_columns(state["service"]), strict=True)
        } | {slot: Job(kind, begun) for slot, kind, begun in state["service_other"]}
        for (slot, _, _), rest in zip(state["service_what"], state["service_rest"], strict=True):
            self._service[slot].restore_rest(rest, self.plan)
        waits: list[tuple[int, int, Callable[[int], None]]] = []
        for (due, place, stale), row in zip(state["awaited_when"], from_columns(state["awaited"]), strict=True):
            waits.append((place, due, partial(self._await_label, row, self._encoded(row), stale)))
        if state["arrival"] is not None:
            waits.append((*state["arrival"], partial(self._await_arrival, state["_next_index"])))
        if state["refresh"] is not None:
            waits.append((*state["refresh"], self._await_refresh))
        for _, due, wait in sorted(waits, key=lambda wait: wait[0]):
            wait(due - tick)
        self._events.waits = state["waits"]
        for name in _COUNTERS:
            setattr(self, name, state[name])
        self.oracle.restore(state["oracle"])
        self.machine.restore(state["machine"])
        self.jobs.restore(state["jobs"])
        if self.timeline and isinstance(self.machine, InFlight):
            for slot, job in self._service.items():
                job.pieces = self.timeline.pieces_of(job.kind, self.machine.segments(slot))
        if self.timeline:
            self.timeline.restore(state["timeline"])

    def _encoded(self, row: QueryRow) -> Encoded:
        return self.source.example(row.example)[0]

    # What is waited for

    def _await_arrival(self, index: int, ticks: int) -> None:
        self._arrival = self._events.wait(ticks, partial(self._arrive, index))

    def _arrive(self, index: int, event: simpy.Event) -> None:
        """Bring an input. If it finds the queue full it is dropped, or waits and the source with it."""
        self.jobs.event_count += 1
        self._next_index = index + 1
        self._arrival = None
        if self.spec.queue and len(self._queue) >= self.spec.queue:
            if self.spec.back_pressure:
                self._blocked = [index, self.duration_ticks]
                self._count(1)
                self._ring(())
                return
            self.dropped += 1
        else:
            self._queue.append((index, self.duration_ticks))
            self._count(1)
        self._await_next()
        self._ring(self._query_slots)

    def _await_next(self) -> None:
        if self._next_index < self.source.n_examples:
            self._await_arrival(self._next_index, self.spec.arrivals.gap(self._next_index))

    def _await_label(self, row: QueryRow, encoded: Encoded, stale: bool, ticks: int) -> None:
        place, due = self._events.wait(ticks, self._bring_label)
        heapq.heappush(self._awaited, (due, place, row, encoded, stale))

    def _bring_label(self, event: simpy.Event) -> None:
        """Bring the label that is due, or learn that it will not come in time."""
        self.jobs.event_count += 1
        due, _, row, encoded, stale = heapq.heappop(self._awaited)
        if stale:
            self.stale += 1
            self._ring(())
            return
        row.label_tick = due
        self._labelled.append((row, encoded))
        self._ring((self._update_slot,))

    def _await_refresh(self, ticks: int) -> None:
        self._refresh = self._events.wait(ticks, self._bring_refresh)

    def _bring_refresh(self, event: simpy.Event) -> None:
        self.jobs.event_count += 1
        self._refreshing = True
        self._await_refresh(self.spec.refresh)
        self._ring((self._refresh_slot,))

    # Turns

    def _ring(self, slots: Sequence[int]) -> None:
        """Let there be a turn at this tick, unless nothing could begin: what has come is for one of these slots."""
        now = self._events.now
        if now < self._waking:
            return
        if not self._service:
            self._events.turn_now()
        elif self._shared:
            for slot in slots:
                if slot not in self._service:
                    self._events.turn_now()
                    return
            self._expect()

    def _expect(self) -> bool:
        """Return whether a job will be done, and let there be a turn at its end, unless something comes before."""
        due = self.machine.due()
        # What comes before may change what is due; nothing can come before where it finds the chip busy.
        if due is not None and (not self._shared or self._events.nothing_before(due)):
            self._events.turn_at(due)
        return due is not None

    def _turn(self, now: int) -> None:
        done = self.machine.done(now)
        if self.timeline is not None and isinstance(self.machine, InFlight):
            self._note(self.timeline, self.machine)
        for slot in done:
            self._complete(slot, self._service.pop(slot), now)
        if self._shared or not self._service:
            if done and not self._service:
                self._idle_since = now
            if not self.chip.ahead:
                self.observer.between_jobs()
            if self._awake(now):
                self._admit(now)
        if not self._expect() and self._over():
            self._events.end()

    def _over(self) -> bool:
        """Whether nothing can come any more."""
        left = self._service or self._queue or self._labelled or self._awaited or self._blocked
        return not left and self._next_index >= self.source.n_examples

    def _awake(self, now: int) -> bool:
        """Return whether the chip can begin a job; if it sleeps and there is one, wake it."""
        sleep = self.spec.sleep
        if sleep is None or self._service or not self._waiting():
            return True
        if self._waking < 0 and now - self._idle_since > sleep.after:
            self.asleep_ticks += now - self._idle_since - sleep.after
            self.wakes += 1
            self._waking = now + sleep.wake
        if now < self._waking:
            self._events.turn_at(self._waking)
            return False
        self._waking = -1
        return True

    def _waiting(self) -> bool:
        more = self._back_to_back and self._next_index < self.source.n_examples
        return bool(self._queue or self._labelled or self._refreshing or more)

    def _admit(self, now: int) -> None:
        """Begin whatever there is room for, in order of priority."""
        while self._shared or not self._service:
            if self._refreshing and self._refresh_slot not in self._service:
                self._refreshing = False
                self._begin(self._refresh_slot, Job("refresh", now), (self.jobs.refresh(),), -1)
                continue
            update = bool(self._labelled) and self._update_slot not in self._service
            slot = self._free_slot() if self._queue or self._next_comes_at_once() else -1
            if update and (slot < 0 or self.spec.update_is_first(self._labelled[0][0].label_tick, self._queue)):
                self._learn(*self._labelled.popleft(), now, held=False)
            elif slot >= 0:
                self._query(slot, now)
            else:
                return

    def _free_slot(self) -> int:
        """Return the first slot for a query that is free, -1 if there is none."""
        for slot in self._query_slots:
            if slot not in self._service:
                return slot
        return -1

    def _next_comes_at_once(self) -> bool:
        return self._back_to_back and self._next_index < self.source.n_examples

    def _begin(self, slot: int, job: Job, pieces: Sequence[Piece], priority: int) -> None:
        """Let the work of a job begin."""
        ticks = self.jobs.begin(pieces)
        self._service[slot] = job
        if self.timeline is not None and not self.timeline.full:
            if self._shared:
                job.pieces = pieces
            else:
                self.timeline.lay_out(pieces, job.kind, -1 if job.row is None else job.row.example, job.begun)
        self.machine.submit(slot, [piece.segment for piece in pieces], ticks, priority, job.begun)

    def _note(self, timeline: Timeline, machine: InFlight) -> None:
        """Note the stages that have passed."""
        for passed in machine.passed():
            job = self._service[passed.slot]
            if job.pieces:
                timeline.note(passed, job.pieces, job.kind, -1 if job.row is None else job.row.example)

    # Jobs

    def _take(self, now: int) -> tuple[int, int]:
        """Take the next input and let one that waits outside come in."""
        if not self._queue:
            self._next_index += 1
            self._count(1)
            return self._next_index - 1, now
        index, arrival = self._queue.popleft()
        if self._blocked is not None:
            self._queue.append((self._blocked[0], self._blocked[1]))
            self._blocked = None
            self._await_next()
        return index, arrival

    def _query(self, slot: int, now: int) -> None:
        """Begin a query: compute its prediction, and decide whether to ask for its label."""
        index, arrival = self._take(now)
        encoded, label, answer, task = self._example(index)
        self.jobs.end_tasks(task, index, now)
        self.observer.before_query(index, now)
        row = QueryRow(index, task, label, answer, arrival, now)
        self.seen += 1
        if self._given:
            row.label_tick = row.arrival_tick
            forward, *rest = self.jobs.learn(row, encoded, now, held=False)
            self.jobs.predict(row)
            # All that is spent is the update's.
            spent, row.spent = row.spent, Tally()
            self._begin(slot, Job("given", now, row, encoded, rest, spent), (forward,), self._priority["update"])
            return
        evidence, piece = self.jobs.infer(row, encoded)
        row.asked = self.policy.asks(
            evidence, examples_seen=self.seen - 1, labels_requested=self.requested,
            uniform=uniform_for(self.policy, self._noise_seed, index),
        )  # fmt: skip
        self._begin(slot, Job("query", now, row, encoded), (piece,), self._priority["query"])

    def _learn(self, row: QueryRow, encoded: Encoded, now: int, held: bool) -> None:
        """Begin an update."""
        row.spent = Tally()
        if not held and not self.spec.labels.prompt:
            self.jobs.book_kept(row)
        pieces = self.jobs.learn(row, encoded, now, held)
        self._begin(self._update_slot, Job("update", now, row, encoded), pieces, self._priority["update"])

    def _complete(self, slot: int, job: Job, now: int) -> None:
        """Take note that a job, or the part of it that was begun, is done."""
        self.jobs.busy(now - job.begun)
        row, encoded = job.row, job.encoded
        if row is None or encoded is None:
            return
        if job.kind == "update":
            self.observer.learned(row)
        elif job.kind == "given":
            self._answer(row, now)
            self.observer.answered(row)
            row.spent = job.spent or row.spent
            job.kind, job.begun = "update", now
            self._begin(slot, job, job.rest, self._priority["update"])
        else:
            self._answer(row, now)
            if row.asked:
                self.requested += 1
                self.jobs.book_request(row, late=not self.spec.labels.prompt)
            self.observer.answered(row)
            if row.asked:
                self._ask(row, encoded, now)

    def _answer(self, row: QueryRow, now: int) -> None:
        row.finish_tick = now
        self._count(-1)
        self.sojourn_ticks += now - row.arrival_tick
        if self.timeline is not None:
            self.timeline.add("queries", "sojourn", row.example, row.arrival_tick, now - row.arrival_tick)

    def _ask(self, row: QueryRow, encoded: Encoded, now: int) -> None:
        """Ask for the label of a query that was answered."""
        if not self.spec.labels.prompt:
            answer = self.oracle.request(row.example, now)
            self._await_label(row, encoded, answer.stale, answer.tick - now)
            if self.timeline is not None and answer.begun >= 0:
                self.timeline.add("annotators", "label", row.example, answer.begun, answer.tick - answer.begun)
            return
        row.label_tick = now
        if self._shared:
            self._labelled.append((row, encoded))
        else:
            self._learn(row, encoded, now, held=True)

    def _count(self, change: int) -> None:
        """Take note of a query that came or was answered."""
        now = self._events.now
        self.in_system_ticks += self._in_system * (now - self._counted)
        self._in_system, self._counted = self._in_system + change, now
