"""The record of a run: one schema, a writer and a reader. The only floor below the runs that knows xarray."""

from bimu_hw.record.disk import write_durably, write_netcdf, write_run
from bimu_hw.record.reader import RUN_FILE, lam_from_record, open_run
from bimu_hw.record.schema import (
    SCHEMA_VERSION,
    VARIABLES,
    Var,
    check_provenance,
    clean_attrs,
    describe,
    describe_markdown,
    group_variables,
    layer_variables,
    validate,
)
from bimu_hw.record.writer import Costs, ResourceUse, RunRecorder, area_values, group_dataset, ledger_values

__all__ = [
    "RUN_FILE",
    "SCHEMA_VERSION",
    "VARIABLES",
    "Costs",
    "ResourceUse",
    "RunRecorder",
    "Var",
    "area_values",
    "check_provenance",
    "clean_attrs",
    "describe",
    "describe_markdown",
    "group_dataset",
    "group_variables",
    "lam_from_record",
    "layer_variables",
    "ledger_values",
    "open_run",
    "validate",
    "write_durably",
    "write_netcdf",
    "write_run",
]
