"""Data sets: what is loaded, and the one sentence for everything that cannot be."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import struct
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from bimu_hw.errors import DataError, ScenarioError
from bimu_hw.learning.data import dataset_from_idx, load_dataset, make_dataset
from bimu_hw.learning.idx import FASHION_MNIST, MNIST, IdxFile, IdxSource, load_idx, read_idx


def idx_bytes(array: np.ndarray) -> bytes:
    """Write an IDX file independently of the reader: header fields one by one."""
    header = b"\x00\x00\x08" + struct.pack("B", array.ndim)
    for length in array.shape:
        header += struct.pack(">I", length)
    return header + array.astype(np.uint8).tobytes()


def small_arrays() -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    return [
        rng.integers(0, 256, (20, 4, 5)),
        np.arange(20) % 3,
        rng.integers(0, 256, (6, 4, 5)),
        np.arange(6) % 3,
    ]


def small_source(arrays: list[np.ndarray], name: str = "small", mirrors: tuple[str, ...] = ()) -> IdxSource:
    files = [
        IdxFile(pinned.name, pinned.n_dim, "sha256:" + hashlib.sha256(idx_bytes(array)).hexdigest())
        for pinned, array in zip(MNIST.files, arrays, strict=True)
    ]
    return IdxSource(name, *files, mirrors=mirrors, citation="made by the test")


def write_small(folder: Path, arrays: list[np.ndarray], *, compress: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, array in zip(MNIST.files, arrays, strict=True):
        content = idx_bytes(array)
        if compress:
            (folder / f"{file.name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / file.name).write_bytes(content)
    return folder


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BIMU_DATA_DIR", "BIMU_DATA_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def one_sentence(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


class TestDigits:
    def test_shapes_and_split(self) -> None:
        data = load_dataset("digits")
        assert data.x_train.shape == (1500, 64)
        assert data.x_test.shape == (297, 64)
        assert data.x_train.dtype == np.uint8
        assert data.y_train.dtype == np.int64
        assert (data.n_classes, data.n_in, data.image_shape, data.full_scale) == (10, 64, (8, 8), 16)
        assert data.x_train.max() == 16
        assert "10.24432/C50P49" in data.citation
        with pytest.raises(ValueError, match="read-only"):
            data.x_train[0, 0] = 1

    def test_equal_to_scikit_learn(self) -> None:
        datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
        theirs = datasets.load_digits()
        ours = load_dataset("digits")
        np.testing.assert_array_equal(np.concatenate([ours.x_train, ours.x_test]), theirs.data)
        np.testing.assert_array_equal(np.concatenate([ours.y_train, ours.y_test]), theirs.target)

    def test_digest_follows_every_array(self) -> None:
        data = load_dataset("digits")
        names = ("x_train", "y_train", "x_test", "y_test")
        arrays = [getattr(data, name).copy() for name in names]
        make = partial(make_dataset, "digits", full_scale=16, citation="")
        assert make(*arrays).sha256 == data.sha256
        for k in range(4):
            changed = [array.copy() for array in arrays]
            flat = changed[k].reshape(-1)
            flat[3] = (flat[3] + 1) % 10
            assert make(*changed).sha256 != data.sha256


def test_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ScenarioError, match="Did you mean 'fashion_mnist'"):
        load_dataset("fashion-mnist")
    with pytest.raises(ScenarioError, match="digits, fashion_mnist, mnist"):
        load_dataset("imagenet")


class TestIdxFolder:
    @pytest.mark.parametrize("compress", [True, False])
    @pytest.mark.parametrize("subfolder", ["", "small"])
    @pytest.mark.parametrize("by_variable", [True, False])
    def test_loads(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compress: bool, subfolder: str, by_variable: bool
    ) -> None:
        arrays = small_arrays()
        write_small(tmp_path / subfolder, arrays, compress=compress)
        if by_variable:
            monkeypatch.setenv("BIMU_DATA_DIR", str(tmp_path))
            data = dataset_from_idx(small_source(arrays))
        else:
            monkeypatch.setenv("BIMU_DATA_DIR", str(tmp_path / "not-there"))
            data = dataset_from_idx(small_source(arrays), data_dir=tmp_path)
        np.testing.assert_array_equal(data.x_train.reshape(20, 4, 5), arrays[0])
        np.testing.assert_array_equal(data.y_train, arrays[1])
        np.testing.assert_array_equal(data.x_test.reshape(6, 4, 5), arrays[2])
        np.testing.assert_array_equal(data.y_test, arrays[3])
        assert (data.image_shape, data.full_scale, data.n_classes) == ((4, 5), 255, 3)

    def test_incomplete_folder_is_an_error_and_no_download(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arrays = small_arrays()
        (write_small(tmp_path / "data", arrays) / "t10k-labels-idx1-ubyte.gz").unlink()
        monkeypatch.setenv("BIMU_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setattr("bimu_hw.learning.idx._download", lambda *_: pytest.fail("tried to download"))
        with pytest.raises(DataError, match=r"BIMU_DATA_DIR.*lacks t10k-labels-idx1-ubyte\.gz of small") as error:
            load_idx(small_source(arrays), cache_dir=tmp_path / "cache")
        assert "train-images" not in one_sentence(error)
        monkeypatch.setenv("BIMU_DATA_DIR", str(tmp_path / "nowhere"))
        with pytest.raises(DataError, match="nowhere is not a folder") as error:
            load_idx(small_source(arrays), cache_dir=tmp_path / "cache")
        one_sentence(error)

    @pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
    def test_wrong_checksum(self, tmp_path: Path, name: str) -> None:
        write_small(tmp_path, small_arrays())
        with pytest.raises(DataError, match="wrong checksum") as error:
            load_dataset(name, data_dir=tmp_path)
        assert "train-images-idx3-ubyte.gz" in one_sentence(error)

    def test_as_many_labels_as_images(self, tmp_path: Path) -> None:
        arrays = small_arrays()
        arrays[1] = arrays[1][:-1]
        write_small(tmp_path, arrays)
        with pytest.raises(DataError, match="small, y_train: got 19 labels for 20 examples") as error:
            dataset_from_idx(small_source(arrays), data_dir=tmp_path)
        one_sentence(error)


class TestReadIdx:
    @pytest.mark.parametrize("keep", [0, 3, 9, 16, 300])
    @pytest.mark.parametrize("compress", [True, False])
    def test_truncated_content(self, tmp_path: Path, keep: int, compress: bool) -> None:
        content = idx_bytes(small_arrays()[0])[:keep]
        path = tmp_path / "images"
        path.write_bytes(gzip.compress(content) if compress else content)
        with pytest.raises(DataError, match="truncated" if keep > 3 else "wrong magic number") as error:
            read_idx(path, n_dim=3)
        assert str(path) in one_sentence(error)

    def test_truncated_archive(self, tmp_path: Path) -> None:
        path = tmp_path / "images.gz"
        path.write_bytes(gzip.compress(idx_bytes(small_arrays()[0]))[:-40])
        with pytest.raises(DataError, match="truncated") as error:
            read_idx(path, n_dim=3)
        one_sentence(error)

    @pytest.mark.parametrize("at", [40, -6])
    def test_damaged_archive(self, tmp_path: Path, at: int) -> None:
        content = bytearray(gzip.compress(idx_bytes(small_arrays()[0])))
        content[at] ^= 0xFF
        path = tmp_path / "images.gz"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"damaged gzip archive|truncated") as error:
            read_idx(path, n_dim=3)
        one_sentence(error)

    @pytest.mark.parametrize(
        "start", [b"\x00\x00\x0d\x03", b"\x00\x00\x08\x01", b"\x01\x00\x08\x03", b"<!doctype html>"]
    )
    def test_wrong_magic(self, tmp_path: Path, start: bytes) -> None:
        content = idx_bytes(small_arrays()[0])
        path = tmp_path / "images"
        path.write_bytes(start + content[len(start) :])
        with pytest.raises(DataError, match="wrong magic number 0x" + start[:4].hex()) as error:
            read_idx(path, n_dim=3)
        one_sentence(error)

    def test_too_long_and_absurd_headers(self, tmp_path: Path) -> None:
        path = tmp_path / "labels"
        path.write_bytes(idx_bytes(small_arrays()[1]) + b"\x00")
        with pytest.raises(DataError, match="too long, more than 20 bytes") as error:
            read_idx(path, n_dim=1)
        one_sentence(error)
        path.write_bytes(b"\x00\x00\x08\x03" + b"\xff" * 12 + b"\x00" * 100)
        with pytest.raises(DataError, match="announces") as error:
            read_idx(path, n_dim=3)
        one_sentence(error)

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="No such file") as error:
            read_idx(tmp_path / "labels", n_dim=1)
        one_sentence(error)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serve a folder without writing to stderr, and count what was asked for."""

    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:
        type(self).asked.append(self.path)


@pytest.fixture
def server(tmp_path: Path, no_environment: None):
    """Yield (folder, address, requests) of an HTTP server on loopback."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = type("Handler", (QuietHandler,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}", handler.asked
        httpd.shutdown()
        thread.join()


class TestDownload:
    @pytest.mark.parametrize("subfolder", ["", "small"])
    @pytest.mark.parametrize("by_variable", [True, False])
    def test_downloads_once(
        self, tmp_path: Path, server, monkeypatch: pytest.MonkeyPatch, subfolder: str, by_variable: bool
    ) -> None:
        folder, address, asked = server
        arrays = small_arrays()
        write_small(folder / subfolder, arrays)
        cache = tmp_path / "cache"
        mirrors = [address + "/"]
        if by_variable:
            monkeypatch.setenv("BIMU_DATA_MIRROR", f"http://127.0.0.1:9 {address}")
            mirrors = None
        load = partial(load_idx, small_source(arrays), mirrors=mirrors, cache_dir=cache)
        for got, wanted in zip(load(), arrays, strict=True):
            np.testing.assert_array_equal(got, wanted)
        assert sorted(p.name for p in cache.iterdir()) == sorted(f"{f.name}.gz" for f in MNIST.files)
        n_asked = len(asked)
        for got, wanted in zip(load(), arrays, strict=True):
            np.testing.assert_array_equal(got, wanted)
        assert len(asked) == n_asked

    def test_built_in_mirrors_are_tried_in_order(self, tmp_path: Path, server) -> None:
        folder, address, _ = server
        arrays = small_arrays()
        write_small(folder / "second", arrays)
        source = small_source(arrays, mirrors=(f"{address}/first", f"{address}/second"))
        for got, wanted in zip(load_idx(source, cache_dir=tmp_path / "cache"), arrays, strict=True):
            np.testing.assert_array_equal(got, wanted)

    def test_default_cache_is_the_users(self, tmp_path: Path, server, monkeypatch: pytest.MonkeyPatch) -> None:
        folder, address, _ = server
        arrays = small_arrays()
        write_small(folder, arrays)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
        monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "home" / project)
        dataset_from_idx(small_source(arrays), mirrors=[address])
        assert len(list((tmp_path / "home" / "bimu_hw" / "small").iterdir())) == 4

    @pytest.mark.parametrize("how", ["other bytes", "cut", "not gzip"])
    def test_corrupted_download(self, tmp_path: Path, server, how: str) -> None:
        folder, address, _ = server
        arrays = small_arrays()
        write_small(folder, arrays)
        path = folder / "train-images-idx3-ubyte.gz"
        damaged = arrays[0].copy()
        damaged[0, 0, 0] ^= 1
        path.write_bytes(
            {
                "other bytes": gzip.compress(idx_bytes(damaged)),
                "cut": path.read_bytes()[:-30],
                "not gzip": b"<html>log in first</html>",
            }[how]
        )
        cache = tmp_path / "cache"
        source = small_source(arrays)
        with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz could not be downloaded") as error:
            load_idx(source, mirrors=[address], cache_dir=cache)
        text = one_sentence(error)
        assert {"other bytes": "wrong checksum", "cut": "truncated", "not gzip": "magic"}[how] in text
        assert ".part" not in text
        assert list(cache.iterdir()) == []

    def test_damaged_cache_is_replaced(self, tmp_path: Path, server) -> None:
        folder, address, _ = server
        arrays = small_arrays()
        write_small(folder, arrays)
        cache = write_small(tmp_path / "cache", arrays)
        (cache / "t10k-images-idx3-ubyte.gz").write_bytes(b"half a fi")
        got = load_idx(small_source(arrays), mirrors=[address], cache_dir=cache)
        np.testing.assert_array_equal(got[2], arrays[2])
        np.testing.assert_array_equal(read_idx(cache / "t10k-images-idx3-ubyte.gz", n_dim=3), arrays[2])

    def test_offline_says_file_checksum_and_place(self, tmp_path: Path, no_environment: None) -> None:
        cache = tmp_path / "cache"
        with ThreadingHTTPServer(("127.0.0.1", 0), QuietHandler) as closed:
            port = closed.server_port
        # Nobody listens on that port any more.
        with pytest.raises(DataError) as error:
            load_idx(MNIST, mirrors=[f"http://127.0.0.1:{port}"], cache_dir=cache)
        text = one_sentence(error)
        for part in ("train-images-idx3-ubyte.gz", MNIST.train_images.checksum[7:], str(cache), "BIMU_DATA_DIR"):
            assert part in text

    def test_server_says_no(self, tmp_path: Path, server) -> None:
        _, address, _ = server
        with pytest.raises(DataError, match="HTTP status 404") as error:
            load_idx(FASHION_MNIST, mirrors=[address], cache_dir=tmp_path / "cache")
        one_sentence(error)

    def test_cache_that_cannot_be_made(self, tmp_path: Path, server) -> None:
        folder, address, _ = server
        arrays = small_arrays()
        write_small(folder, arrays)
        (tmp_path / "cache").write_text("a file")
        with pytest.raises(DataError) as error:
            load_idx(small_source(arrays), mirrors=[address], cache_dir=tmp_path / "cache" / "small")
        one_sentence(error)


def good_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "x_train": rng.normal(size=(12, 2, 3)),
        "y_train": np.arange(12) % 4,
        "x_test": rng.normal(size=(5, 2, 3)),
        "y_test": np.arange(5) % 4,
    }


class TestNpz:
    def test_float_features(self, tmp_path: Path) -> None:
        arrays = good_arrays()
        np.savez(tmp_path / "mine.npz", **arrays)
        data = load_dataset(tmp_path / "mine.npz")
        assert (data.name, data.n_in, data.image_shape, data.n_classes) == ("mine", 6, (2, 3), 4)
        assert (data.x_train.dtype, data.full_scale, data.is_integer) == (np.float32, 1, False)
        np.testing.assert_array_equal(data.x_train, arrays["x_train"].reshape(12, 6).astype(np.float32))
        np.savez_compressed(tmp_path / "again.npz", **arrays)
        assert load_dataset(tmp_path / "again.npz").sha256 == data.sha256

    @pytest.mark.parametrize(("given", "wanted"), [(None, 255), (20, 20)])
    def test_integers_of_any_width(self, tmp_path: Path, given: int | None, wanted: int) -> None:
        arrays = good_arrays() | {
            "x_train": np.arange(72, dtype=np.int64).reshape(12, 6) % 21,
            "x_test": np.zeros((5, 6), np.uint16),
        }
        extra = {} if given is None else {"full_scale": np.array(given)}
        np.savez(tmp_path / "mine.npz", **arrays, **extra)
        data = load_dataset(str(tmp_path / "mine.npz"))
        assert (data.x_train.dtype, data.x_test.dtype, data.full_scale) == (np.uint8, np.uint8, wanted)
        np.testing.assert_array_equal(data.x_train, arrays["x_train"])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"x_test": None}, "lacks x_test"),
            ({"x_valid": np.zeros(3)}, "unknown array 'x_valid'"),
            ({"y_train": np.array([{"a": 1}] * 12, dtype=object)}, "y_train: cannot be read"),
            ({"x_train": np.full((12, 2, 3), np.nan)}, "x_train: example 0 holds NaN"),
            ({"x_test": np.full((5, 2, 3), 1e300)}, "x_test: example 0 holds NaN, infinity or a number beyond"),
            ({"y_train": np.arange(12) % 4 + 1}, "y_train: got the labels 1, 2, 3, 4; they must be 0 to C - 1"),
            ({"y_train": np.arange(12) % 4 * 2}, "y_train: got the labels 0, 2, 4, 6; they must be 0 to C - 1"),
            ({"y_train": np.arange(12) % 4 - 1}, "y_train: got the labels -1, 0, 1, 2"),
            ({"y_train": np.zeros(12, int), "y_test": np.zeros(5, int)}, "at least two classes"),
            ({"y_test": np.array([0, 1, 9, 1, 1])}, "y_test: got the label 9; the training set has 0 to 3"),
            ({"y_test": np.eye(5)}, "y_test: got float64 of shape"),
            ({"y_test": np.zeros(4, int)}, "y_test: got 4 labels for 5 examples"),
            ({"x_test": np.zeros((5, 7))}, "equal shapes of one example"),
            ({"x_train": np.zeros(12)}, "x_train has shape"),
            ({"x_test": np.zeros((5, 2, 3), int)}, "both must be integers or both floats"),
            ({"x_train": np.zeros((0, 2, 3)), "y_train": np.zeros(0, int)}, "at least one example"),
            (
                {"x_train": np.full((12, 2, 3), 256), "x_test": np.zeros((5, 2, 3), int)},
                "x_train: got integers from 256 to 256; allowed are 0 to 255",
            ),
            ({"x_train": np.full((12, 2, 3), 1j), "x_test": np.full((5, 2, 3), 1j)}, "got dtype complex128"),
            ({"task_train": np.zeros(12, int)}, "has one of task_train and task_test"),
            ({"task_train": np.zeros(12, int), "task_test": np.zeros(4, int)}, "task_test: got int64 of shape"),
            ({"task_train": np.ones(12, int), "task_test": np.zeros(5, int)}, "task_train: got the tasks 1; they"),
            ({"task_train": np.arange(12) % 3, "task_test": np.arange(5) % 2}, "has 3 tasks and task_test 2"),
            ({"x_train": np.full((12, 2, 3), "a")}, "x_train is <U1"),
            ({"full_scale": np.array(16)}, "full_scale: got 16 with float features"),
            ({"full_scale": np.array([16, 2])}, "full_scale: got"),
        ],
    )
    def test_broken_rules(self, tmp_path: Path, change: dict, message: str) -> None:
        arrays = {key: value for key, value in (good_arrays() | change).items() if value is not None}
        path = tmp_path / "mine.npz"
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=message) as error:
            load_dataset(path)
        assert str(path) in one_sentence(error)

    @pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken", b"\x93NUMPY"])
    def test_not_an_archive(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "mine.npz"
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a readable") as error:
            load_dataset(path)
        one_sentence(error)

    @pytest.mark.parametrize(
        "header",
        ["((((((", "{'descr': '<f8', 'fortran_order': False, 'shape': (10",
         *(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({n}, 6), }}" for n in (10**30, True, 10**12))],
        ids=["brackets", "cut", "beyond integers", "a truth", "beyond memory"],
    )  # fmt: skip
    def test_a_member_with_a_crafted_header(self, tmp_path: Path, header: str) -> None:
        path = tmp_path / "mine.npz"
        np.savez(path, **good_arrays())
        with zipfile.ZipFile(path, "a") as archive:
            begin = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
            archive.writestr("full_scale.npy", begin + header.encode())
        with pytest.raises(DataError) as error:
            load_dataset(path)
        one_sentence(error)

    def test_a_member_that_is_no_array(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.npz"
        np.savez(path, **good_arrays())
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("full_scale", "255")
        with pytest.raises(DataError, match="full_scale: is no array") as error:
            load_dataset(path)
        one_sentence(error)

    def test_a_label_beyond_signed_integers(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.npz"
        labels = good_arrays()["y_train"].astype(np.uint64)
        labels[3] = 2**64 - 1
        np.savez(path, **{**good_arrays(), "y_train": labels})
        with pytest.raises(DataError, match="got the label 18446744073709551615"):
            load_dataset(path)

    def test_missing_folder_bare_array_and_damage(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.npz"
        with pytest.raises(DataError, match="no such file"):
            load_dataset(path)
        with open(path, "wb") as stream:
            np.save(stream, np.zeros(3))
        with pytest.raises(DataError, match="one bare array"):
            load_dataset(path)
        np.savez(path, **good_arrays())
        content = bytearray(path.read_bytes())
        content[300] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(DataError) as error:
            load_dataset(path)
        one_sentence(error)
        (tmp_path / "folder.npz").mkdir()
        with pytest.raises(DataError, match="Is a directory"):
            load_dataset(tmp_path / "folder.npz")


    def test_whatever_byte_is_wrong(self, tmp_path: Path) -> None:
        """Every byte of a small archive damaged, every length cut off: data, or one sentence."""
        path = tmp_path / "mine.npz"
        np.savez_compressed(path, **good_arrays())
        content = path.read_bytes()
        damaged = [bytearray(content) for _ in range(0, len(content), 3)]
        for k, copy in enumerate(damaged):
            copy[3 * k] ^= 0x81
        refused = 0
        for broken in (*damaged, *(content[:n] for n in range(0, len(content), 50))):
            path.write_bytes(broken)
            try:
                load_dataset(path)
            except DataError as error:
                refused += 1
                sentence = str(error)
            else:
                sentence = ""
            assert "\n" not in sentence
        assert refused > len(damaged) / 2


class TestMnist:
    def test_is_the_published_data(self, mnist_dir: Path) -> None:
        data = load_dataset("mnist", data_dir=mnist_dir)
        assert data.x_train.shape == (60000, 784)
        assert data.x_test.shape == (10000, 784)
        assert (data.n_classes, data.image_shape, data.full_scale) == (10, (28, 28), 255)
        assert data.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]

    def test_is_not_taken_for_fashion_mnist(self, mnist_dir: Path) -> None:
        # Both data sets use the same file names; only the checksum tells them apart.
        misnamed = dataclasses.replace(FASHION_MNIST, name="mnist")
        with pytest.raises(DataError, match="belongs to another data set"):
            load_idx(misnamed, data_dir=mnist_dir)
