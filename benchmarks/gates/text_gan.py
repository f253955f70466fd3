"""Gate 3: text without a prompt, against the same generator trained by maximum likelihood alone.

Two benchmarks. The oracle, at a vocabulary of 500 and with its own measured floor: the pair NLL_oracle, NLL_test as a
curve over the sharpness alpha. Captions: BLEU against the test captions at equal self-BLEU, over the same curve. Of
both the GAN is the generator with its critic as judge of what it writes; that of captions is shown without it too. What
ties with maximum likelihood or loses to it is reported so, and misses the gate.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import gates, oracle, texts
from benchmarks.curves import Curve, ahead
from benchmarks.gates import Part, Row, Verdict, above
from jaxgen import assemble
from jaxgen.domains import _text
from jaxgen.latent import numbered_keys
from jaxgen.metrics import bleu, text_quality
from jaxgen.trained import Trained, load

DATA = "text"
VOCABULARY = 500
ORACLE_SEED = 0
TRAINING_TEXTS = 10_000
SHARPNESS = {
    "oracle": (0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3, 1.5),
    "captions": (0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0),
}
"""alpha: the reciprocal of the temperature."""
SAMPLES = 2000
ORDERS = (2, 3, 4, 5)
# Texygen's own rows for these captions, its MLE first: BLEU against its test set, self-BLEU; not measured here.
PUBLISHED = {
    "Texygen MLE": ((0.731, 0.497, 0.305, 0.189), (0.916, 0.769, 0.583, 0.408)),
    "Texygen SeqGAN": ((0.745, 0.498, 0.294, 0.180), (0.950, 0.840, 0.670, 0.489)),
}


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains `text_gan_oracle` and its maximum-likelihood twin, and `text_gan_captions`, whose twin is its own
    checkpoint at the end of the first phase; judges the last checkpoints."""
    ours, parts, impostors, others, facts = {}, [], {}, {}, {}
    for part in (_oracle(seed, workdir), _captions(seed, data, workdir)):
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
    for alpha in SHARPNESS["oracle"]:
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


def _captions(seed: int, data: Path, workdir: Path) -> Verdict:
    folder = texts.captions(data.parent, workdir / "captions")
    cfg = gates.config("text_gan_captions", folder, seed)
    kept, minutes = gates.trained(cfg, workdir / "text_gan_captions")
    run = load(workdir / "text_gan_captions")
    domain = assemble.domain(cfg)
    train, heldout = (domain.load(cfg, split)["tokens"] for split in ("train", "test"))
    references = bleu.References(heldout)
    likely = gates.likelihood_alone(run)
    curves = {
        "ours": caption_curve(run, references, heldout, judged=True),
        "unjudged": caption_curve(run, references, heldout),
        "mle": caption_curve(likely, references, heldout),
    }
    at_one = next(point for point in curves["ours"] if point["alpha"] == 1)
    made = run.judged(SAMPLES, seed=0)
    impostors = _impostors(train, heldout, curves["mle"], references)
    real = _memorisation(heldout[SAMPLES : 2 * SAMPLES], train, heldout)
    kind = _own_kind(train, heldout)
    return Verdict(
        ours=_gains(curves["ours"], curves["mle"])
        | _memorisation(made, train, heldout)
        | {f"bleu_{n}": at_one[f"bleu_{n}"] for n in ORDERS},
        parts=(
            *(
                Part(f"captions: BLEU-{n} above the MLE's at equal self-BLEU-{n}", f"bleu_{n}_gain", low=above(0))
                for n in ORDERS
            ),
            _memorisation_part("captions: memorisation AUC, of their own kind", "memorisation_own_auc", kind),
        ),
        doubted=((_memorisation_part("captions: memorisation AUC", "memorisation_auc", real), kind),),
        impostors=impostors,
        others={"unseen captions": _scores(heldout[:SAMPLES], bleu.References(heldout[SAMPLES:])) | real}
        | {"half of the training captions": kind}
        | {f"{name}, alpha {p['alpha']}": p for name, curve in curves.items() for p in curve}
        | {name: _published(*of) for name, of in PUBLISHED.items()},
        facts={
            "captions": "10,000 for training, 10,000 references, 2,000 samples",
            "captions_curves": curves,
            "captions_steps": {"mle": likely.step, "ours": run.step, "kept": kept},
            "captions_minutes": minutes,
        },
    )


def caption_curve(run: Trained, references: bleu.References, heldout: np.ndarray, judged: bool = False) -> Curve:
    """For each sharpness BLEU and self-BLEU of 2,000 texts, and nats a token of the held-out ones; `judged`: of texts
    that the critic lets pass."""
    found = []
    for alpha in SHARPNESS["captions"]:
        made = (run.judged if judged else run.sequences)(SAMPLES, seed=0, temperature=1 / alpha)
        found.append({"alpha": alpha} | _scores(made, references))
    nll = _text.nll(run, {"tokens": heldout})
    return [point | {"nll": nll} for point in found]


def _gains(ours: Curve, likely: Curve) -> dict[str, float]:
    """BLEU above the MLE's at equal self-BLEU; of what lies beyond its curve nothing."""
    gains = {f"bleu_{n}_gain": ahead(ours, likely, f"bleu_{n}", f"self_bleu_{n}") for n in ORDERS}
    return {name: gain for name, gain in gains.items() if np.isfinite(gain)}


def _impostors(train: np.ndarray, heldout: np.ndarray, likely: Curve, references: bleu.References) -> dict[str, Row]:
    """Words by their frequency alone; one good text again and again; training texts as they are."""
    rng = np.random.default_rng(0)
    marginal = texts.by_frequency(train, SAMPLES, rng)
    copied = train[rng.permutation(len(train))[:SAMPLES]]
    sets = {"marginal": marginal, "collapsed": np.repeat(copied[:4], SAMPLES // 4, axis=0), "memoriser": copied}
    rows = {}
    for name, tokens in sets.items():
        point = _scores(tokens, references)
        rows[name] = point | _gains([point], likely) | _memorisation(tokens, train, heldout)
    return rows


def _memorisation(tokens: np.ndarray, train: np.ndarray, heldout: np.ndarray) -> dict[str, float]:
    """`text_quality.memorisation` beside held-out captions; `memorisation_own_auc` beside a half of the training
    captions, with the other half as training: held-out ones are about other things (`texts.captions`), so that good
    texts of the training captions' kind too are nearer to these."""
    own = text_quality.memorisation(tokens, train[::2], train[1::2][:SAMPLES])
    return text_quality.memorisation(tokens, train, heldout[:SAMPLES]) | {
        "memorisation_own_auc": own["memorisation_auc"]
    }


def _own_kind(train: np.ndarray, heldout: np.ndarray) -> dict[str, float]:
    """As `_memorisation`, of what a perfect generator would write: captions of the half that isn't the training."""
    half, other = train[::2], train[1::2]
    own, of = (text_quality.memorisation(other[-SAMPLES:], half, x[:SAMPLES]) for x in (other, heldout))
    return of | {"memorisation_own_auc": own["memorisation_auc"]}


def _memorisation_part(name: str, column: str, real: Row) -> Part:
    """Within 0.1 of what real texts have."""
    middle = float(real[column])
    return Part(f"{name}, within 0.1 of real ones'", column, low=middle - 0.1, high=middle + 0.1)


def _scores(tokens: np.ndarray, references: bleu.References) -> dict[str, float]:
    return {f"bleu_{n}": bleu.bleu(tokens, references, n) for n in ORDERS} | {
        f"self_bleu_{n}": bleu.self_bleu(tokens, n) for n in ORDERS
    }


def _published(of: Sequence[float], own: Sequence[float]) -> dict[str, Any]:
    named = zip(ORDERS, of, own, strict=True)
    return {k: v for n, a, b in named for k, v in ((f"bleu_{n}", a), (f"self_bleu_{n}", b))}
