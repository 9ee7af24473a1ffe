"""The cells that are still to run: which come next, in what batches, and what became of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

from bimu_hw.sweep.batch import Batch, Outcome
from bimu_hw.sweep.plan import Plan

#: A batch of short cells takes about this long: writing its file then costs little, and a death loses little.
_BATCH_SECONDS = 4.0
_LARGEST = 100
#: How often a cell may be lost by no fault of its own before it is one.
_LOSSES = 10


class Work:
    """All that is to be done, and its state.

    Parameters
    ----------
    plan : Plan
    out : str
        Folder of the sweep, as an absolute path.
    numbers : iterable of int
        The cells of the plan that are to run, in order.
    retries : int
        How often a cell that fails runs again.
    batch_size : int or None
        Cells per batch; None: as many as take a few seconds.
    keep_runs : bool
    tell : callable
        Is told the outcome of each attempt, and whether it was the last one.
    say : callable
        Is told, in sentences, what an engine waits for.

    Attributes
    ----------
    n_open : int
        Cells without a last outcome.
    """

    def __init__(
        self, plan: Plan, out: str, numbers: Iterable[int], retries: int, batch_size: int | None, keep_runs: bool,
        tell: Callable[[int, Outcome, bool], None], say: Callable[[str], None] = lambda sentence: None,
    ) -> None:  # fmt: skip
        self._plan, self._out, self._keep_runs = plan, out, keep_runs
        # The same cell may stand at two places of the result; it runs once.
        self._numbers = {plan.keys[i]: i for i in reversed(list(numbers))}
        self._waiting = deque(sorted(self._numbers, key=self._numbers.__getitem__))
        self.n_open = len(self._waiting)
        self._retries, self._batch_size = retries, batch_size
        self._failures: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()
        self._alone: set[str] = set()
        self._tell = tell
        self.say = say
        self._mean: float | None = None

    @property
    def idle(self) -> bool:
        """Whether no cell waits: those that are open are with some process."""
        return not self._waiting

    def next_batch(self, n_workers: int) -> Batch | None:
        """Return the next batch for one of some processes; None if no cell waits."""
        if not self._waiting:
            return None
        size = self._size(n_workers)
        keys = [self._waiting.popleft()]
        while len(keys) < size and self._waiting and not self._alone & {keys[0], self._waiting[0]}:
            keys.append(self._waiting.popleft())
        cells = tuple((key, self._plan.content(self._numbers[key])) for key in keys)
        plan = self._plan
        identity = plan.identity["source_digest"]
        return Batch(self._out, plan.name, plan.folder, cells, identity, self._keep_runs, _BATCH_SECONDS)

    def _size(self, n_workers: int) -> int:
        if self._batch_size is not None:
            return self._batch_size
        if self._mean is None:  # nothing is known of their length
            return 1
        fair = -(-len(self._waiting) // (2 * max(1, n_workers)))
        return max(1, min(int(_BATCH_SECONDS / max(self._mean, 1e-3)), fair, _LARGEST))

    def settle(self, outcome: Outcome) -> None:
        """Take in what became of a cell."""
        key = outcome.key
        if outcome.kind == "done":
            if not outcome.warming:
                new = outcome.seconds
                self._mean = new if self._mean is None else 0.7 * self._mean + 0.3 * new
            self._end(outcome)
        elif outcome.kind == "lost":
            self._losses[key] += 1
            if self._losses[key] > _LOSSES:
                message = f"its process ended {_LOSSES} times while another cell ran"
                self._end(Outcome(key, "killed", 0.0, message, "", outcome.host))
            else:
                self._alone |= {key} if outcome.alone else set()
                self._waiting.appendleft(key)
        else:
            self._failures[key] += 1
            if self._failures[key] > self._retries:
                self._end(outcome)
            else:
                self._tell(self._numbers[key], outcome, False)
                # What broke once runs alone: nothing else is lost with it.
                self._alone.add(key)
                self._waiting.append(key)

    def _end(self, outcome: Outcome) -> None:
        self.n_open -= 1
        self._tell(self._numbers[outcome.key], outcome, True)
