"""The checks of a sampling element; `bimu_hw.testing.conformance` says how to run them."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from bimu_hw.cards import Card
from bimu_hw.devices import Holds, SamplerModel, Site, get_model, new_state
from bimu_hw.kernels.draw import fill_draw
from bimu_hw.random import fold
from bimu_hw.testing.promises import (
    Check,
    copy_state,
    declarations_are_consistent,
    neutral_params,
    params_of,
    require,
    same_state,
)

_FABRICATION = np.uint64(0x082EFA98EC4E6C89)
_EVENT = np.uint64(0x452821E638D01377)
_OTHER_EVENT = np.uint64(0xBE5466CF34E90C6C)


class Bench:
    """An array of one sampling model under test.

    Parameters
    ----------
    model : SamplerModel
    card : Card
    n : int
        Number of cells.
    neutral : bool
        Whether every nonideality has its neutral value.
    """

    def __init__(self, model: SamplerModel, card: Card, n: int, neutral: bool = False) -> None:
        self.model = model
        self.n = n
        self.interval = card.costs["sample_time"].value + card.costs["read_time"].value
        self.params: Any = neutral_params(model, card) if neutral else params_of(model, card)
        self.state: Any = new_state(model, n)
        self.all = np.arange(n, dtype=np.int32)
        self.site = Site(n_bitlines=max(1, n // 10), tile_wordlines=4, read_time=card.costs["read_time"].value)
        model.fabricate(self.state, self.params, self.site, _FABRICATION)

    def bias(self, lam: npt.ArrayLike, cells: npt.NDArray[np.int32] | None = None) -> None:
        """Let the listed cells (all, if none are given) take over lam."""
        values = np.ascontiguousarray(np.broadcast_to(np.asarray(lam, np.float32), self.n))
        self.model.bias(self.state, values, self.all if cells is None else cells, self.params, self.site, 0.0)

    def sample(
        self, looks: int, key: np.uint64 = _EVENT, interval: float | None = None, first: int = 0
    ) -> npt.NDArray[np.int8]:
        """Draw weights, int8[look, cell], and put back what the model remembers: every call finds the same past."""
        out = np.zeros((looks, self.n), np.int8)
        interval = self.interval if interval is None else interval
        past = self.memory()
        self.model.sample(self.state, self.params, self.site, key, first, interval, 0.0, out)
        for name, array in past.items():
            getattr(self.state, name)[...] = array
        return out

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of the variables that the model remembers."""
        return {name: getattr(self.state, name).copy() for name in self.model.remembers}


def _random_lam(n: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(20).normal(0.0, 1.5, n).astype(np.float32)


def read_path_is_possible(model: SamplerModel, card: Card) -> None:
    """The two weights can be told apart, and the ways of holding a sample are known ones."""
    costs = card.costs
    require(costs["g_on"].value > costs["g_off"].value, model, card, "g_on is not larger than g_off.")
    require(bool(model.holds) and set(model.holds) <= set(get_args(Holds)), model, card, f"holds = {model.holds}.")
    for name in ("read_voltage", "read_time"):
        require(costs[name].value > 0.0, model, card, f"{name!r} is zero.")


def weights_are_binary(model: SamplerModel, card: Card) -> None:
    """Every look of every cell is -1 or +1, also far out on both sides."""
    bench = Bench(model, card, 301)
    bench.bias(np.linspace(-60.0, 60.0, 301))
    for looks in (1, 4):
        require(set(np.unique(bench.sample(looks)).tolist()) <= {-1, 1}, model, card, "a weight is not -1 or +1.")


def bias_follows_its_list(model: SamplerModel, card: Card) -> None:
    """A bias touches the listed cells only and no memory, and a list in pieces does what the whole list does."""
    lam = _random_lam(300)
    whole, pieces = Bench(model, card, 300), Bench(model, card, 300)
    memory = whole.memory()
    whole.bias(lam)
    require(same_state(whole.state, memory), model, card, "a bias changes what the model remembers.")
    for part in np.array_split(pieces.all, 7):
        pieces.bias(lam, part)
    require(same_state(pieces.state, copy_state(whole.state)), model, card, "a bias in pieces differs from the whole.")
    before = copy_state(whole.state)
    listed = whole.all[4::9]
    whole.bias(-lam, listed)
    others = np.setdiff1d(whole.all, listed)
    require(same_state(whole.state, before, others), model, card, "a bias changes a cell that is not listed.")


def draws_follow_the_key(model: SamplerModel, card: Card) -> None:
    """The weights are a function of the key: the same for the same one, whatever was drawn between."""
    bench = Bench(model, card, 20_000)
    bench.bias(0.0)
    first, other = bench.sample(3), bench.sample(3, _OTHER_EVENT)
    require(np.array_equal(bench.sample(3), first), model, card, "the same key gives other weights.")
    # Devices that differ lean the same way under any key, so two draws may agree more often than by chance.
    shared = np.corrcoef(first[0], other[0])[0, 1]
    require(abs(shared) < 0.5, model, card, f"two keys give nearly the same weights (correlation {shared:.2f}).")


def more_looks_keep_the_first(model: SamplerModel, card: Card) -> None:
    """Asking for more looks does not change the ones before."""
    bench = Bench(model, card, 500)
    bench.bias(_random_lam(500))
    require(np.array_equal(bench.sample(6)[:2], bench.sample(2)), model, card, "later looks change earlier ones.")


def first_counts_the_looks(model: SamplerModel, card: Card) -> None:
    """Looks of another `first` are fresh, and with everything neutral a query may be drawn in pieces."""
    bench = Bench(model, card, 20_000)
    bench.bias(0.0)
    # Devices that differ lean the same way in every look, as in `draws_follow_the_key`.
    shared = np.corrcoef(bench.sample(1)[0], bench.sample(1, first=3)[0])[0, 1]
    require(abs(shared) < 0.5, model, card, f"looks 0 and 3 of a query are nearly the same (correlation {shared:.2f}).")
    plain = Bench(model, card, 700, neutral=True)
    plain.bias(_random_lam(700))
    whole = plain.sample(5)
    pieces = np.concatenate([plain.sample(2), plain.sample(1, first=2), plain.sample(2, first=3)])
    require(np.array_equal(pieces, whole), model, card, "looks drawn in pieces differ from those drawn at once.")


def time_passes_evenly(model: SamplerModel, card: Card) -> None:
    """Time that does not pass changes nothing, and advancing is a function of the key. Without ``advance``: passes."""
    if model.advance is None:
        return
    benches = [Bench(model, card, 500) for _ in range(2)]
    for bench in benches:
        bench.bias(_random_lam(500))
    before = copy_state(benches[0].state)
    model.advance(benches[0].state, benches[0].params, benches[0].site, _EVENT, 0.0, 0.0)
    require(same_state(benches[0].state, before), model, card, "advancing by no time changes the state.")
    for bench in benches:
        model.advance(bench.state, bench.params, bench.site, _EVENT, 0.0, 1e-3)
    require(
        same_state(benches[1].state, copy_state(benches[0].state)), model, card, "advance is not a function of its key."
    )


def mean_follows_lam(model: SamplerModel, card: Card) -> None:
    """The mean weight rises with lam, from near -1 to near +1, and its sign is that of lam."""
    bench = Bench(model, card, 20_000)
    means = []
    for lam in (-4.0, -1.0, -0.25, 0.25, 1.0, 4.0):
        bench.bias(lam)
        means.append(float(bench.sample(1).mean()))
    require(bool((np.diff(means) > 0.0).all()), model, card, f"the mean weight does not rise with lam: {means}.")
    require(means[2] < 0.0 < means[3], model, card, f"the mean weight has not the sign of lam: {means}.")
    require(means[0] < -0.9 and means[-1] > 0.9, model, card, f"a confident lam gives a doubtful weight: {means}.")


def neutral_is_ideal(model: SamplerModel, card: Card) -> None:
    """With every nonideality neutral, the weights are the bits of ideal sampling, at any interval."""
    ideal = get_model("ideal_sampler")
    assert isinstance(ideal, SamplerModel)
    bench = Bench(model, card, 700, neutral=True)
    lam = _random_lam(700) * np.float32(2.0)
    bench.bias(lam)
    state = new_state(ideal, 700)
    ideal.fabricate(state, ideal.params(), bench.site, _OTHER_EVENT)
    ideal.bias(state, lam, bench.all, ideal.params(), bench.site, 0.0)
    expected = np.zeros((5, 700), np.int8)
    for key in (_EVENT, _OTHER_EVENT):
        ideal.sample(state, ideal.params(), bench.site, key, 0, 1e-9, 0.0, expected)
        for interval in (0.0, 1e-12, 1e-9, 1.0):
            require(
                np.array_equal(bench.sample(5, key, interval), expected), model, card,
                "with everything neutral the weights are not those of ideal sampling.",
            )  # fmt: skip


def compares_means_drawing(model: SamplerModel, card: Card) -> None:
    """What `compares` names decides every draw. Without the declaration: passes."""
    if model.compares is None:
        return
    bench = Bench(model, card, 700)
    bench.bias(_random_lam(700))
    threshold = getattr(bench.state, model.compares)
    require(threshold.dtype == np.int32 and threshold.shape == (700,), model, card, "compares: not one int32 per cell.")
    drawn = np.empty(700, np.uint32)
    for first in (0, 3):
        for row, look in enumerate(bench.sample(2, _EVENT, first=first)):
            fill_draw(np.uint64(fold(int(_EVENT), first + row)), drawn)
            same = np.array_equal(look, np.where(drawn >> 9 >= threshold, 1, -1))
            require(same, model, card, f"compares: weights are not the comparison of numbers with {model.compares}.")


def chips_differ(model: SamplerModel, card: Card) -> None:
    """A chip is a function of its fabrication key, and where its devices differ, so do two chips."""
    params, site = params_of(model, card), Site(50, 40)
    chips = [new_state(model, 2000) for _ in range(3)]
    for chip, key in zip(chips, (_FABRICATION, _FABRICATION, _OTHER_EVENT), strict=True):
        model.fabricate(chip, params, site, key)
    first = copy_state(chips[0])
    require(same_state(chips[1], first), model, card, "fabrication is not a function of its key.")
    alike = all((array == array[:1]).all() for array in first.values())
    require(alike or not same_state(chips[2], first), model, card, "two chips with spread are the same.")


SAMPLER_CHECKS: tuple[Check, ...] = (
    declarations_are_consistent,
    read_path_is_possible,
    weights_are_binary,
    bias_follows_its_list,
    draws_follow_the_key,
    more_looks_keep_the_first,
    first_counts_the_looks,
    time_passes_evenly,
    mean_follows_lam,
    neutral_is_ideal,
    compares_means_drawing,
    chips_differ,
)
