"""Small images, grey or colour: variational autoencoders."""

import numpy as np
from etils import epath

from jaxgen import preview
from jaxgen.config import MLPVAE, Config, ConvVAE
from jaxgen.data import images
from jaxgen.domains import Domain, Pictures, _pixels, check_halvings
from jaxgen.errors import UserError
from jaxgen.models import vae
from jaxgen.types import Array, Batch


def networks(cfg: Config, axis_name: str | None):
    """Encoder and decoder."""
    model, shape = cfg.model, images.check_shape(cfg.shape)
    dtype = "bfloat16" if cfg.precision == "bf16" else None
    if isinstance(model, MLPVAE):
        encoder = vae.MLPEncoder(model.z_dim, model.widths, dtype)
        return encoder, vae.MLPDecoder(shape, model.widths[::-1], dtype)
    if isinstance(model, ConvVAE):
        check_halvings(shape, len(model.widths))
        encoder = vae.ConvEncoder(model.z_dim, model.widths, model.hidden, dtype)
        return encoder, vae.ConvDecoder(shape, model.widths, model.hidden, dtype)
    raise UserError(f"The domain 'image' has no model {type(model).__name__}; choose MLPVAE or ConvVAE.")


def to_batch(raw: dict[str, Array]) -> Batch:
    """Images in [0, 1]."""
    return raw | {"image": raw["image"].astype("float32") / 255}


def to_raw(x: Array | np.ndarray) -> np.ndarray:
    return np.round(np.clip(np.asarray(x), 0, 1) * 255).astype(np.uint8)


def write(pictures: Pictures, stem: epath.Path) -> list[epath.Path]:
    """A picture with whatever there is of originals above their reconstructions, samples and interpolations; a GIF of a
    walk; a map of latent space: held-out images at the two principal axes of their posterior means."""
    paths, shown = [], []
    if "reconstructions" in pictures:
        pairs = [
            to_raw(pictures[name]).reshape(-1, 8, *pictures[name].shape[1:])
            for name in ("originals", "reconstructions")
        ]
        shown.append(np.stack(pairs, axis=1).reshape(-1, *pairs[0].shape[2:]))
    shown += [to_raw(pictures[name]) for name in ("samples", "interpolations") if name in pictures]
    if shown:
        columns = 8 if len(shown) > 1 else 0
        paths.append(preview.write_png(preview.named(stem, ".png"), preview.rows(shown, columns), scale=2))
    if "walk" in pictures:
        paths.append(
            preview.write_gif(preview.named(stem, ".gif"), [preview.grid(to_raw(f)) for f in pictures["walk"]])
        )
    if "map" in pictures:
        picture = preview.scatter(to_raw(pictures["map"]), pictures["map_points"])
        paths.append(preview.write_png(stem.parent / f"{stem.name}-latent-map.png", picture))
    return paths


DOMAIN = Domain(networks, _pixels.load, to_batch, to_raw, write)
