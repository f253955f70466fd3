"""Gate 11, spoken digits: log-mel spectrograms of ten digits by six voices (Free Spoken Digit Dataset), by class.

The dataset's own split: indices 0 to 4 of each digit and speaker are held out (300), 5 to 49 are to train on (2,700).
So held-out takes are of known voices.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks import gates
from benchmarks.gates import Part, Row, Verdict
from jaxgen import assemble
from jaxgen.domains import _speech, speech
from jaxgen.errors import UserError
from jaxgen.metrics import audit, sample_quality, speech_quality
from jaxgen.trained import load

DATA = "speech/fsdd"
FILE = "recordings.zip"
FEW = 2
"""Recordings of each class that the collapsed impostor repeats."""


def recordings(data: Path) -> Path:
    """The archive. Raises `UserError` where it is missing."""
    if not (data / FILE).is_file():
        raise UserError(
            f"The benchmark needs the Free Spoken Digit Dataset; {data / FILE} is missing. Give its folder with --data."
        )
    return data / FILE


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains `speech_gan_fsdd` with the seed; judges the last checkpoint."""
    cfg = gates.config("speech_gan_fsdd", recordings(data), seed)
    steps, minutes = gates.trained(cfg, workdir)
    domain, names = assemble.domain(cfg), _speech.names(cfg)
    train, heldout = domain.load(cfg, "train"), domain.load(cfg, "test")
    judges = speech.judges(cfg, train, heldout, len(names["voices"]))

    def judged(images: np.ndarray, label: np.ndarray | None) -> Row:
        return speech_quality.compare(images, label, judges)

    rows = {step: judged(*speech.drawn(load(workdir, step), "spectrograms")) for step in steps}
    made = speech.drawn(load(workdir, steps[-1]), "spectrograms")[1]
    assert made is not None
    impostors = {name: judged(*of) for name, of in _impostors(train, np.bincount(made), seed).items()}
    ceiling = sample_quality.ceiling(judges.real)
    best = min(rows, key=lambda step: float(rows[step]["kid"]))
    return Verdict(
        ours=rows[steps[-1]],
        parts=(
            Part("the digit asked for is heard in >= 80% of samples", "word_accuracy", low=0.8),
            Part("all voices are covered", "voices_covered", low=len(names["voices"])),
            Part(
                "KID <= 25% of the class-conditional PCA-Gaussians'",
                "kid",
                high=0.25 * float(impostors["class_gaussians"]["kid"]),
            ),
            gates.memorisation(ceiling),
        ),
        impostors=impostors,
        others={
            "real vs real": ceiling,
            "held-out recordings": judged(heldout["image"], heldout["label"]),
            f"ours, best KID (step {best})": rows[best],
        },
        facts=judges.describe()
        | {
            "real": f"{len(heldout['label'])} held-out recordings; classifiers and features from the "
            f"{len(train['label'])} to train on",
            "resize": "none",
            "steps": steps[-1],
            "batch": cfg.batch,
            "training_minutes": minutes,
            "checkpoints": {str(step): rows[step] for step in steps},
        },
    )


def _impostors(
    train: Mapping[str, np.ndarray], counts: np.ndarray, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(spectrograms, labels), counts[c] of class c: Gaussians by class, a few recordings repeated, the recordings
    themselves, and independent pixels."""
    label = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    gaussians = audit.class_gaussians(train, counts.tolist(), seed)
    rows = [np.flatnonzero(train["label"] == c) for c in range(len(counts))]
    few, all_of_them = (
        np.concatenate([np.resize(found[:most], n) for found, n in zip(rows, counts, strict=True)])
        for most in (FEW, len(train["label"]))
    )
    marginal = sample_quality.impostors(train, len(label), seed)["marginal"]
    return {
        "class_gaussians": (gaussians["image"], gaussians["label"]),
        "collapsed": (train["image"][few], label),
        "memoriser": (train["image"][all_of_them], label),
        "marginal": (marginal, label),
    }
