"""The exceptions a user can meet, and the one-sentence form they share.

Every message says where, what was given, what is allowed and, where it is not obvious, what to do. The command
line prints such a message as it is and exits with code 2; anything that is not a `BimuError` is a defect of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BimuError(Exception):
    """Base of all errors that bad input can cause."""


class UnitError(BimuError, ValueError):
    """A quantity has no unit, an unknown unit, or a unit of another dimension."""


class CardError(BimuError, ValueError):
    """A device card or component card breaks a rule of its schema."""


class DeviceModelError(BimuError, TypeError):
    """A device model breaks its contract, or no such model is registered."""


class DataError(BimuError, ValueError):
    """A data set is missing, truncated or not what its checksum says."""


class ScenarioError(BimuError, ValueError):
    """A scenario cannot be run as written."""


class SchemaError(BimuError, ValueError):
    """A record does not follow the schema."""


class ScheduleError(BimuError, RuntimeError):
    """A duration or an order of events that the clock cannot represent."""


class RunError(BimuError, RuntimeError):
    """A run cannot start, go on or be written: the output folder, the disk, a checkpoint."""


class BusyError(RunError):
    """Another process is at work in the folder of a run."""


class DamagedError(RunError):
    """A file of an unfinished run is not what was written."""


class CircuitError(BimuError, ValueError):
    """A circuit has no unique solution, or the solver did not reach its tolerance."""


#: Words that a message lists at most.
_SHOWN = 15


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return a sentence that names the nearest allowed word, or lists the allowed ones when none is near.

    Examples
    --------
    >>> did_you_mean("n_level", ["n_levels", "name"])
    "Did you mean 'n_levels'?"
    >>> did_you_mean("zzz", ["b", "a"])
    'Allowed: a, b.'
    """
    words = sorted(set(allowed))
    near = get_close_matches(given, words, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    shown, more = words[:_SHOWN], len(words) - _SHOWN
    rest = f" and {more} more" if more > 0 else ""
    return f"Allowed: {', '.join(shown)}{rest}." if words else "Nothing is allowed here."
