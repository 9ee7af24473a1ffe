"""What a job computes, what it books, and the work it makes; when it happens is not decided here.

The one call that changes lam is in `Jobs.learn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bimu_hw.accelerator.clock import to_seconds
from bimu_hw.accelerator.plan import WRITTEN_OPERATIONS, Piece, WorkPlan, Written
from bimu_hw.accelerator.query import QueryRow
from bimu_hw.accelerator.spec import AcceleratorSpec, Usage
from bimu_hw.accelerator.stage import Block
from bimu_hw.crossbar.chip import Chip, Encoded, LearningRule
from bimu_hw.crossbar.readout import Reads
from bimu_hw.errors import ScheduleError
from bimu_hw.kernels.network import query_uncertainty
from bimu_hw.learning.policies import AtRandom, Evidence, LabelPolicy
from bimu_hw.ledger import Entry, Ledger, Tally
from bimu_hw.operations import CHIP, layer_counts, operation_index, phase_index
from bimu_hw.random import Purpose, stream_key

_TICKS_PER_NANOSECOND = 1000
_TICKS_PER_MICROSECOND = 10**6
_MOST = 2**63 - 1
_DRIVE = operation_index("driver", "drive")
_INFERENCE, _LABEL, _BACKWARD, _PROGRAMMING, _IDLE = map(
    phase_index, ("inference", "label", "backward", "programming", "idle")
)


class _Standing:
    """Entries that are booked together again and again: on the tally of a query at once, in the account when asked."""

    def __init__(self, *entries: tuple[int, Entry]) -> None:
        self._entries = entries
        self.total = sum(entry.total for _, entry in entries)
        self.n = 0

    def book(self, tally: Tally) -> None:
        """Book the entries once."""
        self.n += 1
        tally.counts += self.total

    def settle(self, ledger: Ledger) -> int:
        """Bring the account up to date and return how often the entries were booked since."""
        n, self.n = self.n, 0
        if n:
            for phase, entry in self._entries:
                ledger.counts[phase] += entry.counts * n
        return n


class _Driven:
    """What passes through the arrays drove in one phase: on the tally of a query at once, in the account when asked."""

    def __init__(self, phase: int, n_layers: int, joules_per_siemens: float) -> None:
        self._phase, self._joules_per_siemens = phase, joules_per_siemens
        # Plain numbers: arrays of two or three entries take several times as long.
        self._drives, self._joules = [0] * n_layers, [0.0] * n_layers

    def book(self, reads: Reads, tally: Tally) -> None:
        """Book a pass."""
        joules = 0.0
        for layer, conductance in enumerate(reads.conductance):
            spent = conductance * self._joules_per_siemens
            self._drives[layer] += reads.drives[layer]
            self._joules[layer] += spent
            joules += spent
        tally.counts[_DRIVE] += sum(reads.drives)
        tally.array_joules += joules

    def settle(self, ledger: Ledger) -> None:
        """Bring the account up to date. Joules are added up here and nowhere else, so that their order stays."""
        ledger.counts[self._phase, :-1, _DRIVE] += self._drives
        ledger.array_joules[self._phase, :-1] = self._joules
        self._drives = [0] * len(self._drives)

    def restore(self, ledger: Ledger) -> None:
        """Go on from an account."""
        self._drives = [0] * len(self._drives)
        self._joules = ledger.array_joules[self._phase, :-1].tolist()


class _Programmed:
    """What programming took, layer by layer: on the tally of a query at once, in the account when asked."""

    def __init__(self, n_layers: int) -> None:
        self._counts = [[0] * len(WRITTEN_OPERATIONS) for _ in range(n_layers)]

    def book(self, written: Sequence[Written], tally: Tally) -> None:
        """Book the programming of an update."""
        counts = tally.counts
        for of_layer, layer in zip(self._counts, written, strict=False):
            for k, n in enumerate(layer):
                if n:
                    of_layer[k] += n
                    counts[WRITTEN_OPERATIONS[k]] += n

    def settle(self, ledger: Ledger) -> None:
        """Bring the account up to date."""
        for layer, counts in enumerate(self._counts):
            ledger.counts[_PROGRAMMING, layer, WRITTEN_OPERATIONS] += counts
            counts[:] = [0] * len(counts)


class Jobs:
    """The work of a chip, and the account of it.

    Parameters
    ----------
    chip : Chip
    plan : WorkPlan
    rule : LearningRule
    spec : AcceleratorSpec

    Attributes
    ----------
    event_count : int
        Stages that were begun.
    learned : int
        Updates of which something was asked.
    """

    def __init__(self, chip: Chip, plan: WorkPlan, rule: LearningRule, spec: AcceleratorSpec) -> None:
        self.chip, self.plan, self.rule, self.spec = chip, plan, rule, spec
        self._ledger = Ledger.empty(len(chip.layers))
        self._usage = {name: Usage(capacity=plan.capacity(name)) for name in plan.resources}
        self.event_count = self.learned = self._task = 0
        self._biased_ticks = [0] * len(chip.layers)
        bias = self._bias_of(plan.inference_block)
        self._forward = {phase: _Standing((phase, plan.inference), (phase, bias)) for phase in (_INFERENCE, _BACKWARD)}
        self._update = _Standing(*plan.update, (_BACKWARD, self._bias_of(plan.update_block)))
        request, bits = (_LABEL, self._single("radio", "request")), plan.kept_bits()
        self._request = _Standing(request)
        self._late_request = _Standing(request, (_LABEL, self._single("buffer", "write", bits)))
        self._kept = _Standing((_LABEL, self._single("buffer", "read", bits)))
        self._wake = self._single("power", "wake")
        self._driven = {
            phase: _Driven(phase, len(chip.layers), plan.joules_per_siemens) for phase in (_INFERENCE, _BACKWARD)
        }  # fmt: skip
        self._programmed = _Programmed(len(chip.layers))
        #: Blocks that are begun again and again, and how often they were since the account was settled.
        self._blocks = (plan.inference_block, plan.update_block)
        self._begun = [0, 0]

    @property
    def ledger(self) -> Ledger:
        """The account."""
        self._settle()
        return self._ledger

    @property
    def usage(self) -> dict[str, Usage]:
        """Use of every resource."""
        self._settle()
        return self._usage

    def busy(self, ticks: int) -> None:
        """Count time in which a job was in service."""
        self._usage["controller"].busy_ticks += ticks

    def _settle(self) -> None:
        """Bring account and use up to date: what is the same every time is counted first and added up when asked."""
        forward = sum(standing.settle(self._ledger) for standing in self._forward.values())
        for n, block in ((forward, self.plan.inference_block), (self._update.settle(self._ledger), self._blocks[1])):
            for layer, ticks in block.biased_ticks:
                self._biased_ticks[layer] += n * ticks
        for standing in (self._request, self._late_request, self._kept):
            standing.settle(self._ledger)
        for driven in self._driven.values():
            driven.settle(self._ledger)
        self._programmed.settle(self._ledger)
        for k, block in enumerate(self._blocks):
            self._use(block, self._begun[k])
            self._begun[k] = 0

    def _use(self, block: Block, n: int) -> None:
        for resource, events, ticks in block.use:
            usage = self._usage[resource]
            usage.events += n * events
            usage.busy_ticks += n * ticks
        self._usage["controller"].events += n

    def state(self) -> dict[str, Any]:
        """Return the account and what the chip and the rule have become, for a checkpoint."""
        return {
            "event_count": self.event_count, "learned": self.learned, "task": self._task,
            "usage": {name: [usage.events, usage.busy_ticks] for name, usage in self.usage.items()},
            "counts": self._ledger.counts, "array_joules": self._ledger.array_joules,
            "biased_ticks": self._biased_ticks,
            "rule": self.rule.state(), "chip": self.chip.state(),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.event_count, self.learned, self._task = state["event_count"], state["learned"], state["task"]
        for name, (events, busy) in state["usage"].items():
            self._usage[name].events, self._usage[name].busy_ticks = events, busy
        self._ledger.counts[...] = state["counts"]
        self._ledger.array_joules[...] = state["array_joules"]
        for driven in self._driven.values():
            driven.restore(self._ledger)
        self._biased_ticks = list(state["biased_ticks"])
        self.rule.restore(state["rule"])
        self.chip.restore(state["chip"])

    def end_tasks(self, task: int, index: int, tick: int) -> None:
        """End the tasks before `task`, whose query `index` is the next, and let the chip age after each."""
        while self._task < task:
            self.chip.end_task(self.rule)
            self._task += 1
            self._age(self._task, index, tick)

    def age_on(self, index: int, tick: int) -> None:
        """Let the chip age after the last task, too."""
        for number in range(self._task + 1, self.spec.tasks + 1):
            self._age(number, index, tick)

    def _age(self, number: int, index: int, tick: int) -> None:
        for pause in self.spec.pauses:
            if pause.after_task in (None, number):
                self.chip.age(index, to_seconds(tick), pause.duration, pause.temperature)

    def infer(self, row: QueryRow, encoded: Encoded) -> tuple[Evidence, Piece]:
        """Compute a query and return how sure it is, and the work."""
        self.chip.infer(encoded, row.example, to_seconds(row.start_tick))
        self.predict(row)
        self._book_forward(_INFERENCE, row)
        evidence = Evidence(row.epistemic, row.aleatoric, row.predictive, row.disagreement, self.chip.n_sample)
        return evidence, self.plan.inference_piece

    def predict(self, row: QueryRow) -> None:
        """Note what the last forward pass predicts, and how sure it is."""
        found = query_uncertainty(self.chip.logits)
        row.aleatoric, row.epistemic, row.predictive, row.disagreement, row.prediction = found

    def learn(self, row: QueryRow, encoded: Encoded, tick: int, held: bool) -> tuple[Piece, ...]:
        """Learn from one label, the only place where lam changes, and return the work that takes, forward pass first.

        There is no forward pass if the cells still hold the samples of the query.
        """
        result = self.chip.learn(
            encoded, row.answer, row.example, to_seconds(tick), self.rule, self.spec.gradient, held=held
        )
        plan = self.plan
        forward = plan.reforward or not held
        if forward:
            self._book_forward(_BACKWARD, row)
        self._update.book(row.spent)
        if self.spec.gradient == "hard":
            self._driven[_BACKWARD].book(self.chip.backward_reads(), row.spent)
        written, stages = plan.programming(result.programming)
        self._programmed.book(written, row.spent)
        row.updated, row.pulses = result.changed, 0
        for layer in result.programming:
            row.pulses += layer.pulses_up + layer.pulses_down
        self.learned += result.changed
        rest = plan.update_piece(stages)
        return (plan.inference_piece, rest) if forward else (rest,)

    def book_request(self, row: QueryRow, late: bool) -> None:
        """Book a request, and the buffer that keeps an input until a late label comes."""
        (self._late_request if late else self._request).book(row.spent)

    def book_kept(self, row: QueryRow) -> None:
        """Book reading a kept input back."""
        self._kept.book(row.spent)

    def refresh(self) -> Piece:
        """Book a refresh of the store and return the work."""
        entry, piece = self.plan.refresh
        self._ledger.book(_IDLE, entry, Tally())
        return piece

    def begin(self, pieces: Sequence[Piece]) -> int:
        """Count the stages of some work that begins, and return how long it takes without a break."""
        total = 0
        for piece in pieces:
            for block in piece.blocks:
                total += block.ticks
                self.event_count += block.n_stages
                if block is self._blocks[0]:
                    self._begun[0] += 1
                elif block is self._blocks[1]:
                    self._begun[1] += 1
                else:
                    self._use(block, 1)
        return total

    def finish(self, ticks: int, asleep: int, wakes: int) -> None:
        """Charge what was powered all along, and sampling elements for the time their arrays rested.

        Parameters
        ----------
        ticks : int
            Duration of the run.
        asleep : int
            Ticks of it in which the chip was switched off.
        wakes : int
            How often it was woken.

        Raises
        ------
        ScheduleError
            If a count would not fit 64 bits.
        """
        self._settle()
        awake = ticks - asleep
        rest = ("leakage", "sampler") if self.spec.power_gating else ("sampler", "idle_bias")
        totals = [(CHIP, ("leakage", "periphery"), awake)]
        for k, (synapses, biased) in enumerate(zip(self.chip.layers, self._biased_ticks, strict=True)):
            cells, stays = synapses.lam.size, ticks if synapses.storage.volatile else awake
            totals += [(k, ("leakage", "storage"), cells * stays)]
            totals += [(k, rest, self.plan.samplers(k) * awake - biased)]
        for layer, operation, total in totals:
            count = total // _TICKS_PER_MICROSECOND
            if count > _MOST:
                raise ScheduleError(
                    f"accelerator: {to_seconds(ticks):g} s of simulated time are too long for "
                    f"{self.chip.layers[layer].lam.size} cells; raise accelerator.rate."
                )
            self._ledger.counts[_IDLE, layer, operation_index(*operation)] += count
        self._ledger.book(_IDLE, Entry.of(self._wake.counts * wakes), Tally())

    def _book_forward(self, phase: int, row: QueryRow) -> None:
        self._forward[phase].book(row.spent)
        self._driven[phase].book(self.chip.forward_reads(), row.spent)

    def _single(self, component: str, name: str, count: int = 1) -> Entry:
        return Entry.single(len(self.chip.layers), component, name, count)

    def _bias_of(self, block: Block) -> Entry:
        counts = layer_counts(len(self.chip.layers))
        for layer, ticks in block.biased_ticks:
            counts[layer, operation_index("sampler", "bias")] = ticks // _TICKS_PER_NANOSECOND
        return Entry.of(counts)


def uniform_for(policy: LabelPolicy, seed: int, index: int) -> float:
    """Return the number with which a policy decides about a query; only one that asks at random looks at it."""
    if not isinstance(policy, AtRandom):
        return 0.5
    return ((int(stream_key(seed, Purpose.LABEL_POLICY, index)) >> 11) + 0.5) * 2.0**-53
