"""Images that a stream never shows: what a network should be unsure about.

Two protocols. *Published* (Cottart et al., ICML 2026, arXiv:2605.30198): the images as they are, neither permuted nor
standardised, with pixels from 0 to 1, against a test set that is permuted and standardised. Most of what that tells
apart is the order of the pixels. *Fair*: the images standardised by their own mean and deviation, and in the pixel
order of the test set they are compared with.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from bimu_hw.errors import ScenarioError
from bimu_hw.learning.data import DataSet, load_dataset
from bimu_hw.learning.streams.inputs import Affine, Encoder
from bimu_hw.learning.streams.stream import TaskStream

#: The protocols, in the order of the record.
PROTOCOLS = ("published", "fair")
#: Sets that are made of the stream's own test images: in an order of pixels that no task has, and as they are.
OWN_SETS = ("unseen_permutation", "unpermuted")


class Images(NamedTuple):
    """Images as codes, and what turns codes into inputs."""

    codes: np.ndarray
    """[image, n_in]"""
    affine: Affine


def ood_images(stream: TaskStream, name: str | os.PathLike[str]) -> dict[str, Images]:
    """Return out-of-distribution images of a set, by protocol.

    Parameters
    ----------
    stream : TaskStream
        The in-distribution images are the test set of its last task.
    name : str or path
        ``"unseen_permutation"`` (fair only) and ``"unpermuted"`` (published only) are the stream's own test images;
        else a data set as `load_dataset` takes it, of which the test images are used. Images of another size are
        brought to that of the stream by bilinear interpolation.

    Returns
    -------
    dict of str to Images
        Protocols that do not apply are left out: binarised inputs have no raw pixels.

    Raises
    ------
    ScenarioError
        If the set does not go with the stream.
    DataError
        If the data set is missing or damaged.
    """
    data = stream.data
    has_raw = stream.inputs in ("standardised", "raw")
    raw = Affine(0.0, 1.0 / data.full_scale)
    if name in OWN_SETS:
        if stream.kind != "permuted":
            raise ScenarioError(
                f"evaluation.ood: got {str(name)!r} with stream.kind = {stream.kind!r}; it is for permuted streams."
            )
        if name == "unseen_permutation":
            return {"fair": Images(stream.test_codes(stream.n_tasks)[0], stream.affine("test"))}
        if not has_raw:
            raise ScenarioError(f"evaluation.ood: got 'unpermuted' with inputs = {stream.inputs!r}, bits.")
        return {"published": Images(data.x_test, raw)}
    other = load_dataset(name)
    if other.sha256 == data.sha256:
        raise ScenarioError(f"evaluation.ood: got {str(name)!r}, which is what the stream shows; name another set.")
    images = _fitted(other, data, str(name))
    order = stream.pixel_order(stream.n_tasks - 1)
    encoder = Encoder(images, data.full_scale, stream.inputs, f"{other.name}, test set")
    codes = encoder.codes(images)
    found = {"fair": Images(codes if order is None else codes.take(order, axis=1), encoder.affine)}
    return {"published": Images(images, raw), **found} if has_raw else found


def _fitted(other: DataSet, data: DataSet, name: str) -> np.ndarray:
    """Return the test images of a data set with the size and range of another's."""
    x = other.x_test
    if other.is_integer != data.is_integer:
        words = {True: "pixels", False: "float features"}
        raise ScenarioError(
            f"evaluation.ood: got {name!r} of {words[other.is_integer]} for a stream of {words[data.is_integer]}; name "
            "a data set of the same kind."
        )
    if other.image_shape != data.image_shape and other.n_in != data.n_in:
        if len(other.image_shape) != 2 or len(data.image_shape) != 2:
            raise ScenarioError(
                f"evaluation.ood: got {name!r} with examples of shape {other.image_shape} for a stream of "
                f"{data.image_shape}; only images of rows and columns can be brought to another size."
            )
        x = resized(x.reshape(-1, *other.image_shape).astype(np.float64), data.image_shape).reshape(len(x), -1)
    if not data.is_integer:
        return x.astype(np.float32)
    return np.rint(x.astype(np.float64) * (data.full_scale / other.full_scale)).astype(np.uint8)


def resized(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return images [image, row, column] with another number of rows and columns, by bilinear interpolation.

    The corners of the outermost pixels stay where they are; beyond the middle of an outermost pixel its value is kept.
    """
    for axis, wanted in zip((1, 2), shape, strict=True):
        n = images.shape[axis]
        at = np.clip((np.arange(wanted) + 0.5) * n / wanted - 0.5, 0.0, n - 1.0)
        below = np.minimum(at.astype(np.int64), max(n - 2, 0))
        share = (at - below).reshape((-1, 1) if axis == 1 else (-1,))
        upper = np.minimum(below + 1, n - 1)
        images = images.take(below, axis) * (1.0 - share) + images.take(upper, axis) * share
    return images

