"""Evaluation: images that a stream never shows, by two protocols, and what a run says of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from building import make_chip

import bimu_hw
from bimu_hw.errors import DataError, RunError, ScenarioError
from bimu_hw.evaluation import Evaluation, score
from bimu_hw.learning.data import DataSet, load_dataset, make_dataset
from bimu_hw.learning.metrics import expected_calibration_error
from bimu_hw.learning.streams import TaskStream, ood_images
from bimu_hw.learning.streams.ood import resized
from bimu_hw.learning.uncertainty import uncertainty

QUICKSTART = Path(__file__).parents[1] / "scenarios" / "quickstart.toml"


def images(shape: tuple[int, int], seed: int, full_scale: int = 255) -> DataSet:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, full_scale + 1, (30, *shape))
    return make_dataset(f"made_{seed}", x[:20], np.arange(20) % 10, x[20:], np.arange(10), full_scale=full_scale,
                        citation="")  # fmt: skip


@pytest.fixture
def stream() -> TaskStream:
    return TaskStream(load_dataset("digits"), kind="permuted", tasks=3, seed=4)


class TestSets:
    def test_the_streams_own_images(self, stream: TaskStream) -> None:
        data = stream.data
        unseen = ood_images(stream, "unseen_permutation")
        assert set(unseen) == {"fair"}
        codes = unseen["fair"].codes
        assert not any(np.array_equal(codes, stream.test_codes(task)[0]) for task in range(3))
        np.testing.assert_array_equal(np.sort(codes, axis=1), np.sort(data.x_test, axis=1))
        assert unseen["fair"].affine == stream.affine("test")
        plain = ood_images(stream, "unpermuted")
        assert set(plain) == {"published"}
        np.testing.assert_array_equal(plain["published"].codes, data.x_test)
        assert plain["published"].affine == (0.0, 1 / 16)

    def test_a_data_set_by_both_protocols(self, stream: TaskStream, tmp_path: Path) -> None:
        other = images((8, 8), 1)
        place = tmp_path / "other.npz"
        np.savez(place, x_train=other.x_train.reshape(-1, 8, 8), y_train=other.y_train,
                 x_test=other.x_test.reshape(-1, 8, 8), y_test=other.y_test)  # fmt: skip
        found = ood_images(stream, place)
        pixels = np.rint(other.x_test * (16 / 255))
        np.testing.assert_array_equal(found["published"].codes, pixels)
        offset, scale = found["published"].affine
        assert offset + scale * 16 == 1.0
        fair = found["fair"]
        np.testing.assert_array_equal(fair.codes, pixels[:, stream.pixel_order(2)])
        x = fair.affine.offset + fair.affine.scale * fair.codes.astype(float)
        assert x.mean() == pytest.approx(0.0, abs=1e-12)
        assert x.std(ddof=1) == pytest.approx(1.0, abs=1e-12)

    def test_bits_have_no_raw_pixels(self) -> None:
        stream = TaskStream(load_dataset("digits"), kind="permuted", tasks=1, seed=0, inputs="sign")
        with pytest.raises(ScenarioError, match="unpermuted"):
            ood_images(stream, "unpermuted")
        assert set(ood_images(stream, "unseen_permutation")) == {"fair"}

    def test_what_does_not_go_with_the_stream(self, stream: TaskStream, tmp_path: Path) -> None:
        with pytest.raises(ScenarioError, match="which is what the stream shows"):
            ood_images(stream, "digits")
        with pytest.raises(ScenarioError, match="neither a known name"):
            ood_images(stream, "letters")
        np.savez(tmp_path / "f.npz", x_train=np.ones((4, 64)) * [[0], [1], [2], [3]], y_train=np.arange(4) % 2,
                 x_test=np.zeros((2, 64)), y_test=[0, 1])  # fmt: skip
        with pytest.raises(ScenarioError, match="of float features for a stream of pixels"):
            ood_images(stream, tmp_path / "f.npz")
        np.savez(tmp_path / "v.npz", x_train=np.arange(40).reshape(4, 10), y_train=np.arange(4) % 2,
                 x_test=np.arange(20).reshape(2, 10), y_test=[0, 1])  # fmt: skip
        with pytest.raises(ScenarioError, match=r"shape \(10,\) for a stream of \(8, 8\)"):
            ood_images(stream, tmp_path / "v.npz")
        still = TaskStream(load_dataset("digits"), kind="stationary", tasks=1, seed=0)
        with pytest.raises(ScenarioError, match="it is for permuted streams"):
            ood_images(still, "unseen_permutation")

    def test_fashion_mnist_that_is_not_at_hand(
        self, stream: TaskStream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BIMU_DATA_DIR", str(tmp_path))
        with pytest.raises(DataError, match="fashion_mnist"):
            ood_images(stream, "fashion_mnist")

    @pytest.mark.parametrize("shape", [(4, 4), (6, 9), (3, 2)])
    def test_resizing_keeps_planes_and_means(self, shape: tuple[int, int]) -> None:
        """Linear interpolation: exact for planes away from the edges, and constant images stay what they are."""
        row, column = np.indices((12, 12)).astype(float)
        plane = (2.0 * row - column)[None]
        found = resized(plane, shape)[0]
        r, c = ((np.arange(n) + 0.5) * 12 / n - 0.5 for n in shape)
        np.testing.assert_allclose(found, 2.0 * r[:, None] - c[None, :], atol=1e-12)
        np.testing.assert_allclose(resized(np.full((2, 5, 7), 3.0), (28, 28)), 3.0)
        assert resized(plane, (30, 20)).shape == (1, 30, 20)


def test_score_is_accuracy_and_the_calibration_of_the_mean_prediction() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(200, 5, 10)).astype(np.float32)
    labels = rng.integers(0, 10, 200)
    accuracy, error = score(logits, labels)
    assert accuracy == np.mean(uncertainty(logits).prediction == labels)
    p = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(axis=2, keepdims=True)
    assert error == pytest.approx(expected_calibration_error(p.mean(axis=1), labels, 15), abs=1e-12)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scenario = bimu_hw.load_scenario(QUICKSTART, [
        "stream.examples=450", "stream.epochs=1", "stream.task_order=[0, 1, 0]", "network.hidden=[16]",
        "evaluation.examples=40", 'evaluation.ood=["unseen_permutation", "unpermuted"]', "record.snapshots=0",
    ])  # fmt: skip
    return bimu_hw.run_scenario(scenario, tmp_path_factory.mktemp("run") / "out", progress=False).path


def test_a_run_records_what_it_is_unsure_about(finished: Path) -> None:
    import json

    summary = json.loads((finished / "summary.json").read_text(encoding="utf-8"))
    with bimu_hw.open_run(finished) as run:
        ood, calibration = run["ood"].to_dataset().load(), run["calibration"].to_dataset().load()
        accuracy = run["tasks/accuracy"].values
    assert list(ood["ood_set"].values) == ["unseen_permutation", "unpermuted"]
    auc = ood["roc_auc"].to_series().dropna()
    assert len(auc) == 2
    assert auc.between(0.0, 1.0).all()
    assert summary["ood_roc_auc"] == {
        "unseen_permutation": {"fair": auc["unseen_permutation", "fair"]},
        "unpermuted": {"published": auc["unpermuted", "published"]},
    }
    error = calibration["calibration_error"].values
    np.testing.assert_array_equal(np.isnan(error), np.isnan(accuracy))
    assert summary["calibration_error"] == error[-1, -1]
    assert set(summary["time_to_freeze"]) == {"layer_0", "layer_1"}
    assert summary["relearning_gain"] is not None


def test_images_that_are_never_shown_change_nothing_else(finished: Path, tmp_path: Path) -> None:
    scenario = bimu_hw.load_scenario(QUICKSTART, [
        "stream.examples=450", "stream.epochs=1", "stream.task_order=[0, 1, 0]", "network.hidden=[16]",
        "evaluation.examples=40", "record.snapshots=0",
    ])  # fmt: skip
    plain = bimu_hw.run_scenario(scenario, tmp_path / "out", progress=False).path
    with bimu_hw.open_run(finished) as one, bimu_hw.open_run(plain) as two:
        assert "ood" not in two.children
        for group in two.children:
            assert one[group].to_dataset().equals(two[group].to_dataset()), group


def test_a_network_that_has_diverged_is_not_evaluated() -> None:
    chip = make_chip((6, 4))
    Evaluation(chip, lambda codes, affine: [], 0, False, 0.0)
    for value in (np.inf, np.nan):
        chip.layers[0].lam[3] = value
        with pytest.raises(RunError, match="diverged"):
            Evaluation(chip, lambda codes, affine: [], 0, False, 0.0)
