"""Convolutions with Flax's parameters and results, without XLA's slow gradients.

Why: the gradients of a strided convolution and of `nn.ConvTranspose` use `lhs_dilation`, a convolution over an input
with zeros put in. XLA does it badly everywhere it has been measured (jax-ml/jax #23783, #31662; openxla/xla #34273). On
2 CPU cores, batch 128, 14x14x128 -> 28x28x64, kernel 4, stride 2: forward 190 ms, filter gradient 3,185 ms; in the form
below 17 and 24. `../benchmarks/NOTES.md` has the whole DCGAN step with one and the other.

How: a transposed convolution is the adjoint of a strided one, so forward passes and gradients of both need just three
primitives, all linear in x, y and w:

    forward   y = conv(x, w)
    adjoint   x = conv^T(y, w)
    filter    w = conv^T(x, y)

and the gradient of each is made of the other two, to any order. Forward-mode differentiation is not defined. On CPU
`convolution_cpu` computes them, with reasons and figures. On NVIDIA cards they are cuDNN's own three, and
`convolution_cuda` chooses the one that it is asked for; elsewhere they are left to XLA as they stand.

A kernel w is [*kernel, I, O], or with `out_first` [*kernel, O, I], as a transposed convolution has it: a layer's
gradient then comes in the layout of its parameter. Swapped afterwards, the swap is fused into whatever uses the
gradient, and Adam over the 512x1024 channels of a DCGAN 64x64 takes 75 ms of a core in the place of 20.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax

from jaxgen.models import convolution_cpu, convolution_cuda
from jaxgen.models.convolution_cpu import Pads, in_first, native_forward
from jaxgen.types import Array


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def conv(x: Array, w: Array, strides: tuple[int, ...], pads: Pads, out_first: bool = False) -> Array:
    """Strided convolution. x [B, *big, I] -> [B, *small, O]."""
    return lax.platform_dependent(
        x,
        w,
        cpu=partial(convolution_cpu.forward, strides=strides, pads=pads, out_first=out_first),
        cuda=lambda x, w: convolution_cuda.forward(x, in_first(w, out_first), strides, pads),
        default=lambda x, w: native_forward(x, in_first(w, out_first), strides, pads),
    )


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def conv_adjoint(
    y: Array, w: Array, strides: tuple[int, ...], pads: Pads, big: tuple[int, ...], out_first: bool = False
) -> Array:
    """The adjoint of `conv` in x. y [B, *small, O] -> [B, *big, I]."""
    return lax.platform_dependent(
        y,
        w,
        cpu=partial(convolution_cpu.adjoint, strides=strides, pads=pads, big=big, out_first=out_first),
        cuda=lambda y, w: _adjoint(convolution_cuda.forward, y, in_first(w, out_first), strides, pads, big),
        default=lambda y, w: _adjoint(native_forward, y, in_first(w, out_first), strides, pads, big),
    )


def _conv_fwd(x, w, strides, pads, out_first):
    return conv(x, w, strides, pads, out_first), (x, w)


def _conv_bwd(strides, pads, out_first, saved, dy):
    x, w = saved
    dx = conv_adjoint(dy, w, strides, pads, x.shape[1:-1], out_first)
    return dx, _filter(x, dy, strides, pads, w.shape[:-2], out_first)


def _adjoint_fwd(y, w, strides, pads, big, out_first):
    return conv_adjoint(y, w, strides, pads, big, out_first), (y, w)


def _adjoint_bwd(strides, pads, big, out_first, saved, dx):
    y, w = saved
    return conv(dx, w, strides, pads, out_first), _filter(dx, y, strides, pads, w.shape[:-2], out_first)


conv.defvjp(_conv_fwd, _conv_bwd)
conv_adjoint.defvjp(_adjoint_fwd, _adjoint_bwd)


def _filter(
    x: Array, y: Array, strides: tuple[int, ...], pads: Pads, kernel: tuple[int, ...], out_first: bool
) -> Array:
    """The gradient in w."""
    return lax.platform_dependent(
        x,
        y,
        cpu=partial(convolution_cpu.filter_gradient, strides=strides, pads=pads, kernel=kernel, out_first=out_first),
        cuda=lambda x, y: in_first(_gradient(convolution_cuda.forward, x, y, strides, pads, kernel), out_first),
        default=lambda x, y: in_first(_gradient(native_forward, x, y, strides, pads, kernel), out_first),
    )


Forward = Callable[[Array, Array, Sequence[int], Pads], Array]


def _gradient(
    forward: Forward, x: Array, y: Array, strides: tuple[int, ...], pads: Pads, kernel: tuple[int, ...]
) -> Array:
    w = jax.ShapeDtypeStruct((*kernel, x.shape[-1], y.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda w: forward(x, w, strides, pads), w)(y)[0]


def _adjoint(forward: Forward, y: Array, w: Array, strides: tuple[int, ...], pads: Pads, big: tuple[int, ...]) -> Array:
    x = jax.ShapeDtypeStruct((y.shape[0], *big, w.shape[-2]), y.dtype)
    return jax.linear_transpose(lambda x: forward(x, w, strides, pads), x)(y)[0]


class Conv(nn.Module):
    """`nn.Conv` for 1 to 3 axes: [B, *space, I] -> [B, *space / strides, features]."""

    features: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: str | Pads = "SAME"
    use_bias: bool = True
    dtype: Any = None
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()
    bias_init: Callable[..., Array] = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> Array:
        strides = self.strides or (1,) * len(self.kernel_size)
        x, kernel, bias = operands(self, x)
        pads = self.padding
        if isinstance(pads, str):
            pads = tuple(lax.padtype_to_pads(x.shape[1:-1], self.kernel_size, strides, pads))
        return add_bias(conv(x, kernel, strides, pads), bias)


class ConvTranspose(nn.Module):
    """`nn.ConvTranspose` for 1 to 3 axes: [B, *space, I] -> [B, *space * strides, features] with SAME padding."""

    features: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: str = "SAME"
    use_bias: bool = True
    dtype: Any = None
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()
    bias_init: Callable[..., Array] = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> Array:
        strides = self.strides or (1,) * len(self.kernel_size)
        x, kernel, bias = operands(self, x)
        # Flax slides the kernel as it is over the dilated input; an adjoint slides it reversed, from O to I.
        w = jnp.flip(kernel, axis=range(len(strides)))
        lows, big = _transposed_geometry(x.shape[1:-1], self.kernel_size, strides, self.padding)
        pads = tuple(
            (low, (n - 1) * s + k - low - m)
            for low, n, s, k, m in zip(lows, x.shape[1:-1], strides, self.kernel_size, big, strict=True)
        )
        return add_bias(conv_adjoint(x, w, strides, pads, big, out_first=True), bias)


def operands(layer: Any, x: Array) -> tuple[Array, Array, Array | None]:
    """(x, kernel, bias) in the type of a layer with the fields of `Conv`; the parameters are Flax's."""
    shape = (*layer.kernel_size, x.shape[-1], layer.features)
    kernel = layer.param("kernel", layer.kernel_init, shape)
    bias = layer.param("bias", layer.bias_init, (layer.features,)) if layer.use_bias else None
    x, kernel, bias = promote_dtype(x, kernel, bias, dtype=layer.dtype)
    return x, kernel, bias


def add_bias(x: Array, bias: Array | None) -> Array:
    return x if bias is None else x + bias.reshape((1,) * (x.ndim - 1) + (-1,))


def _transposed_geometry(
    small: Sequence[int], kernel: Sequence[int], strides: Sequence[int], padding: str
) -> tuple[list[int], tuple[int, ...]]:
    """The low padding of the strided convolution whose adjoint `lax.conv_transpose` is, and the size it comes from."""
    lows, big = [], []
    for n, k, s in zip(small, kernel, strides, strict=True):
        if padding == "SAME":
            total = k + s - 2
            before = k - 1 if s > k - 1 else -(-total // 2)
        elif padding == "VALID":
            total, before = k + s - 2 + max(k - s, 0), k - 1
        else:
            raise ValueError(f"padding is 'SAME' or 'VALID', not {padding!r}")
        lows.append(k - 1 - before)
        big.append((n - 1) * s + 1 + total - k + 1)
    return lows, tuple(big)
