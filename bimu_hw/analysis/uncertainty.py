"""Uncertainty and calibration: does the network know what it does not know."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import xarray as xr

from bimu_hw.analysis.labels import labelled
from bimu_hw.errors import ScenarioError
from bimu_hw.learning.metrics import expected_calibration_error, roc_auc

#: The uncertainties that a record has of each query, and what each is.
MEASURES = ("aleatoric", "epistemic", "predictive", "disagreement")


def reliability(confidence: npt.ArrayLike, correct: npt.ArrayLike, n_bins: int = 15) -> xr.Dataset:
    """Return the reliability diagram: accuracy against confidence, in bins of equal width.

    Source: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017, arXiv:1706.04599. Bins
    are open on the left and closed on the right; the first is closed on both sides.

    Parameters
    ----------
    confidence : array_like
        Of each prediction, from 0 to 1, [query].
    correct : array_like of bool
        Whether it was right, [query].
    n_bins : int

    Returns
    -------
    xarray.Dataset
        [bin]: ``confidence`` and ``accuracy``, means in the bin (NaN where it is empty), ``count``; and the number
        ``expected_calibration_error``, the mean gap between the two weighted by counts.

    Raises
    ------
    ScenarioError
        If shapes differ, there is no query, a confidence is out of range, or `n_bins` is below 1.
    """
    p, right = np.asarray(confidence, np.float64), np.asarray(correct)
    if p.ndim != 1 or p.shape != right.shape or p.size == 0 or n_bins < 1:
        raise ScenarioError(
            f"reliability: got confidences {p.shape}, outcomes {right.shape} and {n_bins} bins; expected [query] "
            "twice, not empty, and at least one bin."
        )
    if not ((p >= 0.0) & (p <= 1.0)).all():
        raise ScenarioError("reliability: expected confidences from 0 to 1, none NaN.")
    bins = np.clip(np.ceil(p * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    count = np.bincount(bins, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        mean_p = np.bincount(bins, weights=p, minlength=n_bins) / count
        mean_right = np.bincount(bins, weights=right.astype(np.float64), minlength=n_bins) / count
    there = count > 0
    gap = float(np.abs(mean_p[there] - mean_right[there]) @ count[there] / p.size)
    centre = (np.arange(n_bins) + 0.5) / n_bins
    return xr.Dataset(
        {
            "confidence": labelled(("bin",), mean_p, "1", "mean confidence"),
            "accuracy": labelled(("bin",), mean_right, "1", "share of right predictions"),
            "count": labelled(("bin",), count, "1", "number of predictions"),
            "expected_calibration_error": labelled((), gap, "1", "mean gap of confidence and accuracy"),
        },
        coords={"bin": labelled(("bin",), centre, "1", "middle of the bin of confidence")},
    )


def calibration(probabilities: npt.ArrayLike, labels: npt.ArrayLike, n_bins: int = 15) -> xr.Dataset:
    """Return the reliability diagram of predicted probabilities.

    Parameters
    ----------
    probabilities : array_like
        [query, class]; each row sums to 1 (to 1e-4).
    labels : array_like of int
        True classes, [query].
    n_bins : int

    Returns
    -------
    xarray.Dataset
        As `reliability`, with the largest probability as confidence.

    Raises
    ------
    ScenarioError
        If a shape, a probability, a label or `n_bins` is out of range.
    """
    expected_calibration_error(probabilities, labels, n_bins)  # refuses what is out of range
    p = np.asarray(probabilities, np.float64)
    return reliability(np.clip(p.max(axis=1), 0.0, 1.0), p.argmax(axis=1) == np.asarray(labels), n_bins)


def vote_reliability(queries: xr.Dataset, n_samples: int) -> xr.Dataset:
    """Return accuracy against the share of weight samples that agree with the prediction.

    A record keeps no class probabilities of a query, but how many of its samples disagree.

    Parameters
    ----------
    queries : xarray.Dataset
        Group ``/queries`` of a record with one query per row.
    n_samples : int
        Weight samples of a query.

    Returns
    -------
    xarray.Dataset
        As `reliability`, one bin for each possible number of agreeing samples.

    Raises
    ------
    ScenarioError
        If a row stands for several queries.
    """
    _need_single(queries, "vote_reliability")
    agreeing = n_samples - queries["disagreement"].values.astype(np.int64)
    count = np.bincount(agreeing, minlength=n_samples + 1)
    right = np.bincount(agreeing, weights=queries["correct"].values, minlength=n_samples + 1)
    with np.errstate(invalid="ignore"):
        accuracy = right / count
    share = np.arange(n_samples + 1) / n_samples
    there = count > 0
    gap = float(np.abs(accuracy[there] - share[there]) @ count[there] / count.sum())
    return xr.Dataset(
        {
            "confidence": labelled(("bin",), share, "1", "share of samples that agree with the prediction"),
            "accuracy": labelled(("bin",), accuracy, "1", "share of right predictions"),
            "count": labelled(("bin",), count, "1", "number of predictions"),
            "expected_calibration_error": labelled((), gap, "1", "mean gap of confidence and accuracy"),
        },
        coords={"bin": labelled(("bin",), share, "1", "share of samples that agree with the prediction")},
    )


def error_detection(queries: xr.Dataset) -> xr.DataArray:
    """Return how well each uncertainty tells wrong predictions from right ones: area under the ROC curve, [measure].

    One half is chance, 1 is perfect; NaN if all predictions are right, or all wrong.

    Parameters
    ----------
    queries : xarray.Dataset
        Group ``/queries`` of a record with one query per row.

    Raises
    ------
    ScenarioError
        If a row stands for several queries.
    """
    _need_single(queries, "error_detection")
    right = queries["correct"].values > 0
    found = [
        roc_auc(values[right], values[~right]) if right.any() and not right.all() else np.nan
        for values in (queries[name].values for name in MEASURES)
    ]
    return xr.DataArray(
        np.array(found), dims=("measure",), coords={"measure": list(MEASURES)}, name="error_detection",
        attrs={"units": "1", "long_name": "area under the ROC curve of an uncertainty as a sign of wrong predictions"},
    )  # fmt: skip


def _need_single(queries: xr.Dataset, what: str) -> None:
    if "disagreement" not in queries or int(queries["n_aggregated"].max()) > 1:
        raise ScenarioError(
            f"{what}: a row of this record stands for several queries; run it again with a larger "
            "record.per_query_limit."
        )
