"""How `convolution`'s primitives are computed on NVIDIA cards: by cuDNN, whose three they are. Figures: H100, TF32.

Along one axis a convolution of stride s is one of stride 1 over blocks of s entries, which lie side by side in memory:
[B, n, C] is read as [B, n / s, s C] without a copy. Kernel 25, stride 4 becomes 7 taps of 4 entries: 12% more products,
but cuDNN has its best kernels for them, with even padding and no conversions before. 16 x 8192x32 -> 2048x64 and back,
with gradients: 0.41 ms as it stands, 0.36 with a zero tap that makes the padding even, 0.25 so. On more axes the blocks
would have to be copied: a step of DCGAN 28x28 in bf16 0.80 ms as it stands, 0.89 so.
"""

from collections.abc import Sequence

import jax.numpy as jnp

from jaxgen.models.convolution_cpu import native_forward
from jaxgen.models.two_taps import Pads
from jaxgen.types import Array


def forward(x: Array, w: Array, strides: Sequence[int], pads: Pads) -> Array:
    """`convolution.conv`; its transposes are the other two."""
    if len(strides) == 1 and strides[0] > 1 and x.shape[1] % strides[0] == 0:
        return _of_blocks(x, w, strides[0], *pads[0])
    return native_forward(x, w, strides, pads)


def _of_blocks(x: Array, w: Array, stride: int, low: int, high: int) -> Array:
    """x [B, n, I], w [k, I, O] -> [B, m, O] by blocks of `stride` entries."""
    n, k, m = x.shape[1], w.shape[0], (x.shape[1] + low + high - w.shape[0]) // stride + 1
    before = -(-low // stride)  # blocks that the padding reaches into; the kernel then begins so far within one:
    start = before * stride - low
    blocks = -(-(start + k) // stride)
    w = jnp.pad(w, [(start, blocks * stride - start - k), (0, 0), (0, 0)])
    return native_forward(
        x.reshape(len(x), n // stride, -1),
        w.reshape(blocks, -1, w.shape[-1]),
        (1,),
        ((before, m - 1 + blocks - before - n // stride),),
    )
