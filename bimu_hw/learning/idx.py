"""IDX files, the format of MNIST and Fashion-MNIST: where they are looked for, fetched from, checked against.

A checksum here is that of the *uncompressed* bytes: the same data set circulates in archives that were
compressed again and differ, while what they hold is the same to the last byte.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import math
import os
import re
import struct
import sys
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bimu_hw.errors import DataError

#: A folder with the files, or with one subfolder per data set. If set, nothing is ever downloaded.
DATA_DIR_VARIABLE = "BIMU_DATA_DIR"
#: Base addresses to download from instead of the built-in ones, separated by blanks.
MIRROR_VARIABLE = "BIMU_DATA_MIRROR"

_UBYTE = 0x08
_GZIP_MAGIC = b"\x1f\x8b"
_LARGEST = 1 << 31
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class IdxFile:
    """One file of a data set: its name without ``.gz`` and the checksum of its uncompressed bytes."""

    name: str
    n_dim: int
    checksum: str
    """``sha256:`` or ``md5:`` and the hexadecimal digest."""


@dataclass(frozen=True)
class IdxSource:
    """Four IDX files that make a data set, and where the world keeps them."""

    name: str
    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile
    mirrors: tuple[str, ...]
    citation: str

    @property
    def files(self) -> tuple[IdxFile, IdxFile, IdxFile, IdxFile]:
        """Train images, train labels, test images, test labels."""
        return self.train_images, self.train_labels, self.test_images, self.test_labels


MNIST = IdxSource(
    name="mnist",
    train_images=IdxFile("train-images-idx3-ubyte", 3,
                         "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    train_labels=IdxFile("train-labels-idx1-ubyte", 1,
                         "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    test_images=IdxFile("t10k-images-idx3-ubyte", 3,
                        "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    test_labels=IdxFile("t10k-labels-idx1-ubyte", 1,
                        "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    mirrors=("https://storage.googleapis.com/cvdf-datasets/mnist",
             "https://ossci-datasets.s3.amazonaws.com/mnist"),
    citation="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document "
             "recognition, Proc. IEEE 86, 2278-2324 (1998), doi:10.1109/5.726791",
)  # fmt: skip

# The MNIST checksums above were computed from the files. Fashion-MNIST was not at hand: these are the MD5
# sums of the uncompressed files as several independent projects publish them (its authors publish MD5 sums of
# the archives only).
FASHION_MNIST = IdxSource(
    name="fashion_mnist",
    train_images=IdxFile("train-images-idx3-ubyte", 3, "md5:f4a8712d7a061bf5bd6d2ca38dc4d50a"),
    train_labels=IdxFile("train-labels-idx1-ubyte", 1, "md5:9018921c3c673c538a1fc5bad174d6f9"),
    test_images=IdxFile("t10k-images-idx3-ubyte", 3, "md5:8181f5470baa50b63fa0f6fddb340f0a"),
    test_labels=IdxFile("t10k-labels-idx1-ubyte", 1, "md5:15d484375f8d13e6eb1aabb0c3f46965"),
    mirrors=("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
             "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"),
    citation="H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine "
             "learning algorithms, arXiv:1708.07747 (2017)",
)  # fmt: skip

IDX_SOURCES = {source.name: source for source in (MNIST, FASHION_MNIST)}


def read_idx(path: Path, *, n_dim: int, checksum: str | None = None) -> np.ndarray:
    """Read an IDX file of unsigned bytes, plain or gzip-compressed (told apart by content, not by name).

    Parameters
    ----------
    path : pathlib.Path
    n_dim : int
        The number of dimensions the file must have: 3 for images, 1 for labels.
    checksum : str, optional
        ``sha256:<hex>`` or ``md5:<hex>`` of the uncompressed bytes, header included.

    Returns
    -------
    numpy.ndarray
        uint8, read-only, of the shape the header states.

    Raises
    ------
    DataError
        If the file cannot be read, is not such an IDX file, is shorter or longer than its header says, or
        does not have the given checksum.

    Notes
    -----
    Header: two zero bytes, the element type (8 = unsigned byte), the number of dimensions, then each
    dimension as a big-endian 32-bit integer. Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of
    handwritten digits.
    """
    header_size = 4 + 4 * n_dim
    try:
        with _open(path) as stream:
            header = stream.read(header_size)
            shape = _check_header(path, header, n_dim)
            n_bytes = math.prod(shape)
            if n_bytes > _LARGEST:
                raise DataError(
                    f"{path}: the header announces {n_bytes} bytes, more than the {_LARGEST} allowed; "
                    f"the file is damaged."
                )
            # One byte more than announced: it tells a file that is too long, and makes gzip check its own
            # CRC.
            content = stream.read(n_bytes + 1)
    except EOFError:
        raise DataError(f"{path}: truncated, the compressed stream breaks off; fetch the file again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip archive ({error}); fetch the file again.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from None
    if len(content) != n_bytes:
        what = "truncated" if len(content) < n_bytes else "too long"
        given = f"{len(content)}" if len(content) < n_bytes else f"more than {n_bytes}"
        raise DataError(
            f"{path}: {what}, {given} bytes after the header, which announces {n_bytes} "
            f"({' x '.join(map(str, shape))}); fetch the file again."
        )
    if checksum is not None:
        algorithm, _, wanted = checksum.partition(":")
        digest = hashlib.new(algorithm, usedforsecurity=False)
        digest.update(header)
        digest.update(content)
        if digest.hexdigest() != wanted:
            raise DataError(
                f"{path}: wrong checksum, the uncompressed bytes have {algorithm} {digest.hexdigest()} "
                f"and should have {wanted}; the file is damaged or belongs to another data set."
            )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    with open(path, "rb") as probe:
        is_gzip = probe.read(2) == _GZIP_MAGIC
    return gzip.open(path, "rb") if is_gzip else open(path, "rb")


def _check_header(path: Path, header: bytes, n_dim: int) -> tuple[int, ...]:
    magic = bytes((0, 0, _UBYTE, n_dim))
    if header[:4] != magic:
        raise DataError(
            f"{path}: wrong magic number 0x{header[:4].hex() or '(empty file)'}; an IDX file of unsigned "
            f"bytes with {n_dim} dimension{'s' * (n_dim > 1)} starts with 0x{magic.hex()}."
        )
    if len(header) < 4 + 4 * n_dim:
        raise DataError(f"{path}: truncated within its header; fetch the file again.")
    return struct.unpack(f">{n_dim}I", header[4:])


def load_idx(
    source: IdxSource,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> list[np.ndarray]:
    """Return the four arrays of an IDX data set: train images, train labels, test images, test labels.

    Parameters
    ----------
    source : IdxSource
    data_dir : path, optional
        The folder that holds the files, or holds them in a subfolder named after the data set; default: the
        environment variable ``BIMU_DATA_DIR``. With a folder given nothing is downloaded.
    mirrors : sequence of str, optional
        Base addresses, tried in order, each as ``<mirror>/<data set>/<file>.gz`` and ``<mirror>/<file>.gz``;
        default: the addresses in ``BIMU_DATA_MIRROR``, separated by blanks, else the built-in ones.
    cache_dir : path, optional
        Where downloads are kept; default: the user's cache folder.

    Raises
    ------
    DataError
        If a file is missing from the folder, cannot be downloaded, or fails a check of `read_idx`.
    """
    where = "data_dir"
    if data_dir is None and os.environ.get(DATA_DIR_VARIABLE):
        where, data_dir = DATA_DIR_VARIABLE, os.environ[DATA_DIR_VARIABLE]
    if data_dir is not None:
        paths = _find_files(source, Path(data_dir), where)
        return [
            read_idx(path, n_dim=file.n_dim, checksum=file.checksum)
            for file, path in zip(source.files, paths, strict=True)
        ]
    if cache_dir is None:
        import pooch

        cache_dir = pooch.os_cache("bimu_hw") / source.name
    return [_cached_or_downloaded(source, file, Path(cache_dir), mirrors) for file in source.files]


def _find_files(source: IdxSource, folder: Path, where: str) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{where}: {folder} is not a folder; name the folder that holds the files of {source.name}.")
    subfolder = folder / source.name
    if subfolder.is_dir():
        folder = subfolder
    found: list[Path] = []
    missing: list[str] = []
    for file in source.files:
        path = next((p for p in (folder / file.name, folder / f"{file.name}.gz") if p.is_file()), None)
        if path is None:
            missing.append(f"{file.name}.gz")
        else:
            found.append(path)
    if missing:
        raise DataError(
            f"{where}: {folder} lacks {', '.join(missing)} of {source.name}; add what is missing "
            f"(with or without .gz), or unset {DATA_DIR_VARIABLE} to download."
        )
    return found


def _cached_or_downloaded(source: IdxSource, file: IdxFile, cache: Path, mirrors: Sequence[str] | None) -> np.ndarray:
    path = cache / f"{file.name}.gz"
    if path.is_file():
        # A damaged copy in our own cache is ours to replace; the user hears of it only if that fails.
        with contextlib.suppress(DataError):
            return read_idx(path, n_dim=file.n_dim, checksum=file.checksum)
    failures: list[str] = []
    for url in _addresses(source, file, mirrors):
        try:
            return _download(url, path, file)
        except (OSError, ValueError) as error:  # requests' exceptions are OSErrors, DataError is a ValueError
            failures.append(f"{url}: {_reason(error)}")
    raise DataError(
        f"{source.name}: {path.name} could not be downloaded ({'; '.join(failures)}); get it elsewhere, see "
        f"that its uncompressed bytes have {file.checksum.replace(':', ' ')}, and put it into {cache}, or "
        f"set {DATA_DIR_VARIABLE} to a folder that holds the four files."
    )


def _addresses(source: IdxSource, file: IdxFile, mirrors: Sequence[str] | None) -> list[str]:
    if mirrors is None:
        mirrors = os.environ.get(MIRROR_VARIABLE, "").split()
    if not mirrors:
        return [f"{base}/{file.name}.gz" for base in source.mirrors]
    bases = [base.rstrip("/") for base in mirrors]
    return [f"{base}{folder}/{file.name}.gz" for base in bases for folder in (f"/{source.name}", "")]


def _download(url: str, path: Path, file: IdxFile) -> np.ndarray:
    """Fetch, check, and only then give the file its name: a reader never meets half a file."""
    import pooch

    path.parent.mkdir(parents=True, exist_ok=True)
    fetch = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 16, timeout=_TIMEOUT_S)
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        fetch(url, str(part), None)
        array = read_idx(part, n_dim=file.n_dim, checksum=file.checksum)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return array


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    if isinstance(error, DataError):
        # The temporary file's name tells the user nothing.
        return re.sub(r"^.*?\.part: ", "", str(error)).split(";")[0].rstrip(".")
    return getattr(error, "strerror", None) or type(error).__name__
