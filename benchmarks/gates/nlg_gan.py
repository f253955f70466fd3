"""Gate 12: writing in three registers; is it of its category, as fluent as maximum likelihood's, and no copy?"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import fluency, gates, texts
from benchmarks.gates import Part, Row, Verdict
from jaxgen import assemble
from jaxgen.domains import _text
from jaxgen.metrics import bleu, registers, text_quality
from jaxgen.trained import Trained, load

DATA = "text"
CONFIG = "nlg_gan_registers"
SAMPLES = 1998
TEMPERATURES = (1.1, 1.0, 0.9, 0.8, 0.7, 0.6)
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
    reader = fluency.reader(heldout["tokens"], cfg.model.vocabulary)  # type: ignore[union-attr]
    label = np.arange(SAMPLES, dtype=np.int32) % len(names)

    def row(tokens: np.ndarray, label: np.ndarray = label) -> dict[str, float]:
        return {
            "accuracy": judge.accuracy(of.decode(tokens), label),
            "nll": reader.nll(tokens),
            f"self_bleu_{ORDER}": bleu.self_bleu(tokens, ORDER),
            "copies": text_quality.copies(tokens, train["tokens"]),
        }

    def curve(model: Trained) -> list[dict[str, float]]:
        made = (model.sequences(SAMPLES, 0, {"label": label}, t) for t in TEMPERATURES)
        return [{"temperature": t} | row(tokens) for t, tokens in zip(TEMPERATURES, made, strict=True)]

    mle = load(workdir / CONFIG, cfg.game.pretrain)  # type: ignore[union-attr]
    curves = {"ours": curve(run), "MLE": curve(mle)}
    ours = dict(next(point for point in curves["ours"] if point["temperature"] == 1))
    ours["fluency_loss"] = dearer(curves["ours"], curves["MLE"])
    real, copied = _by_class(heldout, label), _by_class(train, label)
    impostors: dict[str, Row] = {
        "texts of other categories": _judged(row(real, (label + 1) % len(names)), curves["MLE"]),
        "collapsed": _judged(row(real[np.arange(SAMPLES) % len(names)]), curves["MLE"]),
        "memoriser": _judged(row(copied), curves["MLE"]),
        "marginal": _judged(row(_marginal(train, label)), curves["MLE"]),
    }
    shown = {f"{name}, temperature {p['temperature']}": p for name, points in curves.items() for p in points}
    facts: dict[str, Any] = {
        "real": f"{SAMPLES} texts, categories {', '.join(names)}",
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


def dearer(ours: list[dict[str, float]], likely: list[dict[str, float]]) -> float:
    """Mean over our points of ours less the MLE's NLL where self-BLEU is the same: read off by straight lines, within
    the MLE's curve; nan where no point lies there."""
    name = f"self_bleu_{ORDER}"
    known = sorted(likely, key=lambda point: point[name])
    x, y = (np.array([point[k] for point in known]) for k in (name, "nll"))
    inside = [point for point in ours if x[0] <= point[name] <= x[-1]]
    return float(np.mean([p["nll"] - np.interp(p[name], x, y) for p in inside])) if inside else float("nan")


def _judged(row: dict[str, float], likely: list[dict[str, float]]) -> dict[str, float]:
    loss = dearer([row], likely)
    return row | ({"fluency_loss": loss} if np.isfinite(loss) else {})


def _by_class(raw: Any, label: np.ndarray) -> np.ndarray:
    """Real texts with these labels."""
    rng = np.random.default_rng(0)
    rows = np.empty(len(label), int)
    for kind in np.unique(label):
        rows[label == kind] = rng.choice(np.flatnonzero(raw["label"] == kind), (label == kind).sum())
    return raw["tokens"][rows]


def _marginal(train: Any, label: np.ndarray) -> np.ndarray:
    """Words by their frequency in the category, as many as a training text has."""
    rng, tokens = np.random.default_rng(0), train["tokens"]
    out = np.zeros((len(label), tokens.shape[1]), np.int32)
    for kind in np.unique(label):
        of, rows = tokens[train["label"] == kind], label == kind
        drawn = rng.choice(of[of > 0], (rows.sum(), tokens.shape[1]))
        lengths = (of > 0).sum(1)[rng.integers(len(of), size=rows.sum())]
        out[rows] = np.where(np.arange(tokens.shape[1]) < lengths[:, None], drawn, 0)
    return out
