"""The layers of `benchmarks.ours.layer` in PyTorch: the same options, the same arrays, in NC* layout."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.peers.torch import device
from benchmarks.peers.torch.device import DEVICE, new_step, prepared
from benchmarks.protocol import Job

Tensor = torch.Tensor


class Layer:
    """One layer in one variant: `eager` (contiguous), `channels_last` or a compiled one (of channels_last)."""

    unit = 1

    def __init__(self, job: Job):
        self._options = options = job["options"]
        self._channels_last = job["variant"] != "eager"
        self._gradients = options["gradients"]
        function = operation(options)
        if job["sgd"]:
            device.exact()
        self._variant = job["variant"]
        self._apply = prepared(function, self._variant)
        self.facts = device.facts()
        rng = np.random.default_rng(0)
        x = rng.normal(size=(options["batch"], *options["shape"]))
        params = [0.1 * rng.normal(size=shape) for shape in parameter_shapes(options)]
        self._place(x, params, None)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._step()
        device.finish()

    def costs(self) -> dict[str, Any]:
        return device.costs()

    def losses(self, steps: int, path: str) -> list[list[float]]:
        with np.load(path) as given:
            arrays = dict(given)
        params = [arrays[f"p{i}"] for i in range(sum(name.startswith("p") for name in arrays))]
        self._place(arrays["x"], params, arrays.get("c"))
        y, *grads = self._step()
        out = [_channels_to_back(y), *map(_channels_to_back, grads[:1])]
        of_params = zip(grads[1:], params, strict=True) if grads else ()
        out += [_from_torch(g, p.ndim, self._options, i) for i, (g, p) in enumerate(of_params)]
        return [[_probed(a, i) for a in out] for i in range(steps)]

    def _step(self) -> tuple[Tensor, ...]:
        new_step(self._variant)
        if not self._gradients:
            with torch.no_grad():
                return (self._apply(*self._inputs),)
        y = self._apply(*self._inputs)
        return (y, *torch.autograd.grad(y, self._inputs, self._cotangent))

    def _place(self, x: np.ndarray, params: Sequence[np.ndarray], cotangent: np.ndarray | None) -> None:
        kernels = [_to_torch(p, self._options, i) for i, p in enumerate(params)]
        self._inputs = [self._formatted(t).requires_grad_(self._gradients) for t in (_channels_to_front(x), *kernels)]
        if not self._gradients:
            return
        if cotangent is None:
            with torch.no_grad():
                cotangent = np.random.default_rng(1).normal(size=_channels_to_back(self._apply(*self._inputs)).shape)
        self._cotangent = self._formatted(_channels_to_front(cotangent))

    def _formatted(self, t: Tensor) -> Tensor:
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        last = self._channels_last and t.ndim in formats
        return t.to(DEVICE).contiguous(memory_format=formats[t.ndim] if last else torch.contiguous_format).detach()


build = Layer


def parameter_shapes(options: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """In Flax's layout."""
    op, n_axes, channels = options["op"], len(options["shape"]) - 1, options["shape"][-1]
    if op.endswith("_norm"):
        return [(channels,), (channels,)]
    if "features" not in options:
        return []
    size = (options.get("kernel", 3),) * n_axes
    down = (*size, channels, options["features"])
    return [down, (*size, options["features"], channels)] if op == "conv_pair" else [down]


def operation(options: Mapping[str, Any]) -> Callable[..., Tensor]:
    """`apply(x, *params)` in PyTorch's layout, SAME padding. Raises `KeyError` for an unknown op."""
    n, kernel, stride = len(options["shape"]) - 1, options.get("kernel", 3), options.get("stride", 1)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
    transpose = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
    linear = "bilinear" if n == 2 else "linear"

    cut = max(kernel - stride, 0)  # SAME: what is cut off, or padded, has its smaller half before

    def down(x: Tensor, w: Tensor) -> Tensor:
        low, high = cut // 2, cut - cut // 2
        if low == high:
            return convolve(x, w, stride=stride, padding=low)
        return convolve(F.pad(x, (low, high) * n), w, stride=stride)

    def up(x: Tensor, w: Tensor) -> Tensor:
        y = transpose(x, w, stride=stride, padding=cut // 2)
        return y[..., : stride * x.shape[-1]] if cut % 2 else y  # 1 axis only

    def plain(x: Tensor, w: Tensor) -> Tensor:
        return convolve(x, w, padding=kernel // 2)

    def leaky(x: Tensor) -> Tensor:
        return F.leaky_relu(x, 0.2)

    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[n - 1]
    return {
        "conv": down,
        "conv_transpose": up,
        "conv_pair": lambda x, a, b: leaky(up(leaky(down(x, a)), b)),
        "up_conv": lambda x, w: plain(F.interpolate(x, scale_factor=2, mode="nearest"), w),
        "down_conv": lambda x, w: pool(plain(x, w), 2),
        "batch_norm": lambda x, s, b: F.batch_norm(x, None, None, s, b, training=True),
        "group_norm": lambda x, s, b: F.group_norm(x, 32, s, b, eps=1e-6),
        "instance_norm": lambda x, s, b: F.instance_norm(x, None, None, s, b, eps=1e-6),
        "layer_norm": _layer_norm,
        "blur": _blur(options),
        "average": lambda x: pool(x, 2),
        "nearest": lambda x: F.interpolate(x, scale_factor=2, mode="nearest"),
        "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode=linear, align_corners=False),
    }[options["op"]]


def _layer_norm(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    last = F.layer_norm(x.movedim(1, -1), scale.shape, scale, bias, eps=1e-6)
    return last.movedim(-1, 1)


def _blur(options: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
    length, channels, stride = options.get("length", 3), options["shape"][-1], options.get("stride", 1)
    row = torch.tensor({3: [1.0, 2, 1], 4: [1.0, 3, 3, 1]}[length]) / 2 ** (length - 1)
    kernel = torch.outer(row, row)[None, None].repeat(channels, 1, 1, 1).to(DEVICE)

    def blur(x: Tensor) -> Tensor:
        if length % 2:
            return F.conv2d(x, kernel, stride=stride, padding=length // 2, groups=channels)
        low, high = (length - 1) // 2, length // 2
        return F.conv2d(F.pad(x, (low, high, low, high)), kernel, stride=stride, groups=channels)

    return blur


def _transposed(options: Mapping[str, Any], index: int) -> bool:
    return options["op"] == "conv_transpose" or (options["op"] == "conv_pair" and index == 1)


def _to_torch(p: np.ndarray, options: Mapping[str, Any], index: int) -> Tensor:
    """Flax's [*K, I, O] as [O, I, *K], or [I, O, *K] reversed where the convolution is transposed."""
    if p.ndim > 1:
        axes = tuple(range(p.ndim - 2))
        transposed = _transposed(options, index)
        p = np.flip(p, axes).transpose(-2, -1, *axes) if transposed else p.transpose(-1, -2, *axes)
    return torch.from_numpy(np.ascontiguousarray(p, np.float32))


def _from_torch(g: Tensor, ndim: int, options: Mapping[str, Any], index: int) -> np.ndarray:
    """The inverse of `_to_torch`."""
    a = g.detach().cpu().numpy()
    if ndim == 1:
        return a
    if _transposed(options, index):
        return np.flip(a.transpose(*range(2, ndim), 0, 1), tuple(range(ndim - 2)))
    return a.transpose(*range(2, ndim), 1, 0)


def _channels_to_front(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, np.float32)).movedim(-1, 1)


def _channels_to_back(y: Tensor) -> np.ndarray:
    return np.ascontiguousarray(y.detach().movedim(1, -1).cpu().numpy())


def _probed(a: np.ndarray, i: int) -> float:
    """As `benchmarks.ours.layer.probed`."""
    probe = np.cos((i + 1) * 0.7 * np.arange(a.size) + i)
    return float(probe @ a.ravel().astype(np.float64) / np.sqrt(a.size))
