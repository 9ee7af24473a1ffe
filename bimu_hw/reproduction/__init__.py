"""Published results run again: rows of a study as resumable runs, and the table of published value against ours."""

from __future__ import annotations

from bimu_hw.reproduction.runner import reproduce
from bimu_hw.reproduction.study import PAPER, Study, load_study
from bimu_hw.reproduction.table import write_report

__all__ = ["PAPER", "Study", "load_study", "reproduce", "write_report"]
