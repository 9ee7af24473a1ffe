"""Stages of jobs one by one, in plain Python: what `bimu_hw.accelerator.machine` accounts for in one go.

Whoever uses it is told of the end of every single stage, so that an accelerator on it goes from event to event.
"""

from __future__ import annotations

import heapq


class PlainStages:
    """Jobs in flight; the ends of stages lie in a heap, and every kind of unit has a line of those that wait."""

    def __init__(self, capacities):
        self.free = list(capacities)
        self.lines = [[] for _ in capacities]
        self.ends = []
        self.jobs = {}
        self.finished = []
        self.count = 0

    def _number(self):
        self.count += 1
        return self.count

    def submit(self, slot, segments, ticks, priority, now):
        self._pass(now)
        self.jobs[slot] = [list(segments), 0, priority]
        self._begin(slot, now)

    def _begin(self, slot, now):
        segment = self.jobs[slot][0].pop(0)
        self.jobs[slot][1] = segment.chains
        for _ in range(segment.chains):
            self._ask((slot, [(int(u), int(t)) for u, t in zip(segment.units, segment.ticks, strict=True)]), now)

    def _ask(self, chain, now):
        unit = chain[1][0][0]
        if self.free[unit]:
            self.free[unit] -= 1
            self._start(chain, now)
        else:
            heapq.heappush(self.lines[unit], (self.jobs[chain[0]][2], self._number(), chain))

    def _start(self, chain, now):
        heapq.heappush(self.ends, (now + chain[1][0][1], self._number(), chain))

    def due(self):
        if self.finished:
            return self.now
        return self.ends[0][0] if self.ends else None

    def done(self, now):
        self._pass(now)
        found, self.finished = self.finished, []
        return found

    def _pass(self, now):
        self.now = now
        while self.ends and self.ends[0][0] <= now:
            tick, _, (slot, stages) = heapq.heappop(self.ends)
            unit = stages[0][0]
            if self.lines[unit]:
                self._start(heapq.heappop(self.lines[unit])[2], tick)
            else:
                self.free[unit] += 1
            if stages[1:]:
                self._ask((slot, stages[1:]), tick)
                continue
            self.jobs[slot][1] -= 1
            if self.jobs[slot][1] == 0:
                if self.jobs[slot][0]:
                    self._begin(slot, tick)
                else:
                    del self.jobs[slot]
                    self.finished.append(slot)


class PlainChain:
    """One job at a time, stage after stage."""

    def __init__(self):
        self.stages = []
        self.slot = None

    def submit(self, slot, segments, ticks, priority, now):
        assert self.slot is None
        self.slot, tick, self.stages = slot, now, []
        for segment in segments:
            for _ in range(segment.chains):
                for duration in segment.ticks:
                    tick += int(duration)
                    self.stages.append(tick)

    def due(self):
        return self.stages[0] if self.stages else None

    def done(self, now):
        if self.slot is None:
            return []
        self.stages = [tick for tick in self.stages if tick > now]
        if self.stages:
            return []
        slot, self.slot = self.slot, None
        return [slot]
