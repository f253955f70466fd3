"""What the machine can do: the best rate of square matrix products, and of a copy. A yardstick, not a contestant."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.ours.system import facts
from benchmarks.protocol import Job

SIZES = (1024, 2048, 4096, 8192)
COPY_BYTES = 256 << 20  # far beyond any cache
REPEATS = 5
QUEUED = 4
BUDGET_S = 6.0
"""For each type of number: larger products are left out where they would take longer than what is left of it."""


class Peak:
    """`run` does nothing; the rates are in `costs`.

    `matmul_flops_per_s` by precision (fp32 as JAX does it by default, which is TF32 on an NVIDIA card), and
    `copy_bytes_per_s`, reading and writing counted.
    """

    unit = 1

    def __init__(self, job: Job):
        self.facts = facts()

    def run(self, steps: int) -> None:
        pass

    def losses(self, steps: int, path: str) -> list[list[float]]:
        raise ValueError("nothing is trained here")

    def costs(self) -> dict[str, Any]:
        return {
            "matmul_flops_per_s": {"fp32": _matmul(jnp.float32), "bf16": _matmul(jnp.bfloat16)},
            "copy_bytes_per_s": _copy(),
        }


def _matmul(dtype: Any) -> float:
    product = jax.jit(jnp.matmul)
    rate, start = 0.0, time.perf_counter()
    for n in SIZES:
        flops = 2 * n**3
        if rate and time.perf_counter() - start + (REPEATS + 1) * QUEUED * flops / rate > BUDGET_S:
            break
        # Not ones: a card runs faster on numbers that are all alike. Of a size that powers of it keep.
        a = jax.random.normal(jax.random.key(0), (n, n), dtype) / n**0.5
        rate = max(rate, flops / _least_seconds(partial(product, a), a))
    return rate


def _copy() -> float:
    x = jnp.zeros(COPY_BYTES // 4, jnp.float32)
    # In place, into memory that is there already: fresh pages cost more than the copy (2 GB/s on the machine at hand).
    return 2 * COPY_BYTES / _least_seconds(jax.jit(lambda x: x + 1, donate_argnums=0), x)


def _least_seconds(f: Callable[[jax.Array], jax.Array], x: jax.Array) -> float:
    """Of one call: each takes what the one before made, and several are queued, so that a card does not wait."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        for _ in range(QUEUED):
            x = f(x)
        jax.block_until_ready(x)
        times.append(time.perf_counter() - start)
    return min(times[1:]) / QUEUED


build = Peak
