"""The figures of a device's characterisation. Each function draws one panel from a dataset and returns its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bimu_hw.report.sampler import SamplerResponse
from bimu_hw.report.style import COLOURS, plain_log, si_axis, whole_numbers
from bimu_hw.units import format_quantity

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

_UP, _DOWN = COLOURS[0], COLOURS[3]


def _log_axis(axes: Axes, unit: str = "") -> None:
    """Give x a logarithmic axis: with SI prefixes if a unit is given, else with powers of ten."""
    axes.set_xscale("log")
    plain_log(axes.xaxis)
    if unit:
        si_axis(axes.xaxis, unit)


def _signed(level: float) -> str:
    return f"{level:+g}".replace("-", "−")


def _band(axes: Axes, x: Any, values: Any, colour: str, label: str = "", band: str = "") -> None:
    """Draw the mean over the last axis and the band from the 1st to the 99th percentile."""
    low, high = np.quantile(values, (0.01, 0.99), axis=-1)
    axes.fill_between(x, low, high, color=colour, alpha=0.22, lw=0, label=band or None)
    axes.plot(x, np.mean(values, axis=-1, dtype=np.float64), color=colour, label=label or None)


def _lam_axis(axes: Axes, data: xr.Dataset) -> None:
    """Give the right side the scale of lam."""
    step = float(data.attrs["lam_per_level"])
    if step == 1.0:
        axes.set_ylabel("λ")
        return
    scales = (lambda level: np.multiply(level, step), lambda lam: np.divide(lam, step))
    right = axes.secondary_yaxis("right", functions=scales)
    right.set_ylabel("λ")


def plot_pulse_response(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the level over pulses up and down: mean, 1-99 % and three cells."""
    pulse, seen = data["pulse"].values, data["seen"].values
    n_up = int(data.attrs["n_up"])
    _band(axes, pulse, seen, COLOURS[0], "mean", "1–99 %")
    for i, trace in enumerate(seen.T[:3]):
        axes.plot(pulse, trace, color=("0.25", "0.45", "0.65")[i], lw=0.6, label="single cells" if i == 0 else None)
    axes.axvline(n_up, color="0.5", lw=0.7, ls=":")
    axes.set(xlabel="pulses (up, then down)", ylabel="level", xlim=(0, int(pulse[-1])))
    whole_numbers(axes.xaxis, 5)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.3 * (top - bottom))  # room for the legend
    axes.legend(loc="upper center", ncols=3, columnspacing=0.8)
    _lam_axis(axes, data)
    return axes


def plot_conductance(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the conductance of each device over pulses up and down, or of the one device that is pulsed."""
    values, pulse = data["conductance"].values, data["pulse"].values
    if values.ndim == 2:
        _band(axes, pulse, values, COLOURS[2], "mean", "1–99 %")
        for i, trace in enumerate(values.T[:3]):
            grey = ("0.25", "0.45", "0.65")[i]
            axes.plot(pulse, trace, color=grey, lw=0.6, label="single devices" if i == 0 else None)
        axes.set(xlabel="pulses on a fresh device", ylabel="conductance")
    else:
        names = ("plus device", "minus device") if values.shape[2] == 2 else ("mean",)
        for d in range(values.shape[2]):
            colour = (COLOURS[2], COLOURS[1])[d % 2]
            name = names[d] if d < len(names) else f"device {d + 1}"
            _band(axes, pulse, values[:, :, d], colour, name, "1–99 %" if d == 0 else "")
        axes.axvline(int(data.attrs["n_up"]), color="0.5", lw=0.7, ls=":")
        axes.set(xlabel="pulses (up, then down)", ylabel="conductance")
    axes.set_xlim(0, int(pulse[-1]))
    whole_numbers(axes.xaxis, 5)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.22 * (top - bottom))
    axes.legend(loc="upper center", ncols=3, columnspacing=0.8)
    si_axis(axes.yaxis, "S")
    return axes


def plot_levels(data: xr.Dataset, axes: Axes, how: str, n_shown: int = 9) -> Axes:
    """Plot histograms of the cells at up to `n_shown` levels."""
    level = data["level"].values
    seen = data["seen"].sel(how=how).values
    first = 1 if how == "pulsed" and len(level) > 2 else 0  # before the first pulse all stand where they were put
    chosen = np.unique(np.linspace(first, len(level) - 1, min(n_shown, len(level) - first)).round().astype(int))
    low, high = float(seen[chosen].min()), float(seen[chosen].max())
    pad = 0.03 * max(high - low, 1e-9)
    edges = np.linspace(low - pad, high + pad, 161)
    highest = []
    for i, k in enumerate(chosen):
        share = np.histogram(seen[k], edges)[0] / seen.shape[1]
        highest.append(share.max())
        axes.stairs(share, edges, color=COLOURS[i % 6], fill=True, alpha=0.55, lw=0)
        axes.stairs(share, edges, color=COLOURS[i % 6], lw=0.6)
    spread = [h for h in highest if h < 0.9]  # a level without any noise may run off the top
    n_levels = int(data["lower"].values[-1]) + 2
    axes.set(xlabel="level as seen", ylabel="share of cells", title=f"{how}, {len(chosen)} of {n_levels} levels")
    axes.set_ylim(0, 1.15 * max(spread or highest))
    return axes


def plot_overlap(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the overlap of neighbouring levels."""
    styles = {"programmed": ("o-", COLOURS[0]), "pulsed": ("s--", COLOURS[3])}
    for how in data["how"].values:
        marker, colour = styles[str(how)]
        share = data["overlap"].sel(how=how).values
        axes.plot(data["lower"].values + 0.5, share, marker, ms=2.5, color=colour, label=str(how))
    axes.set(xlabel="between levels (from 0)", ylabel="overlap of neighbours", ylim=(-0.04, 1.3))
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.legend(loc="upper center", ncols=2)
    return axes


def plot_switching_probability(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the share of cells that have not moved over the number of pulses, on a logarithmic axis."""
    pulse = data["pulse"].values
    stays = 1.0 - data["moved"].values
    error = np.sqrt(np.maximum(stays * (1.0 - stays), 0.0) / data.attrs["n_cells"])
    for i, (direction, marker, colour) in enumerate((("up", "o-", _UP), ("down", "s--", _DOWN))):
        there = stays[i] * data.attrs["n_cells"] >= 5.0  # fewer cells say nothing on this axis
        axes.errorbar(
            pulse[there], stays[i][there], error[i][there], fmt=marker, ms=3, lw=1, color=colour,
            label=f"pulses {direction}",
        )  # fmt: skip
    axes.set_yscale("log")
    plain_log(axes.yaxis)
    axes.set(xlabel="pulses", ylabel="share of cells not moved")
    whole_numbers(axes.xaxis, 5)
    axes.legend(loc="upper right")
    return axes


def plot_retention(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the level over time from several starts, at the first temperature: mean and 1-99 %."""
    time = data["time"].values
    temperature = float(data["temperature"][0])
    for i, start in enumerate(data["start"].values):
        values = data["level"].isel(temperature=0, start=i).values
        _band(axes, time, values, COLOURS[i % 6], _signed(start))
    _log_axis(axes)  # ten years are 3 x 10^8 s: nobody says 300 Ms
    axes.set(xlabel="time since programming (s)", ylabel="level", title=f"at {temperature:.0f} K, from level")
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.25 * (top - bottom))
    axes.legend(loc="upper center", ncols=4, columnspacing=0.8)
    return axes


def plot_temperatures(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the mean share left of the highest level over time, for every temperature."""
    time = data["time"].values
    top = float(data["start"][0])
    for i, temperature in enumerate(data["temperature"].values):
        share = data["level"].isel(temperature=i, start=0).mean("cell").values / top
        axes.plot(time, share, ("-", "--", ":")[i % 3], color=COLOURS[(0, 1, 3)[i % 3]], label=f"{temperature:.0f} K")
    _log_axis(axes)  # ten years are 3 x 10^8 s: nobody says 300 Ms
    axes.set(xlabel="time since programming (s)", ylabel="mean level / its start", title=f"from level {_signed(top)}")
    axes.legend(loc="lower left")
    return axes


def plot_drift(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the first device's mean conductance over its start in time, both axes logarithmic."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    time = data["time"].values
    for i, start in enumerate(data["start"].values):
        values = data["conductance"].isel(temperature=0, start=i).values.astype(np.float64)
        if values[0].mean() > 0.0:
            _band(axes, time, values / values[0].mean(), COLOURS[i % 6], f"from level {_signed(start)}")
            axes.lines[-1].set(linestyle=("-", "--", ":", "-.")[i % 4], zorder=3 + i)
    _log_axis(axes)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0, 7.0)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlabel="time since programming (s)", ylabel="conductance / its start", title="first device")
    axes.legend(loc="lower left")
    return axes


def plot_window(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the window of a cell over the pulses it has received: mean and 1-99 %."""
    _band(axes, data["count"].values, data["window"].values, COLOURS[0], "mean", "1–99 %")
    _log_axis(axes)
    axes.set(xlabel="pulses received", ylabel="window (levels)", ylim=(0, None))
    axes.legend(loc="lower left")
    return axes


def plot_worn_out(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the share of worn-out cells over the pulses received."""
    axes.plot(data["count"].values, data["worn_out"].values, "o-", ms=2.5, color=_DOWN)
    _log_axis(axes)
    axes.set(xlabel="pulses received", ylabel="share of cells worn out", ylim=(-0.03, 1.03))
    return axes


def plot_noise_trace(data: xr.Dataset, axes: Axes, n_points: int = 1200) -> Axes:
    """Plot what successive looks see of the three cells with the largest noise."""
    seen = data["seen"].values
    largest = np.argsort(seen.std(axis=0))[::-1][:3]
    time = data["time"].values[:n_points]
    for i, cell in enumerate(largest):
        axes.plot(time, seen[:n_points, cell], color=COLOURS[(0, 1, 2)[i]], lw=0.6)
    axes.set(xlabel="time", ylabel="level as seen", title="three cells")
    si_axis(axes.xaxis, "s")
    return axes


def plot_spectrum(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the noise spectrum, averaged over cells and in bins of equal width on the axis, and what is expected."""
    frequency = data["frequency"].values
    edges = np.geomspace(frequency[0], frequency[-1] * 1.0001, 61)
    which = np.digitize(frequency, edges)
    used = np.unique(which)
    mean = [[v[which == b].mean() for b in used] for v in (frequency, data["spectrum"].values)]
    axes.loglog(*mean, "o", ms=2.5, color=COLOURS[0], label="measured")
    axes.loglog(frequency, data["expected"].values, color=COLOURS[1], label="expected")
    _log_axis(axes, "Hz")
    plain_log(axes.yaxis)
    axes.set(xlabel="frequency", ylabel="noise power (levels² / Hz)")
    axes.legend(loc="lower left")
    return axes


def plot_sigmoid(response: SamplerResponse, axes: Axes) -> Axes:
    """Plot the probability of +1 over lam: nominal device, mean of devices, 1-99 %, and sigma(2 lam)."""
    r = response
    slope, offset = r.fit(r.mean)
    axes.fill_between(r.lam, r.low, r.high, color=COLOURS[4], alpha=0.35, lw=0, label="1–99 %")
    axes.plot(r.lam, r.mean, color=COLOURS[4], lw=2.4, label="mean")
    axes.plot(r.lam, r.nominal, color=COLOURS[0], label="nominal")
    axes.plot(r.lam, r.ideal, color="black", lw=0.8, ls="--", label="σ(2λ)")
    sign = "−" if offset < 0.0 else "+"
    axes.set(xlabel="λ", ylabel="P(+1)", xlim=(-6, 6), ylim=(-0.03, 1.03))
    axes.set_title(f"mean ≈ σ(2({slope:.3f} λ {sign} {abs(offset):.3f}))")
    axes.legend(loc="upper left", borderpad=0.1, handlelength=1.1, handletextpad=0.4)
    return axes


def plot_residual(response: SamplerResponse, axes: Axes) -> Axes:
    """Plot the error of the probability against sigma(2 lam)."""
    r = response
    axes.fill_between(r.lam, r.low - r.ideal, r.high - r.ideal, color=COLOURS[4], alpha=0.35, lw=0)
    axes.plot(r.lam, r.mean - r.ideal, color=COLOURS[4], lw=2.4)
    axes.plot(r.lam, r.nominal - r.ideal, color=COLOURS[0], lw=1.0)
    largest = max(float(np.abs(v - r.ideal).max()) for v in (r.low, r.high, r.nominal, r.mean))
    axes.set(xlabel="λ", ylabel="P(+1) − σ(2λ)", xlim=(-6, 6))
    axes.set_ylim(-1.15 * max(largest, 1e-6), 1.15 * max(largest, 1e-6))
    if largest < 1e-3:
        axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
    return axes


def plot_drive(response: SamplerResponse, axes: Axes) -> Axes:
    """Plot what the circuit applies over lam."""
    axes.plot(response.lam, response.drive, color=COLOURS[2])
    axes.set(xlabel="λ", ylabel=response.drive_name or "λ", xlim=(-6, 6))
    return axes


def plot_telegraph_trace(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the state of one device per lam over time, one above the other."""
    end = 30.0 * float(data.attrs["tau0"])
    for i in range(data.sizes["lam"]):
        time = np.arange(data.sizes["look"]) * float(data["interval"][i])
        shown = time <= end
        state = data["state"].values[i, shown, 0]
        axes.step(time[shown], 0.35 * state + i, where="post", color=COLOURS[(0, 1, 2)[i % 3]])
    axes.set_yticks(np.arange(data["lam"].size), [f"λ = {lam:g}" for lam in data["lam"].values])
    axes.set(xlabel="time", title="one free-running device", xlim=(0, end))
    axes.grid(axis="y", visible=False)
    si_axis(axes.xaxis, "s")
    return axes


def plot_autocorrelation(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the autocorrelation for every lam, and exp(-t / tau) with tau = tau0 / cosh(lam)."""
    for i, lam in enumerate(data["lam"].values):
        lag = data["lag"].values * float(data["interval"][i])
        tau, colour = float(data["expected_relaxation_time"][i]), COLOURS[(0, 1, 2)[i % 3]]
        shown = slice(0, 60, 3)
        axes.plot(lag[shown], data["autocorrelation"].values[i][shown], "o", ms=3, color=colour, label=f"λ = {lam:g}")
        axes.plot(lag[:61], np.exp(-lag[:61] / tau), color=colour, lw=0.9, label="exp(−t/τ)" if i == 0 else None)
    axes.set(xlabel="time between looks", ylabel="autocorrelation", ylim=(-0.05, 1.05))
    axes.legend(loc="upper right")
    si_axis(axes.xaxis, "s")
    return axes


def plot_dwell_times(data: xr.Dataset, axes: Axes, which: int = 1) -> Axes:
    """Plot the share of dwell times that are longer, for both states at one lam, and the exponential expected."""
    step, lam = float(data["interval"][which]), float(data["lam"][which])
    for i, (sign, name) in enumerate(((1, "+1"), (-1, "−1"))):
        share = data["survival"].sel(sign=sign).values[which]
        dwell = float(data["expected_dwell"].sel(sign=sign)[which])
        time = step * np.arange(share.size)
        there = (share > 3e-3) & (time < 6.0 * dwell)
        thin = np.flatnonzero(there)[:: max(1, there.sum() // 20)]
        axes.plot(time[thin], share[thin], "os"[i], ms=3, color=(_UP, _DOWN)[i],
                  label=f"state {name}, mean {format_quantity(dwell, 's')}")  # fmt: skip
        axes.plot(time[there], np.exp(-time[there] / dwell), color=(_UP, _DOWN)[i], lw=0.9)
    axes.set_yscale("log")
    plain_log(axes.yaxis)
    axes.set(xlabel="dwell time", ylabel="share of longer dwells", title=f"λ = {lam:g}")
    axes.legend(loc="upper right")
    si_axis(axes.xaxis, "s")
    return axes


def plot_relaxation_time(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the relaxation time over lam and tau0 / cosh(lam_eff)."""
    lam = data["lam"].values
    axes.plot(lam, data["relaxation_time"].values, "o", ms=4, color=COLOURS[0], label="measured")
    fine = np.linspace(lam.min(), lam.max(), 101)
    felt = data.attrs["slope"] * fine + data.attrs["offset"]
    axes.plot(fine, data.attrs["tau0"] / np.cosh(felt), color=COLOURS[1], lw=1, label="τ₀ / cosh λ")
    axes.set(xlabel="λ", ylabel="relaxation time", ylim=(0, None))
    axes.legend(loc="upper right")
    si_axis(axes.yaxis, "s")
    return axes


def plot_switching(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the probability to switch over the write amplitude, for several pulse widths, and what devices do."""
    from matplotlib.ticker import MaxNLocator

    own = float(data["width"][0])
    axes.fill_between(data["drive"], data["low"], data["high"], color=COLOURS[0], alpha=0.18, lw=0,
                      label="devices, 1–99 %")  # fmt: skip
    axes.plot(data["drive"], data["measured"], "o", ms=3, color=COLOURS[0], label="devices, mean")
    for i, width in enumerate(data["width"].values):
        axes.plot(data["amplitude"].values[i], data["probability"].values, color=COLOURS[(0, 1, 2, 3, 5)[i % 5]],
                  ls="-" if width == own else "--", lw=1, label=format_quantity(float(width), "s"))  # fmt: skip
    axes.set(xlabel="write amplitude", ylabel="probability to switch", ylim=(-0.03, 1.03))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="pulse width", title_fontsize="small")
    si_axis(axes.xaxis, str(data["amplitude"].attrs["units"]))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    return axes


def plot_width(data: xr.Dataset, axes: Axes) -> Axes:
    """Plot the amplitude for three probabilities over the pulse width, nominal device."""
    for i, wanted in enumerate((0.1, 0.5, 0.9)):
        at = [np.interp(0.5 * np.log(wanted / (1.0 - wanted)), data["lam"].values, a) for a in data["amplitude"].values]
        axes.plot(data["width"].values, at, "o-", ms=3, color=COLOURS[(4, 0, 3)[i]], label=f"P = {wanted:g}")
    _log_axis(axes, "s")
    axes.set(xlabel="pulse width", ylabel="write amplitude")
    si_axis(axes.yaxis, str(data["amplitude"].attrs["units"]))
    axes.legend(loc="lower left")
    return axes
