"""The accelerator that a scenario describes."""

from __future__ import annotations

from bimu_hw.accelerator.architecture import Architecture
from bimu_hw.accelerator.arrivals import Arrivals
from bimu_hw.accelerator.clock import TICKS_PER_SECOND, to_seconds, to_ticks
from bimu_hw.accelerator.oracle import label_times
from bimu_hw.accelerator.plan import WorkPlan
from bimu_hw.accelerator.spec import AcceleratorSpec, Pause, Sleep
from bimu_hw.errors import ScenarioError
from bimu_hw.scenario.model import Scenario


def architecture_of(scenario: Scenario) -> Architecture:
    """Return what the parts of the chip share, and what works side by side."""
    a, accelerator = scenario.architecture, scenario.accelerator
    retries = accelerator.verify_retries
    return Architecture(
        a.pipeline, a.in_flight or 1, a.tiles_per_adc, a.samplers_per_tile or 0, a.digital_units,
        a.tile_groups if a.interconnect == "bus" else 0, a.write_drivers or 0, -1 if retries is None else retries,
    )  # fmt: skip


def accelerator_spec(scenario: Scenario, tasks: int, n_examples: int) -> AcceleratorSpec:
    """Return when inputs come, who waits where and what is powered.

    Raises
    ------
    ScenarioError
        If the arrival trace is shorter than the stream.
    ScheduleError
        If a duration is not zero and shorter than a tick.
    """
    a, labels = scenario.accelerator, scenario.labels
    if scenario.trace is not None and len(scenario.trace) < n_examples:
        raise ScenarioError(
            f"accelerator.trace: {a.trace!r} has {len(scenario.trace)} arrivals for {n_examples} examples; give a "
            "longer one, or fewer stream.examples."
        )
    times = label_times(
        labels.latency, labels.distribution, labels.latency_sigma or 0.0, labels.annotators or 0,
        labels.deadline or 0.0, scenario.seeds.noise,
    )  # fmt: skip
    costs = scenario.component_card.costs
    sleep = None
    if a.sleep_after is not None:
        after = to_ticks(a.sleep_after, "accelerator.sleep_after")
        sleep = Sleep(after, to_ticks(costs["wake_time"].value, "components, wake_time"))
    return AcceleratorSpec(
        Arrivals(a.arrivals, a.rate or 0.0, scenario.seeds.data, scenario.trace),
        0 if a.queue == "unbounded" else a.queue, times, a.power_gating, scenario.learning.gradient,
        tuple(
            Pause(None if p.after_task == "every" else p.after_task, p.duration, p.temperature)
            for p in scenario.ageing
        ),
        tasks, a.when_full == "back_pressure", a.priority,
        to_ticks(a.refresh_interval or 0.0, "accelerator.refresh_interval"), sleep,
    )  # fmt: skip


def check_load(scenario: Scenario, plan: WorkPlan, spec: AcceleratorSpec) -> None:
    """Refuse what could never keep up: queues that would grow as long as the stream lasts.

    Raises
    ------
    ScenarioError
        If inputs come faster than they could be served at best and their queue is unbounded, requests come faster than
        annotators answer, or a refresh takes longer than its interval.
    """
    a, labels = scenario.accelerator, scenario.labels
    refresh = sum(block.ticks for block in plan.refresh[1].blocks)
    if spec.refresh and refresh >= spec.refresh:
        raise ScenarioError(
            f"accelerator.refresh_interval: got {to_seconds(spec.refresh):g} s, and one refresh takes "
            f"{to_seconds(refresh):g} s; allowed is more than that."
        )
    if a.rate is None:
        return
    asked = (labels.rate or 0.0) if labels.policy == "random" else float(labels.policy == "always")
    again = plan.reforward or not spec.labels.prompt or plan.architecture.pipeline == "queries"
    given = labels.policy == "given"
    ticks = plan.least_ticks(1.0 if given else 1.0 + asked * again, 1.0 if given else asked)
    load = a.rate * ticks / TICKS_PER_SECOND
    if not spec.queue and load >= 1.0:
        raise ScenarioError(
            f"accelerator.rate: got {a.rate:g} Hz, and a query takes {to_seconds(round(ticks)):.3g} s at least, so "
            f"that an unbounded queue would grow for ever; allowed is below {a.rate / load:.3g} Hz, or a bounded queue."
        )
    work = a.rate * asked * labels.latency
    if labels.annotators and not labels.deadline and work >= labels.annotators:
        raise ScenarioError(
            f"labels.annotators: got {labels.annotators} for labels of {labels.latency:g} s each, {a.rate * asked:g} "
            f"of them per second, so that their requests would wait longer and longer; allowed is more than {work:g}, "
            "or give labels.deadline."
        )
