"""The response of the sampling elements as the command shows it.

False alarms: one comparison a card at a chance below 1e-9 each; keys are fixed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from building import make_card

from bimu_hw.cards import shipped_cards
from bimu_hw.cli import run_commands
from bimu_hw.devices import Site, get_model, new_state
from bimu_hw.errors import CardError
from bimu_hw.report import sampler as report
from bimu_hw.report.sampler import TABLE_LAM, format_response, sampler_response

SAMPLERS = sorted(name for name, card in shipped_cards().items() if get_model(card.model).role == "sampler")


@pytest.mark.parametrize("name", SAMPLERS)
def test_probabilities_of_the_report_are_those_of_the_looks(name):
    """The report reads thresholds; the devices must draw with them."""
    card = shipped_cards()[name]
    model, n = get_model(card.model), 64 * 128
    params = model.params(*(card.params[s.name].value for s in model.specs))
    site, state = Site(128, 64), new_state(model, n)
    model.fabricate(state, params, site, np.uint64(5))
    out = np.zeros((20, n), np.int8)
    for lam in (-0.8, 0.3):
        model.bias(state, np.full(n, lam, np.float32), np.arange(n, dtype=np.int32), params, site, 0.0)
        model.sample(state, params, site, np.uint64(6), 0, np.inf, 0.0, out)
        p = 1.0 - state.threshold / 2.0**23
        # A reset that fails, and a register that never holds 0, move a probability by up to 1e-4 more.
        assert abs(np.mean(out > 0) - p.mean()) < 6.2 * np.sqrt(np.mean(p * (1.0 - p)) / out.size) + 1e-4


def test_an_ideal_element_has_no_error_and_a_matched_amplifier_a_hundredth():
    ideal = sampler_response(make_card("ideal_sampler"), 100)
    assert np.abs(ideal.nominal - ideal.ideal).max() < 2e-7
    assert ideal.fit(ideal.nominal) == pytest.approx((1.0, 0.0), abs=1e-5)
    matched = sampler_response(make_card("pcsa_memristor", gaussian=1.0, read_noise=1.0), 100)
    assert np.abs(matched.nominal - matched.ideal).max() == pytest.approx(0.0095, abs=1e-4)
    assert ideal.n_devices == 128


def test_slope_and_offset_are_found_again():
    card = make_card("smtj", slope=0.8, offset=0.3)
    response = sampler_response(card, 100)
    assert response.fit(response.nominal) == pytest.approx((0.8, 0.3), abs=1e-5)
    assert np.allclose(response.drive, 0.8 * response.lam + 0.3)


def test_spread_opens_a_band_and_leaves_the_nominal_device_alone():
    response = sampler_response(make_card("smtj", sigma_offset=0.2), 20_000)
    assert np.abs(response.nominal - response.ideal).max() < 2e-7
    i = int(np.argmin(np.abs(response.lam)))
    lam = [0.5 * np.log(p / (1.0 - p)) for p in (response.low[i], response.high[i])]
    # Percentiles of 20,096 normals: standard error 0.2 * 0.0265; six of them.
    assert lam == pytest.approx([-2.326 * 0.2, 2.326 * 0.2], abs=0.032)


def test_a_model_without_a_threshold_is_measured_by_its_looks(monkeypatch):
    card = make_card("smtj", slope=1.0)
    model = get_model("smtj")
    hidden = replace(model, variables=tuple(v for v in model.variables if v.name != "threshold"))
    monkeypatch.setattr(report, "get_model", lambda name: hidden)
    monkeypatch.setattr(report, "new_state", lambda _, n: new_state(model, n))
    response = sampler_response(card, 100)
    assert response.resolution == pytest.approx(0.025)
    assert 0.0 < np.abs(response.mean - response.ideal).max() < 0.02


def test_the_command_prints_the_table_and_draws_the_figure(tmp_path, capsys):
    assert run_commands(["devices", "sampler", "stt_apl2011", "--devices", "500", "--out", str(tmp_path / "new")]) == 0
    text = capsys.readouterr().out
    assert "drive: write voltage [V]" in text
    assert len([line for line in text.splitlines() if line.endswith("99 %")]) == 1
    assert text.count("\n") >= len(TABLE_LAM) + 6
    assert (tmp_path / "new" / "sampler_stt_apl2011.png").stat().st_size > 10_000


def test_a_storage_card_and_an_unknown_one_are_refused(capsys):
    with pytest.raises(CardError, match="dw_notched: the card of a storage element; name that of a sampling element"):
        sampler_response(shipped_cards()["dw_notched"], 100)
    assert run_commands(["devices", "sampler", "smtj_50n"]) == 2
    assert "Did you mean 'smtj_50ns'?" in capsys.readouterr().err


def test_the_table_is_aligned():
    lines = format_response(sampler_response(shipped_cards()["cmos_lfsr"], 100)).splitlines()
    table = lines[lines.index("") + 1 :]
    assert len({len(line) for line in table}) == 1
