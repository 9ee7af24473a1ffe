"""Hyperparameters of the learning rules, by name, each with its source: published ones, and two that were searched for.

A scenario names one as ``learning.preset``; a key it gives explicitly overrides the preset's value. Published numbers
are those of the relaxed gradient on ideal hardware, for the network, inputs and number of samples that `setting` names.
For the hard gradient and for few levels nothing is published: those come from a search of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_SEARCH = (
    "own search, {} points on a proxy of 5 tasks with {} examples each, ideal sampling, seed 1, 29 November 2026: "
    "benchmarks/search_hyperparameters.py {}, docs/validation/learning.md"
)
_PAPER = "Cottart, Ballet, Bonnet, Querlioz, ICML 2026, arXiv:2605.30198"

#: The hyperparameters of each rule, named as the arguments of `bimu_hw.learning.bimu_delta`, `bayesbinn_delta` and
#: `bimu_hw.learning.latent`.
RULE_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "bimu": ("lr", "lr_max", "likelihood_multiplier", "kl_multiplier", "memory_window"),
    "bayesbinn": ("lr", "prior_strength"),
    "ste": ("lr", "weight_decay"),
    "metaplasticity": ("lr", "weight_decay", "metaplasticity"),
    "native": ("lr",),
}

#: Rules whose weights are signs of what is stored: nothing is drawn, and there is no relaxed gradient.
SIGN_RULES = ("ste", "metaplasticity")


@dataclass(frozen=True)
class Preset:
    """One set of hyperparameters.

    Attributes
    ----------
    rule : str
        A key of `RULE_PARAMETERS`.
    values : mapping of str to float
        One value for each of the rule's hyperparameters.
    setting : str
        The experiment it was published, or searched, for.
    source : str
    """

    rule: str
    values: Mapping[str, float]
    setting: str
    source: str = _PAPER


def _bimu(
    setting: str, lr: float, likelihood: float, kl: float, lr_max: float, window: float, source: str = _PAPER
) -> Preset:
    """Take the values in the order the paper's table prints them."""
    values = {
        "lr": lr, "lr_max": lr_max, "likelihood_multiplier": likelihood, "kl_multiplier": kl, "memory_window": window,
    }  # fmt: skip
    return Preset("bimu", values, setting, source)


PRESETS: Mapping[str, Preset] = {
    "bimu_mnist_1_task": _bimu("Permuted-MNIST, 1 task, [784,100,10], S = 5", 81.76, 12.3, 4.72, 0.017, 6100.0),
    "bimu_permuted_mnist_1000_tasks": _bimu(
        "Permuted-MNIST, 1000 tasks, [784,100,10], S = 5", 4.9, 161.3, 3.76, 0.0023, 700.0
    ),
    "bimu_permuted_mnist_1000_tasks_wide": _bimu(
        "Permuted-MNIST, 1000 tasks, [784,2000,10], S = 5", 60.0, 280.7, 6.2, 0.005, 1000.0
    ),
    "bimu_memory_window_study": _bimu(
        "Permuted-MNIST, 100 tasks, [784,100,10], S = 5, inputs from 0 to 1 (raw): a candidate for the study of N that "
        "does not reproduce it (docs/validation/reproduction.md); the settings of the main table do",
        7.5, 64.0, 1.0, 0.005, 700.0,
    ),
    "bimu_openloris": _bimu("OpenLORIS, one layer [8192,19], S = 10", 48.7, 16.7, 0.53, 0.065, 1600.0),
    "bimu_hard_gradient_stream": _bimu(
        "Permuted-MNIST, tasks of some 2,500 examples (of 10,000 the published values remember better, of 60,000 those "
        "for long tasks), hard gradient, ideal storage, [784,100,10], S = 5",
        12.53, 331.7, 2.509, 0.01384, 549.4, _SEARCH.format(18, "2,500", "hard_stream"),
    ),
    "bimu_hard_gradient_long_tasks": _bimu(
        "Permuted-MNIST, five tasks of 60,000 examples (what it does over many of them was not tried), hard gradient, "
        "ideal storage, [784,100,10], S = 5",
        1.18, 581.3, 0.4339, 0.001419, 14790.0, _SEARCH.format(18, "60,000", "hard_stream --examples 60000"),
    ),
    "bimu_16_levels_residue_stream": _bimu(
        "Permuted-MNIST, tasks of some 2,500 examples, hard gradient, 16 levels to lam = 4, residue of 12 bits, "
        "[784,100,10], S = 5",
        26.79, 240.5, 1.186, 0.02352, 1078.0, _SEARCH.format(12, "2,500", "levels_16"),
    ),
    "bayesbinn_permuted_mnist_1000_tasks": Preset(
        "bayesbinn", {"lr": 0.77, "prior_strength": 1.25e-5}, "Permuted-MNIST, 1000 tasks, [784,100,10], S = 5, T = 1"
    ),
    "ste_permuted_mnist_1000_tasks": Preset(
        "ste", {"lr": 1e-4, "weight_decay": 2.2e-9}, "Permuted-MNIST, 1000 tasks, [784,100,10], sign activation"
    ),
    "metaplasticity_permuted_mnist_1000_tasks": Preset(
        "metaplasticity", {"lr": 3.7e-5, "weight_decay": 2.9e-9, "metaplasticity": 7.2},
        "Permuted-MNIST, 1000 tasks, [784,100,10], sign activation, batch normalisation",
    ),
}
"""Every preset by name."""
