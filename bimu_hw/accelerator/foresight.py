"""What will be learned next, as far as that is certain: the chip may compute it before its time.

With given labels, and an input whenever the chip is ready, one example after the other is learned, whatever the time.
What comes next is then certain until somebody looks at the chip: at the end of a task, or for a snapshot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from bimu_hw.accelerator.spec import ExampleSource
from bimu_hw.crossbar.chip import Chip, Encoded
from bimu_hw.crossbar.step import MOST_AT_ONCE

Example = tuple[Encoded, int, int, int]


class Foresight:
    """A source that tells the chip what comes next.

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
        self._first = 0

    def example(self, index: int) -> Example:
        """Return an example; examples are asked for in order."""
        if not self._coming or self._first != index:
            end = min(self._next_look(index), index + MOST_AT_ONCE, self._source.n_examples)
            self._coming = deque(self._source.example(i) for i in range(index, max(end, index + 1)))
            self._chip.foresee({i: (encoded, answer) for i, (encoded, _, answer, _) in enumerate(self._coming, index)})
        self._first = index + 1
        return self._coming.popleft()
