"""Pictures of one kind into another: from pairs, or from two sets without pairs."""

import numpy as np

from jaxgen.config import Config, Paired
from jaxgen.data import two_sets
from jaxgen.data.cache import cache_dir
from jaxgen.data.order import permutation
from jaxgen.domains import Domain, Found, Raw, Source, _pixels, _translation
from jaxgen.errors import UserError
from jaxgen.metrics.classifier import Classifier, classifier
from jaxgen.metrics.kernel import kid
from jaxgen.types import Split

ORDER = (0, 8)
"""Seeds of the order of unpaired training data."""


def networks(cfg: Config, axis_name: str | None):
    if _translation.degrade(cfg):
        raise UserError("Two kinds of picture need no --game.degrade; that is for the domain restoration.")
    return _translation.networks(cfg, axis_name)


def load(cfg: Config, split: Split) -> Raw:
    """`source` and `image`: partners in a paired game. In an unpaired one nobody is beside its partner in training,
    even where the data have pairs: both come in an order that sees to it."""
    paired = isinstance(cfg.game, Paired)
    raw = two_sets.load(cfg.data, cfg.shape, split, paired, cfg.data_dir, cfg.download)
    if paired or split != "train":
        return raw
    # By one place on, all in a random order: a plain permutation leaves one in its place, on average.
    order = permutation(len(raw["image"]), ORDER)
    return {"source": raw["source"][order], "image": raw["image"][np.roll(order, 1)]}


def source(cfg: Config) -> tuple[int, ...]:
    return cfg.shape


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """What `compared` says of the translated held-out sources, of the sources as they are (`_identity`), and of them
    with the colours of the other kind (`_histogram`)."""
    telling = which_kind(train, heldout, run.config)
    made = _pixels.to_raw(run.translate(np.asarray(_pixels.to_batch(heldout)["source"]), seed=0))
    paired = isinstance(run.config.game, Paired)
    found: Found = {"extractor": "classifier of the two kinds", "extractor_hash": telling.hash}
    found["extractor_accuracy"] = telling.heldout_accuracy
    found |= compared(made, heldout, telling, paired)
    for name, rival in rivals(train, heldout).items():
        found |= {f"{key}_{name}": value for key, value in compared(rival, heldout, telling, paired).items()}
    return found


def which_kind(train: Raw, heldout: Raw, cfg: Config) -> Classifier:
    """A classifier that tells the two kinds apart: 0 of sources, 1 of targets."""
    splits = [
        (np.concatenate([raw["source"], raw["image"]]), np.repeat(np.arange(2, dtype=np.int32), len(raw["image"])))
        for raw in (train, heldout)
    ]
    return classifier(*splits[0], *splits[1], cache_dir(cfg.data_dir) / "classifiers")


def compared(made: np.ndarray, heldout: Raw, extractor: Classifier, paired: bool) -> Found:
    """Of uint8 pictures [N, H, W, C]: `kid` to held-out targets in the extractor's features; `taken_for_target`, the
    share that it takes for the other kind; of pairs `l1`, the mean absolute difference to the partners, of 255."""
    features, shares = extractor.features_and_probabilities(made)
    distance, error = kid(extractor.features(heldout["image"]), features)
    found: Found = {"kid": distance, "kid_error": error, "taken_for_target": float((shares.argmax(1) == 1).mean())}
    return found | ({"l1": l1(made, heldout["image"])} if paired else {})


def l1(made: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute difference of uint8 pictures, in grey levels of 255."""
    return float(np.abs(made.astype(np.float64) - truth).mean())


def rivals(train: Raw, heldout: Raw) -> dict[str, np.ndarray]:
    """What takes no learning: the held-out sources as they are, and with the histograms of the training targets."""
    from skimage.exposure import match_histograms  # half a second

    def stacked(x: np.ndarray) -> np.ndarray:
        return x.reshape(-1, *x.shape[2:])  # all pictures as one

    matched = match_histograms(stacked(heldout["source"]), stacked(train["image"]), channel_axis=-1)
    matched = np.round(np.clip(matched, 0, 255)).astype(np.uint8).reshape(heldout["source"].shape)
    return {"identity": heldout["source"], "histogram": matched}


DOMAIN = Domain(
    networks,
    load,
    _pixels.to_batch,
    _pixels.to_raw,
    _translation.write,
    measure,
    _translation.TranslateOptions,
    _translation.sample,
    source,
)
