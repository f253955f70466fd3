"""What the machine can do: the best rate of square matrix products, and of a copy. A yardstick, not a contestant."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.ours.system import facts
from benchmarks.protocol import Job

SIZES = (1024, 2048, 4096)
COPY_BYTES = 256 << 20  # far beyond any cache
REPEATS = 5
BUDGET_S = 6.0
"""For each type of number: larger products are left out where the ones before have used it up."""


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
    best, start = 0.0, time.perf_counter()
    for n in SIZES:
        if time.perf_counter() - start < BUDGET_S:
            a = jnp.ones((n, n), dtype)
            best = max(best, 2 * n**3 / _least_seconds(product, a, a))
    return best


def _copy() -> float:
    x = jnp.zeros(COPY_BYTES // 4, jnp.float32)
    # In place, into memory that is there already: fresh pages cost more than the copy (2 GB/s on the machine at hand).
    add = jax.jit(lambda x: x + 1, donate_argnums=0)
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        x = add(x).block_until_ready()
        times.append(time.perf_counter() - start)
    return 2 * COPY_BYTES / min(times[1:])


def _least_seconds(f: Callable[..., jax.Array], *args: jax.Array) -> float:
    f(*args).block_until_ready()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        f(*args).block_until_ready()
        times.append(time.perf_counter() - start)
    return min(times)


build = Peak
