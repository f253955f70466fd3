"""What a hospital asks of synthetic labelled images: are they of use, and do they give patients away?

Usefulness is the AUC, on held-out real images, of a classifier trained on the synthetic ones or with their help.
Privacy is how near samples come to single training images, and whether an attacker can tell who was among these.

Neither shows that images look real. On PneumoniaMNIST (300 steps, held-out test | validation images; membership attacks
on all 4,708 members, in the first row on 524):

    synthetic images        tstr_ratio    augmentation_gain   mia_auc
    unseen real ones       1.005 | 1.002   +.015 | +.013       .50     (of half the training set, for the other half)
    training images        1.000 | 1.002   +.016 | +.005       .99     (8 validation images are copies)
    Gaussians by class     1.001 |  .989   +.016 | +.003       .50
    five images a class     .751 |  .726   +.004 | -.002       .51
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jaxgen.errors import UserError
from jaxgen.metrics.classifier import classifier
from jaxgen.metrics.inputs import check_images, check_labels
from jaxgen.metrics.nearest import memorisation_auc, nearest_distance, nearest_item, squared_distances
from jaxgen.metrics.pca import pca
from jaxgen.metrics.sample_quality import Images, Row

STEPS = 300
"""Training steps of a classifier here. On PneumoniaMNIST, AUC on the validation | test images: 100 steps .984 | .934,
300 .994 | .962, 600 .996 | .971, 2,000 .997 | .978; an audit trains twelve."""

Features = Callable[[np.ndarray], np.ndarray]
"""uint8 images [N, H, W, C] -> [N, F]"""


def roc_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve: how often an item of the class scores above one of another; ties count half.

    `scores` [N] with `labels` [N] of 0 and 1, or [N, K] with labels of 0 to K - 1: the second column for K = 2, else
    the mean over classes of each against the rest. Raises `UserError` where a class has no item, or a score is not
    finite.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim not in (1, 2) or not len(scores) or (scores.ndim == 2 and scores.shape[1] < 2):
        raise UserError(
            f"scores has shape {scores.shape}; pass one score an item, or one for each of two classes or more."
        )
    if not np.isfinite(scores).all():
        raise UserError("scores holds NaN or infinity; an AUC ranks finite numbers.")
    labels = check_labels(labels, len(scores), "labels")
    classes = 2 if scores.ndim == 1 else scores.shape[1]
    counts = np.bincount(labels, minlength=classes)
    if len(counts) > classes or not counts.all():
        raise UserError(
            f"labels has {counts.tolist()} items of the classes 0, 1, ...; an AUC needs some of all {classes}."
        )
    if classes == 2:
        return _auc(scores if scores.ndim == 1 else scores[:, 1], labels == 1)
    return float(np.mean([_auc(scores[:, c], labels == c) for c in range(classes)]))


def train_on_synthetic(
    synthetic: Images, train: Images, heldout: Images, cache_dir: Path | None = None, seed: int = 0, steps: int = STEPS
) -> Row:
    """Train on synthetic, test on real (Esteban et al. 2017), beside train on real, test on real.

    tstr_auc, trtr_auc: of the classifier trained on as many of `synthetic`, chosen by `seed`, as `train` has images,
    and of that trained on `train`, by the same recipe and from the same start; tstr_ratio: the first by the second. All
    on `heldout`. Each of the three is {"image": uint8 [N, H, W, C], "label": int [N]}; give `synthetic` the label
    counts of `train`. `cache_dir` keeps the classifiers. Raises `UserError` on other shapes or types, missing labels,
    classes that differ, or fewer synthetic images than real ones.
    """
    _check_labelled(synthetic=synthetic, train=train, heldout=heldout)
    n = len(train["image"])
    if len(synthetic["image"]) < n:
        raise UserError(f"synthetic has {len(synthetic['image'])} images, train {n}; sample at least as many.")
    chosen = _take(synthetic, np.random.default_rng(seed).permutation(len(synthetic["image"]))[:n])
    tstr, trtr = (_heldout_auc(part, heldout, cache_dir, seed, steps) for part in (chosen, train))
    return {"tstr_auc": tstr, "trtr_auc": trtr, "tstr_ratio": tstr / trtr, "classifier_steps": steps}


def augmentation_benefit(
    synthetic: Images,
    train: Images,
    heldout: Images,
    cache_dir: Path | None = None,
    share: float = 0.1,
    seeds: int = 5,
    steps: int = STEPS,
) -> Row:
    """What synthetic images add to a classifier that has only a `share` of the real ones.

    For each of `seeds` subsets of `train` (`stratified`): the AUC on `heldout` with synthetic images less that without.
    With them, half of what is seen is real, the subset repeated; without, all of it: the same recipe, steps and start.
    augmentation_gain is the mean, augmentation_gains are the differences, real_alone_auc are the AUCs without.

    `synthetic` comes from one generator. If that was trained on all of `train`, as it is when a hospital publishes
    synthetic images in the place of its data, part of a gain is knowledge of the other real images. Whether a generator
    makes more of few images than a classifier does by itself is another question, for a generator trained on the subset
    alone. Arguments and errors as in `train_on_synthetic`.
    """
    _check_labelled(synthetic=synthetic, train=train, heldout=heldout)
    alone, gains = [], []
    for seed in range(seeds):
        few = _take(train, stratified(train["label"], share, seed))
        repeated = _take(few, np.resize(np.arange(len(few["image"])), len(synthetic["image"])))
        both = {name: np.concatenate([repeated[name], np.asarray(synthetic[name])]) for name in ("image", "label")}
        alone.append(_heldout_auc(few, heldout, cache_dir, seed, steps))
        gains.append(_heldout_auc(both, heldout, cache_dir, seed, steps) - alone[-1])
    return {"augmentation_gain": float(np.mean(gains)), "augmentation_gains": gains, "real_alone_auc": alone}


def stratified(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Indices, ascending, of a random `share` of each class among `labels` [N]: rounded, at least one of each.

    Raises `UserError` unless 0 < share <= 1.
    """
    if not 0 < share <= 1:
        raise UserError(f"A share of the training images lies above 0 and is at most 1, not {share}.")
    labels, rng = np.asarray(labels), np.random.default_rng(seed)
    chosen = []
    for c in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == c))
        chosen.append(rows[: max(1, round(share * len(rows)))])
    return np.sort(np.concatenate(chosen))


def nearest_neighbours(samples: np.ndarray, train: Images, heldout: Images, features: Features) -> Row:
    """How near uint8 `samples` [N, H, W, C] come to training images.

    nearest_index [N] and nearest_distance [N]: each sample's nearest training image in `features`, and how far off it
    is: what to show a person. memorisation_auc compares these distances with those of held-out images
    (`nearest.memorisation_auc`). copies: the share of samples that equal a training image in every pixel. Raises
    `UserError` on images of another shape or type.
    """
    train_images = check_images(train["image"], "train")
    check_images(samples, "samples", train_images.shape[1:])
    heldout_images = check_images(heldout["image"], "heldout", train_images.shape[1:])
    known = features(train_images)
    index, distance = nearest_item(features(samples), known)
    members = {image.tobytes() for image in train_images}
    return {
        "memorisation_auc": memorisation_auc(distance, nearest_distance(features(heldout_images), known)),
        "copies": float(np.mean([image.tobytes() in members for image in samples])),
        "nearest_index": index,
        "nearest_distance": distance,
    }


def membership_inference(
    synthetic: np.ndarray,
    members: np.ndarray,
    others: np.ndarray,
    logits: tuple[np.ndarray, np.ndarray] | None = None,
    features: Features | None = None,
) -> Row:
    """Can one who has many synthetic images tell whether a real image was trained on? uint8 images [N, H, W, C].

    `members` were trained on; `others` were not, and come from the same source: else the source is what is told apart,
    as with the test images of PneumoniaMNIST. Each attack ranks all these real images; its AUC is 0.5 where it learns
    nothing. An attack is a rule fixed beforehand, so below 0.5 it has failed: it is not turned round. mia_auc is the
    largest of

    - mia_pixels, mia_features: the nearer the nearest synthetic image, the more a member. GAN-Leaks' full black box
      (Chen et al. 2020).
    - mia_count: the more synthetic images within a radius. Monte-Carlo attack (Hilprecht et al. 2019), in features; the
      radius is their median rule: half of the real images have a synthetic one nearer than that.
    - mia_critic, where `logits` of all members [N] and all others [M] are given: the more real the critic finds it, the
      more a member. LOGAN's white box (Hayes et al. 2019).

    mia_error is the standard error of one AUC where nothing leaks; the largest of four lies about one above 0.5. (An
    AUC needs no sets of one size, and with all members it is less noisy: of 524 of them, as many as there are others,
    one GAN's critic had 0.573, of all 4,708 0.539.)

    `features` are by default 64 principal components of the synthetic images, which is all that the attacker has: a
    network trained on the members would know them itself. Raises `UserError` on images of another shape or type.
    """
    synthetic = check_images(synthetic, "synthetic")
    members, others = (
        check_images(images, name, synthetic.shape[1:]) for images, name in ((members, "members"), (others, "others"))
    )
    n, m = len(members), len(others)
    real = np.concatenate([members, others])
    is_member = np.arange(n + m) < n
    features = features or pca(synthetic).features
    found, candidates = features(synthetic), features(real)
    distance = nearest_distance(candidates, found)
    aucs = {
        "mia_pixels": _auc(-nearest_distance(_flat(real), _flat(synthetic)), is_member),
        "mia_features": _auc(-distance, is_member),
        "mia_count": _auc(_within(candidates, found, float(np.median(distance))), is_member),
    }
    if logits is not None:
        scores = [np.asarray(x, np.float64) for x in logits]
        if [x.shape for x in scores] != [(n,), (m,)] or not np.isfinite(np.concatenate(scores)).all():
            raise UserError(f"logits must be {n} of members and {m} of others, all finite.")
        aucs["mia_critic"] = _auc(np.concatenate(scores), is_member)
    return {"mia_auc": max(aucs.values()), **aucs, "mia_error": float(np.sqrt((n + m + 1) / (12 * n * m)))}


def class_gaussians(train: Images, counts: Sequence[int], seed: int = 0) -> dict[str, np.ndarray]:
    """The impostor of a class-conditional generator: a PCA-Gaussian (`pca.PCA.sample`) fitted to each class.

    {"image": uint8 [sum(counts), H, W, C], "label": int32}: counts[c] images of class c, class by class. Raises
    `UserError` where a class that is asked for has fewer than two training images.
    """
    images = check_images(train["image"], "train")
    labels = check_labels(train["label"], len(images), "labels")
    for c, n in enumerate(counts):
        if n and (labels == c).sum() < 2:
            raise UserError(f"train has {(labels == c).sum()} images of class {c}; a Gaussian takes at least two.")
    drawn = [pca(images[labels == c], seed=seed).sample(n, seed + c) if n else images[:0] for c, n in enumerate(counts)]
    return {"image": np.concatenate(drawn), "label": np.repeat(np.arange(len(counts), dtype=np.int32), counts)}


def _heldout_auc(images: Images, heldout: Images, cache_dir: Path | None, seed: int, steps: int) -> float:
    args = (images["image"], images["label"], heldout["image"], heldout["label"])
    trained = classifier(*args, cache_dir=cache_dir, seed=seed, steps=steps)
    return roc_auc(trained.probabilities(heldout["image"]), heldout["label"])


def _check_labelled(**sets: Images) -> None:
    for name, images in sets.items():
        if "label" not in images:
            raise UserError(f"{name} has no labels; this audit is of class-conditional generators.")


def _auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """`scores` [N] of the items that are `positive` [N] against the others'."""
    ranked, high = np.sort(scores[~positive]), scores[positive]
    below = np.searchsorted(ranked, high, side="left") + np.searchsorted(ranked, high, side="right")
    return float(below.mean() / (2 * len(ranked)))


def _within(queries: np.ndarray, items: np.ndarray, radius: float) -> np.ndarray:
    """[N]: how many of `items` [M, F] lie within `radius` of each of `queries` [N, F]."""
    queries, items = queries.astype(np.float64), items.astype(np.float64)
    return np.concatenate([(squared <= radius**2).sum(1) for _, squared in squared_distances(queries, items)])


def _take(images: Images, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.asarray(images[name])[rows] for name in ("image", "label")}


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)
