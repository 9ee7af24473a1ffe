"""A component card at the resolution and line length of a scenario.

A card states what one conversion costs at one resolution and what one line costs at one length, because that is what
sources state. These rules carry the values over; they are crude, say so, and scale the range along with the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bimu_hw.cards import Card, Fact
from bimu_hw.errors import ScenarioError

MAX_ADC_BITS = 16

#: Growth of the energy of published converters per bit, and the exponent of their number of bits (arXiv:2404.06553, a
#: regression on the survey of converters; see `scale_adc`).
_ENERGY_PER_BIT = 10.0 ** ((6.02 - 3.2205) / 10.0)
_BITS_EXPONENT = -2.829

#: What a sense amplifier, alone or as a comparator, costs as a converter.
_SENSE = {"adc_convert_energy": "sense_energy", "adc_convert_time": "sense_time", "adc_area": "sense_area"}


def scale_adc(card: Card, bits: int, kind: str = "sar") -> Card:
    """Return a component card whose converter has another resolution or architecture.

    ``sar``: up to the card's reference resolution a converter works by successive approximation: energy, time and area
    follow its ``bits + 1`` steps (NeuroSim's rule for the time; its areas and energies follow it within a third from 4
    bits to 8). Beyond it energy grows at least as published converters do, 1.9 times per bit with a falling correction;
    that regression turns round below 5 bits and is not used there.

    ``flash``: all ``2**bits - 1`` decisions at once, each by a comparator that costs what the card's sense amplifier
    does, in the time of one (NeuroSim's rule).

    ``sense_amplifier``: one decision, 1 bit, whatever the kind.

    Parameters
    ----------
    card : Card
        A component card.
    bits : int
        0 for an exact converter, priced as the one the card states: no circuit is exact.
    kind : {"sar", "flash", "sense_amplifier"}

    Returns
    -------
    Card
        The card itself for 0 bits, and for a successive approximation of its reference resolution.

    Raises
    ------
    ScenarioError
        If `bits` is not an integer from 0 to 16.

    References
    ----------
    Peng, Huang, Luo, Sun, Yu, DNN+NeuroSim, IEDM 2019, doi:10.1109/IEDM19573.2019.8993491.
    Andrulis, Chen, Lee, Emer, Sze, arXiv:2404.06553 (regression on Murmann's ADC survey).
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not 0 <= bits <= MAX_ADC_BITS:
        raise ScenarioError(
            f"converter: got {bits!r} bits; allowed are integers from 1 to {MAX_ADC_BITS}, or 0 for an exact one."
        )
    costs = card.costs
    reference = costs["adc_reference_bits"].value
    if bits == 0 or (bits == reference and kind == "sar"):
        return card
    at = f"{bits} bits from {reference:g}"
    if bits == 1:
        changed = {
            adc: replace(costs[sense], why=f"sense amplifier: {costs[sense].why}") for adc, sense in _SENSE.items()
        }
    elif kind == "flash":
        n = 2**bits - 1
        factors = {"adc_convert_energy": n, "adc_convert_time": 1, "adc_area": n}
        changed = {
            adc: _scaled(costs[sense], factors[adc], f"{n} comparators side by side") for adc, sense in _SENSE.items()
        }
    else:
        steps = (bits + 1.0) / (reference + 1.0)
        survey = _ENERGY_PER_BIT ** (bits - reference) * (bits / reference) ** _BITS_EXPONENT
        energy = max(steps, survey) if bits > reference else steps
        factors = {"adc_convert_energy": energy, "adc_convert_time": steps, "adc_area": steps}
        changed = {name: _scaled(costs[name], factor, at) for name, factor in factors.items()}
    changed["adc_reference_bits"] = _exactly(costs["adc_reference_bits"], bits, at)
    return _with_costs(card, changed)


def scale_dac(card: Card, bits: int) -> Card:
    """Return a component card whose input converter has another resolution: a ladder costs its rungs.

    Parameters
    ----------
    card : Card
        A component card.
    bits : int
        0 for an exact converter, priced as the one the card states.
    """
    reference = card.costs["dac_reference_bits"]
    if bits in (0, reference.value):
        return card
    at = f"{bits} bits from {reference.value:g}"
    changed = {
        name: _scaled(card.costs[name], bits / reference.value, at) for name in ("dac_convert_energy", "dac_area")
    }
    changed["dac_reference_bits"] = _exactly(reference, bits, at)
    return _with_costs(card, changed)


def scale_digital(card: Card, bits: int) -> Card:
    """Return a component card whose digital units work on words of another width.

    An addition costs in proportion to the width; a multiplication, and a function made of as many additions as the word
    has bits, in proportion to its square (Horowitz's integer multipliers of 8 and 32 bits are 0.2 and 3.1 pJ, a power
    of 1.98). Time does not change.

    Parameters
    ----------
    card : Card
        A component card.
    bits : int

    References
    ----------
    Horowitz, Computing's energy problem, ISSCC 2014, doi:10.1109/ISSCC.2014.6757323.
    """
    reference = card.costs["digital_reference_bits"]
    if bits == reference.value:
        return card
    at = f"{bits} bits from {reference.value:g}"
    powers = {"digital_add_energy": 1, "digital_mac_energy": 2, "digital_function_energy": 2}
    changed = {name: _scaled(card.costs[name], (bits / reference.value) ** n, at) for name, n in powers.items()}
    changed["digital_reference_bits"] = _exactly(reference, bits, at)
    return _with_costs(card, changed)


def scale_lines(card: Card, n_cells: int) -> Card:
    """Return a component card whose lines have another number of cells; their energy follows the capacitance.

    Parameters
    ----------
    card : Card
        A component card.
    n_cells : int
        Cells on a line, at least 1. The share of the capacitance that no cell causes is scaled along with the rest.

    Raises
    ------
    ScenarioError
        If `n_cells` is below 1.
    """
    if n_cells < 1:
        raise ScenarioError(f"line: got {n_cells!r} cells; allowed are integers from 1.")
    reference = card.costs["line_reference_cells"]
    if n_cells == reference.value:
        return card
    at = f"{n_cells} cells from {reference.value:g}"
    changed = {
        name: _scaled(card.costs[name], n_cells / reference.value, at)
        for name in ("driver_drive_energy", "write_row_energy")
    }
    changed["line_reference_cells"] = _exactly(reference, n_cells, at)
    return _with_costs(card, changed)


def scale_supply(card: Card, reference: float, supply: float) -> Card:
    """Return a component card at another supply voltage: energies follow its square, as those of charged lines do.

    Times follow no law that holds for all circuits, and stay. The square itself is a rule of thumb: of three measured
    macros it holds within 13 % for two and is off by a factor of two for one (`docs/validation/silicon.md`).

    Parameters
    ----------
    card : Card
        A component card.
    reference, supply : float
        In volts, above 0.

    Raises
    ------
    ScenarioError
        If a voltage is not above 0.
    """
    if not (reference > 0.0 and supply > 0.0):
        raise ScenarioError(f"supply: got {supply:g} V from {reference:g} V; allowed are voltages above 0.")
    if supply == reference:
        return card
    factor, at = (supply / reference) ** 2, f"{supply:g} V from {reference:g} V"
    return _with_costs(card, {name: _scaled(f, factor, at) for name, f in card.costs.items()
                              if f.unit == "J" and name != "label_energy"})  # fmt: skip


def _scaled(fact: Fact, factor: float, at: str) -> Fact:
    return replace(
        fact, value=fact.value * factor, low=fact.low * factor, high=fact.high * factor,
        # What follows from an assumption is one.
        kind="assumed" if fact.kind == "assumed" else "derived", why=f"{fact.why} (scaled to {at})",
    )  # fmt: skip


def _exactly(fact: Fact, value: float, at: str) -> Fact:
    return replace(fact, value=float(value), low=float(value), high=float(value), why=f"scaled to {at}")


def _with_costs(card: Card, changed: Mapping[str, Fact]) -> Card:
    return replace(card, costs={**card.costs, **changed})
