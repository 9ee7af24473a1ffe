"""What the chip makes of test images: seen from outside, at no simulated time and no energy, with noise of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.crossbar.chip import Chip, Encoded
from bimu_hw.errors import RunError
from bimu_hw.kernels.network import predictions, query_uncertainty
from bimu_hw.learning.metrics import expected_calibration_error, roc_auc
from bimu_hw.learning.reference import log_softmax
from bimu_hw.learning.streams import PROTOCOLS, Images, TaskStream

#: Noise keys of evaluations start here, out of reach of any query's.
EVALUATION_EVENTS = 1 << 48
#: Images that go through held networks together.
_BLOCK = 500
#: Confidence bins of the calibration error.
CALIBRATION_BINS = 15

Logits = npt.NDArray[np.float32]


class Evaluation:
    """One look at the chip from outside: with one set of networks, or with networks of its own for every image.

    Parameters
    ----------
    chip : Chip
    encode : callable
        Turns the codes of some images, [image, n_in], and an `Affine` into what the chip receives, a list.
    number : int
        Tells this evaluation's noise from that of others.
    per_query : bool
        Whether every image draws networks of its own; else all of them share one set.
    now : float
        Seconds.

    Raises
    ------
    RunError
        If learning diverged.
    """

    def __init__(
        self, chip: Chip, encode: Callable[[Any, Any], list[Encoded]], number: int, per_query: bool, now: float
    ) -> None:
        self._chip, self._encode, self._per_query, self._now = chip, encode, per_query, now
        self._event = EVALUATION_EVENTS + (number << 40)
        if not all(np.isfinite(synapses.lam).all() for synapses in chip.layers):
            raise RunError("the network diverged: not every lam is finite; choose a smaller learning.lr.")

    def logits(self, codes: npt.NDArray[Any], affine: Any, first: int) -> Logits:
        """Return the logits of images, float32[image, sample, class].

        They do not depend on what was asked for before: an evaluation that was interrupted goes on to the same bits.

        Parameters
        ----------
        codes : array of shape [image, n_in]
        affine : Affine
        first : int
            Number of the first image, for the noise of the converters: shared networks, and yet every image has its
            own.
        """
        found: list[Logits] = []
        if not self._per_query:
            # Draws the shared networks, the same ones for every call; what becomes of the image does not count.
            self._infer(codes[:1], affine, self._event, fresh=True)
        together = not self._per_query and self._chip.reads_plainly
        size = _BLOCK if together else 1
        for i in range(0, len(codes), size):
            if together:
                planes = [image.planes[0, 0] for image in self._encode(codes[i : i + size], affine)]
                found.append(self._chip.infer_many(np.stack(planes)))
            else:
                event = self._event + first + i
                found.append(self._infer(codes[i : i + 1], affine, event, fresh=self._per_query)[None].copy())
        return np.concatenate(found)

    def _infer(self, codes: npt.NDArray[Any], affine: Any, event: int, fresh: bool) -> Logits:
        (image,) = self._encode(codes, affine)
        return self._chip.infer(image, event, self._now, fresh=fresh, probe=True)


def score(logits: Logits, labels: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return accuracy and calibration error of images.

    The prediction is the argmax of the mean over samples of log_softmax; the calibration error is that of the mean
    over samples of softmax, over `CALIBRATION_BINS` equal bins of confidence.
    """
    right = int((predictions(logits) == labels).sum())
    p = np.exp(log_softmax(logits.astype(np.float64))).mean(axis=1)
    return right / len(labels), expected_calibration_error(p, labels, CALIBRATION_BINS)


def epistemic(logits: Logits) -> npt.NDArray[np.float64]:
    """Return the epistemic uncertainty of images, float64[image], in bits."""
    return np.array([query_uncertainty(z)[1] for z in logits], np.float64)


def evaluate_ood(
    look: Evaluation, stream: TaskStream, sets: Mapping[str, Mapping[str, Images]], n_images: int
) -> dict[str, Any]:
    """Compare the test set of the last task with sets of images that the stream never shows.

    Parameters
    ----------
    look : Evaluation
    stream : TaskStream
    sets : mapping of str to mapping of str to Images
        By name and protocol, from `ood_images`.
    n_images : int
        Most images of a set; 0 for all.

    Returns
    -------
    dict
        The variables of the record's group ``/ood``: ``roc_auc`` and ``epistemic_out`` float64[ood_set, protocol], NaN
        where a protocol does not apply, and ``epistemic_in``.
    """
    codes, _ = stream.test_codes(stream.n_tasks - 1)
    known = epistemic(look.logits(codes[: n_images or None], stream.affine("test"), 0))
    number = len(known)
    shape = (len(sets), len(PROTOCOLS))
    auc, mean = np.full(shape, np.nan), np.full(shape, np.nan)
    for s, images in enumerate(sets.values()):
        for p, protocol in enumerate(PROTOCOLS):
            if protocol not in images:
                continue
            codes = images[protocol].codes[: n_images or None]
            unknown = epistemic(look.logits(codes, images[protocol].affine, number))
            number += len(unknown)
            auc[s, p], mean[s, p] = roc_auc(known, unknown), unknown.mean()
    return {
        "ood_set": list(sets), "protocol": list(PROTOCOLS), "roc_auc": auc, "epistemic_out": mean,
        "epistemic_in": known.mean(),
    }  # fmt: skip
