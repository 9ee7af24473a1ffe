"""Scenario files: what is read, what is filled in, what is refused, and what identifies a run."""

from __future__ import annotations

import csv
import hashlib
import json
import pickle
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from bimu_hw.cards import load_card, load_component_card
from bimu_hw.crossbar.chip import ACTIVATIONS
from bimu_hw.crossbar.synapses import POLICIES
from bimu_hw.devices import Holds, get_model
from bimu_hw.errors import ScenarioError
from bimu_hw.learning.policies import POLICY_PARAMETERS, Budgeted, UncertaintyThreshold
from bimu_hw.learning.streams import INPUTS, STREAM_KINDS
from bimu_hw.presets import PRESETS, RULE_PARAMETERS
from bimu_hw.scenario import expectation_outcomes, load_scenario, make_scenario, scenario_schema
from bimu_hw.scenario.checks import CONDITIONS
from bimu_hw.scenario.tables import ScenarioFile

FOLDER = Path(__file__).parents[1] / "scenarios"
QUICKSTART = FOLDER / "quickstart.toml"
IDEAL = FOLDER / "mnist_ideal.toml"
#: A sweep is many scenarios; tests/test_sweep_axes.py looks at those.
SHIPPED = sorted(path for path in FOLDER.glob("*.toml") if not path.stem.startswith("sweep_"))


def quickstart(*overrides: str, seed: int | None = None):
    return load_scenario(QUICKSTART, overrides, seed)


def refusal(*overrides: str, path: Path = QUICKSTART) -> str:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


# What is shipped


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_are_valid(path):
    anew = ["network.initial_lam=uniform"] if "initial_lam" in path.read_text(encoding="utf-8") else []
    scenario = load_scenario(path, anew)
    assert scenario.name == path.stem
    assert scenario.folder == path.parent
    assert path.read_text(encoding="utf-8").startswith("#:schema ./schema.json\n")


def test_the_four_scenarios_are_what_they_say():
    assert {path.stem for path in SHIPPED} >= {
        "quickstart", "mnist_ideal", "permuted_mnist_ideal", "permuted_mnist_oxram",
    }  # fmt: skip
    start, oxram = quickstart(), load_scenario(FOLDER / "permuted_mnist_oxram.toml")
    assert get_model(start.sampler_card.model).family == "spintronic"
    assert (start.n_levels, start.device.holds, start.learning.gradient) == (16, "query", "hard")
    assert (start.stream.dataset, start.stream.tasks, start.labels.policy) == ("digits", 3, "budgeted")
    assert (oxram.n_levels, oxram.device.programming) == (16, "residue")
    # "All nonidealities of its card": the scenario replaces none of the card's numbers.
    assert oxram.storage_card == load_card(oxram.device.storage)
    for path, preset, tasks in (
        (IDEAL, "bimu_mnist_1_task", 1),
        (FOLDER / "permuted_mnist_ideal.toml", "bimu_permuted_mnist_1000_tasks", 10),
    ):
        ideal = load_scenario(path)
        assert (ideal.learning.preset, ideal.stream.tasks) == (preset, tasks)
        assert ideal.rule_parameters == dict(PRESETS[preset].values)


def test_the_committed_schema_is_current():
    committed = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
    assert committed == scenario_schema(), "run: bimu-hw describe --scenario > scenarios/schema.json"


def test_every_key_has_a_description_in_the_schema():
    schema = scenario_schema()
    for table in (schema, *schema["$defs"].values()):
        for name, key in table["properties"].items():
            assert key.get("description"), name


# Presets


def test_presets_are_the_published_numbers():
    # Typed again from the paper's table: rule, eta, L, K, eta_max, N.
    published = {
        "bimu_permuted_mnist_1000_tasks": (4.9, 161.3, 3.76, 0.0023, 700),
        "bimu_mnist_1_task": (81.76, 12.3, 4.72, 0.017, 6100),
        "bimu_permuted_mnist_1000_tasks_wide": (60, 280.7, 6.2, 0.005, 1000),
        "bimu_openloris": (48.7, 16.7, 0.53, 0.065, 1600),
        "bimu_memory_window_study": (7.5, 64, 1, 0.005, 700),
    }
    names = ("lr", "likelihood_multiplier", "kl_multiplier", "lr_max", "memory_window")
    for preset, values in published.items():
        assert PRESETS[preset].rule == "bimu"
        assert PRESETS[preset].values == dict(zip(names, values, strict=True))
    assert PRESETS["bayesbinn_permuted_mnist_1000_tasks"].values == {"lr": 0.77, "prior_strength": 1.25e-5}
    assert PRESETS["ste_permuted_mnist_1000_tasks"].values == {"lr": 1e-4, "weight_decay": 2.2e-9}
    assert PRESETS["metaplasticity_permuted_mnist_1000_tasks"].values == {
        "lr": 3.7e-5, "weight_decay": 2.9e-9, "metaplasticity": 7.2
    }
    for preset in PRESETS.values():
        assert set(preset.values) == set(RULE_PARAMETERS[preset.rule])
        assert "arXiv" in preset.source or "search" in preset.source


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("bimu_hard_gradient_stream", "hard_stream"), ("bimu_hard_gradient_long_tasks", "hard_stream_60000"),
        ("bimu_16_levels_residue_stream", "levels_16"),
    ],
)
def test_searched_presets_are_the_best_points_of_the_recorded_search(name, target):
    with open(FOLDER.parent / "docs" / "validation" / "search.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["target"] == target]
    best = max(rows, key=lambda row: float(row["accuracy_last_5"]))
    assert PRESETS[name].values == {key: float(best[key]) for key in PRESETS[name].values}
    assert f"{len(rows)} points" in PRESETS[name].source


def test_an_explicit_key_overrides_the_preset():
    bare = without_hyperparameters()
    scenario = quickstart(*bare, "learning.preset=bimu_mnist_1_task", "learning.lr=3.5")
    assert scenario.learning.lr == 3.5
    assert scenario.learning.memory_window == 6100.0


def test_a_rule_without_preset_needs_all_its_hyperparameters():
    bayes = (*without_hyperparameters(), "learning.rule=bayesbinn", "learning.lr=0.5")
    message = refusal(*bayes)
    assert "learning.prior_strength: missing" in message
    assert "bayesbinn" in message
    assert quickstart(*bayes, "learning.prior_strength=0").rule_parameters == {"lr": 0.5, "prior_strength": 0.0}


def without_hyperparameters() -> list[str]:
    """Return the overrides that remove the quickstart's preset and every hyperparameter it gives."""
    given = tomllib.loads(QUICKSTART.read_text(encoding="utf-8"))["learning"]
    return [f"learning.{key}=" for key in given if key not in ("rule", "gradient")]


# Overrides and seeds


def test_overrides_are_toml_literals_or_text():
    scenario = quickstart(
        "stream.tasks=2", "network.hidden=[32, 16]", "accelerator.rate=2 kHz", "title='two words'",
        "accelerator.power_gating=true", "labels.latency=\"3 us\"", "device.storage_params.n_levels=8",
    )  # fmt: skip
    assert (scenario.stream.tasks, scenario.network.hidden, scenario.accelerator.rate) == (2, (32, 16), 2000.0)
    assert (scenario.title, scenario.accelerator.power_gating, scenario.labels.latency) == ("two words", True, 3e-6)
    assert scenario.n_levels == 8


def test_an_empty_value_removes_a_key():
    scenario = quickstart("labels.policy=always", "labels.budget=", "labels.gamma=")
    assert scenario.labels.policy == "always"
    assert scenario.labels.budget is None
    assert "nothing to remove" in refusal("labels.threshold=")


def test_the_later_override_wins():
    assert quickstart("stream.tasks=2", "stream.tasks=4").stream.tasks == 4


def test_a_value_cannot_smuggle_in_another_key():
    # As TOML this would be two assignments; it is one text, and a text is no number of tasks.
    assert "stream.tasks" in refusal("stream.tasks=2\nkind = 'stationary'")


def test_seed_sets_all_three_and_an_override_sets_one_apart():
    seeds = quickstart("seeds.noise=3", seed=0).seeds
    assert (seeds.fabrication, seeds.noise, seeds.data) == (0, 3, 0)
    assert quickstart(seed=2**63 - 1).seeds.data == 2**63 - 1
    with pytest.raises(ScenarioError, match="seed"):
        quickstart(seed=-1)


def test_run_name_tells_scenario_content_and_seeds():
    assert quickstart(seed=7).run_name == f"quickstart-{quickstart(seed=7).hash[:8]}-s7"
    assert quickstart("seeds.noise=3", seed=7).run_name.endswith("-s7.3.7")


# Defaults that depend on other keys


def test_dependent_defaults():
    start = quickstart("device.holds=", "crossbar.columns=reference")
    assert start.device.holds == get_model(start.sampler_card.model).holds[0] == "read"
    # What has no effect has a value that does nothing.
    ideal = load_scenario(IDEAL)
    assert ideal.n_levels == 0
    assert (ideal.crossbar.gradient_bits, ideal.crossbar.adc_range, ideal.device.residue_bits) == (0, 1.0, 0)
    assert (ideal.device.lam_max, ideal.accelerator.queue) == (float("inf"), 1)
    assert (ideal.crossbar.adc, ideal.crossbar.compensation, ideal.crossbar.dac_bits) == ("sar", "none", 0)
    assert quickstart().crossbar.adc == "sar"
    assert quickstart("crossbar.adc_bits=1").crossbar.adc == "sense_amplifier"
    assert quickstart("crossbar.adc_range=full_scale").hash == quickstart("crossbar.adc_range=1.0").hash


#: Every physical or design value that the quickstart needs and no one chooses for its author.
CHOICES = (
    "device.lam_max", "device.residue_bits", "crossbar.tile_wordlines", "crossbar.tile_bitlines", "crossbar.adc_bits",
    "crossbar.adc_range", "crossbar.columns_per_adc", "crossbar.gradient_bits", "accelerator.write_columns",
    "accelerator.rate", "accelerator.queue",
)  # fmt: skip


@pytest.mark.parametrize("key", CHOICES)
def test_a_design_value_has_no_default(key):
    message = refusal(f"{key}=")
    assert message.startswith(f"--set {key}: missing")
    assert "give it a value" in message


def test_the_example_in_a_message_is_a_value_that_is_taken():
    for key in CHOICES:
        name, value = re.search(r", for example (\w+) = ([^(]+?)(?: \(.*\))?\.$", refusal(f"{key}=")).groups()
        assert key.endswith(f".{name}")
        quickstart(f"{key}={value}")


def test_temperature_is_in_kelvin_and_part_of_the_content():
    assert quickstart().device.temperature == 300.0
    assert quickstart("device.temperature=300 K").hash == quickstart().hash
    cold = quickstart("device.temperature=77 K")
    assert cold.device.temperature == cold.resolved()["device"]["temperature"] == 77.0
    assert cold.hash != quickstart().hash
    for given in ("3.9 K", "501 K", "27", "300 V"):
        assert "device.temperature: got" in refusal(f"device.temperature={given}")


def test_free_running_cells_are_no_complementary_pair():
    message = refusal("device.holds=read")
    assert "device.holds" in message
    assert 'columns = "reference"' in message
    assert 'holds = "query"' in message
    # The same element does this by itself when the key is left out.
    assert "device.holds" in refusal("device.holds=")
    assert quickstart("device.holds=read", "crossbar.columns=reference").device.holds == "read"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["stream.task_order=[0, 1]"], "stream.task_order: got 2 tasks, and stream.tasks = 3"),
        (["stream.examples=300", "stream.switch_window=101"], "stream.switch_window: got 101; allowed are 0 to 100"),
        (["stream.kind=from_file"], "stream.kind: got \"from_file\" with dataset = \"digits\""),
        (["stream.kind=rotated", "stream.rotation_step=15"], "for example rotation_step = \"15 deg\""),
        (["stream.kind=rotated", "stream.rotation_step=400 deg"], "from -180 deg to 180 deg"),
        (["stream.kind=noisy"], "stream.noise_step: missing"),
        (['evaluation.ood=["digits"]'], "evaluation.ood.0: got 'digits', which is what the stream shows"),
        (['evaluation.ood=["mnits"]'], "evaluation.ood.0: got 'mnits'. Did you mean 'mnist'?"),
        (['evaluation.ood=["mnist", "mnist"]'], "evaluation.ood.1: got 'mnist' twice"),
        (['evaluation.ood=["there.npz"]'], "there is no such file"),
        (["stream.kind=stationary", 'evaluation.ood=["unpermuted"]'], "it is for permuted streams"),
        (["stream.imbalance=0.5"], "stream.imbalance: got 0.5; allowed are numbers from 1"),
    ],
)
def test_what_a_stream_cannot_be(overrides, said):
    assert said in refusal(*overrides)


def test_a_stream_option_at_its_neutral_value_is_no_part_of_what_is_computed():
    plain = quickstart()
    same = quickstart("stream.imbalance=1.0", "stream.switch_window=0")
    assert same.hash == plain.hash
    other = quickstart("stream.imbalance=2.0", "stream.switch_window=10", "stream.task_order=[0, 1, 0]")
    assert other.hash != plain.hash
    assert {"imbalance", "switch_window", "task_order"} <= set(other.resolved()["stream"])
    assert not {"imbalance", "switch_window", "task_order", "noise_step"} & set(plain.resolved()["stream"])


def test_words_of_the_file_are_the_words_of_the_package():
    fields = {name: info.annotation for name, info in ScenarioFile.model_fields.items()}

    def words(table: str, key: str) -> set[str]:
        return set(get_args(fields[table].model_fields[key].annotation))

    assert words("stream", "kind") == set(STREAM_KINDS)
    assert words("stream", "inputs") == set(INPUTS)
    assert words("labels", "policy") == set(POLICY_PARAMETERS)
    assert words("device", "holds") == set(get_args(Holds))
    assert words("device", "programming") == set(POLICIES)
    assert words("network", "activation") == set(ACTIVATIONS)
    assert words("learning", "rule") == set(RULE_PARAMETERS)


def test_label_policy_is_built_from_the_scenario():
    assert quickstart("labels.budget=0.25", "labels.gamma=0.5").label_policy() == Budgeted(0.25, 0.5)
    entropy = quickstart("labels.policy=epistemic", "labels.threshold=0.1", "labels.budget=", "labels.gamma=")
    assert entropy.label_policy() == UncertaintyThreshold("epistemic", 0.1)


# Cards


def test_card_values_are_replaced_and_marked():
    scenario = quickstart("device.storage_params.n_levels=4", "device.storage_params.read_time=30 ns",
                          "components.params.label_energy=2 uJ")  # fmt: skip
    assert scenario.storage_card.params["n_levels"].value == 4
    assert scenario.storage_card.costs["read_time"].value == 3e-8
    assert scenario.storage_card.costs["read_time"].kind == "assumed"
    assert scenario.component_card.costs["label_energy"].value == 2e-6
    for name, fact in load_card(scenario.device.storage).costs.items():
        assert (scenario.storage_card.costs[name] == fact) is (name != "read_time")
    assert load_component_card(scenario.components.card).costs["label_energy"].value != 2e-6


def test_a_card_file_beside_the_scenario(tmp_path):
    card = FOLDER.parent / "device_models" / "cards" / "ideal_storage.toml"
    (tmp_path / "mine.toml").write_text(
        card.read_text(encoding="utf-8").replace('name = "ideal_storage"', 'name = "mine"'), encoding="utf-8"
    )
    text = IDEAL.read_text(encoding="utf-8").replace('storage = "ideal_storage"', 'storage = "./mine.toml"')
    (tmp_path / "mine_scenario.toml").write_text(text, encoding="utf-8")
    assert load_scenario(tmp_path / "mine_scenario.toml").storage_card.name == "mine"


@pytest.mark.parametrize(
    ("override", "fault", "needs"),
    [
        ("device.storage=hfox_2t2r", "device.storage is 'hfox_2t2r' (memristor)", ["device.lam_max=4.0"]),
        ("device.sampler=smtj_50ns", "device.sampler is 'smtj_50ns' (spintronic)", []),
        ("device.storage_params.n_levels=16", "n_levels = 16, not 0", ["device.lam_max=4.0"]),
        ("crossbar.inputs=bit_serial", "crossbar.inputs is 'bit_serial'", ["crossbar.gradient_bits=8"]),
        ("crossbar.adc_bits=6", "crossbar.adc_bits is 6", ["crossbar.adc_range=0.5"]),
        ("device.holds=read", "device.holds is 'read'", ["crossbar.columns=reference"]),
    ],
)
def test_the_relaxed_gradient_belongs_to_ideal_hardware(override, fault, needs):
    message = refusal(override, path=IDEAL)
    assert "learning.gradient" in message
    assert "binary in-memory cells can only do the hard gradient" in message
    assert fault in message
    # The same hardware with the hard gradient is a legitimate design.
    assert load_scenario(IDEAL, [override, *needs, "learning.gradient=hard"]).learning.gradient == "hard"


# No key without effect


#: For each conditional key: what takes its effect away, and a value it could have.
WITHOUT_EFFECT = {
    "stream.classes_per_task": ([], "2"),
    "stream.rotation_step": ([], "10 deg"),
    "stream.noise_step": ([], "0.1"),
    "stream.task_order": (["stream.kind=stationary"], "[0, 1, 0]"),
    "stream.switch_window": (["stream.kind=stationary"], "100"),
    "labels.budget": (["labels.policy=always", "labels.gamma="], "0.1"),
    "labels.gamma": (["labels.policy=always", "labels.budget="], "0.5"),
    "labels.rate": ([], "0.5"),
    "labels.threshold": ([], "0.5"),
    "labels.latency": (["labels.policy=given", "labels.budget=", "labels.gamma="], "1 ms"),
    "labels.energy": (["labels.policy=given", "labels.budget=", "labels.gamma=", "labels.latency="], "1 uJ"),
    "labels.distribution": ([], "exponential"),  # the quickstart's labels are there at once
    "labels.latency_sigma": ([], "0.5"),
    "labels.annotators": ([], "2"),
    "labels.deadline": ([], "1 s"),
    "learning.prior_strength": ([], "1e-5"),
    "learning.weight_decay": ([], "1e-9"),
    "learning.metaplasticity": ([], "7.2"),
    "learning.lr": None,  # all rules use it
    **{
        f"learning.{key}": ([*without_hyperparameters(), "learning.rule=bayesbinn"], "1.0")
        for key in RULE_PARAMETERS["bimu"]
        if key != "lr"
    },
    "network.activation": (["network.hidden=[]"], "sign"),
    "network.statistics_window": ([], "1000.0"),
    "network.initial_lam": (['device.conductance_map=["a.npz", "b.npz"]'], "zero"),
    "device.conductance_map": (
        ["device.storage_params.n_levels=0", "device.residue_bits=", "device.lam_max="], '["a.npz", "b.npz"]'
    ),
    "device.residue_bits": (["device.programming=stochastic"], "12"),
    "device.lam_max": (["device.storage_params.n_levels=0", "device.residue_bits="], "4.0"),
    "crossbar.input_bits": (["crossbar.inputs=analog"], "4"),
    "crossbar.dac_bits": ([], "8"),
    "crossbar.adc_bits": (["crossbar.accumulate=popcount", "crossbar.adc_range=", "crossbar.columns_per_adc="], "6"),
    "crossbar.columns_per_adc": (
        ["crossbar.accumulate=popcount", "crossbar.adc_range=", "crossbar.adc_bits="], "8"
    ),
    "crossbar.adc": (["crossbar.adc_bits=0", "crossbar.adc_range="], "flash"),
    "crossbar.compensation": ([], "column_gain"),
    "crossbar.adc_range": (["crossbar.adc_bits=0"], "0.5"),
    "crossbar.gradient_bits": (["network.hidden=[]"], "8"),
    "accelerator.rate": (["accelerator.arrivals=back_to_back", "accelerator.queue="], "1 kHz"),
    "accelerator.queue": (["accelerator.arrivals=back_to_back", "accelerator.rate="], "4"),
    "accelerator.trace": ([], "arrivals.csv"),
    "accelerator.when_full": (["accelerator.queue=unbounded"], "back_pressure"),
    "accelerator.priority": (
        ["labels.policy=never", "labels.budget=", "labels.gamma=", "labels.latency="], "inference_first"
    ),
    "architecture.in_flight": ([], "4"),
    "architecture.digital_units": ([], "2"),
    "architecture.tile_groups": ([], "2"),
    "record.snapshots": (["record.state=false"], "100"),
    "record.snapshot_limit": (["record.state=false"], "10"),
}


def test_every_conditional_key_has_its_case():
    assert {f"{condition.table}.{condition.key}" for condition in CONDITIONS} == set(WITHOUT_EFFECT)


@pytest.mark.parametrize("key", [key for key, case in WITHOUT_EFFECT.items() if case])
def test_a_key_without_effect_is_refused(key):
    overrides, value = WITHOUT_EFFECT[key]
    message = refusal(*overrides, f"{key}={value}")
    assert f"{key}: has no effect, because" in message
    assert f"--set {key}=" in message


def test_idle_keys_are_not_in_the_resolved_scenario():
    content = load_scenario(IDEAL).resolved()
    for key in ("labels.budget", "learning.prior_strength", "device.residue_bits", "device.lam_max",
                "crossbar.adc_range", "crossbar.gradient_bits", "accelerator.rate", "accelerator.queue"):  # fmt: skip
        table, name = key.split(".")
        assert name not in content[table]
    assert "residue_bits" in quickstart().resolved()["device"]


def test_a_residue_needs_the_policy_and_finite_levels():
    finite = quickstart("device.programming=stochastic", "device.residue_bits=")
    assert "residue_bits" not in finite.resolved()["device"]
    continuous = ("device.storage=ideal_storage", "device.lam_max=")
    assert "continuous levels" in refusal(*continuous)
    assert "residue_bits" not in quickstart(*continuous, "device.residue_bits=").resolved()["device"]


def test_bits_of_the_gradient_need_a_backward_read_in_bits():
    for without in ("network.hidden=[]", "crossbar.inputs=analog"):
        assert "crossbar.gradient_bits: has no effect" in refusal(without)
        scenario = quickstart(without, "crossbar.gradient_bits=")
        assert scenario.crossbar.gradient_bits == 0
        assert "gradient_bits" not in scenario.resolved()["crossbar"]


# Resolved content and hash


def test_resolved_is_json_in_si_with_every_card_value():
    scenario = quickstart("labels.latency=2 ms", "accelerator.rate=10 kHz", "device.storage_params.read_time=30 ns")
    content = json.loads(json.dumps(scenario.resolved(), allow_nan=False))
    assert content["labels"]["latency"] == 0.002
    assert content["accelerator"]["rate"] == 10_000.0
    assert content["cards"]["storage"]["costs"]["read_time"] == 3e-8
    assert "storage_params" not in content["device"]
    for role, card in (("storage", scenario.storage_card), ("sampler", scenario.sampler_card),
                       ("components", scenario.component_card)):  # fmt: skip
        assert content["cards"][role]["params"] == {name: fact.value for name, fact in card.params.items()}
        assert content["cards"][role]["costs"] == {name: fact.value for name, fact in card.costs.items()}
    for name, value in scenario.rule_parameters.items():
        assert content["learning"][name] == value


def test_hash_is_sha256_of_canonical_json():
    scenario = quickstart()
    content = scenario.resolved()
    for words in ("title", "claim", "expect", "run"):
        content.pop(words)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert scenario.hash == hashlib.sha256(text.encode("ascii")).hexdigest()


@pytest.mark.parametrize(
    "same",
    [["title=Another"], ["claim=Another"], ["expect="], ["run.threads=2"], ["accelerator.rate=0.01 MHz"],
     ["labels.latency=0 us", "stream.label_noise=0", "crossbar.adc_range=1"]],
)  # fmt: skip
def test_hash_ignores_words_spelling_and_threads(same):
    base = ["accelerator.rate=10 kHz", "labels.latency=0 s", "stream.label_noise=0.0", "crossbar.adc_range=1.0"]
    assert quickstart(*base, *same).hash == quickstart(*base).hash


@pytest.mark.parametrize(
    "other",
    ["seeds.noise=99", "stream.tasks=2", "crossbar.adc_bits=5", "device.residue_bits=8", "accelerator.rate=9 kHz",
     "device.storage_params.read_time=31 ns", "components.params.label_energy=1 mJ", "evaluation.newest=2"],
)  # fmt: skip
def test_hash_sees_every_value(other):
    assert quickstart(other).hash != quickstart().hash


def test_hash_does_not_depend_on_layout_or_place(tmp_path):
    copy = tmp_path / "other_name.toml"
    copy.write_text("# a comment\n" + QUICKSTART.read_text(encoding="utf-8"), encoding="utf-8")
    assert load_scenario(copy).hash == quickstart().hash


def test_make_scenario_equals_load_and_leaves_its_argument():
    content = tomllib.loads(QUICKSTART.read_text(encoding="utf-8"))
    before = json.dumps(content)
    scenario = make_scenario(content, folder=FOLDER, overrides=["stream.tasks=2"])
    assert json.dumps(content) == before
    assert scenario.hash == quickstart("stream.tasks=2").hash


def test_a_scenario_is_frozen_and_survives_pickling():
    scenario = quickstart()
    with pytest.raises(ValueError, match="frozen"):
        scenario.stream.tasks = 4
    again = pickle.loads(pickle.dumps(scenario))
    assert again.hash == scenario.hash
    assert again.folder == scenario.folder


def test_npz_data_set_is_found_beside_the_scenario(tmp_path):
    (tmp_path / "mine.npz").write_bytes(b"checked when the run loads it")
    copy = tmp_path / "s.toml"
    copy.write_text(QUICKSTART.read_text(encoding="utf-8").replace('"digits"', '"mine.npz"'), encoding="utf-8")
    assert load_scenario(copy).dataset == tmp_path / "mine.npz"
    assert quickstart().dataset == "digits"


# Messages


def test_messages_name_file_and_line(tmp_path):
    lines = QUICKSTART.read_text(encoding="utf-8").splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("tasks"))
    lines[number] = "task = 3"
    path = tmp_path / "typo.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    message = refusal(path=path)
    assert message.startswith(f"{path}:{number + 1}, stream.task: unknown key. Did you mean 'tasks'?")
    assert "1 more fault" in message  # the missing "tasks"


def test_messages_of_the_command_line_name_the_option():
    assert refusal("stream.tsks=3").startswith("--set stream.tsks: unknown key. Did you mean 'tasks'?")


def test_lines_of_nested_and_listed_tables(tmp_path):
    text = QUICKSTART.read_text(encoding="utf-8")
    extra = '\n[device.storage_params]\nn_level = 4\n\n[[expect]]\nmetric = "accuracy"\nlow = "high"\n'
    path = tmp_path / "s.toml"
    path.write_text(text + extra, encoding="utf-8")
    rows = text.count("[[expect]]")
    lines = (text + extra).splitlines()
    number = lines.index('low = "high"') + 1
    assert refusal(path=path).startswith(f"{path}:{number}, expect.{rows}.low: got 'high'")
    path.write_text((text + extra).replace('low = "high"', "low = 0.1"), encoding="utf-8")
    message = refusal(path=path)
    assert message.startswith(f"{path}:{lines.index('n_level = 4') + 1}, device.storage_params.n_level: unknown")
    assert "Did you mean 'n_levels'?" in message


JUNK: list[Any] = ["-1", "0", "1", "1.5", "true", "[]", "{}", "inf", "nan", "1e300", f"{10**30}", "''", "word", "3 V"]


#: The tables that every scenario has; lists of tables, and the one that makes a sweep of it, are tested elsewhere.
TABLES = [name for name, field in ScenarioFile.model_fields.items() if hasattr(field.annotation, "model_fields")]


@pytest.mark.parametrize("table", TABLES)
def test_any_value_of_any_key_is_taken_or_refused_in_one_sentence(table):
    keys = ScenarioFile.model_fields[table].annotation.model_fields
    answers = 0
    for key in keys:
        for junk in JUNK:
            try:
                scenario = quickstart(f"{table}.{key}={junk}")
            except ScenarioError as error:
                message = str(error)
                assert "\n" not in message
                assert len(message) < 400
                assert message.rstrip(")").endswith((".", "?"))
            else:
                json.dumps(scenario.resolved(), allow_nan=False)
            answers += 1
    assert answers == len(keys) * len(JUNK)


# Expectations


def expecting(*rows: dict[str, Any]):
    content = tomllib.loads(QUICKSTART.read_text(encoding="utf-8"))
    return make_scenario({**content, "expect": list(rows)}, folder=FOLDER)


def test_expectations_are_held_against_the_summary():
    scenario = expecting(
        {"metric": "accuracy", "low": 0.9, "high": 0.95, "source": "a paper"},
        {"metric": "energy_per_query_J.inference", "high": 1e-9},
        {"metric": "queries_dropped", "low": 0, "high": 0},
        {"metric": "acuracy", "low": 0.9},
        {"metric": "energy_per_query_J", "low": 0},
    )
    summary = {"accuracy": 0.95, "energy_per_query_J": {"inference": 2e-9}, "queries_dropped": 0}
    outcomes = expectation_outcomes(summary, scenario)
    assert [outcome.met for outcome in outcomes] == [True, False, True, False, False]
    assert [outcome.allowed for outcome in outcomes[:2]] == ["0.9 to 0.95", "at most 1e-09"]
    assert [outcome.value for outcome in outcomes] == [0.95, 2e-9, 0.0, None, None]
    assert "Did you mean 'accuracy'?" in outcomes[3].note
    assert "no number" in outcomes[4].note


@pytest.mark.parametrize(("value", "met"), [(0.9, True), (0.95, True), (0.8999, False), (0.9501, False)])
def test_bounds_of_an_expectation_are_included(value, met):
    scenario = expecting({"metric": "accuracy", "low": 0.9, "high": 0.95})
    (outcome,) = expectation_outcomes({"accuracy": value}, scenario)
    assert outcome.met is met


def test_nan_meets_no_expectation():
    scenario = expecting({"metric": "accuracy", "low": 0.0})
    (outcome,) = expectation_outcomes({"accuracy": float("nan")}, scenario)
    assert not outcome.met


@pytest.mark.parametrize(
    ("row", "words"),
    [({"metric": "accuracy"}, "neither low nor high"), ({"metric": "a", "low": 2, "high": 1}, "above high")],
)
def test_an_expectation_without_sense_is_refused(row, words):
    with pytest.raises(ScenarioError, match=words):
        expecting(row)
