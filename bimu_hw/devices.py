"""What a device is: the two contracts, and the registry of models.

A synapse is two elements. The **storage element** holds the natural parameter lam on a grid of levels and answers
pulses; the **sampling element** turns the stored state into Bernoulli weights. A model is physics without numbers:
a parameter type, its state declared as data, and array kernels. A card (`bimu_hw.cards`) is numbers with their
sources. Models are found by the entry point group ``bimu_hw.device_models``; ours use the same door as a
stranger's.

Kernel signatures (all arrays flat over cells in ``[wordline, bitline]`` order; ``state`` is the model's NamedTuple of
arrays, ``params`` its NamedTuple of floats, ``grid`` a `Grid`, ``site`` a `Site`, ``key`` a uint64, ``now`` and
``since`` simulated seconds as float64):

Storage element
    ``fabricate(state, params, grid, key)``
        Draw device-to-device spread and faults.
    ``program(state, target, params, grid, now)``
        Set every cell to ``target`` (float32[cell], centred levels), as an ideal program-and-verify would; stuck
        cells stay.
    ``pulse(state, cells, counts, params, grid, key, now)``
        Apply signed pulse counts (float32[n]) to the listed cells (int32[n], ascending, unique). A list as long as the
        array is the identity, which a kernel may exploit. Counts are whole numbers on a device of finite levels; on
        a continuous one (``grid.quantum`` tiny) they are any real number of unit steps.
    ``peek(state, cells, params, grid, now, out)``
        Write the noise-free level of the listed cells to ``out[cells]`` (float32[cell]). Changes nothing else.
    ``read(state, params, grid, key, now, out)``
        Write the level of all cells as one look through the sampling circuit sees it, read noise included.
    ``conductance(state, params, grid, now, out)``
        Write the conductance of each device in siemens, float32[cell, device].
    ``advance(state, params, grid, key, since, now)``, optional
        Let time pass: bring the state from second ``since`` to ``now``. Not called while all parameters that the
        model ``evolves`` by are neutral.
    ``settle(state, params, grid, now)``, optional
        Take into the state what time has done until `now`. For a model whose ``peek`` computes a level from the time
        of the last pulse at a rate that depends on ``grid.temperature``: called whenever the temperature changes, with
        that of the interval that ends. The levels at `now` stay the same.
    ``disturb(state, params, grid, key, looks, now)``, optional
        What looking does to the stored state (read disturb, back-action), for ``looks`` looks of the array.

Sampling element
    ``fabricate(state, params, site, key)``
        Draw device-to-device spread.
    ``bias(state, lam, cells, params, site, now)``
        Take over the natural parameter of the listed cells: whatever ``sample`` needs is computed here, so that its
        cost follows the number of changed cells. Leaves what the model ``remembers`` alone.
    ``sample(state, params, site, key, first, interval, now, out)``
        Draw weights, int8[look, cell] of -1 and +1. Row n of ``out`` is look ``first + n`` of the query that began at
        ``now``; it uses ``fold(key, first + n)``. Every look ends an interval of ``interval`` seconds that began no
        earlier than the query and no earlier than the look before it, that of an earlier call included: a backward
        read goes on where the forward looks ended. The first row of a call finds the element in equilibrium, unless
        the model ``remembers`` its last look.
    ``advance(state, params, site, key, since, now)``, optional
        Let time pass: bring the state from second ``since`` to ``now``, under the bias it has.

Time and disturbance
    ``read``, ``peek`` and ``conductance`` change no state, whatever ``now`` they are given: evolution in time belongs
    to ``advance``, disturbance to ``disturb``. A model whose level depends on time declares ``advance``, also where
    ``peek`` computes the level from ``now`` alone, for the framework takes lam off the device again after it.
    ``advance`` is exact: one step by t has the distribution of two by t/2, and a step by 0 changes nothing. Its noise
    is a function of (key, cell); every interval gets a key of its own.

    Both are called lazily and only for what happens on the chip: ``advance`` at the start of a query's read and before
    programming, ``disturb`` after the looks of a query, forward or backward. Recording and evaluation look at the
    state as it is, at their own ``now``, and neither advance nor disturb it: a run is the same whatever is recorded.
    A sampling element may carry something from one query to the next in variables it ``remembers``; evaluation works
    on a copy of them. A model without these kernels costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from bimu_hw.errors import DeviceModelError, did_you_mean
from bimu_hw.kernels import aligned_zeros

ENTRY_POINT_GROUP = "bimu_hw.device_models"

#: How long a drawn weight stays: for one look of the array, for one Monte Carlo sample of a query, or until the
#: next write.
Holds = Literal["read", "query", "until_rewritten"]


#: Which element reads the store for a sample: the state biases the element directly and so once per query, or a digital
#: sampler reads it for every Monte Carlo sample.
StoreReads = Literal["none", "sample"]

#: Temperature of the chip in kelvin where nobody states another.
ROOM_TEMPERATURE = 300.0


class Grid(NamedTuple):
    """The level grid of a storage element, in centred level units, and what its cells share.

    A level l stands for lam = l * step. On n levels l runs from -(n-1)/2 to (n-1)/2 and a pulse moves it by 1; a
    continuous element has level_max = inf, step = 1 and so l = lam exactly. `quantum` is the smallest count of
    pulses: 1 on n levels, tiny on a continuous element. Cell c lies on bit line c modulo `n_bitlines`, the bit lines
    of the layer; `temperature` is in kelvin. Fields may be added.
    """

    level_max: float
    step: float
    quantum: float
    n_bitlines: int = 1
    temperature: float = ROOM_TEMPERATURE


class Site(NamedTuple):
    """Where the sampling elements of a layer sit, as their kernels see it.

    Cell c lies on bit line c modulo `n_bitlines`, the bit lines of the layer, and `tile_wordlines` of its word lines
    share a tile; `temperature` is in kelvin; the read current of a look flows for `read_time` seconds. Fields may be
    added.
    """

    n_bitlines: int
    tile_wordlines: int
    temperature: float = ROOM_TEMPERATURE
    read_time: float = 0.0


@dataclass(frozen=True)
class ParamSpec:
    """One parameter of a model: meaning and bounds, never a value.

    Attributes
    ----------
    name, unit, doc : str
        `unit` in UDUNITS spelling, "1" for a plain number.
    low, high : float
        Allowed range, ends included.
    neutral : float or None
        The value at which a nonideality has no effect; None for a parameter that is none (a conductance, a time).
    integer : bool
        Whether only whole numbers are allowed.
    """

    name: str
    unit: str
    doc: str
    low: float = -np.inf
    high: float = np.inf
    neutral: float | None = None
    integer: bool = False


@dataclass(frozen=True)
class StateVar:
    """One array of a model's state; the framework allocates it as zeros.

    Attributes
    ----------
    name, dtype, unit, long_name : str
    per_device : bool
        Whether a pair has one value per device (shape [cell, device]) or one per cell ([cell]).
    recorded : bool
        Whether snapshots of a run hold it.
    shared : bool
        Whether the whole array has one value (shape [1]), such as the time of the last look; never recorded.
    """

    name: str
    dtype: str
    unit: str
    long_name: str
    per_device: bool = False
    recorded: bool = False
    shared: bool = False


def _cost(name: str, unit: str, doc: str) -> ParamSpec:
    return ParamSpec(name, unit, doc, low=0.0)


#: What every storage card states about cost.
STORAGE_COSTS = (
    _cost("pulse_width_up", "s", "duration of a pulse that raises lam"),
    _cost("pulse_width_down", "s", "duration of a pulse that lowers lam"),
    _cost("pulse_energy_up", "J", "energy of one such pulse, both devices of a pair together"),
    _cost("pulse_energy_down", "J", "energy of one such pulse, both devices of a pair together"),
    _cost("read_time", "s", "time to read the stored lam of one row of cells for the learning rule"),
    _cost("read_energy", "J", "energy to read the stored lam of one cell, converter included"),
    _cost("standby_power", "W", "power of one cell that only holds its state"),
    _cost("area", "m^2", "area of one cell"),
)

#: A parameter of sampling models whose read path is a tunnel junction (`bimu_hw.cards.read_conductances`). At its
#: neutral value the junction's resistance ratio does not depend on the voltage at all, to the last bit.
TMR_HALF_VOLTAGE = ParamSpec(
    "tmr_half_voltage", "V", "read voltage at which the magnetoresistance is half that at low bias", 1e-3, 1e9, 1e9
)

#: What every sampling card states about its read path and cost.
SAMPLER_COSTS = (
    _cost("g_on", "S", "conductance read for weight +1"),
    _cost("g_off", "S", "conductance read for weight -1; of a model with tmr_half_voltage: at low bias"),
    ParamSpec("g_spread", "1", "relative device-to-device spread of both read conductances", 0.0, 1.0, neutral=0.0),
    _cost("read_voltage", "V", "voltage on a driven word line during a multiplication"),
    _cost("read_time", "s", "integration time of one look of the array"),
    _cost("sample_time", "s", "dead time before a fresh sample is valid"),
    _cost("sample_energy", "J", "energy of one random bit of one cell"),
    _cost("latch_energy", "J", "energy to hold one bit for a whole query (charged when holds = query)"),
    _cost("bias_power", "W", "power of one biased cell while it samples"),
    _cost("standby_power", "W", "power of one idle cell"),
    _cost("area", "m^2", "area of one cell"),
)


@dataclass(frozen=True)
class StorageModel:
    """Physics of a storage element: see the module's kernel signatures.

    Attributes
    ----------
    name, family, summary : str
        `family` is "memristor", "spintronic", "cmos" or "ideal".
    params, state : type
        NamedTuple types that the kernels receive.
    specs : tuple of ParamSpec
        One per field of `params`, same order; ``n_levels`` belongs to every card and is not among them.
    variables : tuple of StateVar
        One per field of `state`, same order. ``pulse_count`` (int32) and ``fault`` (int8) are required.
    n_devices : int
        1, or 2 for a pair.
    cards : tuple of str
        Reference cards as TOML text, for a model that lives in one file without a ``cards`` folder beside it.
    noisy_reads : tuple of str
        Parameters that make ``read`` random; while all of them are neutral one read serves until the next pulse.
    advance, disturb : callable or None
        What time and what looking does to the state; None: nothing.
    evolves : tuple of str
        Parameters that make time matter: while all of them are neutral, ``advance`` is not called. Empty: it always is.
    exact : str or None
        Optional, for speed: the float32 variable that is a cell's level, if on a continuous grid ``pulse`` does nothing
        but add the counts to it and count the pulses as `device_models.nonidealities.add_pulses` does, and ``peek``
        returns it. The framework may then do both itself, in the pass that works out the request. The conformance suite
        compares the bits.
    settle : callable or None
        Needed by models that follow temperature without keeping their state up to date; None: nothing to do.
    refreshes : str
        The integer variable, one per cell, that counts refreshes of a pair, or their pulses, that pulsing brings about.
        The account charges its increase as pulses that lower lam. Empty: none.
    refresh_pulses : int
        Pulses charged for each unit of that variable.
    volatile : bool
        Whether the state is lost without power, so that it stays powered where the rest of the chip is switched off.
    """

    name: str
    family: str
    summary: str
    params: type
    state: type
    specs: tuple[ParamSpec, ...]
    variables: tuple[StateVar, ...]
    fabricate: Callable[..., None]
    program: Callable[..., None]
    pulse: Callable[..., None]
    peek: Callable[..., None]
    read: Callable[..., None]
    conductance: Callable[..., None]
    n_devices: int = 1
    cards: tuple[str, ...] = ()
    noisy_reads: tuple[str, ...] = ("read_noise",)
    advance: Callable[..., None] | None = None
    disturb: Callable[..., None] | None = None
    evolves: tuple[str, ...] = ()
    exact: str | None = None
    settle: Callable[..., None] | None = None
    refreshes: str = ""
    refresh_pulses: int = 1
    volatile: bool = False
    costs: tuple[ParamSpec, ...] = STORAGE_COSTS
    role: Literal["storage"] = "storage"


@dataclass(frozen=True)
class SamplerModel:
    """Physics of a sampling element: see the module's kernel signatures.

    Attributes
    ----------
    name, family, summary : str
    params, state, specs, variables, cards
        As in `StorageModel`. A variable called ``threshold`` (int32) holds the probability of -1 in equilibrium in
        units of 2**-23; reports read it, and where a model has none they estimate the probability from looks.
        Parameters of spread between devices have names that begin with ``sigma``.
    holds : tuple of str
        The ways a sample can be held in this design; the first is what the device does by itself.
    store_reads : {"none", "sample"}
        "none": the stored state biases the element directly; noise of the storage's ``read`` is drawn once per query
        and shared by its samples. "sample": a digital sampler reads the store for every Monte Carlo sample, each
        time with fresh noise.
    advance : callable or None
        What time does to the state; None: nothing.
    evolves : tuple of str
        As in `StorageModel`.
    compares : str or None
        Optional, for speed: the int32 variable with which ``sample`` compares numbers, if it does nothing else:
        `bimu_hw.kernels.draw.draw_looks` of it. The framework may then draw by itself, while it multiplies. The
        conformance suite compares the bits.
    remembers : tuple of str
        State variables through which a call of ``sample`` or ``advance`` acts on a later ``sample``.
    drive : callable or None
        ``drive(params, lam)`` returns what the circuit applies to a nominal device for each lam (float64 arrays);
        for display only. None: lam itself.
    drive_name : str
        What that is, with its unit: "write voltage [V]".
    """

    name: str
    family: str
    summary: str
    params: type
    state: type
    specs: tuple[ParamSpec, ...]
    variables: tuple[StateVar, ...]
    fabricate: Callable[..., None]
    bias: Callable[..., None]
    sample: Callable[..., None]
    holds: tuple[Holds, ...] = ("query",)
    cards: tuple[str, ...] = ()
    store_reads: StoreReads = "none"
    advance: Callable[..., None] | None = None
    evolves: tuple[str, ...] = ()
    remembers: tuple[str, ...] = ()
    compares: str | None = None
    drive: Callable[..., Any] | None = None
    drive_name: str = ""
    costs: tuple[ParamSpec, ...] = SAMPLER_COSTS
    role: Literal["sampler"] = "sampler"


DeviceModel = StorageModel | SamplerModel

#: Faults, as stored in the state variable ``fault``.
FAULTS: Mapping[str, int] = {"none": 0, "stuck_on": 1, "stuck_off": 2, "stuck": 3, "worn_out": 4}

#: What a record holds of every layer besides the model's own variables.
RESERVED_NAMES = frozenset(
    {"level", "lam", "conductance", "mean_weight", "plasticity", "requested", "example", "tick", "task"}
)


def new_state(model: DeviceModel, n_cells: int) -> Any:
    """Allocate the state of `n_cells` cells as zeros: the model's NamedTuple of arrays."""
    n_devices = getattr(model, "n_devices", 1)

    def shape(variable: StateVar) -> tuple[int, ...]:
        if variable.shared:
            return (1,)
        return (n_cells, n_devices) if variable.per_device else (n_cells,)

    return model.state(**{v.name: aligned_zeros(shape(v), v.dtype) for v in model.variables})


def time_matters(model: DeviceModel, params: Any) -> bool:
    """Return whether ``advance`` of a model changes anything with these parameters (its NamedTuple)."""
    if model.advance is None:
        return False
    neutral = {s.name: s.neutral for s in model.specs}
    return not model.evolves or any(getattr(params, name) != neutral[name] for name in model.evolves)


def check_model(model: DeviceModel, where: str) -> None:
    """Raise `DeviceModelError` if a model's declarations contradict each other."""
    if not isinstance(model, (StorageModel, SamplerModel)):
        raise DeviceModelError(f"{where}: got {type(model).__name__}; expected a StorageModel or SamplerModel.")
    for label, declared, fields in (
        ("specs", [s.name for s in model.specs], list(model.params._fields)),  # type: ignore[attr-defined]
        ("variables", [v.name for v in model.variables], list(model.state._fields)),  # type: ignore[attr-defined]
    ):
        if declared != fields:
            raise DeviceModelError(
                f"{where}: {label} names {declared}, but the type has the fields {fields}; "
                "declare the same names in the same order."
            )
    for variable in model.variables:
        if variable.shared and (variable.recorded or variable.per_device):
            raise DeviceModelError(
                f"{where}: the variable {variable.name!r} is shared by the array and cannot be per device or recorded; "
                "drop one of the two."
            )
        if variable.recorded and variable.name in RESERVED_NAMES:
            raise DeviceModelError(
                f"{where}: the recorded variable {variable.name!r} has a name that the record uses itself "
                f"({', '.join(sorted(RESERVED_NAMES))}); rename it or do not record it."
            )
    never_neutral = set(model.evolves) - {s.name for s in model.specs if s.neutral is not None}
    if never_neutral:
        raise DeviceModelError(
            f"{where}: evolves names {sorted(never_neutral)}, which are no parameters with a neutral value; "
            "name parameters that have one."
        )
    names = {v.name for v in model.variables}
    if isinstance(model, SamplerModel):
        if model.store_reads not in get_args(StoreReads):
            raise DeviceModelError(
                f"{where}: store_reads is {model.store_reads!r}; allowed are {', '.join(get_args(StoreReads))}."
            )
        unknown = set(model.remembers) - names
        if unknown:
            raise DeviceModelError(f"{where}: remembers {sorted(unknown)}, which the state lacks; declare it there.")
        if model.compares is not None and model.compares not in names:
            raise DeviceModelError(
                f"{where}: compares is {model.compares!r}, which the state lacks; declare it there."
            )
    if isinstance(model, StorageModel):
        missing = {"pulse_count", "fault"} - names
        if missing:
            raise DeviceModelError(f"{where}: state lacks {sorted(missing)}, which every storage model keeps.")
        if model.refreshes and model.refreshes not in names:
            raise DeviceModelError(
                f"{where}: refreshes is {model.refreshes!r}, which the state lacks; declare it there."
            )
        if model.exact is not None and model.exact not in names:
            raise DeviceModelError(f"{where}: exact is {model.exact!r}, which the state lacks; declare it there.")


@lru_cache(maxsize=1)
def _entry_points() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in found and found[point.name].value != point.value:
            raise DeviceModelError(
                f"entry point {point.name!r}: registered twice, as {found[point.name].value!r} and "
                f"{point.value!r}; rename one."
            )
        found[point.name] = point
    return found


def model_names() -> list[str]:
    """Return the names of all registered models, sorted."""
    return sorted(_entry_points())


@cache
def get_model(name: str) -> DeviceModel:
    """Load a registered model.

    Raises
    ------
    DeviceModelError
        If no model of that name is registered, it cannot be imported, or it breaks the contract.
    """
    points = _entry_points()
    if name not in points:
        raise DeviceModelError(f"device model {name!r}: not registered. {did_you_mean(name, points)}")
    try:
        model = points[name].load()
    except (ImportError, AttributeError) as error:
        raise DeviceModelError(f"device model {name!r} ({points[name].value}): cannot be loaded: {error}.") from error
    check_model(model, f"device model {name!r} ({points[name].value})")
    if model.name != name:
        raise DeviceModelError(f"device model {name!r}: its MODEL calls itself {model.name!r}; use one name for both.")
    return model


def model_module(name: str) -> str:
    """Return the module a registered model lives in."""
    get_model(name)
    return _entry_points()[name].module
