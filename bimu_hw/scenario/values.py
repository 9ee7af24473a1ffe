"""The kinds of values that keys of a scenario have: quantities with units, counts and choices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from bimu_hw.errors import UnitError
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


def _check_queue(given: object) -> object:
    if given == "unbounded" or (isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= 2**20):
        return given
    raise ValueError(f"got {given!r}; allowed are \"unbounded\" or an integer from 1 to 1048576, the number of places.")


Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Count = Annotated[int, Field(ge=1)]
Bits = Annotated[int, Field(ge=0, le=16)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
#: What a rule computes with in float32: the value and its reciprocal are finite there.
Hyperparameter = Annotated[float, Field(ge=1e-30, le=1e30)]
Strength = Annotated[float, Field(ge=0, le=1e30)]
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
Places = Annotated[
    int | Literal["unbounded"],
    BeforeValidator(_check_queue),
    WithJsonSchema({"anyOf": [{"const": "unbounded"}, {"type": "integer", "minimum": 1, "maximum": 2**20}]}),
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
FILLED_LATER: Any = None
