"""What the Monte Carlo samples of one query say about its class, and how far they disagree.

Source: Cottart, Ballet, Bonnet, Querlioz, ICML 2026, arXiv:2605.30198, and the authors' public code (the soft
vote).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bimu_hw.errors import ScenarioError
from bimu_hw.learning.metrics import as_floats
from bimu_hw.learning.reference import log_softmax


class Uncertainty(NamedTuple):
    """The uncertainties of a block of queries; every field is [query]."""

    aleatoric: npt.NDArray[np.float64]
    """Mean over the samples of each one's entropy [bit]: noise that no further label would remove."""
    epistemic: npt.NDArray[np.float64]
    """predictive - aleatoric, the mutual information of class and weights [bit]: what is not yet known."""
    predictive: npt.NDArray[np.float64]
    """Entropy of the mean prediction [bit]."""
    variation_ratio: npt.NDArray[np.float64]
    """`disagreement` divided by the number of samples."""
    disagreement: npt.NDArray[np.int64]
    """Number of samples whose own class differs from the soft vote. Compare this integer, not the ratio."""
    prediction: npt.NDArray[np.int64]
    """Predicted class: argmax of the mean over the samples of log_softmax."""


def uncertainty(logits: npt.ArrayLike) -> Uncertainty:
    """Return the uncertainties and the predicted class of each query.

    With p_s = softmax(z_s): predictive H = entropy of mean_s p_s, aleatoric A = mean_s entropy of p_s, and
    epistemic H - A, with logarithms to base 2. The disagreement counts the samples whose argmax is not
    argmax_c mean_s softmax(softmax(z_s)): a soft vote, not the mode. Of equal classes the lowest index wins.

    Parameters
    ----------
    logits : array_like
        [query, sample, class], finite; computed in float64. No query gives empty fields.

    Returns
    -------
    Uncertainty

    Raises
    ------
    ScenarioError
        If `logits` does not have three dimensions, has no sample or no class, or holds a value that is not
        finite.
    """
    z = as_floats(logits).astype(np.float64)
    if z.ndim != 3 or 0 in z.shape[1:]:
        raise ScenarioError(f"uncertainty, logits: got shape {z.shape}; expected [query, sample, class], none empty.")
    if not np.isfinite(z).all():
        raise ScenarioError("uncertainty, logits: got a value that is not finite; expected finite logits.")
    log_p = log_softmax(z)
    p = np.exp(log_p)
    mean_p = p.mean(axis=1)
    aleatoric = -(p * log_p).sum(axis=2).mean(axis=1) / np.log(2.0)
    # A class that underflowed to probability 0 adds nothing: 0 log 0 = 0.
    predictive = -(mean_p * np.log2(np.where(mean_p > 0.0, mean_p, 1.0))).sum(axis=1)
    # Never negative by Jensen's inequality; the difference of two rounded numbers may be, by an ulp.
    epistemic = np.maximum(predictive - aleatoric, 0.0)

    soft_vote = np.exp(log_softmax(p)).mean(axis=1).argmax(axis=1)
    disagreement = (z.argmax(axis=2) != soft_vote[:, np.newaxis]).sum(axis=1).astype(np.int64)
    return Uncertainty(
        aleatoric=aleatoric,
        epistemic=epistemic,
        predictive=predictive,
        variation_ratio=disagreement / z.shape[1],
        disagreement=disagreement,
        prediction=log_p.mean(axis=1).argmax(axis=1).astype(np.int64),
    )
