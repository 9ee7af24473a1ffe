"""How threads that are inside kernels meet: each posts how far it has come, and waits until the others are there too.

Handing work over through the interpreter takes as long as a fifth of a training step; two threads that look at the same
cache line find each other in a fraction of a microsecond. Only loads and stores of this file are seen by other threads
in the order in which they were made.

A *board* is int64[rank + 1, 8], a cache line for each rank and one for all: see the names of its places.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types

from bimu_hw.kernels import aligned_zeros, inline, jit

_I64 = np.int64
_WORD = ir.IntType(64)
_SIZE = 8

#: Places in a rank's line: meetings it has come to, steps it has begun, and whether it has left the kernel.
_MET, _BEGUN, _AWAY = 0, 1, 2
#: Places in the line of all: steps that were called for, whether ranks shall leave, what the step is about, whether it
#: turned out that there is nothing to update, and steps that were promised: until then no rank leaves by itself.
_CALLED, LEAVE, SLOT, LABEL, EVENT, NOTHING, _PROMISED = 0, 1, 2, 3, 4, 5, 6

#: Looks at the board between two offers of the processor to others, and before a rank leaves: some 10 and 1500 us.
_PATIENCE = np.int64(1 << 12)
_IDLE = np.int64(1 << 19)

intrinsic: Any = extending.intrinsic
#: Whether a thread that waits can offer its processor to others; without, there are no teams.
AVAILABLE = hasattr(os, "sched_yield")
_sched_yield = types.ExternalFunction("sched_yield", types.int32())


def new_board(ranks: int) -> np.ndarray:
    """Return a board on which nothing is posted; every rank but the first is away."""
    board: np.ndarray = aligned_zeros((ranks + 1, _SIZE), np.int64)
    clear(board)
    return board


def clear(board: np.ndarray) -> None:
    """Take everything off a board at which no rank looks."""
    board[...] = 0
    board[1:-1, _AWAY] = 1


def _place(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    row = builder.mul(args[1], ir.Constant(_WORD, _SIZE))
    return builder.gep(data, [builder.add(row, args[2])])


@intrinsic
def _look(typing_context, board, rank, place):
    """Return what is posted: what its poster wrote before is seen too."""

    def generate(context, builder, signature, args):
        return builder.load_atomic(_place(context, builder, signature, args), "seq_cst", 8)

    return types.int64(board, types.int64, types.int64), generate


@intrinsic
def _post(typing_context, board, rank, place, value):
    """Post a number: whoever sees it sees what was written before."""

    def generate(context, builder, signature, args):
        builder.store_atomic(args[3], _place(context, builder, signature, args), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(board, types.int64, types.int64, types.int64), generate


@inline(borrowed=True)
def _yield():
    if AVAILABLE:
        _sched_yield()


@inline(borrowed=True)
def meet(board, rank):
    """Wait until every rank has come to this meeting; return False if they shall leave: the team is dismissed."""
    ranks = board.shape[0] - 1
    if ranks == 1:
        return True
    mine = _look(board, _I64(rank), _I64(_MET)) + 1  # type: ignore[call-arg]  # numba passes the context
    _post(board, _I64(rank), _I64(_MET), mine)  # type: ignore[call-arg]
    looks = _I64(0)
    for other in range(ranks):
        while _look(board, _I64(other), _I64(_MET)) < mine:  # type: ignore[call-arg]
            looks += 1
            if looks % _PATIENCE == 0:
                _yield()
                if _look(board, _I64(ranks), _I64(LEAVE)) != 0:  # type: ignore[call-arg]
                    return False
    return True


@inline(borrowed=True)
def await_step(board, rank):
    """Wait for the next step; return False if there is none for long, or ranks shall leave."""
    next_step = board[rank, _BEGUN] + 1
    everyone, looks = _I64(board.shape[0] - 1), _I64(0)
    while _look(board, everyone, _I64(_CALLED)) < next_step:  # type: ignore[call-arg]
        looks += 1
        if looks % _PATIENCE == 0:
            _yield()
        leave = _look(board, everyone, _I64(LEAVE)) != 0  # type: ignore[call-arg]
        if leave or looks >= _IDLE:
            # First say so, then look again: whoever promises does it the other way round, so one of them knows.
            _post(board, _I64(rank), _I64(_AWAY), _I64(1))  # type: ignore[call-arg]
            if leave or _look(board, everyone, _I64(_PROMISED)) < next_step:  # type: ignore[call-arg]
                return False
            _post(board, _I64(rank), _I64(_AWAY), _I64(0))  # type: ignore[call-arg]
            looks = _I64(0)
    board[rank, _BEGUN] = next_step
    return True


@inline(borrowed=True)
def arrive(board, rank):
    """Say that this rank is in the kernel."""
    _post(board, _I64(rank), _I64(_AWAY), _I64(0))  # type: ignore[call-arg]


@jit
def promise(board, steps):
    """Promise all ranks a number of steps; return whether one of them is away and must be woken. *Mutates* `board`."""
    ranks = board.shape[0] - 1
    _post(board, _I64(ranks), _I64(_PROMISED), _I64(board[ranks, _CALLED] + steps))  # type: ignore[call-arg]
    away = False
    for rank in range(1, ranks):
        away |= _look(board, _I64(rank), _I64(_AWAY)) != 0  # type: ignore[call-arg]
    return away


@inline(borrowed=True)
def call(board, slot, event, label):
    """Call all ranks to a step. *Mutates* `board`."""
    ranks = board.shape[0] - 1
    board[ranks, SLOT], board[ranks, EVENT], board[ranks, LABEL] = slot, event, label
    _post(board, _I64(ranks), _I64(_CALLED), _I64(board[ranks, _CALLED] + 1))  # type: ignore[call-arg]
