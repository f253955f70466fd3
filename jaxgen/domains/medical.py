"""Medical images by class: a class-conditional GAN, and the audit that a hospital would ask for."""

from collections.abc import Mapping

import numpy as np

from jaxgen.config import Config, Conv, Residual
from jaxgen.data import images
from jaxgen.data.cache import cache_dir
from jaxgen.domains import Domain, Found, Raw, Source, _pixels
from jaxgen.errors import UserError
from jaxgen.metrics import audit
from jaxgen.metrics.sample_quality import Reference, compare, reference
from jaxgen.types import Split

SEED = 0


def networks(cfg: Config, axis_name: str | None):
    """Generator and critic, both of which see the class."""
    _pixels.check_conditional(cfg, "Medical images")
    return _pixels.networks(cfg, axis_name, models=(Residual, Conv))


def load(cfg: Config, split: Split) -> Raw:
    """Raises `UserError` for labels that are missing or out of range, and a class with fewer than two examples: nothing
    can be learnt of it, and no audit made."""
    raw = _pixels.load_labelled(cfg, split, "medical images")
    counts = np.bincount(raw["label"], minlength=getattr(cfg.game, "classes", 0))
    if few := [f"class {c} has {n}" for c, n in enumerate(counts) if n < 2]:
        raise UserError(f"Each class needs two {split} examples or more; {', '.join(few)} in {cfg.data}.")
    return raw


def synthetic(run: Source, counts: np.ndarray, seed: int = SEED) -> dict[str, np.ndarray]:
    """{"image": uint8 [sum(counts), H, W, C], "label": int32}: counts[c] samples of class c, class by class."""
    label = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return {"image": _pixels.to_raw(run.draw(len(label), seed, label)), "label": label}


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """Of a synthetic copy of the training set, with its size and class counts: sample metrics and the audit.

    `heldout` is what classifiers are tested on. Samples are compared with, and membership attacks are tried against,
    the validation split where the data have one: it comes from where the training images come from, which test images
    need not. (PneumoniaMNIST's don't: its training images have a KID of 0.15 to them, Gaussians by class 0.11.)
    """
    made = synthetic(run, np.bincount(train["label"], minlength=run.classes))
    alike = images.load(run.config.data, run.config.shape, "validation", run.config.data_dir)
    real = reference(train, alike, classifiers(run.config))
    logits = tuple(run.criticise(np.asarray(_pixels.to_batch(some)["image"]), some["label"]) for some in (train, alike))
    return real.describe() | audited(made, train, heldout, alike, real, run.config, (logits[0], logits[1]))


def audited(
    made: Mapping[str, np.ndarray],
    train: Raw,
    heldout: Raw,
    alike: Raw,
    real: Reference,
    cfg: Config,
    logits: tuple[np.ndarray, np.ndarray] | None = None,
) -> Found:
    """What `measure` says, of any labelled images `made` in the place of a run's samples.

    `alike` are unseen images drawn like the training ones, `real` is their reference, `logits` are the critic's of
    `train` and of `alike`.
    """
    folder, features = classifiers(cfg), real.extractor.features
    near = audit.nearest_neighbours(made["image"], train, alike, features)
    return {
        **compare(balanced_like(made, alike), real),
        "memorisation_auc": near["memorisation_auc"],
        "copies": near["copies"],
        **audit.train_on_synthetic(made, train, heldout, folder),
        **audit.augmentation_benefit(made, train, heldout, folder),
        **audit.membership_inference(made["image"], train["image"], alike["image"], logits),
        "strangers": len(alike["image"]),
    }


def balanced_like(made: Mapping[str, np.ndarray], real: Raw, seed: int = SEED) -> np.ndarray:
    """Images [M, H, W, C] among `made`, in the class shares of the `real` images: distances between two sets of images
    are then not about how many of each class they hold."""
    rng, shares = np.random.default_rng(seed), np.bincount(real["label"])
    have = np.bincount(made["label"], minlength=len(shares))
    n = int(min(have[c] / share for c, share in enumerate(shares) if share))
    rows = [rng.permutation(np.flatnonzero(made["label"] == c))[: n * share] for c, share in enumerate(shares)]
    return made["image"][np.concatenate(rows)] if n else made["image"]


def classifiers(cfg: Config):
    """Where trained classifiers are kept."""
    return cache_dir(cfg.data_dir) / "classifiers"


DOMAIN = Domain(
    networks,
    load,
    _pixels.to_batch,
    _pixels.to_raw,
    _pixels.write,
    measure,
)
