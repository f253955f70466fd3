"""Grey handwritten digits, 28x28: the article's GAN, and a DCGAN."""

import numpy as np
from etils import epath

from jaxgen import preview
from jaxgen.config import MLP, Config, Conv
from jaxgen.data import images
from jaxgen.data.cache import cache_dir
from jaxgen.domains import Domain, Pictures, Raw, check_halvings
from jaxgen.errors import UserError
from jaxgen.metrics.sample_quality import sample_metrics
from jaxgen.models import conv, mlp
from jaxgen.types import Array, Batch, Split


def networks(cfg: Config, axis_name: str | None):
    """Generator and critic."""
    model, shape, classes = cfg.model, images.check_shape(cfg.shape), getattr(cfg.game, "classes", 0)
    dtype = "bfloat16" if cfg.precision == "bf16" else None
    if isinstance(model, MLP):
        gen = mlp.Generator(shape, model.gen, classes, dtype)
        return gen, mlp.Critic(model.disc, model.dropout, model.spectral_norm, classes, axis_name, dtype)
    if isinstance(model, Conv):
        check_halvings(shape, model.layers)
        gen = conv.Generator(shape, model.width, model.layers, classes, axis_name, dtype)
        critic = conv.Critic(model.width, model.layers, model.dropout, model.spectral_norm, classes, axis_name, dtype)
        return gen, critic
    raise UserError(f"The domain 'digits' has no model {type(model).__name__}; choose MLP or Conv.")


def load(cfg: Config, split: Split) -> Raw:
    return images.load(cfg.data, cfg.shape, split, cfg.data_dir, cfg.download)


def to_batch(raw: dict[str, Array]) -> Batch:
    """Images in [-1, 1]."""
    return raw | {"image": raw["image"].astype("float32") / 127.5 - 1}


def to_raw(x: Array | np.ndarray) -> np.ndarray:
    return np.round((np.clip(np.asarray(x), -1, 1) + 1) * 127.5).astype(np.uint8)


def write(pictures: Pictures, stem: epath.Path) -> list[epath.Path]:
    """A grid of samples, and where there is a walk through latent space, a GIF of it."""
    paths = []
    if "samples" in pictures:
        paths.append(preview.write_png(stem.with_suffix(".png"), preview.grid(to_raw(pictures["samples"])), scale=2))
    if "walk" in pictures:
        paths.append(preview.write_gif(stem.with_suffix(".gif"), [preview.grid(to_raw(f)) for f in pictures["walk"]]))
    return paths


def measure(samples: np.ndarray, train: Raw, heldout: Raw, cfg: Config) -> dict[str, float | int | str]:
    return sample_metrics(samples, train, heldout, cache_dir(cfg.data_dir) / "classifiers")


DOMAIN = Domain(networks, load, to_batch, to_raw, write, measure)
