"""Pictures made larger, without noise, without holes: what `degrade` did is undone."""

import numpy as np
from PIL import Image

from jaxgen.config import Config
from jaxgen.data import images
from jaxgen.data.cache import cache_dir
from jaxgen.degrade import Degrade
from jaxgen.domains import Domain, Found, Raw, Source, _pixels, _translation
from jaxgen.errors import UserError
from jaxgen.metrics.classifier import Classifier, classifier
from jaxgen.metrics.kernel import kid
from jaxgen.metrics.pca import PCA, pca
from jaxgen.metrics.restoration import psnr

SEED = 0
"""Of the noise and the holes of held-out pictures."""


def networks(cfg: Config, axis_name: str | None):
    if _translation.degrade(cfg) is None:
        raise UserError("A restoration needs --game.degrade: downsample-2, noise-25, holes-15 or the like.")
    return _translation.networks(cfg, axis_name)


def load(cfg: Config, split):
    raw = images.load(cfg.data, cfg.shape, split, cfg.data_dir, cfg.download)
    return {"image": raw["image"]}  # what they show is of no use here


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """What `compared` says of the restored held-out pictures, and of what takes no learning (`classical`)."""
    extractor = features(run.config)
    x = run.sources(_pixels.to_batch(heldout), SEED)
    made = _pixels.to_raw(run.translate(x, SEED))
    found: Found = {"extractor": type(extractor).__name__.lower(), "extractor_hash": extractor.hash}
    if isinstance(extractor, Classifier):
        found["extractor_accuracy"] = extractor.heldout_accuracy
    found |= compared(made, heldout["image"], extractor)
    spoil = _translation.degrade(run.config)
    assert spoil
    for name, rival in classical(x, spoil).items():
        found |= {f"{key}_{name}": value for key, value in compared(rival, heldout["image"], extractor).items()}
    return found


def features(cfg: Config) -> Classifier | PCA:
    """A classifier of the training data's labels, of the photographs which one a patch is from; where there are none,
    principal components, which see little of what is fine."""
    train, alike = (
        images.load(cfg.data, cfg.shape, split, cfg.data_dir, cfg.download) for split in ("train", "validation")
    )
    if "label" not in train or train["label"].max() < 1:
        return pca(train["image"])
    folder = cache_dir(cfg.data_dir) / "classifiers"
    return classifier(train["image"], train["label"], alike["image"], alike["label"], folder)


def compared(made: np.ndarray, truth: np.ndarray, extractor: Classifier | PCA) -> Found:
    """`psnr`, the mean over the pictures in dB; `kid` between restored pictures and true ones: the mean of two, each of
    one half of the restored and the other half of the true, as a picture and its own truth are not independent."""
    of, real = extractor.features(made), extractor.features(truth)
    halves = [kid(of[i::2], real[1 - i :: 2]) for i in (0, 1)]
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
