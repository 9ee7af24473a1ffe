"""When to ask the oracle for a label.

A policy is a pure decision: it holds its parameters and nothing else. How many examples were seen, how many
labels were requested and the random number it may need are handed to it with each query, so a checkpoint has
no policy state to save and two replays of one stream ask for the same labels.

An example whose label is not requested costs inference only: no backward pass, no write, no forgetting.

Source: Cottart, Ballet, Bonnet, Querlioz, ICML 2026, arXiv:2605.30198.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from bimu_hw.errors import ScenarioError, did_you_mean


class Evidence(NamedTuple):
    """What a policy may know about one query."""

    epistemic: float
    """Epistemic uncertainty [bit]."""
    aleatoric: float
    """Aleatoric uncertainty [bit]."""
    predictive: float
    """Predictive uncertainty [bit]."""
    disagreement: int
    """How many of the `n_samples` weight samples disagree with the soft vote."""
    n_samples: int
    """Number of Monte Carlo weight samples, S."""


class LabelPolicy(Protocol):
    """A rule that decides, query by query, whether to ask for the label."""

    def asks(self, evidence: Evidence, *, examples_seen: int, labels_requested: int, uniform: float) -> bool:
        """Return whether to ask for the label of this query.

        Parameters
        ----------
        evidence : Evidence
            The uncertainties of this query.
        examples_seen : int
            Examples that entered service before this one; those dropped from the queue were not seen.
        labels_requested : int
            Labels requested before this one, whether or not they have arrived.
        uniform : float
            A random number in (0, 1) of this query's own, drawn by the caller; only `AtRandom` looks at it.
        """
        ...


@dataclass(frozen=True)
class Always:
    """Ask for every label."""

    def asks(self, evidence: Evidence, *, examples_seen: int, labels_requested: int, uniform: float) -> bool:
        """Return True."""
        return True


@dataclass(frozen=True)
class Given:
    """Labels come with the inputs, as in the paper's training protocol: there is nothing left to ask.

    Every example is learned as it arrives. No query is made of it first: the forward pass of learning itself gives the
    prediction that is recorded.
    """

    def asks(self, evidence: Evidence, *, examples_seen: int, labels_requested: int, uniform: float) -> bool:
        """Return False."""
        return False


@dataclass(frozen=True)
class Never:
    """Ask for no label: inference only."""

    def asks(self, evidence: Evidence, *, examples_seen: int, labels_requested: int, uniform: float) -> bool:
        """Return False."""
        return False


@dataclass(frozen=True)
class AtRandom:
    """Ask with a fixed probability, whatever the evidence: the baseline of every active policy.

    Parameters
    ----------
    rate : float
        Probability of asking, 0 to 1.
    """

    rate: float

    def __post_init__(self) -> None:
        _check_number("label policy 'random', rate", self.rate, 0.0, 1.0)

    def asks(self, evidence: Evidence, *, examples_seen: int, labels_requested: int, uniform: float) -> bool:
        """Return whether `uniform` is below the rate."""
        return uniform < self.rate


@dataclass(frozen=True)
class UncertaintyThreshold:
    """Ask when an entropy of the query is at least a threshold.

    Parameters
    ----------
    quantity : str
        `epistemic`, `aleatoric` or `predictive`.
    threshold : float
        In bits, at least 0.
    """

    quantity: str
    threshold: float

    def __post_init__(self) -> None:
        if self.quantity not in _ENTROPIES:
            raise ScenarioError(
                f"label policy, quantity: got {self.quantity!r}. {did_you_mean(str(self.quantity), _ENTROPIES)}"
            )
        _check_number(f"label policy {self.quantity!r}, threshold", self.threshold, 0.0, math.inf)

    def asks(self, evidence: Evidence, *, examples_seen: int, labels_requested: int, uniform: float) -> bool:
        """Return whether the chosen uncertainty reaches the threshold."""
        return float(getattr(evidence, self.quantity)) >= self.threshold


@dataclass(frozen=True)
class VariationRatioThreshold:
    """Ask when the fraction of disagreeing samples is at least a threshold.

    Parameters
    ----------
    threshold : float
        0 to 1; k/S asks when at least k of the S samples disagree.
    """

    threshold: float

    def __post_init__(self) -> None:
        _check_number("label policy 'variation_ratio', threshold", self.threshold, 0.0, 1.0)

    def disagreement_threshold(self, n_samples: int) -> int:
        """Return the least number of disagreeing samples that asks for a label."""
        # The threshold is compared as a count. A ratio of floats shifts it by one count where k/S is not
        # exact: in float32, 1 - 0.8 falls short of 0.2 while 1 - 0.7 reaches 0.3, and both thresholds then
        # mean three of ten. The slack is for the product: 0.07 * 100 is 7.000000000000001, and 7 is meant.
        return math.ceil(self.threshold * n_samples - 1e-9)

    def asks(self, evidence: Evidence, *, examples_seen: int, labels_requested: int, uniform: float) -> bool:
        """Return whether enough samples disagree."""
        return evidence.disagreement >= self.disagreement_threshold(evidence.n_samples)


@dataclass(frozen=True)
class Budgeted:
    """Ask by variation ratio, with a threshold that follows the share of labels requested so far.

    With Q = labels requested / (examples seen + 1) and e = Q - B, the threshold is the integer count
    clip(round(S (B + sign(e) |e|^gamma)), 0, S), rounded half to even. Below the budget it falls, down to 0
    where every label is asked for; above it, it rises.

    It may settle above the budget: where the share of queries in which at least S (B + (Q - B)^gamma) samples disagree
    is Q itself. The published share at gamma = 0.5 and B = 0.5 % is 3.34 %; a network that is less sure asks for more.

    Parameters
    ----------
    budget : float
        B, the share of labels aimed at, 0 to 1.
    exponent : float
        gamma, the adaptation exponent, above 0. Near 0 the policy is bang-bang and holds the budget exactly;
        larger values let the evidence speak.
    """

    budget: float
    exponent: float

    def __post_init__(self) -> None:
        _check_number("label policy 'budgeted', budget", self.budget, 0.0, 1.0)
        _check_number("label policy 'budgeted', exponent", self.exponent, 0.0, math.inf)
        if self.exponent == 0.0:
            raise ScenarioError("label policy 'budgeted', exponent: got 0; expected a number above 0.")

    def disagreement_threshold(self, n_samples: int, *, examples_seen: int, labels_requested: int) -> int:
        """Return the least number of disagreeing samples that asks, at this point of the stream."""
        excess = labels_requested / (examples_seen + 1) - self.budget
        correction = math.copysign(abs(excess) ** self.exponent, excess)
        # Python rounds half to even, which is what the definition asks for.
        return min(max(round(n_samples * (self.budget + correction)), 0), n_samples)

    def asks(self, evidence: Evidence, *, examples_seen: int, labels_requested: int, uniform: float) -> bool:
        """Return whether enough samples disagree, given what was requested so far."""
        return evidence.disagreement >= self.disagreement_threshold(
            evidence.n_samples, examples_seen=examples_seen, labels_requested=labels_requested
        )


_ENTROPIES = ("epistemic", "aleatoric", "predictive")

_MAKERS: dict[str, Callable[..., LabelPolicy]] = {
    "always": Always,
    "given": Given,
    "never": Never,
    "random": AtRandom,
    **{quantity: partial(UncertaintyThreshold, quantity) for quantity in _ENTROPIES},
    "variation_ratio": VariationRatioThreshold,
    "budgeted": Budgeted,
}

POLICY_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "always": (),
    "given": (),
    "never": (),
    "random": ("rate",),
    **{quantity: ("threshold",) for quantity in _ENTROPIES},
    "variation_ratio": ("threshold",),
    "budgeted": ("budget", "exponent"),
}
"""Every policy by name, with the parameters it needs; none has a default."""


def policy_from_spec(name: str, **params: float) -> LabelPolicy:
    """Return the label policy that a scenario names.

    Parameters
    ----------
    name : str
        One of `POLICY_PARAMETERS`.
    **params : float
        Exactly the parameters listed there.

    Raises
    ------
    ScenarioError
        If the policy is unknown, or a parameter is unknown, missing or out of range.

    Examples
    --------
    >>> policy_from_spec("variation_ratio", threshold=0.3)
    VariationRatioThreshold(threshold=0.3)
    """
    if name not in _MAKERS:
        raise ScenarioError(f"label policy: got {name!r}. {did_you_mean(str(name), _MAKERS)}")
    needed = POLICY_PARAMETERS[name]
    for given in params:
        if given not in needed:
            raise ScenarioError(
                f"label policy {name!r}: unknown parameter {given!r}. {did_you_mean(given, needed)}"
                if needed
                else f"label policy {name!r}: unknown parameter {given!r}; this policy has no parameters."
            )
    for parameter in needed:
        if parameter not in params:
            raise ScenarioError(f"label policy {name!r}: parameter {parameter!r} is missing; give it a value.")
    return _MAKERS[name](**params)


def _check_number(where: str, value: float, low: float, high: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not low <= value <= high:
        allowed = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
        raise ScenarioError(f"{where}: got {value!r}; expected a number {allowed}.")
