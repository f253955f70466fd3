"""Gate 3: text without a prompt, against the same generator trained by maximum likelihood alone.

Two benchmarks. The oracle, at a vocabulary of 500 and with its own measured floor: the pair NLL_oracle, NLL_test as a
curve over the sharpness alpha. Captions of Texygen's split, as `benchmarks.captions` judges them; gate `captions` has a
split that is about the same things. Of both the GAN is the generator with its critic as judge of what it writes. What
ties with maximum likelihood or loses to it is reported so, and misses the gate.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from benchmarks import captions, gates, oracle, texts
from benchmarks.curves import Curve
from benchmarks.gates import Part, Verdict, above
from jaxgen.latent import numbered_keys
from jaxgen.trained import Trained, load

DATA = "text"
VOCABULARY = 500
ORACLE_SEED = 0
TRAINING_TEXTS = 10_000
SHARPNESS = (0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3, 1.5)
"""alpha: the reciprocal of the temperature."""


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains `text_gan_oracle` and its maximum-likelihood twin, and `text_gan_captions`, whose twin is its own
    checkpoint at the end of the first phase; judges the last checkpoints."""
    ours, parts, impostors, others, facts = {}, [], {}, {}, {}
    folder = texts.captions(data.parent, workdir / "captions")
    for part in (_oracle(seed, workdir), captions.judge(seed, folder, workdir)):
        ours |= part.ours
        parts += part.parts
        impostors |= part.impostors
        others |= part.others
        facts |= part.facts
    return Verdict(ours, tuple(parts), impostors, others, facts)


def _oracle(seed: int, workdir: Path) -> Verdict:
    teller = oracle.random(VOCABULARY, ORACLE_SEED)
    file, test = texts_of(teller, workdir)
    floor = float(oracle.nll(teller, test).mean())
    curves, steps, minutes = {}, {}, {}
    for name in ("text_gan_oracle_mle", "text_gan_oracle"):
        cfg = gates.config(name, file, seed)
        _, minutes[name] = gates.trained(cfg, workdir / name)
        run = load(workdir / name)
        steps[name], curves[name] = run.step, oracle_curve(run, teller, test, judged=name == "text_gan_oracle")
    likely, curve = curves.values()
    bar = min(likely, key=lambda point: point["nll_test"])
    deviation = _deviation("mle_nll_oracle", seed, bar["nll_oracle"])
    best = _sharpest(curve, bar["nll_test"])
    ours = {"mle_nll_test": bar["nll_test"], "mle_nll_oracle": bar["nll_oracle"]}
    ours |= _gain(best, bar) | ({"deviation": deviation} if np.isfinite(deviation) else {})
    return Verdict(
        ours=ours,
        parts=(
            Part(
                "oracle: at NLL_test <= the MLE's, NLL_oracle lower by more than two seed deviations",
                "oracle_gain",
                low=above(2 * deviation),
            ),
        ),
        impostors={
            "MLE, sharpened": _gain(_sharpest(likely[likely.index(bar) + 1 :], bar["nll_test"]), bar),
            "collapsed": _collapsed(teller, test, bar),
        },
        others={"the oracle": {"nll_oracle": floor, "nll_test": floor}},
        facts={
            "oracle": f"LSTM of N(0, 1) parameters, vocabulary {VOCABULARY}, seed {ORACLE_SEED}; floor {floor:.4f}",
            "oracle_texts": oracle.TEXTS,
            "oracle_curves": curves,
            "oracle_steps": steps,
            "oracle_minutes": minutes,
        },
    )


def texts_of(teller: oracle.Oracle, workdir: Path) -> tuple[Path, np.ndarray]:
    """(a file of `train` and `test` texts of the oracle, the test texts): the same for every seed."""
    path = workdir / "oracle.npz"
    if not path.exists():
        keys = numbered_keys(jax.random.key(ORACLE_SEED + 1), TRAINING_TEXTS + oracle.TEXTS)
        told = np.asarray(oracle.sample(teller, keys))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, train=told[:TRAINING_TEXTS], test=told[TRAINING_TEXTS:])
    with np.load(path) as file:
        return path, file["test"]


def oracle_curve(run: Trained, teller: oracle.Oracle, test: np.ndarray, judged: bool = False) -> Curve:
    """For each sharpness: what the oracle says of the run's texts, and the run of the oracle's, in nats a token.

    `judged`: of the generator and its critic together (`steps.sequence_gan.judged`). The density of a text is then the
    generator's times the chance with which it passes, by the share of all texts that pass: of as many drawn texts.
    """
    found = []
    for alpha in SHARPNESS:
        made = run.sequences(oracle.TEXTS, seed=0, temperature=1 / alpha)
        nll_test = -float(run.log_likelihood({"tokens": test}, 1 / alpha).mean(dtype=np.float64))
        if judged:
            share = np.log(np.exp(run.passing(made).astype(np.float64)).mean())
            nll_test -= (float(run.passing(test).mean(dtype=np.float64)) - float(share)) / test.shape[1]
            made = run.judged(oracle.TEXTS, seed=0, temperature=1 / alpha)
        nll_oracle = float(np.asarray(oracle.nll(teller, made)).mean(dtype=np.float64))
        found.append({"alpha": alpha, "nll_test": nll_test, "nll_oracle": nll_oracle})
    return found


def _sharpest(curve: Sequence[Mapping[str, float]], most: float) -> Mapping[str, float] | None:
    """The point of the lowest NLL_oracle among those whose NLL_test is at most so much; between two points of the
    curve, where it crosses, a straight line."""
    inside = [dict(point) for point in curve if point["nll_test"] <= most]
    for a, b in itertools.pairwise(curve):
        low, high = sorted((a, b), key=lambda point: point["nll_test"])
        if low["nll_test"] <= most < high["nll_test"]:
            t = (most - low["nll_test"]) / (high["nll_test"] - low["nll_test"])
            inside.append({name: (1 - t) * low[name] + t * high[name] for name in low})
    return min(inside, key=lambda point: point["nll_oracle"]) if inside else None


def _gain(best: Mapping[str, float] | None, bar: Mapping[str, float]) -> dict[str, float]:
    """What a curve's best point is ahead of the MLE's; nothing to show where it has none."""
    if best is None:
        return {}
    return {**best, "oracle_gain": bar["nll_oracle"] - best["nll_oracle"]}


def _collapsed(teller: oracle.Oracle, test: np.ndarray, bar: Mapping[str, float]) -> dict[str, float]:
    """The likeliest of the test texts told again and again, by a model that gives each of its tokens .999."""
    each = np.asarray(oracle.nll(teller, test))
    best = test[each.argmin()]
    nll_test = float(-np.log(np.where(test == best, 0.999, 0.001 / (VOCABULARY - 1))).mean())
    return {"nll_test": nll_test, "nll_oracle": float(each.min())} | (
        {"oracle_gain": bar["nll_oracle"] - float(each.min())} if nll_test <= bar["nll_test"] else {}
    )


def _deviation(column: str, seed: int, ours: float) -> float:
    """The standard deviation of the MLE's number over the seeds measured so far; infinite where this is the first."""
    from benchmarks.quality import earlier_seeds

    values = [row[column] for row in earlier_seeds("text_gan", seed) if column in row]
    return float(np.std([*values, ours], ddof=1)) if values else float("inf")
