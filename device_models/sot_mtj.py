"""A spin-orbit-torque junction written stochastically: the write current flows in a track under the junction.

The physics is that of `device_models.switching`. Three terminals: writing spares the barrier. The critical current of
short pulses rises (arXiv:1509.02375, measured below 10 ns); here as V_c (1 + transfer_time / t_p), the law of constant
transferred spin, which the calibration of the nominal device absorbs and the write voltage shows.

Sources: arXiv:1509.02375 (critical current against pulse width, 400 ps); Huang et al., arXiv:2309.07789 (junctions as
probabilistic synapses).
"""

from __future__ import annotations

from bimu_hw.devices import SamplerModel
from device_models.switching import SPECS, VARIABLES, Params, State, bias, drive, fabricate, sample

MODEL = SamplerModel(
    name="sot_mtj",
    family="spintronic",
    summary="spin-orbit-torque junction, reset and rewritten stochastically for every Monte Carlo sample",
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
