"""A spin-transfer-torque junction written stochastically: the write current goes through the barrier that is read.

The physics is that of `device_models.switching`. Two terminals: reset, write and read share one path, so the write
current ages the barrier; endurance is not modelled, the count of bits is what to hold against it.

Sources: Taniguchi, Imamura, arXiv:1010.5845 (barrier exponent); Hu, arXiv:2505.00418 (regimes).
"""

from __future__ import annotations

from bimu_hw.devices import SamplerModel
from device_models.switching import SPECS, VARIABLES, Params, State, bias, drive, fabricate, sample

MODEL = SamplerModel(
    name="stt_mtj",
    family="spintronic",
    summary="spin-transfer-torque junction, reset and rewritten stochastically for every Monte Carlo sample",
    params=Params,
    state=State,
    specs=SPECS,
    variables=VARIABLES,
    fabricate=fabricate,
    bias=bias,
    sample=sample,
    holds=("until_rewritten", "query"),
    store_reads="sample",
    remembers=("last",),
    drive=drive,
    drive_name="write voltage [V]",
)
