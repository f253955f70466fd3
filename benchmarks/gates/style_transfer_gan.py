"""Gate 8: old tiles of Dungeon Crawl into redrawn ones, from pairs and from two sets without pairs; judged on the
held-out fifth, whose true partners are known for both.

Features are those of the classifier that tells old from new (`style.which_kind`): what is the same in both is none of
the game's business. (In features of what a tile shows, old tiles are as near to new ones as those to each other: KID
-.011 +- .023, halves .047.) What a tile shows, item or monster, is asked of a classifier of its own, trained on the
training tiles of both ages. The unpaired run gets the same tiles in an order that puts nobody beside its partner.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks import dcss, gates
from benchmarks.gates import Part, Row, Verdict
from jaxgen import assemble
from jaxgen.config import Config
from jaxgen.data.cache import cache_dir
from jaxgen.domains import Raw, _pixels, style
from jaxgen.errors import UserError
from jaxgen.metrics.classifier import Classifier, classifier
from jaxgen.metrics.kernel import kid
from jaxgen.trained import load

DATA = "style/dcss-tile-pairs"
TILES = "games/dcss-tiles"
"""Beside it: the folders there say what a tile shows."""
CONTENT = ("dngn", "item", "mon", "player", "gui")
GAMES = {"paired": "style_transfer_gan_tiles", "unpaired": "style_transfer_gan_tiles_unpaired"}


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains both configs with the seed; judges their last checkpoints."""
    folder = dcss.pairs(data)
    runs = {kind: gates.config(name, folder, seed) for kind, name in GAMES.items()}
    kinds = content(folder, data.parent.parent / TILES, runs["paired"])
    done = {kind: gates.trained(cfg, workdir / kind) for kind, cfg in runs.items()}
    domain = assemble.domain(runs["paired"])
    train, heldout = domain.load(runs["paired"], "train"), domain.load(runs["paired"], "test")
    telling = style.which_kind(train, heldout, runs["paired"])

    last = {kind: load(workdir / kind) for kind in runs}

    def row(kind: str, step: int) -> Row:
        made = _pixels.to_raw(last[kind].at(step).translate(np.asarray(_pixels.to_batch(heldout)["source"]), seed))
        return judged(made, heldout, telling, kinds)

    rows = {kind: {step: row(kind, step) for step in steps} for kind, (steps, _) in done.items()}
    ours = {}
    for kind, found in rows.items():
        ours |= {f"{name}_{kind}": value for name, value in found[max(found)].items()}
    made_by_rule = impostors(train, heldout, seed)
    # None of them learns from pairs or without: each stands for both games.
    rivals = {}
    for name, made in made_by_rule.items():
        numbers = judged(made, heldout, telling, kinds)
        rivals[name] = {f"{key}_{kind}": value for kind in GAMES for key, value in numbers.items()}
    parts = []
    for kind in GAMES:
        for number in ("l1", "kid"):
            bar = min(float(rivals[name][f"{number}_{kind}"]) for name in ("identity", "histogram"))
            parts.append(
                Part(
                    f"{kind}: {number} below identity's and histogram matching's",
                    f"{number}_{kind}",
                    high=gates.below(bar),
                )
            )
    parts.append(Part("unpaired: content unchanged >= 90%", "content_unpaired", low=0.9))
    return Verdict(
        ours=ours,
        parts=tuple(parts),
        impostors=rivals,
        others={"real vs real": ceiling(heldout, telling, kinds)}
        | {
            f"ours, {kind}, step {step}": {f"{name}_{kind}": value for name, value in one.items()}
            for kind, found in rows.items()
            for step, one in found.items()
        },
        facts={
            "real": f"{len(heldout['image'])} held-out pairs; KID of all redrawn ones to all made ones",
            "extractor": "classifier of old and new",
            "extractor_hash": telling.hash,
            "extractor_accuracy": telling.heldout_accuracy,
            "content": ", ".join(CONTENT),
            "content_hash": kinds.hash,
            "content_accuracy": kinds.heldout_accuracy,
            "resize": "none",
            "steps": {kind: max(steps) for kind, (steps, _) in done.items()},
            "batch": {kind: cfg.batch for kind, cfg in runs.items()},
            "training_minutes": {kind: minutes for kind, (_, minutes) in done.items()},
        },
    )


def judged(made: np.ndarray, heldout: Raw, telling: Classifier, kinds: Classifier) -> Row:
    """Of uint8 tiles [N, 32, 32, 3]: `l1` to their partners, `kid` to all redrawn tiles, and the share whose `content`
    is seen as that of the tile that they are made of."""
    before, after = (kinds.probabilities(tiles).argmax(1) for tiles in (heldout["source"], made))
    return style.compared(made, heldout, telling, paired=True) | {"content": float((after == before).mean())}


def ceiling(heldout: Raw, telling: Classifier, kinds: Classifier, splits: int = 5) -> Row:
    """Of redrawn tiles: the KID of halves, and how often their content is seen as that of the old ones."""
    rng, features = np.random.default_rng(0), telling.features(heldout["image"])
    halves = [np.array_split(rng.permutation(len(features)), 2) for _ in range(splits)]
    before, after = (kinds.probabilities(heldout[name]).argmax(1) for name in ("source", "image"))
    found = {
        "kid": float(np.mean([kid(features[a], features[b])[0] for a, b in halves])),
        "content": float((before == after).mean()),
        "l1": 0.0,
    }
    return {f"{name}_{kind}": value for kind in GAMES for name, value in found.items()}


def impostors(train: Raw, heldout: Raw, seed: int) -> Mapping[str, np.ndarray]:
    """What learns nothing: the old tiles as they are, and with the histograms of redrawn ones; of the most similar old
    training tile the partner; the pixelwise median of all redrawn training tiles; one redrawn tile for all."""
    old, new = (train[name].reshape(len(train[name]), -1).astype(np.float32) for name in ("source", "image"))
    asked = heldout["source"].reshape(len(heldout["source"]), -1).astype(np.float32)
    nearest = ((asked**2).sum(1)[:, None] - 2 * asked @ old.T + (old**2).sum(1)).argmin(1)
    n, shape = len(asked), heldout["image"].shape
    median = np.median(new, axis=0).astype(np.uint8)
    return style.rivals(train, heldout) | {
        "memoriser": train["image"][nearest],
        "median": np.tile(median, (n, 1)).reshape(shape),
        "collapsed": np.repeat(train["image"][seed % len(new)][None], n, axis=0),
    }


def content(folder: Path, tiles: Path, cfg: Config) -> Classifier:
    """The classifier of what a tile shows, trained on those of both ages; what belongs to no class is left out."""
    source = tiles / dcss.SPRITES
    if not source.is_file():
        raise UserError(f"What a tile shows is taken from the folders in {source}, which is missing.")
    with zipfile.ZipFile(source) as archive:
        kind = {Path(name).name: name.split("/")[0] for name in archive.namelist()}
    data: list[np.ndarray] = []
    for split in ("train", "test"):
        raw = style.load(cfg, split)
        names = [path.name for path in sorted((folder / f"{split}B").glob("*.png"), key=lambda path: path.stem)]
        label = np.array([CONTENT.index(kind[n]) if kind.get(n) in CONTENT else -1 for n in names], np.int32)
        known = label >= 0
        data += [np.concatenate([raw["source"][known], raw["image"][known]]), np.tile(label[known], 2)]
    images, labels, heldout, heldout_labels = data
    return classifier(images, labels, heldout, heldout_labels, cache_dir() / "classifiers", steps=1000)
