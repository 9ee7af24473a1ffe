"""The conformance suite: what every device model promises, whatever its physics.

`check_storage` and `check_sampler` run all checks of one model with one card and raise `AssertionError` with a
sentence at the first broken promise. The single checks are in `STORAGE_CHECKS` and `SAMPLER_CHECKS`, for a test
runner that wants to show each by name::

    @pytest.mark.parametrize("check", STORAGE_CHECKS, ids=lambda c: c.__name__)
    def test_my_device(check):
        check(MODEL, card)

A check that is statistical fails a sound model with a probability below 1e-9 (6 standard deviations), and all are
deterministic functions of fixed keys.
"""

from __future__ import annotations

from bimu_hw.cards import Card
from bimu_hw.devices import SamplerModel, StorageModel
from bimu_hw.testing.sampler import SAMPLER_CHECKS
from bimu_hw.testing.storage import STORAGE_CHECKS


def check_storage(model: StorageModel, card: Card) -> None:
    """Run every check of a storage element with one of its cards.

    Parameters
    ----------
    model : StorageModel
    card : Card
        A card of this model, from `bimu_hw.cards.load_card` or `parse_card`.

    Raises
    ------
    AssertionError
        With one sentence, at the first promise the model breaks.
    """
    for check in STORAGE_CHECKS:
        check(model, card)


def check_sampler(model: SamplerModel, card: Card) -> None:
    """Run every check of a sampling element with one of its cards; arguments and errors as in `check_storage`."""
    for check in SAMPLER_CHECKS:
        check(model, card)
