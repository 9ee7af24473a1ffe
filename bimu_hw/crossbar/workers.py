"""Threads inside one run: a range is cut into parts, and each part writes its own outputs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise


class Workers:
    """A fixed number of threads for kernels that release the interpreter lock.

    Parameters
    ----------
    threads : int
        1 calls everything in place.

    Attributes
    ----------
    threads : int
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, "bimu") if threads > 1 else None

    def split(self, n: int, part: Callable[[int, int], None]) -> None:
        """Call ``part(first, last)`` for consecutive ranges that cover 0 .. n - 1, one per thread.

        No output may be shared between parts: then the result does not depend on the number of threads.
        """
        if self._pool is None or n < 2 * self.threads:
            part(0, n)
            return
        edges = [n * t // self.threads for t in range(self.threads + 1)]
        futures = [self._pool.submit(part, a, b) for a, b in pairwise(edges[1:])]
        part(edges[0], edges[1])
        for future in futures:
            future.result()

    def split_numbered(self, n: int, part: Callable[[int, int, int], None]) -> None:
        """Do what `split` does with parts that are also told their number, from 0, to find work space of their own."""
        if self.threads == 1:
            part(0, n, 0)
        else:
            self.split(n, lambda first, last: part(first, last, -(-first * self.threads // n)))
