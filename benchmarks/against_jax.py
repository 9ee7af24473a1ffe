"""One online training step of the published formulation in JAX against ours, in one run on one core.

Network [784, 100, 10], S = 5, batch 1, relaxed gradient, BiMU. The JAX code is our own writing of the published
equations (Cottart et al., ICML 2026, arXiv:2605.30198), jitted: once as published, with logarithm and hyperbolic
tangent, and once with the same algebra as ours, the rational form of the relaxed weight. Each is timed call by call, as
online learning needs it, and as a `lax.scan` over a hundred examples, which is the most a compiler can do for it. Time
is CPU time of the process, which is held to one core; best of many.

    python -m venv bench && bench/bin/pip install jax equinox . && bench/bin/python benchmarks/against_jax.py
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["NUMBA_NUM_THREADS"] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from training_step import RULE, examples, make_chip

from bimu_hw.cards import load_card

SIZES = (784, 100, 10)
N_SAMPLE = 5
SCAN = 100


@jax.custom_vjp
def gate(y: jax.Array) -> jax.Array:
    """Reverse binary gate with its surrogate derivative."""
    return (jnp.abs(y) > 1.0).astype(y.dtype)


def _gate_forward(y: jax.Array) -> tuple[jax.Array, jax.Array]:
    return gate(y), y


def _gate_backward(y: jax.Array, g: jax.Array) -> tuple[jax.Array]:
    inside = (jnp.abs(y) > 0.5) & (jnp.abs(y) < 1.5)
    return (g * jnp.where(inside, jnp.sign(y), 0.0),)


gate.defvjp(_gate_forward, _gate_backward)


def as_published(lam: jax.Array, u: jax.Array) -> jax.Array:
    """Return relaxed weights at temperature 1, with logarithms and a hyperbolic tangent."""
    return jnp.tanh(lam + 0.5 * (jnp.log(u) - jnp.log1p(-u)))


@jax.custom_vjp
def rational(lam: jax.Array, u: jax.Array) -> jax.Array:
    """Return the same weights by the addition theorem; the derivative is 1 - w**2."""
    v, m = 2.0 * u - 1.0, jnp.tanh(lam)
    return (v + m) / (1.0 + v * m)


def _rational_forward(lam: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
    w = rational(lam, u)
    return w, w


def _rational_backward(w: jax.Array, g: jax.Array) -> tuple[jax.Array, None]:
    return g * (1.0 - w * w), None


rational.defvjp(_rational_forward, _rational_backward)


class Network(eqx.Module):
    """Natural parameters, float32[n_out, n_in] by layer."""

    lam: list[jax.Array]


def make_step(relax: Callable[[jax.Array, jax.Array], jax.Array]) -> Callable[..., Network]:
    """Return one training step: network, example, label, key -> network."""

    def loss(network: Network, x: jax.Array, label: jax.Array, key: jax.Array) -> jax.Array:
        def one(sample_key: jax.Array) -> jax.Array:
            h = x
            for k, lam in enumerate(network.lam):
                u = jax.random.uniform(jax.random.fold_in(sample_key, k), lam.shape, minval=1e-7, maxval=1.0 - 1e-7)
                y = relax(lam, u) @ h
                y = (y - y.mean()) / jnp.sqrt(y.var() + 1e-5)
                h = gate(y) if k < len(network.lam) - 1 else y
            return -jax.nn.log_softmax(h)[label]

        return jax.vmap(one)(jax.random.split(key, N_SAMPLE)).mean()

    def update(lam: jax.Array, gradient: jax.Array) -> jax.Array:
        t = jnp.tanh(lam)
        g, s = RULE.likelihood_multiplier * gradient, RULE.kl_multiplier * (1.0 - t * t)
        alpha = 1.0 / (s + 2.0 * g * t + 2.0 * jnp.abs(g) + 1.0 / RULE.lr_max)
        return lam - alpha * (RULE.lr * g + lam * s / RULE.memory_window)

    def step(network: Network, x: jax.Array, label: jax.Array, key: jax.Array) -> Network:
        gradient = eqx.filter_grad(loss)(network, x, label, key)
        return jax.tree.map(update, network, gradient)

    return step


def best_and_median(call: Callable[[int], Any], n: int, skip: int = 10) -> tuple[float, float]:
    """Return CPU microseconds of one call; the first `skip` are not counted."""
    times = []
    for i in range(n + skip):
        start = time.process_time_ns()
        call(i)
        times.append((time.process_time_ns() - start) / 1000)
    return min(times[skip:]), float(np.median(times[skip:]))


def jax_times(relax: Callable[[jax.Array, jax.Array], jax.Array], n: int) -> dict[str, tuple[float, float]]:
    """Return the times of a step called by itself and of one inside a scan."""
    rng = np.random.default_rng(0)
    xs = jnp.asarray(rng.normal(size=(SCAN, SIZES[0])), jnp.float32)
    labels = jnp.arange(SCAN) % SIZES[-1]
    shapes = list(zip(SIZES[1:], SIZES[:-1], strict=True))
    network = Network([jnp.asarray(rng.uniform(-1, 1, s) / np.sqrt(s[1]), jnp.float32) for s in shapes])
    keys = jax.random.split(jax.random.key(0), SCAN)
    step = make_step(relax)
    single = jax.jit(step)
    rows = [(xs[i], labels[i], keys[i]) for i in range(SCAN)]
    state = [network]

    def one(i: int) -> None:
        state[0] = jax.block_until_ready(single(state[0], *rows[i % SCAN]))

    @jax.jit
    def many(network: Network) -> Network:
        return jax.lax.scan(lambda net, row: (step(net, *row), None), network, (xs, labels, keys))[0]

    call = best_and_median(one, n)
    scan = best_and_median(lambda i: jax.block_until_ready(many(network)), max(n // SCAN, 5), skip=1)
    return {"call by call": call, "in a scan": (scan[0] / SCAN, scan[1] / SCAN)}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    n = parser.parse_args().steps
    chip, encoded = make_chip(load_card("ideal_storage"), "deterministic", 1), examples()
    ours = best_and_median(lambda i: chip.learn(encoded[i % 64], i % 10, i, 0.0, RULE, "relaxed"), n)
    print(f"jax {jax.__version__}, equinox {eqx.__version__}, one core, CPU time of a training step")
    print(f"{'':40s} best us  median us  ratio of best  ratio of medians")
    print(f"{'ours':40s} {ours[0]:7.0f} {ours[1]:10.0f}")
    for name, relax in (("as published (log, tanh)", as_published), ("same algebra as ours", rational)):
        for how, (best, median) in jax_times(relax, n).items():
            print(
                f"{'JAX, ' + name + ', ' + how:40s} {best:7.0f} {median:10.0f} {best / ours[0]:14.1f} "
                f"{median / ours[1]:17.1f}"
            )


if __name__ == "__main__":
    main()
