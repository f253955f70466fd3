"""The compiler options that matter, for whoever calls `jax.jit`."""

from functools import cache

import jax
import jax.numpy as jnp
from jax.stages import Compiled, Lowered

# XLA sends 2-D fp32 convolutions on CPU to YNNPACK, whose filter gradient is 2.4-20x slower than the one it replaces
# (jaxlib 0.10.2 and 0.12.0). Reductions are best left with it; so are the large dot products of an MLP, but not the
# tall ones between convolutions, into which it takes broadcasts and sums from around them. Steps on two Xeon cores with
# dots in YNNPACK | without: digits GAN 63 ms | 71, conv VAE 44 | 46; DCGAN 28x28 593 | 549, article's GAN 639 | 629,
# residual GANs of levels 184 | 168, of X-rays 175 | 161, of faces 157 | 150.
_YNN = "xla_cpu_experimental_ynn_fusion_type"
_CPU: dict[str, str | bool] = {_YNN: "LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE"}
_CPU_CONVOLUTIONS: dict[str, str | bool] = {_YNN: "LIBRARY_FUSION_TYPE_REDUCE"}

# XLA chooses NHWC on Hopper cards for two axes, NCHW for three and on older cards in fp32, with copies before and after
# each: 3-D block of the benchmark on an H100 1.23 ms, with this 0.92.
_CUDA: dict[str, str | bool] = {"xla_gpu_force_conv_nhwc": True}


@cache
def compiler_options(convolutions: bool = False) -> dict[str, str | bool]:
    """Options for `jax.jit(..., compiler_options=...)` or `lowered.compile(...)` on the default backend.

    `convolutions` says that a network of convolutions is to be compiled. Only the outermost `jit` takes options;
    `jax.pmap` takes them through `.lower(...)`, as `compiled` does. Empty on other backends than CPU and CUDA, and
    where this jaxlib does not know the option. On CUDA they are not for programs with fp64 convolutions, which cuDNN
    has in the other layout only.
    """
    options = _options(jax.devices()[0].client.platform_version, convolutions)
    if not options:
        return {}
    try:
        jax.jit(lambda x: x + 1).lower(jnp.zeros(())).compile(compiler_options=dict(options))
    except jax.errors.JaxRuntimeError:  # a later jaxlib may drop the option, as it fixes what made it needed
        return {}
    return dict(options)


def compiled(lowered: Lowered) -> Compiled:
    """`lowered.compile()` with the options that suit the program."""
    return lowered.compile(compiler_options=compiler_options("stablehlo.convolution" in lowered.as_text()))


def _options(platform_version: str, convolutions: bool) -> dict[str, str | bool]:
    for name, options in {"cpu": _CPU_CONVOLUTIONS if convolutions else _CPU, "cuda": _CUDA}.items():
        if name in platform_version.lower():
            return options
    return {}
