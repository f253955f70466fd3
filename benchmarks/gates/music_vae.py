"""Gate 5: JSB chorales in quarter notes, nats a slice of 88 Bernoullis on the official test pieces, with the KL."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import logsumexp

from benchmarks import gates
from benchmarks.gates import Part, Row, Verdict
from jaxgen import assemble
from jaxgen.data import music
from jaxgen.domains.music import likelihood
from jaxgen.metrics.music_quality import compare, nearest_copy
from jaxgen.trained import load

DATA = "music/jsb-chorales"
FILE = "jsb-chorales-quarter.json"
CONFIG = "music_vae_jsb"
# What others report for this set and grid, nats a slice; not measured here.
PUBLISHED = {"deep Markov model (Krishnan et al. 2017)": 6.93}
PASSAGE = 32
"""Slices of the passages that samples and real music are compared by."""


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains `music_vae_jsb` and judges its last checkpoint."""
    cfg = gates.config(CONFIG, data / FILE, seed)
    steps, minutes = gates.trained(cfg, workdir)
    run = load(workdir)
    heldout = assemble.domain(cfg).load(cfg, "test")
    pieces = {split: music.pieces(str(data / FILE), split, 1) for split in ("train", "validation", "test")}
    ours = dict(likelihood(run, heldout, "slices"))
    kept = {run.step: ours} | {step: dict(likelihood(run.at(step), heldout, "slices")) for step in steps[:-1]}
    best = min(kept, key=lambda step: float(kept[step]["bound"]))
    real = _passages(pieces["test"])
    made = (run.sequences(len(real), seed=0)[:, :PASSAGE] > 0.5).astype(np.uint8)
    ours |= compare(made, real) | {"copied": nearest_copy(made, pieces["train"])}
    return Verdict(
        ours=ours,
        parts=(
            Part("bound <= 7.0 nats a slice", "bound", high=7.0),
            Part("the latents of another piece cost >= 0.3 nats a slice", "shuffled_cost", low=0.3),
        ),
        impostors={
            "marginals": {"bound": marginals(pieces["train"], pieces["test"]), "shuffled_cost": 0.0},
            "Markov chain of each pitch": {"bound": markov(pieces["train"], pieces["test"]), "shuffled_cost": 0.0},
            "kernel density": {"bound": kernel_density(pieces), "shuffled_cost": 0.0},
            "posterior = prior": {"bound": ours["bound_of_prior"], "shuffled_cost": 0.0},
        },
        others={
            "train pieces": _alike(pieces["train"], real, pieces["train"][::2]),
            f"ours, best step ({best})": kept[best],
        }
        | {name: {"bound": value} for name, value in PUBLISHED.items()},
        facts={
            "real": f"{len(pieces['test'])} test pieces, {int(heldout['length'].sum())} slices",
            "grid": "quarter notes",
            "draws": 4,
            "steps": run.step,
            "batch": cfg.batch,
            "training_minutes": minutes,
        },
    )


def marginals(train: Sequence[np.ndarray], test: Sequence[np.ndarray]) -> float:
    """Nats a slice of independent pitches, each with its frequency in the training pieces."""
    p = _shares(np.concatenate(train))
    return _nats(np.concatenate(test), p)


def markov(train: Sequence[np.ndarray], test: Sequence[np.ndarray]) -> float:
    """Nats a slice where each pitch depends on itself in the slice before, silence before the first."""
    now, before = np.concatenate(train), _before(train)
    p = [_shares(now, np.where(before == state, 1.0, 0.0)) for state in (0, 1)]
    return _nats(np.concatenate(test), np.where(_before(test) == 1, p[1], p[0]))


def kernel_density(pieces: dict[str, list[np.ndarray]]) -> float:
    """Nats a slice of a mixture with a component for each different training slice: its pitches' probabilities are
    drawn towards the marginals by a share that is chosen on the validation pieces."""
    slices, counts = np.unique(np.concatenate(pieces["train"]), axis=0, return_counts=True)
    mean = _shares(np.concatenate(pieces["train"]))

    def nll(x: np.ndarray, share: float) -> float:
        p = (1 - share) * slices + share * mean
        logs = x @ np.log(p).T + (1 - x) @ np.log1p(-p).T
        return float(-np.asarray(logsumexp(logs + np.log(counts / counts.sum()), axis=1)).mean())

    valid = np.concatenate(pieces["validation"])
    share = min((0.05, 0.1, 0.2, 0.3, 0.5, 0.7), key=lambda share: nll(valid, share))
    return nll(np.concatenate(pieces["test"]), share)


def _alike(pieces: Sequence[np.ndarray], real: np.ndarray, train: Sequence[np.ndarray]) -> Row:
    """What training passages come to in the place of samples."""
    some = _passages(pieces[1::2])[: len(real)]
    return compare(some, real) | {"copied": nearest_copy(some, train)}


def _passages(pieces: Sequence[np.ndarray]) -> np.ndarray:
    """Whole ones: what fills up others would count as silence."""
    rolls, lengths = music.windows(pieces, PASSAGE, PASSAGE)
    return rolls[lengths == PASSAGE]


def _shares(x: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Probabilities [88], with one imagined slice that is half on."""
    weight = np.ones(x.shape) if weight is None else weight
    return ((x * weight).sum(0) + 0.5) / (weight.sum(0) + 1)


def _before(pieces: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.pad(piece, ((1, 0), (0, 0)))[:-1] for piece in pieces])


def _nats(x: np.ndarray, p: np.ndarray) -> float:
    return float(-(x * np.log(p) + (1 - x) * np.log1p(-p)).sum(1).mean())
