"""One word for one thing: identifiers, file keys and dimensions use the field's words, spelt one way."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest
from house import ROOT, modules, tree

from bimu_hw.cards import COMPONENT_COSTS
from bimu_hw.devices import SAMPLER_COSTS, STORAGE_COSTS

#: The words of the house, and what is not to be written in their place (a regular expression on parts of a name).
INSTEAD = {
    "lam": r"lambda|lambd|lmbda|lambdas|natural_parameters?|natural_param",
    "mean_weight": r"weight_mean|weights_mean|mean_weights?_value|expected_weight|weight_expectation",
    "plasticity": r"metaplasticity_factor|sech2_lam|sech_squared|posterior_variance|weight_variance",
    "wordline": r"word_lines?|row_lines?|crossbar_rows?|n_rows|num_rows|array_rows?",
    "bitline": r"bit_lines?|column_lines?|crossbar_(?:cols?|columns?)|n_cols|num_cols|array_(?:cols?|columns?)",
    "label_request": r"label_quer(?:y|ies)|quer(?:y|ies)_label|oracle_quer(?:y|ies)|labels?_queried|queried",
    "memory_window": r"window_size|mem_window|forgetting_window|forgetting_time|memory_horizon",
    "d2d": r"dtod|dev2dev|dev_to_dev|device_to_device|device_variability",
    "c2c": r"ctoc|cyc2cyc|cyc_to_cyc|cycle_to_cycle|cycle_variability",
    "n_levels": r"n_states|num_states|number_of_states|num_levels|n_level|state_count",
    "n_samples or n_sample": r"mc_samples|num_samples|n_mc|num_mc|sample_count",
    "conductance": r"conduct|conductivity|conductances_s",
    "read_noise": r"readnoise|noise_read|reading_noise",
    "stuck_on / stuck_off": r"stuck_at_(?:on|off|one|zero|lrs|hrs)|stuckon|stuckoff",
    "drift": r"retention_drift|conductance_decay",
    "tile": r"subarray|sub_array|macro_array|crossbar_core",
    "energy_per_query": r"energy_per_inference|energy_per_input|query_joules",
    "energy_per_update": r"energy_per_learning_step|update_joules",
    "mvm": r"vmm|matvec|mat_vec",
    "likelihood_multiplier, kl_multiplier": r"likelihood_coeff|kl_coeff|likelihood_weight|kl_weight",
}

#: Names of dimensions are singular, and arrays have word lines and bit lines.
DIMENSIONS = {
    "snapshot", "query", "task", "layer", "wordline", "bitline", "device", "component", "operation", "phase", "sample",
    "seed", "resource", "plane", "block",
}  # fmt: skip
NO_DIMENSIONS = {f"{name}s" for name in DIMENSIONS} | {"queries", "row", "rows", "col", "cols", "column", "columns"}


def wrong_word(name):
    """Return the word of the house that should stand in an identifier, or None if it is well named."""
    for word, synonyms in INSTEAD.items():
        if re.search(rf"(?:^|_)(?:{synonyms})(?:_|$)", name.lower()):
            return word
    return None


def identifiers(module):
    """Yield every name that a module introduces or uses, with its line."""
    for node in ast.walk(module):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value.lineno


@pytest.mark.parametrize("name", modules())
def test_identifiers_use_the_words_of_the_house(name):
    for identifier, line in identifiers(tree(name)):
        word = wrong_word(identifier)
        assert word is None, f"{name}, line {line}: {identifier!r}; the house says {word}"


def dimension_tuples(module):
    """Yield the literal lists of strings that name dimensions: those with a word line, query or snapshot in them."""
    for node in ast.walk(module):
        if isinstance(node, (ast.Tuple, ast.List)) and node.elts:
            values = [e.value for e in node.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)]
            if len(values) == len(node.elts) and {"wordline", "bitline", "query", "snapshot"} & set(values):
                yield values, node.lineno


@pytest.mark.parametrize("name", [m for m in modules() if m.startswith(("bimu_hw.record", "bimu_hw.report"))])
def test_dimensions_are_singular(name):
    for values, line in dimension_tuples(tree(name)):
        wrong = NO_DIMENSIONS & set(values)
        assert not wrong, f"{name}, line {line}: {sorted(wrong)} in {values}"


def test_numbers_of_cards_use_the_words_of_the_house():
    for name in (*COMPONENT_COSTS, *(s.name for s in (*STORAGE_COSTS, *SAMPLER_COSTS))):
        assert wrong_word(name) is None, f"{name!r}; the house says {wrong_word(name)}"


def keys(table):
    for key, value in table.items():
        yield key
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from keys(inner)


FILES = sorted(
    path for folder in ("scenarios", "device_models", "bimu_hw") for path in (ROOT / folder).rglob("*.toml")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_keys_of_scenarios_and_cards_use_the_words_of_the_house(path):
    for key in keys(tomllib.loads(path.read_text(encoding="utf-8"))):
        assert wrong_word(key) is None, f"{path.name}: {key!r}; the house says {wrong_word(key)}"


@pytest.mark.parametrize(
    ("identifier", "word"),
    [
        ("weight_mean", "mean_weight"),
        ("lambda_max", "lam"),
        ("tile_word_lines", "wordline"),
        ("n_cols", "bitline"),
        ("n_label_queries", "label_request"),
        ("sigma_device_to_device", "d2d"),
        ("n_states", "n_levels"),
        ("mean_weight", None),
        ("lam_max", None),
        ("n_wordlines", None),
        ("label_request", None),
        ("memory_window", None),
        ("sigma_d2d", None),
        ("columns_per_adc", None),  # what shares a converter is a column in every paper
        ("query_label_tick", "label_request"),
    ],
)
def test_the_list_catches_synonyms_and_nothing_else(identifier, word):
    assert wrong_word(identifier) == word
