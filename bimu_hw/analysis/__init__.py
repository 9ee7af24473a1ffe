"""From a record to a number, a table or a figure.

The functions take bare arrays or xarray objects and return xarray objects with units and long names. `import
bimu_hw.analysis`, or the first use of `bimu_hw.open_run`, adds them to every Dataset and DataTree as ``.bimu``::

    with bimu_hw.open_run("runs/mine") as run:
        run.bimu.energy_per_query(by=("component", "phase"))
        run.bimu.plot_freezing()
"""

from bimu_hw.analysis.ablation import bootstrap_mean, paired_difference
from bimu_hw.analysis.accessor import DatasetAnalysis, RunAnalysis
from bimu_hw.analysis.energy import energy_by, energy_per_query
from bimu_hw.analysis.freezing import (
    LevelGrid,
    freezing_over_snapshots,
    level_occupancy,
    occupancy_over_snapshots,
)
from bimu_hw.analysis.latency import latency_cdf, latency_distribution, latency_quantiles
from bimu_hw.analysis.latex import to_latex
from bimu_hw.analysis.learning import continual_learning, online_accuracy, seen_accuracy, task_forgetting
from bimu_hw.analysis.pareto import pareto, pareto_front
from bimu_hw.analysis.plots_device import plot_ir_drop, plot_pulse_response, plot_sigmoid
from bimu_hw.analysis.uncertainty import calibration, error_detection, reliability, vote_reliability
from bimu_hw.record import open_run
from bimu_hw.report.style import COLOURS, STYLE_FILE, WIDTHS, new_figure, paper_style, save_figure

__all__ = [
    "COLOURS",
    "STYLE_FILE",
    "WIDTHS",
    "DatasetAnalysis",
    "LevelGrid",
    "RunAnalysis",
    "bootstrap_mean",
    "calibration",
    "continual_learning",
    "energy_by",
    "energy_per_query",
    "error_detection",
    "freezing_over_snapshots",
    "latency_cdf",
    "latency_distribution",
    "latency_quantiles",
    "level_occupancy",
    "new_figure",
    "occupancy_over_snapshots",
    "online_accuracy",
    "open_run",
    "paired_difference",
    "paper_style",
    "pareto",
    "pareto_front",
    "plot_ir_drop",
    "plot_pulse_response",
    "plot_sigmoid",
    "reliability",
    "save_figure",
    "seen_accuracy",
    "task_forgetting",
    "to_latex",
    "vote_reliability",
]
