"""What will be learned next, as far as that is certain: the chip may compute it before its time.

With given labels, and an input whenever the chip is ready, one example after the other is learned, whatever the time.
What comes next is then certain until somebody looks at the chip: at the end of a task, or for a snapshot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from bimu_hw.accelerator.spec import AcceleratorSpec, ExampleSource
from bimu_hw.crossbar.chip import Chip, Encoded
from bimu_hw.crossbar.step import MOST_AT_ONCE
from bimu_hw.learning.policies import Given, LabelPolicy

Example = tuple[Encoded, int, int, int]


class Foresight:
    """Brings examples one after the other, and tells the chip what comes next.

    Parameters
    ----------
    source : ExampleSource
    chip : Chip
    next_look : callable
        Returns, for the index of an example, the first later one before which somebody looks at the chip.
    """

    def __init__(self, source: ExampleSource, chip: Chip, next_look: Callable[[int], int]) -> None:
        self._source, self._chip, self._next_look = source, chip, next_look
        self._coming: deque[Example] = deque()
        self._next = 0

    @staticmethod
    def is_certain(policy: LabelPolicy, spec: AcceleratorSpec, shared: bool) -> bool:
        """Return whether what is learned next, and nothing in between, is known.

        Every label is given (none depends on a prediction); inputs come when the chip is ready (none is dropped or
        overtaken); one job is served at a time (no other query draws weights meanwhile). Only the relaxed gradient has
        steps that can be computed ahead.
        """
        alone = isinstance(policy, Given) and spec.arrivals.kind == "back_to_back" and not shared
        return alone and spec.gradient == "relaxed"

    def example(self, index: int) -> Example:
        """Return an example; examples are asked for in order."""
        if not self._coming or self._next != index:
            end = max(index + 1, min(self._next_look(index), index + MOST_AT_ONCE, self._source.n_examples))
            self._coming = deque(self._source.examples(index, end))
            self._chip.foresee({i: (encoded, answer) for i, (encoded, _, answer, _) in enumerate(self._coming, index)})
        self._next = index + 1
        return self._coming.popleft()
