"""The compiler options that matter, for whoever calls `jax.jit`."""

from functools import cache

import jax
import jax.numpy as jnp

# XLA sends 2-D fp32 convolutions on CPU to YNNPACK, whose filter gradient is 2.4-20x slower than the one it replaces
# (jaxlib 0.10.2 and 0.12.0). Dot products and reductions are best left with it.
_CPU: dict[str, str | bool] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"
}

# XLA chooses NHWC on Hopper cards for two axes, NCHW for three and on older cards in fp32, with copies before and after
# each: 3-D block of the benchmark on an H100 1.23 ms, with this 0.92.
_CUDA: dict[str, str | bool] = {"xla_gpu_force_conv_nhwc": True}


@cache
def compiler_options() -> dict[str, str | bool]:
    """Options for `jax.jit(..., compiler_options=...)` or `lowered.compile(...)` on the default backend.

    Only the outermost `jit` takes options; `jax.pmap` takes them through `.lower(...).compile(compiler_options=...)`.
    Empty on other backends than CPU and CUDA, and where this jaxlib does not know the option. On CUDA they are not for
    programs with fp64 convolutions, which cuDNN has in the other layout only.
    """
    options = _options(jax.devices()[0].client.platform_version)
    if not options:
        return {}
    try:
        jax.jit(lambda x: x + 1).lower(jnp.zeros(())).compile(compiler_options=dict(options))
    except jax.errors.JaxRuntimeError:  # a later jaxlib may drop the option, as it fixes what made it needed
        return {}
    return dict(options)


def _options(platform_version: str) -> dict[str, str | bool]:
    for name, options in {"cpu": _CPU, "cuda": _CUDA}.items():
        if name in platform_version.lower():
            return options
    return {}
