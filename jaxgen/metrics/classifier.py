"""A small frozen classifier: the network in whose features samples are compared with real images."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxgen.compiler import compiler_options
from jaxgen.errors import UserError
from jaxgen.metrics.inputs import check_images, check_labels
from jaxgen.types import Array, PyTree

_BATCH = 128
_RATE = 2e-3
_SHIFT = 2  # pixels, either way
_FEATURES = 128
_NETWORK = f"conv 5x5/2 32, conv 4x4/2 64, dense {_FEATURES} with layer norm, dropout .3"
_RECIPE = f"{_NETWORK}; batch {_BATCH}, Adam {_RATE}, shift {_SHIFT}"


class Net(nn.Module):
    """uint8 images [B, H, W, C] -> (features [B, 128], logits [B, classes]).

    The features have mean 0 and variance 1 over each image's 128, so that distances have one scale on any data.
    """

    classes: int

    @nn.compact
    def __call__(self, images: Array, *, train: bool = False) -> tuple[Array, Array]:
        x = images.astype(jnp.float32) / 127.5 - 1
        x = nn.relu(nn.Conv(32, (5, 5), (2, 2))(x))
        x = nn.relu(nn.Conv(64, (2, 2))(_fold(x)))
        features = nn.LayerNorm(use_scale=False, use_bias=False)(nn.Dense(_FEATURES)(x.reshape(len(x), -1)))
        return features, nn.Dense(self.classes)(nn.Dropout(0.3, deterministic=not train)(nn.relu(features)))


def _fold(x: Array) -> Array:
    """2 x 2 pixels into channels: [B, H, W, C] -> [B, H / 2, W / 2, 4 C], odd sizes padded.

    A 2 x 2 convolution of the result is a 4 x 4 one with stride 2, without the dilated inputs of that one's gradient.
    """
    x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).swapaxes(2, 3).reshape(b, h // 2, w // 2, 4 * c)


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network that no longer changes, for images of one `shape` (H, W, C)."""

    params: PyTree
    shape: tuple[int, ...]
    classes: int
    hash: str  # sha256 of the parameters
    heldout_accuracy: float

    def features_and_probabilities(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 `images` [N, H, W, C] -> features [N, 128] and class probabilities [N, classes], both float32.

        Raises `UserError` on another shape or type.
        """
        return _evaluate(self.params, check_images(images, "images", self.shape), self.classes)

    def features(self, images: np.ndarray) -> np.ndarray:
        """The first of `features_and_probabilities`."""
        return self.features_and_probabilities(images)[0]

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """The second of `features_and_probabilities`."""
        return self.features_and_probabilities(images)[1]


def classifier(
    images: np.ndarray,
    labels: np.ndarray,
    heldout_images: np.ndarray,
    heldout_labels: np.ndarray,
    cache_dir: Path | None,
    seed: int = 0,
    steps: int = 2000,
) -> Classifier:
    """The classifier trained on uint8 `images` [N, H, W, C] with `labels` [N], or its copy in `cache_dir`.

    The same data, seed and steps give the same parameters on the same machine. The copy is an .npz named by the data
    and the recipe; one that is damaged is trained again. Raises `UserError` on other shapes or types, fewer than two
    classes, or held-out labels that the training set lacks.
    """
    images = np.ascontiguousarray(check_images(images, "images"))
    heldout_images = check_images(heldout_images, "heldout_images", images.shape[1:])
    labels = check_labels(labels, len(images), "labels")
    heldout_labels = check_labels(heldout_labels, len(heldout_images), "heldout_labels")
    classes = int(labels.max()) + 1
    if classes < 2 or steps < 1:
        raise UserError(f"A classifier needs two classes and one step; got {classes} and {steps}. Use PCA features.")
    if heldout_labels.max() >= classes:
        raise UserError(
            f"heldout_labels has class {heldout_labels.max()}, labels only 0 to {classes - 1}; split again."
        )
    path = _cache_path(cache_dir, images, labels, seed, steps)
    params = None if path is None else _load(path, images.shape[1:], classes)
    if params is None:
        params = _train(images, labels, classes, seed, steps)
        if path is not None:
            _save(path, params)
    probabilities = _evaluate(params, heldout_images, classes)[1]
    accuracy = float((probabilities.argmax(1) == heldout_labels).mean())
    return Classifier(params, images.shape[1:], classes, _hash(params), accuracy)


def _train(images: np.ndarray, labels: np.ndarray, classes: int, seed: int, steps: int) -> PyTree:
    """Parameters after `steps` of Adam under a cosine. All chance comes from `seed`."""
    rng = np.random.default_rng(seed)
    key = jax.random.key(seed)
    params = _init(key, images.shape[1:], classes)
    opt = _optimiser(steps).init(params)
    epochs = -(-steps * _BATCH // len(images))
    order = np.concatenate([rng.permutation(len(images)) for _ in range(epochs)])
    for step in range(steps):
        chosen = order[step * _BATCH : (step + 1) * _BATCH]
        params, opt = _train_step()(
            params, opt, key, step, _shifted(images[chosen], rng), labels[chosen], steps, classes
        )
    return jax.tree.map(np.asarray, params)


def _apply(params: PyTree, images: Array, classes: int, **options: Any) -> tuple[Array, Array]:
    return cast("tuple[Array, Array]", Net(classes).apply({"params": params}, images, **options))


def _optimiser(steps: int) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(_RATE, steps))


def _shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each of `images` [N, H, W, C] moved by up to 2 pixels each way; its edge fills the gap."""
    n, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)), mode="edge")
    down, right = rng.integers(0, 2 * _SHIFT + 1, (2, n, 1, 1))
    rows, columns = down + np.arange(height)[:, None], right + np.arange(width)
    return padded[np.arange(n)[:, None, None], rows, columns]


@cache
def _train_step():
    """The jitted step, made at its first use: choosing compiler options starts the backend.

    One step a call: inside a `lax.scan` XLA on CPU leaves filter gradients in a form 30-60x slower (jaxlib 0.10.2 and
    0.12.0).
    """

    def run(params, opt, key, step, images, labels, steps, classes):
        def loss(params):
            rngs = {"dropout": jax.random.fold_in(key, step)}
            _, logits = _apply(params, images, classes, train=True, rngs=rngs)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        deltas, opt = _optimiser(steps).update(jax.grad(loss)(params), opt)
        return optax.apply_updates(params, deltas), opt

    return jax.jit(run, static_argnames=("steps", "classes"), compiler_options=compiler_options())


@partial(jax.jit, static_argnames=("shape", "classes"))
def _init(key: Array, shape: tuple[int, ...], classes: int) -> PyTree:
    return Net(classes).init(key, jnp.zeros((1, *shape), jnp.uint8))["params"]


@cache
def _forward():
    def run(params, images, *, classes):
        features, logits = _apply(params, images, classes)
        return features, nn.softmax(logits)

    return jax.jit(run, static_argnames="classes", compiler_options=compiler_options())


def _evaluate(params: PyTree, images: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and probabilities, a fixed number of images at a time: the last batch is filled, one compile serves."""
    size = 2 * _BATCH
    params = jax.device_put(params)
    features, probabilities = [], []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        filled = np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), np.uint8)])
        f, p = _forward()(params, filled, classes=classes)
        features.append(np.asarray(f)[: len(batch)])
        probabilities.append(np.asarray(p)[: len(batch)])
    return np.concatenate(features), np.concatenate(probabilities)


def _hash(params: PyTree) -> str:
    digest = hashlib.sha256()
    for name, leaf in sorted(flatten_dict(params, sep="/").items()):
        digest.update(f"{name} {leaf.shape} {leaf.dtype}".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _cache_path(cache_dir: Path | None, images: np.ndarray, labels: np.ndarray, seed: int, steps: int) -> Path | None:
    if cache_dir is None:
        return None
    digest = hashlib.sha256(f"{_RECIPE}; {images.shape}; seed {seed}; {steps} steps".encode())
    digest.update(images.data)
    digest.update(np.ascontiguousarray(labels).data)
    return Path(cache_dir) / f"classifier-{digest.hexdigest()}.npz"


def _load(path: Path, shape: tuple[int, ...], classes: int) -> PyTree | None:
    """The parameters in `path`; None where it is missing, damaged or not of this network."""
    expected = jax.eval_shape(partial(_init, shape=shape, classes=classes), jax.random.key(0))
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            leaves = {name: file[name] for name in file.files}
        stored = str(leaves.pop("hash"))
        params = unflatten_dict(leaves, sep="/")
        if jax.tree.map(lambda x: (x.shape, x.dtype), params) != jax.tree.map(lambda x: (x.shape, x.dtype), expected):
            return None
        return params if _hash(params) == stored else None
    except Exception:  # a damaged archive can make zipfile and NumPy raise nearly anything
        return None


def _save(path: Path, params: PyTree) -> None:
    """Written beside its place and renamed: a reader, or a second writer, never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        try:
            leaves: dict[str, Any] = dict(flatten_dict(params, sep="/"))
            np.savez(file, hash=np.array(_hash(params)), **leaves)
        except BaseException:
            os.unlink(file.name)
            raise
    os.replace(file.name, path)
