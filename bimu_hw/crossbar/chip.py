"""The chip: layers of tiles and the digital unit between them. It computes and counts; it knows no time.

`Chip.infer` sends one example through all Monte Carlo samples; `Chip.learn` runs the forward pass of one labelled
example, the backward pass and the update. Both are functions of the stored lam and of the query's index, which keys
all noise: doing one again gives the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from bimu_hw.crossbar.drawn import DrawnLayer
from bimu_hw.crossbar.encoding import FloatArray, InitialLam, gradient_planes, hidden_planes
from bimu_hw.crossbar.fused import BlockedLayer
from bimu_hw.crossbar.keys import event_key
from bimu_hw.crossbar.layer import Layer
from bimu_hw.crossbar.normalisation import make_normalisation
from bimu_hw.crossbar.readout import ArraySpec, Readout, Reads, build_circuit
from bimu_hw.crossbar.step import RelaxedSteps
from bimu_hw.crossbar.synapses import Programming, Seeds, SynapseArray, SynapseSpec
from bimu_hw.crossbar.workers import Workers
from bimu_hw.devices import ROOM_TEMPERATURE
from bimu_hw.errors import ScenarioError, ScheduleError
from bimu_hw.kernels.network import (
    REVERSE_BINARY_GATE,
    SIGN,
    activate,
    activate_backward,
    loss_gradient,
)
from bimu_hw.kernels.rules import Coefficients
from bimu_hw.random import Purpose, stream_key

ACTIVATIONS = {"reverse_binary_gate": REVERSE_BINARY_GATE, "sign": SIGN}


class LearningRule(Protocol):
    """What the chip needs of a learning rule (`bimu_hw.learning.rules`).

    Attributes
    ----------
    epsilon : float
        Added to numerator and denominator of the gradient through a relaxed weight (BayesBiNN); 0 for other rules.
    """

    epsilon: float

    def begin_update(self, cells: list[int]) -> None:
        """Be told that an update begins, and how many cells each layer has."""

    def end_task(self, lams: list[FloatArray]) -> None:
        """Be told that a task has ended, with the lam of every layer."""

    def request(
        self, layer: int, part: slice, lam: FloatArray, gradient: FloatArray, through_weight: bool, out: FloatArray
    ) -> None:
        """Write the asked change of lam for a part of a layer's cells."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep of the rule: arrays and numbers by name."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state from `state`."""


class Encoded(NamedTuple):
    """An example as the first layer receives it (`bimu_hw.crossbar.encoding.InputEncoder.encode`).

    Attributes
    ----------
    planes : float32[1, plane, n_in]
    plane_weight : float32[plane]
    x : float32[1, n_in]
    slots : tuple of int, optional
        For pulses: how long each plane lasts, in integration times of the array.
    """

    planes: FloatArray
    plane_weight: FloatArray
    x: FloatArray
    slots: tuple[int, ...] | None = None


class LearnResult(NamedTuple):
    """What learning one example did.

    Attributes
    ----------
    loss : float
    changed : bool
        False if the whole gradient was exactly zero: then nothing is asked of any device.
    programming : tuple of Programming
        One per layer; empty if nothing changed.
    """

    loss: float
    changed: bool
    programming: tuple[Programming, ...]


class Chip:
    """Arrays and digital unit of a network.

    Parameters
    ----------
    sizes : sequence of int
        Units of each layer, input first: [784, 100, 10].
    arrays : ArraySpec
    synapses : SynapseSpec
    seeds : Seeds
    n_sample : int
        Monte Carlo samples per query, S.
    activation : {"reverse_binary_gate", "sign"}
    initial_lam : {"uniform", "zero"}, or a sequence with one entry per layer
        Where the cells start; the entries are those of `SynapseArray`.
    threads : int
        Threads that share the samples of a product, and the cells of a gradient and a rule. The bits are the same
        for any number.
    temperature : float
        Of the chip, in kelvin.
    normalisation : {"layer", "batch"}
        Over the units of a layer, or each unit by running statistics (hard gradient only).
    statistics_window : float
        Of those statistics, in examples.
    """

    def __init__(
        self, sizes: Sequence[int], arrays: ArraySpec, synapses: SynapseSpec, seeds: Seeds, n_sample: int,
        activation: str = "reverse_binary_gate", initial_lam: str | Sequence[InitialLam] = "uniform",
        threads: int = 1, temperature: float = ROOM_TEMPERATURE, normalisation: str = "layer",
        statistics_window: float = 1.0,
    ) -> None:  # fmt: skip
        if activation not in ACTIVATIONS:
            raise ScenarioError(f"network.activation: got {activation!r}; allowed are {', '.join(ACTIVATIONS)}.")
        if arrays.gradient_bits == 1:
            raise ScenarioError("crossbar.gradient_bits: got 1; a signed gradient takes 2 bits or more, or 0.")
        self.sizes = tuple(sizes)
        self.arrays = arrays
        self.n_sample = n_sample
        self.activation = ACTIVATIONS[activation]
        self._workers = Workers(threads)
        self._signed_hidden = activation == "sign"
        self._layers = []
        shapes = list(zip(self.sizes[:-1], self.sizes[1:], strict=True))
        starts = [initial_lam] * len(shapes) if isinstance(initial_lam, str) else initial_lam
        for k, (shape, start) in enumerate(zip(shapes, starts, strict=True)):
            array = SynapseArray(shape, synapses, seeds, k, start, arrays.tile_wordlines, temperature)
            circuits = (arrays, seeds, n_sample, self._workers, build_circuit(array, arrays))
            forward, backward = Readout(array, *circuits), Readout(array, *circuits, transposed=True)
            blocks = BlockedLayer(array, n_sample, self._workers)
            norm = make_normalisation(normalisation, *shape, statistics_window)
            drawn = None
            if forward.plain and array.thresholds is not None:
                drawn = DrawnLayer(array, norm, n_sample, arrays.tile_wordlines, self._workers)
            self._layers.append(Layer(array, forward, backward, n_sample, blocks, norm, drawn))
        self.normalisation_bits = self._layers[0].norm.kept_bits
        self._tile = (arrays.tile_wordlines, arrays.tile_bitlines, arrays.write_columns)
        #: `_whole_steps`, once they were needed.
        self._steps: RelaxedSteps | None = None
        self._relaxed_keys = [stream_key(seeds.noise, Purpose.RELAXED_SAMPLE, k) for k in range(len(self._layers))]

    @property
    def layers(self) -> list[SynapseArray]:
        """The synapses of each layer."""
        return [layer.synapses for layer in self._layers]

    def age(self, event: int, now: float, duration: float, temperature: float) -> None:
        """Let the devices evolve for `duration` seconds at another temperature, outside simulated time: a pause, a
        bake.

        Parameters
        ----------
        event : int
            Index of the query before or after; keys the noise.
        now : float
            Simulated time in seconds, which stands still meanwhile.
        duration : float
            In seconds.
        temperature : float
            In kelvin.
        """
        self.be_in_time()
        for layer in self._layers:
            layer.synapses.age(event, now, duration, temperature)

    def end_task(self, rule: LearningRule) -> None:
        """Tell the rule, and what normalises, that a task has ended."""
        self.be_in_time()
        rule.end_task([layer.synapses.lam for layer in self._layers])
        for layer in self._layers:
            layer.norm.end_task()

    def use_task(self, task: int | None) -> None:
        """Normalise as at the end of a task, where there are statistics of each; None: as now."""
        self.be_in_time()
        for layer in self._layers:
            layer.norm.use_task(task)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep of the chip; not copied."""
        self.be_in_time()
        return {
            str(k): {"synapses": layer.synapses.state_arrays(), "normalisation": layer.norm.state()}
            for k, layer in enumerate(self._layers)
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the state of another chip of the same scenario."""
        if self._steps is not None:
            self._steps.forget()
        for k, layer in enumerate(self._layers):
            layer.synapses.restore(state[str(k)]["synapses"])
            layer.norm.restore(state[str(k)]["normalisation"])

    def hidden_plane_count(self) -> int:
        """Return the number of planes a hidden layer's activations take."""
        return 2 if self._signed_hidden and not self.arrays.both_polarities else 1

    @property
    def readouts(self) -> list[Readout]:
        """The circuits that read each layer forwards."""
        return [layer.forward for layer in self._layers]

    def infer(
        self, example: Encoded, event: int, now: float, *, fresh: bool = True, probe: bool = False
    ) -> FloatArray:
        """Send one example through all samples.

        Parameters
        ----------
        example : Encoded
        event : int
            Index of the query: keys the noise.
        now : float
            Simulated time in seconds.
        fresh : bool
            Draw weights for this query; False uses those that are there.
        probe : bool
            Measure without touching: no device advances in time or is disturbed. For evaluation.

        Returns
        -------
        float32[sample, class]
            Logits (normalised outputs), a view of a buffer that the next call overwrites.
        """
        self.be_in_time()
        planes, plane_weight, x, slots = example.planes, example.plane_weight, example.x, example.slots
        last = len(self._layers) - 1
        for k, layer in enumerate(self._layers):
            layer.planes, layer.plane_weight, layer.x, layer.slots = planes, plane_weight, x, slots
            layer.binary = True
            activation, once = self.activation if k < last else -1, plane_weight.tolist() == [1.0]
            if fresh and once and layer.drawn is not None:
                layer.drawn.forward(
                    planes[:, 0, :], event, now, layer.make_room(self.n_sample), layer.y, activation, layer.normal,
                    layer.inverse_deviation, layer.h, probe=probe,
                )  # fmt: skip
            else:
                if fresh:
                    layer.draw(event, now, planes.shape[1], probe=probe)
                if layer.forward.plain and layer.weights.shape[0] == self.n_sample and once:
                    layer.blocks.plain_forward(planes[:, 0, :], layer.weights, self.arrays.tile_wordlines, layer.y)
                else:
                    layer.forward.hold(None if fresh else layer.weights)
                    layer.forward.read(planes, plane_weight, layer.weights, event, layer.y)
                layer.norm.forward(layer.y, layer.normal, layer.inverse_deviation)
                if k < last:
                    activate(layer.normal, activation, layer.h)
            if k < last:
                x, slots = layer.h, None
                planes, plane_weight = hidden_planes(x, self._signed_hidden, self.arrays.both_polarities)
        return self.logits

    @property
    def reads_plainly(self) -> bool:
        """Whether nothing lies between weights and sums in any layer, so that `infer_many` can be used."""
        once = all(layer.forward.plain and not layer.per_look for layer in self._layers)
        return once and self.arrays.inputs == "analog"

    def infer_many(self, x: FloatArray) -> FloatArray:
        """Send many inputs through the networks that are there, where arrays are read plainly.

        Parameters
        ----------
        x : float32[input, wordline]
            As the first layer is driven.

        Returns
        -------
        float32[input, sample, class]
            Logits: the bits that `infer` gives for each input by itself with ``fresh=False``.
        """
        self.be_in_time()
        n, s = x.shape[0], self.n_sample
        inputs = np.zeros((n + n % 2, 1, x.shape[1]), np.float32)
        inputs[:n, 0] = x
        out = np.empty((len(inputs), s, self.sizes[-1]), np.float32)

        def part(first: int, last: int) -> None:
            h = inputs[2 * first : 2 * last]
            for k, layer in enumerate(self._layers):
                y = np.empty((h.shape[0], s, layer.synapses.shape[1]), np.float32)
                layer.blocks.plain_forward_many(h, layer.weights, self.arrays.tile_wordlines, y)
                rows, h = y.reshape(-1, y.shape[2]), np.empty_like(y)
                layer.norm.forward(rows, h.reshape(rows.shape), np.empty(len(rows), np.float32))
                if k < len(self._layers) - 1:
                    activate(h.reshape(rows.shape), self.activation, h.reshape(rows.shape))
            out[2 * first : 2 * last] = h

        self._workers.split(len(inputs) // 2, part)
        return out[:n]

    @property
    def logits(self) -> FloatArray:
        """The logits of the last forward pass, be it of `infer` or of `learn`: float32[sample, class], a view."""
        return self._layers[-1].normal

    def learn(
        self, example: Encoded, label: int, event: int, now: float, rule: LearningRule, gradient: str,
        *, held: bool = False,
    ) -> LearnResult:  # fmt: skip
        """Learn one labelled example: forward pass, backward pass, update of every layer.

        Parameters
        ----------
        example, event, now
            As in `infer`.
        label : int
        rule : LearningRule
        gradient : {"relaxed", "hard"}
            Relaxed weights belong to ideal hardware: binary cells can only do the hard gradient.
        held : bool
            The last call was `infer` of this example and event, and the cells still hold its samples: the hard gradient
            needs no forward pass.
        """
        relaxed = gradient == "relaxed"
        steps = self._whole_steps if relaxed else None
        if steps is not None and steps.ahead:
            return LearnResult(*steps.take(example.x, label, event, now, self._tile))
        self.be_in_time()
        numbers = self._in_numbers(rule)
        if steps is not None and numbers:
            steps.compute(example.x, label, event, now, numbers, rule.epsilon)
            return LearnResult(*steps.take(example.x, label, event, now, self._tile))
        if relaxed:
            self._relaxed_pass(example.x, event)
        elif not held:
            self.infer(example, event, now)
        top = self._layers[-1]
        loss = loss_gradient(top.normal, label, top.delta)
        for k in range(len(self._layers) - 1, -1, -1):
            layer = self._layers[k]
            layer.norm.backward(layer.delta, layer.normal, layer.inverse_deviation)
            if k > 0:
                below = self._layers[k - 1]
                if relaxed:
                    layer.blocks.backward(layer.delta, below.normal, self.activation, below.delta)
                else:
                    self._backward_read(layer, event, now)
                    activate_backward(layer.back, below.normal, self.activation, below.delta)
        for layer in self._layers:
            layer.norm.learn(layer.y)
        return self._update(loss, event, now, rule, numbers, relaxed)

    def foresee(self, examples: Mapping[int, tuple[Encoded, int]]) -> None:
        """Be told which examples, with their labels, will be learned at some events, with relaxed weights.

        Steps may then be computed before their time, so until `ahead` is 0 nothing but `learn`, of what was foreseen
        and in the order of the events, may be asked of the chip, nor its synapses be looked at. It makes no difference
        to what is learned.
        """
        self.be_in_time()
        if self._can_be_ahead:
            assert self._whole_steps is not None
            self._whole_steps.foreseen = {event: (example.x, label) for event, (example, label) in examples.items()}

    @property
    def ahead(self) -> int:
        """Steps that were computed before their time and not learned yet."""
        return 0 if self._steps is None else self._steps.ahead

    def be_in_time(self) -> None:
        """Raise `ScheduleError` if the chip is ahead of its time: its synapses are not what they were then."""
        if self._steps is not None and self._steps.ahead:
            raise ScheduleError(f"chip: {self.ahead} steps ahead of its time; learn what was foreseen first.")

    @cached_property
    def _can_be_ahead(self) -> bool:
        """Whether the time of a step changes nothing, and nothing of what it drives depends on lam."""
        alone = all(layer.forward.driven_by_inputs and not layer.synapses.evolves for layer in self._layers)
        return alone and self._whole_steps is not None

    def _in_numbers(self, rule: LearningRule) -> list[Coefficients]:
        """Return the rule in numbers for every layer; empty if it has none, or works on lam as read with errors."""
        numbers = getattr(rule, "coefficients", None)
        if numbers is None or any(layer.synapses.read_with_error for layer in self._layers):
            return []
        return [numbers(k, layer.synapses.lam.size) for k, layer in enumerate(self._layers)]

    @cached_property
    def _whole_steps(self) -> RelaxedSteps | None:
        """Relaxed steps in one call; None where something comes between their parts."""
        if not RelaxedSteps.fits(self._layers):
            return None
        self._steps = RelaxedSteps(self._layers, self._relaxed_keys, self.activation, self._workers.threads)
        return self._steps

    def _update(
        self, loss: float, event: int, now: float, rule: LearningRule, numbers: list[Coefficients], relaxed: bool
    ) -> LearnResult:
        """Program every layer; rules that the kernels know by numbers in one pass, others in several."""
        tile, done = self._tile, []
        if numbers:
            # From the last layer back: as a rule its first block says that the gradient is not zero.
            if all(
                layer.blocks.gradient_is_zero(layer.x, layer.delta, relaxed, rule.epsilon)
                for layer in reversed(self._layers)
            ):
                return LearnResult(loss, False, ())
            for layer, in_numbers in zip(self._layers, numbers, strict=True):
                done.append(
                    layer.blocks.update(layer.x, layer.delta, relaxed, rule.epsilon, in_numbers, event, now, tile)
                )
            return LearnResult(loss, True, tuple(done))
        if all([self._gradient(layer, relaxed, rule.epsilon) for layer in self._layers]):
            return LearnResult(loss, False, ())
        rule.begin_update([layer.synapses.lam.size for layer in self._layers])
        for k, layer in enumerate(self._layers):
            lam = layer.synapses.controller_lam(event)
            asks = partial(_ask, rule, k, lam, layer.gradient, not relaxed, layer.request)
            self._workers.split(layer.request.size, asks)
            done.append(layer.synapses.program_request(layer.request, event, now, *tile))
        return LearnResult(loss, True, tuple(done))

    def _gradient(self, layer: Layer, relaxed: bool, epsilon: float) -> bool:
        """Write a layer's gradient and return whether all of it is exactly zero."""
        if not layer.gradient.size:
            layer.gradient, layer.request = np.zeros_like(layer.synapses.lam), np.zeros_like(layer.synapses.lam)
        return layer.blocks.gradient(layer.x, layer.delta, relaxed, epsilon, layer.gradient)

    def _relaxed_pass(self, x: FloatArray, event: int) -> None:
        last = len(self._layers) - 1
        for k, layer in enumerate(self._layers):
            layer.drive_relaxed(x)
            key = event_key(self._relaxed_keys[k], event)
            activation = self.activation if k < last else -1
            layer.blocks.forward(x, key, layer.normal, layer.inverse_deviation, activation, layer.h)
            x = layer.h

    def _backward_read(self, layer: Layer, event: int, now: float) -> None:
        """Read the layer's array transposed: gradient with respect to its inputs, into `layer.back`."""
        planes, weight = gradient_planes(layer.delta, self.arrays.gradient_bits, self.arrays.inputs)
        weights = layer.weights
        if layer.per_look:
            weights = np.empty((self.n_sample * planes.shape[1], *layer.synapses.shape), np.int8)
            layer.look(event, now, weights, stream=1)
        layer.backward_planes, layer.backward_weights = planes, weights
        layer.backward.read(planes, weight, weights, event, layer.back)

    def forward_reads(self) -> Reads:
        """Return what the last forward pass drove."""
        drives, conductance = [], []
        for layer in self._layers:
            lines, siemens = layer.forward.driven(layer.planes, layer.weights if layer.binary else None, layer.slots)
            drives.append(lines)
            conductance.append(siemens)
        return Reads(tuple(drives), tuple(conductance))

    def backward_reads(self) -> Reads:
        """Return what the backward reads of the last `learn` drove; the first layer is not read backwards."""
        arrays = self.arrays
        slots = arrays.gradient_slots if arrays.inputs == "pulse_width" and arrays.gradient_bits else None
        drives, conductance = [0], [0.0]
        for layer in self._layers[1:]:
            lines, siemens = layer.backward.driven(layer.backward_planes, layer.backward_weights, slots)
            drives.append(lines)
            conductance.append(siemens)
        return Reads(tuple(drives), tuple(conductance))


def _ask(
    rule: LearningRule, k: int, lam: FloatArray, gradient: FloatArray, through_weight: bool, out: FloatArray,
    first: int, last: int,
) -> None:  # fmt: skip
    rule.request(k, slice(first, last), lam, gradient, through_weight, out)

