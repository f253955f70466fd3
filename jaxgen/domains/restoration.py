"""Pictures made larger, without noise, without holes: what `degrade` did is undone."""

import jax
import numpy as np
from PIL import Image

from jaxgen.config import Config
from jaxgen.data import images
from jaxgen.data.cache import cache_dir
from jaxgen.data.order import permutation
from jaxgen.degrade import Degrade, degradation
from jaxgen.domains import Domain, Found, Raw, Source, _pixels, _translation
from jaxgen.errors import UserError
from jaxgen.latent import numbered_keys
from jaxgen.metrics.classifier import Classifier, classifier
from jaxgen.metrics.kernel import kid
from jaxgen.metrics.restoration import psnr

SEED = 0
"""Of the noise and the holes of held-out pictures."""
CROP = 32
"""Pixels along the side of what the features are of; larger pictures are cut up."""
FEATURE_STEPS = 1500
MOST = 4_000
"""Pictures at most that the network of the features is trained on: each is kept once for each kind of damage."""
CHUNK = 256  # pictures spoilt at once: holes take a hundred times the memory of a picture
LEAST = 12
"""Fewest held-out pictures: each half of their crops has to have a distribution."""
DAMAGE = (
    ("downsample-2", "bicubic"),
    ("downsample-4", "bicubic"),
    ("noise-25", "noisy"),
    ("noise-25", "median3"),
    ("holes-15", "mean_fill"),
)
"""What the network of the features tells apart: how pictures were spoilt, and by what rule mended."""


def networks(cfg: Config, axis_name: str | None):
    if _translation.degrade(cfg) is None:
        raise UserError("A restoration needs --game.degrade: downsample-2, noise-25, holes-15 or the like.")
    return _translation.networks(cfg, axis_name)


def load(cfg: Config, split):
    raw = images.load(cfg.data, cfg.shape, split, cfg.data_dir, cfg.download)
    return {"image": raw["image"]}  # what they show is of no use here


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """What `compared` says of the restored held-out pictures, and of what takes no learning (`classical`)."""
    if len(heldout["image"]) < LEAST:
        raise UserError(f"{len(heldout['image'])} held-out pictures are too few to be measured by; hold out {LEAST}.")
    extractor = features(run.config)
    x = run.sources(_pixels.to_batch(heldout), SEED)
    made = _pixels.to_raw(run.translate(x, SEED))
    found: Found = {"extractor": "classifier of damage", "extractor_hash": extractor.hash}
    found["extractor_accuracy"] = extractor.heldout_accuracy
    found |= compared(made, heldout["image"], extractor)
    spoil = _translation.degrade(run.config)
    assert spoil
    for name, rival in classical(x, spoil).items():
        found |= {f"{key}_{name}": value for key, value in compared(rival, heldout["image"], extractor).items()}
    return found


def features(cfg: Config) -> Classifier:
    """A classifier of what was done to a crop of a training picture: nothing, or one of `DAMAGE`.

    A classifier of what pictures show does not do: in its features holes filled with a mean were as near to true
    pictures as those to each other (KID -.016 +- .033), and so was what had been halved and enlarged (.017 +- .040).
    """
    images_of, labels_of = [], []
    for split in ("train", "validation"):
        true = images.load(cfg.data, cfg.shape, split, cfg.data_dir, cfg.download)["image"]
        true = true[np.sort(permutation(len(true), (SEED, 0))[:MOST])]
        possible = [(spoil, rule) for spoil, rule in DAMAGE if fits(cfg.shape, degradation(spoil))]
        kinds = [crops(true)] + [crops(damaged(true, *how)) for how in possible]
        images_of.append(np.concatenate(kinds))
        labels_of.append(np.repeat(np.arange(len(kinds), dtype=np.int32), [len(k) for k in kinds]))
    folder = cache_dir(cfg.data_dir) / "classifiers"
    return classifier(images_of[0], labels_of[0], images_of[1], labels_of[1], folder, steps=FEATURE_STEPS)


def damaged(true: np.ndarray, spoil: str, rule: str) -> np.ndarray:
    """uint8 [N, H, W, C], spoilt and mended by a rule of `classical`."""
    how = degradation(spoil)
    batch = _pixels.to_batch({"image": true})["image"]
    keys, run = numbered_keys(jax.random.key(SEED + 1), len(true)), jax.jit(how)
    parts = [run(batch[i : i + CHUNK], keys[i : i + CHUNK]) for i in range(0, len(true), CHUNK)]
    return classical(np.concatenate(parts), how)[rule]


def fits(shape: tuple[int, ...], spoil: Degrade) -> bool:
    """Whether images of a shape can be made that many times smaller."""
    return not (shape[0] % spoil.scale or shape[1] % spoil.scale)


def crops(pictures: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, C] -> [N n, CROP, CROP, C], n of each in turn; as they are where the sides are no multiples."""
    n, height, width, channels = pictures.shape
    if height % CROP or width % CROP:
        return pictures
    cut = pictures.reshape(n, height // CROP, CROP, width // CROP, CROP, channels)
    return cut.swapaxes(2, 3).reshape(-1, CROP, CROP, channels)


def compared(made: np.ndarray, truth: np.ndarray, extractor: Classifier) -> Found:
    """`psnr`, the mean over the pictures in dB; `kid` between restored pictures and true ones: the mean of two, each of
    one half of the restored and the other half of the true, as a picture and its own truth are not independent."""

    def seen(pictures: np.ndarray) -> np.ndarray:
        return extractor.features(crops(pictures))

    halves = [kid(seen(made[i::2]), seen(truth[1 - i :: 2])) for i in (0, 1)]
    distance, error = (float(np.mean(numbers)) for numbers in zip(*halves, strict=True))
    return {"psnr": float(psnr(made, truth).mean()), "kid": distance, "kid_error": error}


def classical(x: np.ndarray, spoil: Degrade) -> dict[str, np.ndarray]:
    """What takes no learning, uint8, of sources x [N, h, w, I] as `spoil` made them."""
    if spoil.kind == "downsample":
        small = _pixels.to_raw(x)
        size = (spoil.scale * x.shape[2], spoil.scale * x.shape[1])
        filters = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
        return {name: np.stack([_resized(one, size, how) for one in small]) for name, how in filters.items()}
    if spoil.kind == "noise":
        from scipy.ndimage import median_filter

        noisy = _pixels.to_raw(x)
        return {"noisy": noisy} | {f"median{n}": median_filter(noisy, (1, n, n, 1)) for n in (3, 5)}
    known = 1 - x[..., -1:]
    mean = x[..., :-1].sum((1, 2), keepdims=True) / known.sum((1, 2), keepdims=True)  # missing ones are 0
    return {"mean_fill": _pixels.to_raw(x[..., :-1] + mean * (1 - known))}


def _resized(image: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).resize(size, how)
    return np.asarray(picture).reshape(size[1], size[0], -1)


DOMAIN = Domain(
    networks,
    load,
    _pixels.to_batch,
    _pixels.to_raw,
    _translation.write,
    measure,
    _translation.TranslateOptions,
    _translation.sample,
)
