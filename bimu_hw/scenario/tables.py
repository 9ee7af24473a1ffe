"""The tables of a scenario file: one class per table, one field per key, each with its meaning and bounds.

Only what a key means by itself is here; what keys mean together is checked in `bimu_hw.scenario.checks`. The doc of
a field is its description in the JSON schema that editors read.

A default is a convention, or a physical condition that its doc names; a value that a designer chooses has none, and
has an example for the message that asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, model_validator

from bimu_hw.errors import UnitError
from bimu_hw.scenario.sweep_tables import Sweep
from bimu_hw.scenario.table import Table as Table
from bimu_hw.units import parse_quantity

#: The clock's tick, in seconds: what is shorter cannot be simulated.
_TICK = 1e-12
#: A Julian year, in seconds.
_YEAR = 365.25 * 86400


def _quantity(unit: str, example: str, check: Callable[[float], str | None]) -> tuple[BeforeValidator, WithJsonSchema]:
    """Return what turns a string with a unit into an SI float; `check` returns what is wrong with a value."""

    def read(given: object, info: ValidationInfo) -> float:
        name = str(info.field_name)
        if not isinstance(given, str):
            raise UnitError(
                f"{name}: got {given!r}; write a number with its unit as a text, for example {name} = \"{example}\"."
            )
        value = parse_quantity(given, unit, name)
        wrong = check(value)
        if wrong:
            raise UnitError(f"{name}: got {given!r}; {wrong}.")
        return value

    return BeforeValidator(read), WithJsonSchema({"type": "string", "examples": [example]})


def _check_duration(seconds: float) -> str | None:
    if seconds == 0 or _TICK <= seconds <= 1e6:
        return None
    return "allowed are 0 s and durations from 1 ps, the clock's tick, to 1e6 s"


def _check_rate(hertz: float) -> str | None:
    if 1e-6 <= hertz <= 1 / _TICK:
        return None
    return "allowed are rates from 1 uHz to 1 THz, one arrival per tick of the clock"


def _check_energy(joules: float) -> str | None:
    return None if 0 <= joules <= 1e3 else "allowed are energies from 0 J to 1 kJ"


def _check_temperature(kelvin: float) -> str | None:
    return None if 4 <= kelvin <= 500 else "allowed are temperatures from 4 K to 500 K"


def _check_ageing_duration(seconds: float) -> str | None:
    return None if 1e-6 <= seconds <= 20 * _YEAR else "allowed are durations from 1 us to 20 years"


def _check_ageing_temperature(kelvin: float) -> str | None:
    return None if 4 <= kelvin <= 700 else "allowed are temperatures from 4 K to 700 K"


def _check_voltage(volt: float) -> str | None:
    return None if 0.0 < volt <= 100 else "allowed are voltages above 0 V, up to 100 V"


def _check_angle(radians: float) -> str | None:
    return None if 0 < abs(radians) <= math.pi else "allowed are angles from -180 deg to 180 deg, and not 0"


def _check_after_task(given: object) -> object:
    if given == "every" or (isinstance(given, int) and not isinstance(given, bool) and given >= 1):
        return given
    raise ValueError(f"got {given!r}; allowed are \"every\" or an integer from 1, the number of a task.")


def _check_snapshots(given: object) -> object:
    if given == "task" or (isinstance(given, int) and not isinstance(given, bool) and given >= 0):
        return given
    raise ValueError(
        f"got {given!r}; allowed are \"task\" or an integer from 0, the number of examples between snapshots."
    )


def _check_range(given: object) -> object:
    if given in ("full_scale", "calibrated"):
        return given
    if isinstance(given, (int, float)) and not isinstance(given, bool) and 0 < given <= 1:
        return float(given)
    raise ValueError(
        f"got {given!r}; allowed are numbers above 0 up to 1, a fraction of the largest column sum, \"full_scale\", or "
        "\"calibrated\"."
    )


Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Count = Annotated[int, Field(ge=1)]
Bits = Annotated[int, Field(ge=0, le=16)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Duration = Annotated[float, *_quantity("s", "1 ms", _check_duration)]
Rate = Annotated[float, *_quantity("Hz", "10 kHz", _check_rate)]
Angle = Annotated[float, *_quantity("rad", "15 deg", _check_angle)]
Energy = Annotated[float, *_quantity("J", "1 uJ", _check_energy)]
Temperature = Annotated[float, *_quantity("K", "300 K", _check_temperature)]
Voltage = Annotated[float, *_quantity("V", "0.8 V", _check_voltage)]
Snapshots = Annotated[
    int | Literal["task"],
    BeforeValidator(_check_snapshots),
    WithJsonSchema({"anyOf": [{"const": "task"}, {"type": "integer", "minimum": 0}]}),
]
AfterTask = Annotated[
    int | Literal["every"],
    BeforeValidator(_check_after_task),
    WithJsonSchema({"anyOf": [{"const": "every"}, {"type": "integer", "minimum": 1}]}),
]
AgeingDuration = Annotated[float, *_quantity("s", "10 h", _check_ageing_duration)]
AgeingTemperature = Annotated[float, *_quantity("K", "398 K", _check_ageing_temperature)]
ConverterRange = Annotated[
    float | Literal["full_scale", "calibrated"],
    BeforeValidator(_check_range),
    WithJsonSchema(
        {"anyOf": [{"enum": ["full_scale", "calibrated"]}, {"type": "number", "exclusiveMinimum": 0, "maximum": 1}]}
    ),
]
Overrides = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["number", "string"]}}),
]
#: The value depends on other keys: `bimu_hw.scenario.checks` asks for it, or fills it, before anyone sees the scenario.
_FILLED_LATER: Any = None


class Seeds(Table):
    """The three seeds of a run."""

    fabrication: Seed = 0
    """Which chip: device-to-device spread and faults."""
    noise: Seed = 0
    """Initial natural parameters, weight samples and device noise."""
    data: Seed = 0
    """The stream (permutations, classes, noise of inputs and labels) and arrivals."""


class Stream(Table):
    """The examples, in the order they arrive."""

    dataset: str
    """"digits", "mnist", "fashion_mnist", or the path of an .npz file (relative to the scenario)."""
    kind: Literal["permuted", "stationary", "class_incremental", "rotated", "noisy", "from_file"]
    """What a task is: its own random order of inputs, the data set as it is, classes of its own, images turned further
    or noisier from task to task, or what the .npz file says."""
    tasks: Count
    """Number of tasks."""
    classes_per_task: Count | None = Field(None, examples=[2])
    """Classes of a task (class_incremental)."""
    rotation_step: Angle | None = Field(None, examples=["15 deg"])
    """Angle by which images are turned further from task to task; the first shows them as they are (rotated)."""
    noise_step: Annotated[float, Field(gt=0, le=100)] | None = Field(None, examples=[0.2])
    """Growth from task to task of the noise on every pixel, in standard deviations of the training set (noisy)."""
    task_order: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] | None = Field(
        None, examples=[[0, 1, 2, 0, 1, 2]]
    )
    """Which task comes when, counted from 0, as many as tasks; omitted: each once (not stationary)."""
    switch_window: Annotated[int, Field(ge=0)] = 0
    """Examples over which one task gives way to the next; 0: abruptly (not stationary)."""
    imbalance: Annotated[float, Field(ge=1, le=1e6)] = 1.0
    """How many times as many training examples the most common class has as the rarest; 1: the data set as it is."""
    epochs: Count = 1
    """How often, at most, a task shows each training example."""
    examples: Count | None = None
    """Total number of examples over all tasks, split evenly; omitted: tasks x epochs x training set."""
    inputs: Literal["standardised", "binarised", "sign", "raw"]
    """How pixels become inputs."""
    label_noise: Fraction = 0.0
    """Probability that the oracle's answer is another class."""


class Network(Table):
    """The binary Bayesian network."""

    hidden: Annotated[tuple[Count, ...], Field(strict=False)]
    """Neurons of each hidden layer; [] for a single layer."""
    samples: Count
    """Monte Carlo weight samples of a query, S."""
    activation: Literal["reverse_binary_gate", "sign"] = "reverse_binary_gate"
    """Activation of the hidden layers."""
    normalisation: Literal["layer", "batch"] = "layer"
    """How sums are normalised: over the units of a layer, or each unit by running statistics (hard gradient)."""
    statistics_window: Annotated[float, Field(ge=1, examples=[1000.0])] = _FILLED_LATER
    """Examples over which the running statistics of a unit reach back (batch)."""
    initial_lam: Annotated[str, Field(min_length=1)] = "uniform"
    """Initial natural parameters: "uniform" within 1/sqrt(n_in) of 0, "zero", or the folder of a run that learned them
    (relative to the scenario)."""


class Learning(Table):
    """The learning rule."""

    rule: Literal["bimu", "bayesbinn", "ste", "metaplasticity", "native"]
    """Learning rule; "ste", "metaplasticity": weights are signs of what is stored, nothing is drawn; "native": none but
    the device's own response to pulses (device.programming = "native")."""
    gradient: Literal["relaxed", "hard"]
    """Gradient through relaxed weights (ideal hardware only) or through the sampled binary ones."""
    preset: str | None = None
    """Name of a published set of hyperparameters; keys given here override it."""
    lr: Positive | None = None
    """Learning rate, eta (all rules)."""
    lr_max: Positive | None = None
    """Largest step size, eta_max (bimu)."""
    likelihood_multiplier: Positive | None = None
    """Weight of the data, L (bimu)."""
    kl_multiplier: NonNegative | None = None
    """Weight of the prior, K (bimu)."""
    memory_window: Positive | None = None
    """Memory window in examples, N (bimu)."""
    prior_strength: NonNegative | None = None
    """Pull towards the prior, rho (bayesbinn)."""
    weight_decay: NonNegative | None = None
    """Share of the latent weight that is added to its gradient (ste, metaplasticity)."""
    metaplasticity: NonNegative | None = None
    """How strongly steps of a latent weight towards 0 are braked, m (metaplasticity)."""


class Labels(Table):
    """When to ask the oracle for a label, and how long it takes to answer."""

    policy: Literal[
        "always", "given", "never", "random", "epistemic", "aleatoric", "predictive", "variation_ratio", "budgeted"
    ]
    """Label policy; "given": labels come with the inputs, as in the paper's training protocol."""
    threshold: NonNegative | None = None
    """Least uncertainty that asks: in bits, or a fraction of the samples for variation_ratio."""
    rate: Fraction | None = None
    """Probability of asking (random)."""
    budget: Fraction | None = None
    """Share of the labels aimed at, B (budgeted)."""
    gamma: Positive | None = None
    """Adaptation exponent (budgeted)."""
    latency: Duration = Field("0 s", validate_default=True)
    """Time from the request to the label."""
    energy: Energy | None = None
    """What one request and its label cost on the way there and back; omitted: what the component card says."""


class Device(Table):
    """The synapse: a storage element and a sampling element."""

    storage: str
    """Storage card: a name from `bimu-hw devices list`, or the path of a .toml file."""
    sampler: str
    """Sampling card: a name from `bimu-hw devices list`, or the path of a .toml file."""
    holds: Literal["read", "query", "until_rewritten"] = _FILLED_LATER
    """How long a drawn weight stays; omitted: what the sampling element does by itself."""
    programming: Literal["deterministic", "stochastic", "residue", "native"]
    """How a requested change becomes whole pulses; "native": at random from the gradient alone, lam unread."""
    residue_bits: Annotated[int, Field(ge=0, le=32)] = Field(_FILLED_LATER, examples=[12])
    """Width of the digital residue of each cell; 0 for an unlimited float (residue, storage of finite levels)."""
    lam_max: Positive = Field(_FILLED_LATER, examples=[4.0])
    """Natural parameter of the outermost level (storage of finite levels)."""
    conductance_map: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = None
    """Measured conductances that the storage elements start from: one .npz or .csv per layer (finite levels)."""
    temperature: Temperature = Field("300 K", validate_default=True)
    """Temperature of the devices; the values of a card hold at 300 K unless it says otherwise."""
    storage_params: Overrides = Field({})
    """Other values for numbers of the storage card: a plain number, or a text with a unit."""
    sampler_params: Overrides = Field({})
    """Other values for numbers of the sampling card."""


class Crossbar(Table):
    """The tiles and their converters."""

    tile_wordlines: Annotated[int, Field(ge=2, le=65536, examples=[128])]
    """Word lines (inputs) of a tile."""
    tile_bitlines: Annotated[int, Field(ge=2, le=65536, examples=[128])]
    """Bit lines (outputs) of a tile."""
    columns: Literal["differential", "reference", "xnor"]
    """What a weight is: a pair of cells on two columns, a cell against a shared reference, a pair on two word lines."""
    inputs: Literal["bit_serial", "analog", "pulse_width", "signed_bits"]
    """How multi-bit inputs drive the word lines: bits of 0 and 1, voltages, pulses of a width, bits of -1 and +1."""
    input_bits: Annotated[int, Field(ge=1, le=16)] | None = None
    """Bits of the first layer's inputs; omitted: what the data need (all but analog)."""
    dac_bits: Bits = 0
    """Resolution of the word lines' converters at the first layer; 0 for exact (analog)."""
    adc: Literal["sar", "flash", "sense_amplifier"] = _FILLED_LATER
    """Kind of the converters; omitted: sense_amplifier for 1 bit, else sar (adc_bits > 0)."""
    adc_bits: Bits = Field(examples=[6])
    """Resolution of the converters; 0 for exact."""
    adc_range: ConverterRange = Field(_FILLED_LATER, examples=[0.5])
    """Range of the converters as a fraction of the full-scale column sum, or "calibrated" (adc_bits > 0)."""
    partial_sum_bits: Annotated[int, Field(ge=0, le=24)] = 0
    """Width of the words in which the results of tiles and planes are added; 0 for unlimited."""
    columns_per_adc: Annotated[int, Field(ge=1, examples=[8])]
    """Columns that share one converter."""
    ir_drop: Literal["none", "exact"] = "none"
    """Whether wires, drivers and sense circuits have the resistance of the component card."""
    compensation: Literal["none", "column_gain"] = "none"
    """Whether each column's mean loss is made up for by the gain of its sense circuit (ir_drop)."""
    gradient_bits: Bits = Field(_FILLED_LATER, examples=[8])
    """Bits of the error that drives the backward read; 0 for unquantised (not analog, hard, hidden layers)."""


class Components(Table):
    """The circuits around the arrays."""

    card: str
    """Component card: a name from `bimu-hw devices list`, or the path of a .toml file."""
    params: Overrides = Field({})
    """Other values for numbers of the component card."""


class Accelerator(Table):
    """Time: arrivals, queue and programming."""

    arrivals: Literal["periodic", "poisson", "back_to_back"]
    """When examples arrive."""
    rate: Rate | None = Field(None, examples=["10 kHz"])
    """Mean arrival rate (periodic, poisson)."""
    queue: Annotated[int, Field(ge=1, le=2**20)] = Field(_FILLED_LATER, examples=[16])
    """Places of the input queue; an example that finds it full is dropped and counted (periodic, poisson)."""
    write_columns: Annotated[int, Field(ge=1, examples=[32])]
    """Columns of a row that are programmed at once."""
    power_gating: bool = False
    """Whether sampling elements are biased during inference only, rather than always."""


class Ageing(Table):
    """A pause or a bake between two tasks: the devices age, simulated time stands still, and it costs no energy."""

    after_task: AfterTask = Field(examples=[1])
    """After which task, the first being 1, or "every"; before that task's accuracy is measured."""
    duration: AgeingDuration
    """How long: 1 us to 20 years."""
    temperature: AgeingTemperature
    """Temperature meanwhile."""


class Evaluation(Table):
    """How accuracy on the test set is measured; it costs no simulated time and no energy."""

    examples: Annotated[int, Field(ge=0)] = 0
    """Test images per task; 0 for all."""
    networks: Literal["shared", "per_query"] = "shared"
    """Whether S networks are drawn once per evaluation or afresh for every image."""
    newest: Count | None = None
    """How many of the newest tasks are evaluated after each task; omitted: all up to 20 tasks, 5 of a longer stream."""


class Record(Table):
    """What the run writes down."""

    snapshots: Snapshots = "task"
    """When states are recorded: at the end of each task, or every so many examples (0: start and end only)."""
    per_query_limit: Annotated[int, Field(ge=0)] = 100_000
    """Number of queries above which they are recorded in blocks."""
    state: bool = True
    """Whether the state of every cell is recorded."""
    snapshot_limit: Annotated[int, Field(ge=2)] = 100
    """Most recorded states; where more are due, only every second, third and so on is taken."""
    checkpoint_interval: Duration = Field(default="30 s", validate_default=True)
    """Least time, of the clock on the wall, between two checkpoints that an interrupted run resumes from."""


class Run(Table):
    """The computer, not the computation: nothing here changes a result."""

    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Threads of the kernels."""


class Expect(Table):
    """One number the run must hit."""

    metric: str
    """A key of summary.json, with dots between levels."""
    low: float | None = None
    """Smallest value allowed."""
    high: float | None = None
    """Largest value allowed."""
    source: str = ""
    """Where the number comes from."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Expect:
        if self.low is None and self.high is None:
            raise ValueError("has neither low nor high; give at least one.")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"got low = {self.low:g} above high = {self.high:g}; exchange them.")
        return self


class ScenarioFile(Table):
    """A scenario file as written, before cards are loaded and keys are checked against each other."""

    schema_version: Literal[1]
    """Version of this format."""
    title: Annotated[str, Field(min_length=1)]
    """One line that says what is run."""
    claim: str = ""
    """What the scenario shows, and under which assumptions."""
    seeds: Seeds = Seeds()
    """The three seeds."""
    stream: Stream
    """Task stream."""
    network: Network
    """Network."""
    learning: Learning
    """Learning rule."""
    labels: Labels
    """Label policy and oracle."""
    device: Device
    """Storage and sampling elements."""
    crossbar: Crossbar
    """Tiles and converters."""
    components: Components
    """Circuits around the arrays."""
    accelerator: Accelerator
    """Arrivals, queue and programming."""
    ageing: Annotated[tuple[Ageing, ...], Field(strict=False)] = ()
    """Pauses and bakes of the chip, in this order where several follow one task."""
    evaluation: Evaluation = Evaluation()
    """Accuracy on the test set."""
    record: Record = Record()
    """What is recorded."""
    run: Run = Run()
    """Computer."""
    expect: Annotated[tuple[Expect, ...], Field(strict=False)] = ()
    """Numbers the run must hit."""
    sweep: Sweep | None = None
    """Many runs of the scenario (bimu-hw sweep)."""
