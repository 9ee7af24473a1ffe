"""Tests that a device model from any package can be held against: see `check_storage` and `check_sampler`."""

from bimu_hw.testing.conformance import check_sampler, check_storage
from bimu_hw.testing.sampler import SAMPLER_CHECKS
from bimu_hw.testing.storage import STORAGE_CHECKS

__all__ = ["SAMPLER_CHECKS", "STORAGE_CHECKS", "check_sampler", "check_storage"]
