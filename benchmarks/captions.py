"""A GAN of captions, with its critic as judge of what it writes, against the same generator trained by maximum
likelihood alone: BLEU against held-out captions at equal self-BLEU, over a curve of sharpness. Gates `text_gan` and
`captions` judge so, each on a split of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import gates, texts
from benchmarks.curves import Curve, ahead
from benchmarks.gates import Part, Row, Verdict, above
from jaxgen import assemble
from jaxgen.domains import _text
from jaxgen.metrics import bleu, text_quality
from jaxgen.trained import Trained, load

CONFIG = "text_gan_captions"
SHARPNESS = (0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0)
"""alpha: the reciprocal of the temperature."""
SAMPLES = 2000
ORDERS = (2, 3, 4, 5)
# Texygen's own rows for these captions, its MLE first: BLEU against its test set, self-BLEU; not measured here.
PUBLISHED = {
    "Texygen MLE": ((0.731, 0.497, 0.305, 0.189), (0.916, 0.769, 0.583, 0.408)),
    "Texygen SeqGAN": ((0.745, 0.498, 0.294, 0.180), (0.950, 0.840, 0.670, 0.489)),
}


def judge(seed: int, folder: Path, workdir: Path) -> Verdict:
    """Trains `text_gan_captions` on a folder's train.txt; judges the last checkpoint by its test.txt, beside the one at
    the end of its first phase."""
    cfg = gates.config(CONFIG, folder, seed)
    kept, minutes = gates.trained(cfg, workdir / CONFIG)
    run = load(workdir / CONFIG)
    domain = assemble.domain(cfg)
    train, heldout = (domain.load(cfg, split)["tokens"] for split in ("train", "test"))
    references = bleu.References(heldout)
    likely = gates.likelihood_alone(run)
    curves = {
        "ours": curve(run, references, heldout, judged=True),
        "unjudged": curve(run, references, heldout),
        "mle": curve(likely, references, heldout),
    }
    at_one = next(point for point in curves["ours"] if point["alpha"] == 1)
    made = run.judged(SAMPLES, seed=0)
    impostors = _impostors(train, heldout, curves["mle"], references)
    unseen, real = _real(train, heldout)
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
        others={"unseen captions": unseen | real}
        | {"half of the training captions": kind}
        | {f"{name}, alpha {p['alpha']}": p for name, points in curves.items() for p in points}
        | {name: _published(*of) for name, of in PUBLISHED.items()},
        facts={
            "captions": f"{len(train):,} for training, {len(heldout):,} references, {SAMPLES:,} samples",
            "captions_curves": curves,
            "captions_steps": {"mle": likely.step, "ours": run.step, "kept": kept},
            "captions_minutes": minutes,
        },
    )


def curve(run: Trained, references: bleu.References, heldout: np.ndarray, judged: bool = False) -> Curve:
    """For each sharpness BLEU and self-BLEU of 2,000 texts, and nats a token of the held-out ones; `judged`: of texts
    that the critic lets pass."""
    found = []
    for alpha in SHARPNESS:
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
    captions, with the other half as training: Texygen's held-out ones are about other things (`texts.captions`), so
    that good texts of the training captions' kind too are nearer to these."""
    own = text_quality.memorisation(tokens, train[::2], train[1::2][:SAMPLES])
    return text_quality.memorisation(tokens, train, heldout[:SAMPLES]) | {
        "memorisation_own_auc": own["memorisation_auc"]
    }


def _real(train: np.ndarray, heldout: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    """(BLEU of held-out captions beside the others; their memorisation): of 2,000, or of half where there are fewer."""
    n = min(SAMPLES, len(heldout) // 2)
    others = np.concatenate([heldout[:n], heldout[2 * n :]])
    return _scores(heldout[:n], bleu.References(heldout[n:])), _memorisation(heldout[n : 2 * n], train, others)


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
