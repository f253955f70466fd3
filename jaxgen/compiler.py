"""The one compiler option that matters, for whoever calls `jax.jit`."""

from functools import cache

import jax
import jax.numpy as jnp

# XLA sends 2-D fp32 convolutions on CPU to YNNPACK, whose filter gradient is 2.4-20x slower than the one it replaces
# (jaxlib 0.10.2 and 0.12.0). Dot products and reductions are best left with it.
_CPU: dict[str, str | bool] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"
}


@cache
def compiler_options() -> dict[str, str | bool]:
    """Options for `jax.jit(..., compiler_options=...)` or `lowered.compile(...)` on the default backend.

    Only the outermost `jit` takes options; `jax.pmap` takes them through `.lower(...).compile(compiler_options=...)`.
    Empty off CPU, and where this jaxlib does not know the option.
    """
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda x: x + 1).lower(jnp.zeros(())).compile(compiler_options=dict(_CPU))
    except jax.errors.JaxRuntimeError:  # a later jaxlib may drop the option, as it fixes what made it needed
        return {}
    return dict(_CPU)
