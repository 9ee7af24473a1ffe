"""Every shipped device runs the quickstart and learns: a short form here, the whole run under ``-m validation``."""

from __future__ import annotations

from pathlib import Path

import pytest

from bimu_hw.cards import shipped_cards
from bimu_hw.devices import get_model
from bimu_hw.run import run_scenario
from bimu_hw.scenario import load_scenario

QUICKSTART = Path(__file__).parents[1] / "scenarios" / "quickstart.toml"
#: One task of 600 images, tested on all 297 test images. Chance is 10 %, with a standard deviation of 1.7 %.
#: Every image draws its own networks: one draw of the read noise for all of them would be a lottery.
SHORT = ("stream.tasks=1", "stream.examples=600", "network.hidden=[64]", "record.state=false",
         "evaluation.networks=per_query")  # fmt: skip
SHORT_FLOOR = 0.50
SHORT_FLOORS = {"pcm_nandakumar2020": 0.20, "reram_array_om": 0.30}
#: What a card needs besides its name, where the scenario's own settings do not suit it.
_SLOW_PULSES = ("accelerator.arrivals=back_to_back", "accelerator.rate=", "accelerator.queue=")
_REWRITTEN = ("device.holds=until_rewritten",)
OVERRIDES: dict[str, tuple[str, ...]] = {
    "ideal_storage": ("device.storage_params.n_levels=16",),  # the scenario's residue needs finite levels
    "magneto_ionic_linear": _SLOW_PULSES, "magneto_ionic_exponential": _SLOW_PULSES,  # 10 ms each
    "stt_apl2011": _REWRITTEN, "sot_imec2023": _REWRITTEN, "sot_huang2023": _REWRITTEN,
}  # fmt: skip
#: Accuracy on the newest task that the whole quickstart must reach; recorded values in docs/validation/devices.md.
FLOOR = 0.80
FLOORS = {"hfox_2t2r": 0.72, "ecram_kim2019": 0.70, "ecram_tang2018": 0.70, "dw_leonard2021": 0.76,
          "pcm_nandakumar2020": 0.50, "magneto_ionic_exponential": 0.64, "reram_array_hfo2": 0.72,
          "reram_array_om": 0.50}  # fmt: skip


def accuracy(card: str, folder: Path, *overrides: str) -> float:
    role = get_model(shipped_cards()[card].model).role
    chosen = (f"device.{role}={card}", *OVERRIDES.get(card, ()), *overrides)
    result = run_scenario(load_scenario(QUICKSTART, chosen), folder / "run", progress=False)
    return float(result.summary["accuracy_newest_task"])


@pytest.mark.parametrize("card", sorted(shipped_cards()))
def test_a_device_learns_in_the_short_quickstart(card, tmp_path):
    assert accuracy(card, tmp_path, *SHORT) > SHORT_FLOORS.get(card, SHORT_FLOOR)


@pytest.mark.validation
@pytest.mark.parametrize("card", sorted(shipped_cards()))
def test_a_device_reaches_its_floor_in_the_quickstart(card, tmp_path):
    assert accuracy(card, tmp_path) > FLOORS.get(card, FLOOR)


def test_the_tables_name_shipped_cards():
    assert set(OVERRIDES) | set(FLOORS) | set(SHORT_FLOORS) <= set(shipped_cards())
