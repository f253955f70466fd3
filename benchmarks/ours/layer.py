"""One layer by itself. Options: `op`, `shape` [*space, C], `batch`, `gradients`, `flax`, and what the op takes.

The ops are `conv` and `conv_transpose` (`features`, `kernel`, `stride`), `conv_pair` (one down and one up, with leaky
ReLU), `up_conv` and `down_conv` (`features`), `batch_norm`, `group_norm`, `layer_norm`, `instance_norm`, `blur`
(`length`, `stride`; zero padding), `average`, `nearest`, `bilinear`. With `gradients` a step is the value and the
gradients in the input and the parameters, for a fixed cotangent; else the value alone. With `flax` it is Flax's or
lax's own form.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

import jaxgen
from benchmarks.ours.system import facts
from benchmarks.protocol import Job
from jaxgen.models import convolution, normalisation, resample
from jaxgen.models.layers import leaky_relu

Apply = Callable[..., jax.Array]


class Layer:
    """`apply(x, *params)` on one input, with or without its gradients."""

    unit = 1

    def __init__(self, job: Job):
        options = job["options"]
        self.facts = facts()
        self._apply, shapes = operation(options)
        rng = np.random.default_rng(0)
        x = jnp.array(rng.normal(size=(options["batch"], *options["shape"])), jnp.float32)
        params = [jnp.array(_initial(rng, shape)) for shape in shapes]
        y = jax.eval_shape(self._apply, x, *params)
        cotangent = jnp.array(rng.normal(size=y.shape), jnp.float32)
        self._gradients = options["gradients"]
        self._inputs = (cotangent, x, *params) if self._gradients else (x, *params)
        step = self._value_and_gradients if self._gradients else self._apply
        self._step = jax.jit(step, compiler_options=jaxgen.compiler_options(convolutions=True) or None)

    def run(self, steps: int) -> None:
        out = None
        for _ in range(steps):
            out = self._step(*self._inputs)
            if self.facts["device"] == "cpu":  # where steps that do not hang together would run at the same time
                jax.block_until_ready(out)
        jax.block_until_ready(out)

    def losses(self, steps: int, path: str) -> list[list[float]]:
        """Each array of a step's results times one probe a "loss": see `probed`. Writes what the step is given."""
        names = ["x", *(f"p{i}" for i in range(len(self._inputs) - 1 - self._gradients))]
        names = ["c", *names] if self._gradients else names
        np.savez(path, **dict(zip(names, map(np.array, self._inputs), strict=True)))  # pyright: ignore[reportArgumentType]
        out = [np.array(a) for a in jax.tree.leaves(self._step(*self._inputs))]
        return [[probed(a, i) for a in out] for i in range(steps)]

    def _value_and_gradients(self, cotangent: jax.Array, *inputs: jax.Array) -> Any:
        y, pull = jax.vjp(self._apply, *inputs)
        return y, pull(cotangent)


build = Layer


def probed(a: np.ndarray, i: int) -> float:
    """The product with probe `i`, over the root of the size: of the size of an entry, and entries that changed places
    would show."""
    probe = np.cos((i + 1) * 0.7 * np.arange(a.size) + i)
    return float(probe @ a.ravel().astype(np.float64) / np.sqrt(a.size))


def _initial(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Vectors about 1; kernels of about unit gain."""
    if len(shape) == 1:
        return (1 + 0.1 * rng.normal(size=shape)).astype(np.float32)
    return (rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)


def operation(options: Mapping[str, Any]) -> tuple[Apply, list[tuple[int, ...]]]:
    """(apply(x, *params), shapes of the parameters in Flax's layout). Raises `ValueError` for an unknown op."""
    op, n_axes, channels = options["op"], len(options["shape"]) - 1, options["shape"][-1]
    flax = bool(options.get("flax"))
    if op in ("conv", "conv_transpose", "conv_pair", "up_conv", "down_conv"):
        return _convolution(op, options, n_axes, channels, flax)
    if op in ("batch_norm", "group_norm", "instance_norm", "layer_norm"):
        return _normalisation(op, flax), [(channels,), (channels,)]
    if op == "blur":
        length, stride = options["length"], options.get("stride", 1)
        if flax:
            return lambda x: _depthwise_blur(x, length, stride), []
        return lambda x: resample.blur(x, length, stride, "zero"), []
    resamplings: dict[str, tuple[Apply, Apply]] = {
        "average": (resample.average_down, lambda x: nn.avg_pool(x, (2,) * n_axes, (2,) * n_axes)),
        "nearest": (resample.nearest_up, _repeated),
        "bilinear": (resample.bilinear_up, _resized),
    }
    if op not in resamplings:
        raise ValueError(f"there is no op {op!r}")
    return resamplings[op][flax], []


def _convolution(
    op: str, options: Mapping[str, Any], n_axes: int, channels: int, flax: bool
) -> tuple[Apply, list[tuple[int, ...]]]:
    features, size = options["features"], (options.get("kernel", 3),) * n_axes
    strides = (options.get("stride", 1),) * n_axes
    down_cls, up_cls = (nn.Conv, nn.ConvTranspose) if flax else (convolution.Conv, convolution.ConvTranspose)

    def layer(cls: Any, features: int, strides: tuple[int, ...] = strides) -> Apply:
        module = cls(features, size, strides, use_bias=False)
        return lambda x, kernel: module.apply({"params": {"kernel": kernel}}, x)

    kernel = (*size, channels, features)
    if op == "conv":
        return layer(down_cls, features), [kernel]
    if op == "conv_transpose":
        return layer(up_cls, features), [kernel]
    if op == "conv_pair":
        down, up = layer(down_cls, features), layer(up_cls, channels)
        both = lambda x, a, b: leaky_relu(up(leaky_relu(down(x, a)), b))  # noqa: E731
        return both, [kernel, (*size, features, channels)]
    plain = layer(nn.Conv, features, (1,) * n_axes)
    if op == "up_conv":
        if flax:
            return lambda x, kernel: plain(_repeated(x), kernel), [kernel]
        module: nn.Module = resample.UpConv(features, size, use_bias=False)
    else:
        if flax:
            two = (2,) * n_axes
            return lambda x, kernel: nn.avg_pool(plain(x, kernel), two, two), [kernel]
        module = resample.DownConv(features, size, use_bias=False)
    return (lambda x, kernel: module.apply({"params": {"kernel": kernel}}, x)), [kernel]  # pyright: ignore[reportReturnType]


def _normalisation(op: str, flax: bool) -> Apply:
    if op == "batch_norm":
        module: Any = (nn.BatchNorm if flax else normalisation.BatchNorm)(False)
    elif op == "group_norm":
        module = (nn.GroupNorm if flax else normalisation.GroupNorm)(num_groups=32)
    elif op == "instance_norm":
        module = (nn.InstanceNorm if flax else normalisation.InstanceNorm)()
    else:
        module = nn.LayerNorm()

    def apply(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
        stats = {"mean": jnp.zeros_like(scale), "var": jnp.ones_like(scale)}
        given = {"params": {"scale": scale, "bias": bias}, "batch_stats": stats}
        return module.apply(given, x, mutable=["batch_stats"])[0]

    return apply


def _repeated(x: jax.Array) -> jax.Array:
    for axis in range(1, x.ndim - 1):
        x = jnp.repeat(x, 2, axis)
    return x


def _resized(x: jax.Array) -> jax.Array:
    return jax.image.resize(x, (len(x), *(2 * n for n in x.shape[1:-1]), x.shape[-1]), "bilinear")


def _depthwise_blur(x: jax.Array, length: int, stride: int) -> jax.Array:
    """2 axes, zero padding."""
    row = np.array({3: [1, 2, 1], 4: [1, 3, 3, 1]}[length], np.float32) / 2 ** (length - 1)
    kernel = jnp.tile(jnp.array(np.outer(row, row))[:, :, None, None], (1, 1, 1, x.shape[-1]))
    pads = ((((length - 1) // 2), length // 2),) * 2
    axes = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride,) * 2, pads, None, None, axes, feature_group_count=x.shape[-1])
