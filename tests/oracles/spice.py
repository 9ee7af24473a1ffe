"""A SPICE in miniature: resistors, voltage sources and one operating point, by dense nodal analysis.

Run as a script with the arguments of ngspice it prints what ngspice prints, so that the commands around ngspice are
tested where there is none.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def read(text):
    """Return the resistors and sources of a netlist: {name: (node, node, value)}, names in lower case."""
    found = {}
    for line in text.splitlines()[1:]:
        words = line.split()
        if not words or line[0] in "*.":
            continue
        if line[0] in "Rr":
            name, a, b, value = words
        elif line[0] in "Vv":
            name, a, b, dc, value = words
            assert dc == "DC"
        else:
            continue  # commands
        assert name.lower() not in found, f"{name} twice"
        found[name.lower()] = (a, b, float(value))
    return found


def operating_point(elements):
    """Return the current of every source, counted from its positive node through the source."""
    nodes = sorted({node for a, b, _ in elements.values() for node in (a, b)} - {"0"})
    index = {node: k for k, node in enumerate(nodes)}
    sources = [name for name in elements if name.startswith("v")]
    n, size = len(nodes), len(nodes) + len(sources)
    matrix, right = np.zeros((size, size)), np.zeros(size)
    for name, (a, b, value) in elements.items():
        if name.startswith("r"):
            for p, q in ((a, b), (b, a)):
                if p != "0":
                    matrix[index[p], index[p]] += 1.0 / value
                    if q != "0":
                        matrix[index[p], index[q]] -= 1.0 / value
        else:
            k = n + sources.index(name)
            right[k] = value
            for node, sign in ((a, 1.0), (b, -1.0)):
                if node != "0":
                    matrix[index[node], k] += sign
                    matrix[k, index[node]] += sign
    return dict(zip(sources, np.linalg.solve(matrix, right)[n:], strict=True))


def main(error: float = 0.0) -> None:
    """Print the currents of all sources of the netlist named last, the first one with a relative error."""
    found = operating_point(read(Path(sys.argv[-1]).read_text(encoding="ascii")))
    for k, (name, ampere) in enumerate(found.items()):
        print(f"i({name}) = {ampere * (1.0 + error * (k == len(found) - 1)):.16e}")


if __name__ == "__main__":
    main()
