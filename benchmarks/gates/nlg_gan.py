"""Gate 12: writing in three registers; is it of its category, as fluent as maximum likelihood's, and no copy?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import fluency, gates, texts
from benchmarks.curves import Curve, ahead
from benchmarks.gates import Part, Row, Verdict
from jaxgen import assemble
from jaxgen.domains import _text
from jaxgen.metrics import bleu, registers, text_quality
from jaxgen.trained import Trained, load

DATA = "text"
CONFIG = "nlg_gan_registers"
SAMPLES = 1998
DRAWS = 3
"""Sets of samples at each temperature: the loss of fluency of one over all of them is known to .01 nats or so."""
TEMPERATURES = (1.1, 1.05, 1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)
ORDER = 3
"""Of the self-BLEU at which fluency is compared."""


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains `nlg_gan_registers`; judges the last checkpoint at temperature 1, its fluency over all temperatures
    against the maximum-likelihood model at the end of its first phase."""
    cfg = gates.config(CONFIG, texts.registers(data.parent, workdir / "registers"), seed)
    kept, minutes = gates.trained(cfg, workdir / CONFIG)
    run = load(workdir / CONFIG)
    domain = assemble.domain(cfg)
    train, heldout = (domain.load(cfg, split) for split in ("train", "test"))
    of, names = _text.read_kept(run.kept(_text.KEPT))
    judge = registers.classifier(of.decode(train["tokens"]), train["label"])
    # One half teaches the reader, the other is what real texts come to.
    reader = fluency.reader(heldout["tokens"][::2], run.game.gen.vocabulary)
    unseen = {name: a[1::2] for name, a in heldout.items()}
    label = np.arange(SAMPLES, dtype=np.int32) % len(names)

    def row(tokens: np.ndarray, label: np.ndarray = label) -> dict[str, float]:
        return {
            "accuracy": judge.accuracy(of.decode(tokens), label),
            "nll": reader.nll(tokens),
            f"self_bleu_{ORDER}": bleu.self_bleu(tokens, ORDER),
            "copies": text_quality.copies(tokens, train["tokens"]),
        }

    def curve(model: Trained, draw: int) -> list[dict[str, float]]:
        made = (model.sequences(SAMPLES, draw, {"label": label}, t) for t in TEMPERATURES)
        return [{"temperature": t} | row(tokens) for t, tokens in zip(TEMPERATURES, made, strict=True)]

    models = {"ours": run, "MLE": gates.likelihood_alone(run)}
    draws = {name: [curve(model, draw) for draw in range(DRAWS)] for name, model in models.items()}
    curves = {name: _mean(of) for name, of in draws.items()}
    ours = dict(next(point for point in curves["ours"] if point["temperature"] == 1))
    ours |= _loss(curves["ours"], curves["MLE"])
    losses = [_loss(a, b).get("fluency_loss", np.nan) for a, b in zip(draws["ours"], draws["MLE"], strict=True)]
    real, copied = _by_class(unseen, label), _by_class(train, label)

    def judged(found: dict[str, float]) -> dict[str, float]:
        return found | _loss([found], curves["MLE"])

    impostors: dict[str, Row] = {
        "texts of other categories": judged(row(real, (label + 1) % len(names))),
        "collapsed": judged(row(real[np.arange(SAMPLES) % len(names)])),
        "memoriser": judged(row(copied)),
        "marginal": judged(row(_marginal(train, label))),
    }
    shown = {f"{name}, temperature {p['temperature']}": p for name, points in curves.items() for p in points}
    facts: dict[str, Any] = {
        "real": f"{DRAWS} sets of {SAMPLES} texts, categories {', '.join(names)}",
        "fluency_loss_standard_error": float(np.std(losses, ddof=1) / np.sqrt(DRAWS)),
        "steps": {"judged": run.step, "kept": kept},
    }
    return Verdict(
        ours=ours,
        parts=(
            Part("category accuracy >= .9 by an independent classifier", "accuracy", low=0.9),
            Part(f"NLL by a held-out LM no higher than the MLE's at equal self-BLEU-{ORDER}", "fluency_loss", high=0.0),
            Part("<= 10% training copies", "copies", high=0.1),
        ),
        impostors=impostors,
        others={"real texts": row(real)} | shown,
        facts=facts | {"curves": curves, "batch": cfg.batch, "training_minutes": minutes},
    )


def _mean(curves: Sequence[Curve]) -> list[dict[str, float]]:
    """Point by point."""
    return [{k: float(np.mean([p[k] for p in points])) for k in points[0]} for points in zip(*curves, strict=True)]


def _loss(ours: Curve, likely: Curve) -> dict[str, float]:
    """How much higher our NLL is than the MLE's at equal self-BLEU; of what lies beyond its curve nothing."""
    loss = ahead(ours, likely, "nll", f"self_bleu_{ORDER}")
    return {"fluency_loss": loss} if np.isfinite(loss) else {}


def _by_class(raw: Any, label: np.ndarray) -> np.ndarray:
    """Real texts with these labels."""
    rng = np.random.default_rng(0)
    rows = np.empty(len(label), int)
    for kind in np.unique(label):
        rows[label == kind] = rng.choice(np.flatnonzero(raw["label"] == kind), (label == kind).sum())
    return raw["tokens"][rows]


def _marginal(train: Any, label: np.ndarray) -> np.ndarray:
    """Words by their frequency in each category."""
    rng, out = np.random.default_rng(0), np.zeros((len(label), train["tokens"].shape[1]), np.int32)
    for kind in np.unique(label):
        of = train["tokens"][train["label"] == kind]
        out[label == kind] = texts.by_frequency(of, int((label == kind).sum()), rng)
    return out
