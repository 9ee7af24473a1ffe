"""How much was learned, how much was forgotten, and how far the synapses are frozen.

Everything here takes bare arrays. The accuracy matrix `R[i, j]` is the accuracy, in [0, 1], on task `j` after
training on task `i`, and NaN where it was not evaluated. A number that would need a missing entry is refused
rather than averaged over what happens to be there; only `mean_accuracy` skips NaN, and says so.

Algorithmic freezing is read from the natural parameter: P(w = +1) = sigma(2 lam), E[w] = tanh(lam) and
Var[w] = sech^2(lam). A device freezes in ways of its own: requests too small for a pulse (dead zone), and a state that
can go no further (rail).

Source, unless a function names another: Cottart, Ballet, Bonnet, Querlioz, ICML 2026, arXiv:2605.30198.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.errors import ScenarioError

Floats = npt.NDArray[np.floating[Any]]

# Part of the definition: keeps the reciprocal finite when the newest task is the best one.
_RESILIENCE_FLOOR = 1e-5


def as_floats(values: npt.ArrayLike) -> Floats:
    """Return an array of floats: float32 stays float32, integers become float64."""
    array = np.asarray(values)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)


def plasticity(lam: npt.ArrayLike) -> Floats:
    """Return sech^2(lam), the variance of the binary weight: 1 is fully plastic, 0 is frozen.

    Parameters
    ----------
    lam : array_like
        Natural parameter, dimensionless, any shape. The result has its shape and, if floating, its dtype.

    Notes
    -----
    Written with exp(-2|lam|), since 1 - tanh^2 loses every digit from |lam| of about 19 on in float64, and 9
    in float32.
    """
    decay = np.exp(-2.0 * np.abs(as_floats(lam)))
    return 4.0 * decay / (1.0 + decay) ** 2


def posterior_entropy(lam: npt.ArrayLike) -> Floats:
    """Return the entropy, in bits, of the binary weight: 1 at lam = 0, 0 when the weight is certain.

    Parameters
    ----------
    lam : array_like
        Natural parameter, dimensionless, finite, any shape. The result has its shape.
    """
    # With a = 2|lam| and q the smaller probability: -ln(1-q) = log1p(e^-a) and -ln q = a + log1p(e^-a).
    a = 2.0 * np.abs(as_floats(lam))
    decay = np.exp(-a)
    q = decay / (1.0 + decay)
    return (np.log1p(decay) + a * q) / np.log(2.0).astype(a.dtype)


def saturated_fraction(lam: npt.ArrayLike, threshold: float = 2.5) -> float:
    """Return the fraction of synapses with |lam| > `threshold` (at 2.5 one weight value has P > 0.993).

    Raises
    ------
    ScenarioError
        If there is no synapse.
    """
    magnitudes = np.abs(as_floats(lam))
    _need_some("saturated_fraction, lam", magnitudes)
    return float(np.mean(magnitudes > threshold))


def sign_flip_rate(lam_before: npt.ArrayLike, lam_after: npt.ArrayLike) -> float:
    """Return the fraction of synapses whose mean weight tanh(lam) changed sign.

    A synapse at exactly 0 has no sign: neither leaving 0 nor reaching it is a flip.

    Raises
    ------
    ScenarioError
        If the two shapes differ or there is no synapse.
    """
    before, after = as_floats(lam_before), as_floats(lam_after)
    if before.shape != after.shape:
        raise ScenarioError(f"sign_flip_rate: got shapes {before.shape} and {after.shape}; expected equal shapes.")
    _need_some("sign_flip_rate, lam_before", before)
    return float(np.mean(np.sign(before) * np.sign(after) < 0))


def dead_zone_fraction(asked: npt.ArrayLike, n_pulses: npt.ArrayLike, step: float) -> float:
    """Return the fraction of synapses of which at least one level was asked and to which not one pulse was sent.

    Parameters
    ----------
    asked : array_like
        Sum of the changes of lam asked for over a window of examples, signs kept.
    n_pulses : array_like of int
        Pulses sent in the same window, same shape.
    step : float
        One level, in units of lam; infinite for a continuous element, which has no dead zone.

    Raises
    ------
    ScenarioError
        If the two shapes differ or there is no synapse.
    """
    total, pulses = as_floats(asked), np.asarray(n_pulses)
    if total.shape != pulses.shape:
        raise ScenarioError(f"dead_zone_fraction: got shapes {total.shape} and {pulses.shape}; expected equal shapes.")
    _need_some("dead_zone_fraction, asked", total)
    return float(np.mean((np.abs(total) >= step) & (pulses == 0)))


def rail_fraction(level: npt.ArrayLike, level_max: float, asked: npt.ArrayLike) -> float:
    """Return the fraction of synapses at their first or last level of which a step further out was asked.

    Parameters
    ----------
    level : array_like
        Centred levels; one within half a step of the outermost counts as there.
    level_max : float
        The last level; infinite for a continuous element.
    asked : array_like
        Sum of the changes of lam asked for over a window of examples, same shape.

    Raises
    ------
    ScenarioError
        If the two shapes differ or there is no synapse.
    """
    at, total = as_floats(level), as_floats(asked)
    if at.shape != total.shape:
        raise ScenarioError(f"rail_fraction: got shapes {at.shape} and {total.shape}; expected equal shapes.")
    _need_some("rail_fraction, level", at)
    return float(np.mean((np.abs(at) >= level_max - 0.5) & (np.sign(at) * np.sign(total) > 0)))


def last_k_average(accuracy: npt.ArrayLike, k: int) -> float:
    """Return the mean accuracy on the `k` newest tasks after the last one: mean of R[T-1, T-k .. T-1].

    Parameters
    ----------
    accuracy : array_like
        Accuracy matrix, [task, task].
    k : int
        1 <= k <= T. A caller that wants "at most five" says min(5, T).

    Raises
    ------
    ScenarioError
        If `accuracy` is no accuracy matrix, `k` is out of range or an entry that is needed was not evaluated.
    """
    r = _accuracy_matrix(accuracy)
    if not _is_count(k) or k > len(r):
        raise ScenarioError(f"last_k_average, k: got {k!r}; allowed are integers from 1 to the {len(r)} tasks.")
    return float(np.mean(_evaluated(r[-1, len(r) - k :], "of the last row")))


def newest_task_accuracy(accuracy: npt.ArrayLike) -> float:
    """Return the accuracy on the task just learned, R[T-1, T-1]. Raises as `last_k_average`."""
    return last_k_average(accuracy, 1)


def mean_accuracy(accuracy: npt.ArrayLike) -> float:
    """Return the mean over the tasks evaluated in the last row (NaN entries are skipped).

    Raises
    ------
    ScenarioError
        If `accuracy` is no accuracy matrix or its last row is all NaN.
    """
    last = _accuracy_matrix(accuracy)[-1]
    _need_some("accuracy matrix, last row", last[~np.isnan(last)])
    return float(np.nanmean(last))


def backward_transfer(accuracy: npt.ArrayLike) -> float:
    """Return the mean over the earlier tasks of R[T-1, j] - R[j, j]; negative means forgetting.

    NaN for a single task, where there is nothing to transfer back to.

    Raises
    ------
    ScenarioError
        If `accuracy` is no accuracy matrix or an entry that is needed was not evaluated.
    """
    r = _accuracy_matrix(accuracy)
    if len(r) == 1:
        return float("nan")
    final = _evaluated(r[-1, :-1], "of the last row")
    learned = _evaluated(np.diagonal(r)[:-1], "of the diagonal")
    return float(np.mean(final - learned))


def memory_rigidity_resilience(accuracy: npt.ArrayLike) -> float:
    """Return 1 / (max R - R[T-1, T-1] + 1e-5): large while new tasks are learned as well as ever.

    Parameters
    ----------
    accuracy : array_like
        Accuracy matrix, [task, task]; for several runs, the mean of their matrices.

    Raises
    ------
    ScenarioError
        If `accuracy` is no accuracy matrix or R[T-1, T-1] was not evaluated.

    Notes
    -----
    Some of the authors' notebooks show 1 / |R[T-1, T-1] - R[0, 0]| under the same name; this is the paper's
    definition.
    """
    newest = newest_task_accuracy(accuracy)
    return float(1.0 / (np.nanmax(_accuracy_matrix(accuracy)) - newest + _RESILIENCE_FLOOR))


def time_to_freeze(
    position: npt.ArrayLike, values: npt.ArrayLike, threshold: float, *, rising: bool = False
) -> float:
    """Return where along a run a measure of freezing reaches a threshold for the first time.

    Between two looks the measure is taken to be linear.

    Parameters
    ----------
    position : array_like
        Where the looks were taken, in tasks or examples, [look], increasing.
    values : array_like
        The measure at each look, [look]: of plasticity or entropy, which fall, or (`rising`) a fraction of synapses
        that no longer answer.
    threshold : float
    rising : bool
        Whether the measure freezes upwards.

    Returns
    -------
    float
        NaN if the threshold is not reached within the run, or a value before that is NaN; the first position if the
        measure is there from the start.

    Raises
    ------
    ScenarioError
        If the two lengths differ, there is no look, or `position` does not increase.
    """
    at, y = as_floats(position).astype(np.float64), as_floats(values).astype(np.float64)
    if at.ndim != 1 or at.shape != y.shape or at.size == 0 or not np.all(np.diff(at) > 0.0):
        raise ScenarioError(
            f"time_to_freeze: got positions {at.shape} and values {y.shape}; expected as many of one as of the other, "
            "at least one, at increasing positions."
        )
    above = y - threshold if rising else threshold - y
    reached = np.flatnonzero((above >= 0.0) | np.isnan(above))
    if reached.size == 0 or np.isnan(above[reached[0]]):
        return float("nan")
    k = int(reached[0])
    if k == 0:
        return float(at[0])
    return float(at[k - 1] + (at[k] - at[k - 1]) * above[k - 1] / (above[k - 1] - above[k]))


def relearning_gain(accuracy: npt.ArrayLike, task_order: npt.ArrayLike) -> float:
    """Return how much better a task goes when it comes back: mean over later turns of accuracy minus the first turn's.

    Parameters
    ----------
    accuracy : array_like
        Online accuracy of each turn, each example predicted before it is learned, [turn]: it is higher for a task that
        is relearned faster, or was not forgotten.
    task_order : array_like of int
        Which task each turn shows, [turn].

    Returns
    -------
    float
        NaN if no task comes back.

    Raises
    ------
    ScenarioError
        If the two lengths differ.
    """
    a, order = as_floats(accuracy), np.asarray(task_order)
    if a.ndim != 1 or a.shape != order.shape:
        raise ScenarioError(f"relearning_gain: got shapes {a.shape} and {order.shape}; expected one task per turn.")
    first = {int(task): int(np.flatnonzero(order == task)[0]) for task in np.unique(order)}
    gains = [a[k] - a[first[int(task)]] for k, task in enumerate(order) if k != first[int(task)]]
    return float(np.mean(gains)) if gains else float("nan")


def roc_auc(scores_in: npt.ArrayLike, scores_out: npt.ArrayLike) -> float:
    """Return the area under the ROC curve of a score that should be higher out of distribution.

    It is the probability that a random out-of-distribution score exceeds a random in-distribution one, ties
    counting one half (Mann-Whitney U over the number of pairs; ranks of equal scores are averaged).

    Parameters
    ----------
    scores_in, scores_out : array_like
        Scores, for instance the epistemic uncertainty in bits, [query]; infinities are ordered, NaN is
        refused.

    Raises
    ------
    ScenarioError
        If one of the two is empty, not one-dimensional or holds NaN.
    """
    groups = []
    for name, given in (("scores_in", scores_in), ("scores_out", scores_out)):
        scores = as_floats(given)
        if scores.ndim != 1 or scores.size == 0 or np.isnan(scores).any():
            what = "NaN" if np.isnan(scores).any() else f"shape {scores.shape}"
            raise ScenarioError(
                f"roc_auc, {name}: got {what}; expected one-dimensional scores, at least one, none NaN."
            )
        groups.append(scores)
    n_in, n_out = len(groups[0]), len(groups[1])
    _, place, ties = np.unique(np.concatenate(groups), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - 0.5 * (ties - 1))[place]
    wins = ranks[n_in:].sum() - 0.5 * n_out * (n_out + 1)
    return float(wins / (n_in * n_out))


def expected_calibration_error(probabilities: npt.ArrayLike, labels: npt.ArrayLike, n_bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy, over equal-width bins of confidence.

    Source: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017,
    arXiv:1706.04599. Bins are open on the left and closed on the right.

    Parameters
    ----------
    probabilities : array_like
        Predicted probabilities, [query, class]; each row sums to 1 (to 1e-4).
    labels : array_like of int
        True classes, [query].
    n_bins : int
        Number of bins, at least 1.

    Raises
    ------
    ScenarioError
        If a shape, a probability, a label or `n_bins` is out of range.
    """
    p, true = as_floats(probabilities), np.asarray(labels)
    if p.ndim != 2 or true.shape != p.shape[:1] or p.size == 0:
        raise ScenarioError(
            f"expected_calibration_error: got probabilities {p.shape} and labels {true.shape}; "
            "expected [query, class] and [query], not empty."
        )
    if not (p.min() >= 0.0 and np.allclose(p.sum(axis=1), 1.0, rtol=0.0, atol=1e-4)):
        raise ScenarioError(
            "expected_calibration_error, probabilities: expected no negative value and rows that sum to 1."
        )
    if not np.issubdtype(true.dtype, np.integer) or true.min() < 0 or true.max() >= p.shape[1]:
        raise ScenarioError(f"expected_calibration_error, labels: expected integers from 0 to {p.shape[1] - 1}.")
    if not _is_count(n_bins):
        raise ScenarioError(f"expected_calibration_error, n_bins: got {n_bins!r}; expected an integer of at least 1.")
    confidence = p.max(axis=1).astype(np.float64)
    correct = p.argmax(axis=1) == true
    bins = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    gap = np.bincount(bins, weights=correct - confidence, minlength=n_bins)
    return float(np.abs(gap).sum() / len(true))


def _is_count(given: object) -> bool:
    return isinstance(given, (int, np.integer)) and not isinstance(given, bool) and int(given) >= 1


def _accuracy_matrix(accuracy: npt.ArrayLike) -> Floats:
    r = as_floats(accuracy)
    if r.ndim != 2 or r.shape[0] != r.shape[1] or r.size == 0:
        raise ScenarioError(f"accuracy matrix: got shape {r.shape}; expected [task, task], square, at least one task.")
    outside = r[(r < 0.0) | (r > 1.0)]
    if outside.size:
        raise ScenarioError(f"accuracy matrix: got {outside[0]}; expected fractions from 0 to 1 (NaN: not evaluated).")
    return r


def _evaluated(entries: Floats, which: str) -> Floats:
    missing = int(np.isnan(entries).sum())
    if missing:
        raise ScenarioError(f"accuracy matrix: {missing} needed entries {which} are NaN; evaluate those tasks.")
    return entries


def _need_some(where: str, values: Floats) -> None:
    if values.size == 0:
        raise ScenarioError(f"{where}: got no value; expected at least one.")
