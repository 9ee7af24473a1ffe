"""The tables of a scenario file: one class per table, one field per key, each with its meaning and bounds.

Only what a key means by itself is here; what keys mean together is checked in `bimu_hw.scenario.checks`. The doc of
a field is its description in the JSON schema that editors read.

A default is a convention, or a physical condition that its doc names; a value that a designer chooses has none, and
has an example for the message that asks for it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bimu_hw.scenario.sweep_tables import Sweep
from bimu_hw.scenario.table import Table as Table
from bimu_hw.scenario.values import (
    FILLED_LATER,
    AfterTask,
    AgeingDuration,
    AgeingTemperature,
    Angle,
    Bits,
    ConverterRange,
    Count,
    Duration,
    Energy,
    Fraction,
    Hyperparameter,
    NonNegative,
    Overrides,
    Places,
    Positive,
    Rate,
    Seed,
    Snapshots,
    Strength,
    Temperature,
)


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
    tasks: Annotated[int, Field(ge=1, le=10_000)]
    """Number of tasks; the record has the accuracy after each task on each task."""
    classes_per_task: Count | None = Field(None, examples=[2])
    """Classes of a task (class_incremental)."""
    rotation_step: Angle | None = Field(None, examples=["15 deg"])
    """Angle by which images are turned further from task to task; the first shows them as they are (rotated)."""
    noise_step: Annotated[float, Field(gt=0, le=100)] | None = Field(None, examples=[0.2])
    """Growth from task to task of the noise on every pixel, in standard deviations of the training set (noisy)."""
    task_order: Annotated[tuple[Annotated[int, Field(ge=0, le=2**31 - 1)], ...], Field(strict=False)] | None = Field(
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
    """Units of each hidden layer; [] for a single layer."""
    samples: Count
    """Monte Carlo weight samples of a query, S."""
    activation: Literal["reverse_binary_gate", "sign"] = "reverse_binary_gate"
    """Activation of the hidden layers."""
    normalisation: Literal["layer", "batch"] = "layer"
    """How sums are normalised: over the units of a layer, or each unit by running statistics (hard gradient)."""
    statistics_window: Annotated[float, Field(ge=1, examples=[1000.0])] = FILLED_LATER
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
    lr: Hyperparameter | None = None
    """Learning rate, eta (all rules)."""
    lr_max: Hyperparameter | None = None
    """Largest step size, eta_max (bimu)."""
    likelihood_multiplier: Hyperparameter | None = None
    """Weight of the data, L (bimu)."""
    kl_multiplier: Strength | None = None
    """Weight of the prior, K (bimu)."""
    memory_window: Hyperparameter | None = None
    """Memory window in examples, N (bimu)."""
    prior_strength: Strength | None = None
    """Pull towards the prior, rho (bayesbinn)."""
    weight_decay: Strength | None = None
    """Share of the latent weight that is added to its gradient (ste, metaplasticity)."""
    metaplasticity: Strength | None = None
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
    """Time an annotator takes for a label, on average; without annotators the time from the request to the label."""
    distribution: Literal["constant", "exponential", "lognormal"] = "constant"
    """How that time varies from label to label (latency above 0)."""
    latency_sigma: Positive | None = Field(None, examples=[0.5])
    """Standard deviation of the logarithm of that time (lognormal)."""
    annotators: Count | None = None
    """Annotators, each busy with one label at a time; omitted: as many as there are requests (latency above 0)."""
    deadline: Duration | None = Field(None, examples=["1 s"])
    """Time after the request from which on a label is stale and dropped; omitted: none (latency above 0)."""
    energy: Energy | None = None
    """What one request and its label cost on the way there and back; omitted: what the component card says."""


class Device(Table):
    """The synapse: a storage element and a sampling element."""

    cell: str | None = None
    """A named cell architecture (p_bit, sensed_pair, sot_rewritten, digital): gives the keys that make it up, each of
    which can be given besides."""
    storage: str
    """Storage card: a name from `bimu-hw devices list`, or the path of a .toml file."""
    sampler: str
    """Sampling card: a name from `bimu-hw devices list`, or the path of a .toml file."""
    holds: Literal["read", "query", "until_rewritten"] = FILLED_LATER
    """How long a drawn weight stays; omitted: what the sampling element does by itself."""
    programming: Literal["deterministic", "stochastic", "residue", "native"]
    """How a requested change becomes whole pulses; "native": at random from the gradient alone, lam unread."""
    residue_bits: Annotated[int, Field(ge=0, le=32)] = Field(FILLED_LATER, examples=[12])
    """Width of the digital residue of each cell; 0 for an unlimited float (residue, storage of finite levels)."""
    lam_max: Positive = Field(FILLED_LATER, examples=[4.0])
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
    accumulate: Literal["analog", "popcount"] = "analog"
    """How sums are formed: currents add up and are converted, or gates and counters add up weight bits, row by row."""
    columns: Literal["differential", "reference", "xnor"]
    """What a weight is: a pair of cells on two columns, a cell against a shared reference, a pair on two word lines."""
    inputs: Literal["bit_serial", "analog", "pulse_width", "signed_bits"]
    """How multi-bit inputs drive the word lines: bits of 0 and 1, voltages, pulses of a width, bits of -1 and +1."""
    input_bits: Annotated[int, Field(ge=1, le=16)] | None = None
    """Bits of the first layer's inputs; omitted: what the data need (all but analog)."""
    dac_bits: Bits = 0
    """Resolution of the word lines' converters at the first layer; 0 for exact (analog)."""
    adc: Literal["sar", "flash", "sense_amplifier"] = FILLED_LATER
    """Kind of the converters; omitted: sense_amplifier for 1 bit, else sar (adc_bits > 0)."""
    adc_bits: Bits = Field(FILLED_LATER, examples=[6])
    """Resolution of the converters; 0 for exact (analog sums)."""
    adc_range: ConverterRange = Field(FILLED_LATER, examples=[0.5])
    """Range of the converters as a fraction of the full-scale column sum, or "calibrated" (adc_bits > 0)."""
    partial_sum_bits: Annotated[int, Field(ge=0, le=24)] = 0
    """Width of the words in which the results of tiles and planes are added; 0 for unlimited."""
    columns_per_adc: Annotated[int, Field(ge=1)] = Field(FILLED_LATER, examples=[8])
    """Columns that share one converter (analog sums, without architecture.adcs_per_tile)."""
    ir_drop: Literal["none", "exact"] = "none"
    """Whether wires, drivers and sense circuits have the resistance of the component card."""
    compensation: Literal["none", "column_gain"] = "none"
    """Whether each column's mean loss is made up for by the gain of its sense circuit (ir_drop)."""
    gradient_bits: Bits = Field(FILLED_LATER, examples=[8])
    """Bits of the error that drives the backward read; 0 for unquantised (not analog, hard, hidden layers)."""


class Components(Table):
    """The circuits around the arrays."""

    card: str
    """Component card: a name from `bimu-hw devices list`, or the path of a .toml file."""
    params: Overrides = Field({})
    """Other values for numbers of the component card."""


class Accelerator(Table):
    """Time: arrivals, queue, who comes first, programming and power."""

    arrivals: Literal["periodic", "poisson", "back_to_back", "trace"]
    """When examples arrive."""
    rate: Rate | None = Field(None, examples=["10 kHz"])
    """Mean arrival rate (periodic, poisson)."""
    trace: Annotated[str, Field(min_length=1)] | None = Field(None, examples=["arrivals.csv"])
    """CSV file with the arrival times in seconds, relative to the scenario (trace)."""
    queue: Places = Field(FILLED_LATER, examples=[16])
    """Places of the input queue, or "unbounded" (not back_to_back)."""
    when_full: Literal["drop", "back_pressure"] = "drop"
    """What becomes of an example that finds the queue full: it is dropped and counted, or it and its source wait."""
    priority: Literal["update_first", "inference_first", "fifo"] = "update_first"
    """Who comes first where an update and an inference both wait, for the controller or for an array."""
    write_columns: Annotated[int, Field(ge=1, examples=[32])]
    """Columns of a row that are programmed at once."""
    verify_retries: Annotated[int, Field(ge=0, le=1000)] | None = None
    """How often each pulse is repeated after a read that verifies it; omitted: programming is not verified."""
    power_gating: bool = False
    """Whether sampling elements are biased during inference only, rather than always."""
    sleep_after: Duration | None = Field(None, examples=["10 us"])
    """Idle time after which the chip is switched off until there is work; omitted: never."""
    refresh_interval: Duration | None = Field(None, examples=["1 s"])
    """Time between two refreshes, in which every cell is read and written back; omitted: none."""


class Architecture(Table):
    """What the parts of the chip share, and what works side by side; omitted: nothing of either."""

    pipeline: Literal["none", "samples", "queries"] = "none"
    """What works side by side: nothing, the samples of one job, or several jobs too."""
    in_flight: Annotated[int, Field(ge=1, le=1024)] | None = Field(default=None, examples=[4])
    """Queries in flight at most (pipeline = "queries")."""
    adcs_per_tile: Count | None = None
    """Converters of a tile, in place of crossbar.columns_per_adc."""
    tiles_per_adc: Count = 1
    """Tiles of a layer that share a set of converters, which turns to one after the other."""
    samplers_per_tile: Count | None = None
    """Sampling elements of a tile, which draw its weights in turn; omitted: one per cell (device.holds = "query")."""
    digital_units: Annotated[int, Field(ge=1, le=1024)] = 1
    """Digital units, each with the lanes of the component card (pipelined)."""
    digital_bits: Annotated[int, Field(ge=4, le=64)] | None = None
    """Width of the words of the digital units, for their energy; omitted: that of the component card."""
    interconnect: Literal["none", "bus"] = "none"
    """Whether moving inputs, sums and lam between tiles and digital units takes time and energy."""
    tile_groups: Count = 1
    """Groups that the layers are dealt to in turn, each with a bus of its own (interconnect)."""
    write_drivers: Count | None = None
    """Tiles of a layer that are programmed at once; omitted: all."""


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
    ood: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False)] = ()
    """Sets of images that the stream never shows, told apart at the end by epistemic uncertainty: "unseen_permutation",
    "unpermuted", or a data set as in stream.dataset."""


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
    timeline: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Stages of the beginning that are recorded one by one, for `bimu-hw trace`."""
    checkpoint_interval: Duration = Field(default="30 s", validate_default=True)
    """Least time, of the clock on the wall, between two checkpoints that an interrupted run resumes from."""


class Run(Table):
    """The computer, not the computation: nothing here changes a result."""

    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Threads of the kernels; the bits are the same for any number. Relaxed steps on ideal hardware, and layers of a
    million weight samples per pass, take less time with two."""


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
    architecture: Architecture = Architecture()
    """Sharing and pipelining."""
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
