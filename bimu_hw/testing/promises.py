"""What the checks of storage and of sampling elements share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bimu_hw.cards import Card, device_specs, neutral_values
from bimu_hw.devices import DeviceModel, check_model

#: Standard deviations that a mean may be off; two-sided, a chance of 2e-9 per comparison.
Z_LIMIT = 6.0

Check = Callable[[Any, Card], None]


def require(holds: bool, model: DeviceModel, card: Card, promise: str) -> None:
    """Raise `AssertionError`, naming model, card and the broken promise, unless it holds."""
    if not holds:
        raise AssertionError(f"{model.name} with card {card.name!r}: {promise}")


def params_of(model: DeviceModel, card: Card, **changes: float) -> Any:
    """Return the model's parameters with the card's values, changed where asked."""
    return model.params(**{s.name: changes.get(s.name, card.params[s.name].value) for s in model.specs})


def neutral_params(model: DeviceModel, card: Card) -> Any:
    """Return the model's parameters with every nonideality at its neutral value, the others as in the card."""
    return params_of(model, card, **neutral_values(model))


def copy_state(state: Any) -> dict[str, np.ndarray]:
    """Return copies of all arrays of a state by name."""
    return {name: getattr(state, name).copy() for name in state._fields}


def same_state(state: Any, before: dict[str, np.ndarray], rows: Any = slice(None)) -> bool:
    """Return whether all arrays agree with the copies in the given rows, bit for bit; a shared value always counts."""

    def part(array: np.ndarray) -> np.ndarray:
        return array if array.shape == (1,) else array[rows]

    return all(
        np.array_equal(part(getattr(state, name)), part(array), equal_nan=True) for name, array in before.items()
    )


def declarations_are_consistent(model: DeviceModel, card: Card) -> None:
    """Specifications, state and card agree with each other and with the contract."""
    check_model(model, model.name)
    require(card.model == model.name, model, card, f"the card is for {card.model!r}.")
    params, costs = device_specs(model)
    require(set(card.params) == set(params), model, card, "the card's parameters are not those of the model.")
    require(set(card.costs) == set(costs), model, card, "the card's costs are not those of the model.")
    for spec in params.values():
        neutral = spec.neutral
        require(
            neutral is None or spec.low <= neutral <= spec.high, model, card,
            f"the neutral value of {spec.name!r} lies outside its range.",
        )  # fmt: skip
        require(bool(spec.doc and spec.unit), model, card, f"{spec.name!r} has no doc or no unit.")
    for variable in model.variables:
        np.dtype(variable.dtype)
        require(bool(variable.long_name and variable.unit), model, card, f"{variable.name!r} has no name or unit.")
    for name, fact in card.facts.items():
        require(bool(np.isfinite(fact.value)), model, card, f"{name!r} is not finite.")
    for name, fact in card.costs.items():
        require(fact.value >= 0.0, model, card, f"the cost {name!r} is negative.")
