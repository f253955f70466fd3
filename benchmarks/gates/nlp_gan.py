"""Gate 7: the second half of a caption to its first; is it a reply to that prompt, and not a copy?"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import gates, texts
from benchmarks.gates import Part, Row, Verdict
from jaxgen import assemble
from jaxgen.domains import _text
from jaxgen.domains.replies import matchers, said
from jaxgen.metrics import text_quality
from jaxgen.trained import load

DATA = "text"
CONFIG = "nlp_gan_captions"
SAMPLES = 2000
TEMPERATURES = (1.0, 0.8, 0.6)


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains `nlp_gan_captions`; judges the last checkpoint at temperature 1, and shows the maximum-likelihood model at
    the end of its first phase beside it."""
    cfg = gates.config(CONFIG, texts.captions_alike(data.parent, workdir / "captions"), seed)
    kept, minutes = gates.trained(cfg, workdir / CONFIG)
    run = load(workdir / CONFIG)
    domain = assemble.domain(cfg)
    train, heldout = (domain.load(cfg, split) for split in ("train", "test"))
    heldout = {name: a[:SAMPLES] for name, a in heldout.items()}
    of, _ = _text.read_kept(run.kept(_text.KEPT))
    judges = matchers(of, train)
    prompt, real = heldout["prompt"], heldout["tokens"]

    def row(replies: np.ndarray) -> dict[str, float]:
        found = said(judges, of, heldout, replies)
        found["score_share_inside"] = found["generated_auc_inside"] / found["matcher_auc_inside"]
        found["distinct_2_share"] = text_quality.distinct(replies, 2) / text_quality.distinct(real, 2)
        found["copies"] = text_quality.copies(replies, train["tokens"])
        found["pair_copies"] = pair_copies(prompt, replies, train)
        return found

    rng = np.random.default_rng(0)
    nearest, _ = text_quality.nearest_text(prompt, train["prompt"])
    impostors: dict[str, Row] = {
        "replies of other prompts": row(real[rng.permutation(len(real))]),
        "collapsed": row(real[np.arange(len(real)) % 4]),
        "memoriser": row(train["tokens"][nearest]),
        "after the same word": row(train["tokens"][after_the_same_word(prompt, train["prompt"], rng)]),
    }
    others: dict[str, Row] = {"real replies": row(real)}
    for name, model in (("ours", run), ("MLE", gates.likelihood_alone(run))):
        for t in TEMPERATURES:
            others[f"{name}, temperature {t}"] = row(model.sequences(len(prompt), 0, {"prompt": prompt}, t))
    facts: dict[str, Any] = {
        "real": f"{len(prompt)} held-out captions in halves",
        "steps": {"judged": run.step, "kept": kept},
    }
    return Verdict(
        ours=row(run.sequences(len(prompt), 0, {"prompt": prompt})),
        parts=parts(),
        impostors=impostors,
        others=others,
        facts=facts | {"batch": cfg.batch, "training_minutes": minutes},
    )


def parts() -> tuple[Part, ...]:
    return (
        Part("the matcher tells real from shuffled pairs: AUC >= .75", "matcher_auc", low=0.75),
        Part("its score of ours >= 80% of that of real pairs", "score_share", low=0.8),
        Part("and above shuffled ones' by >= .15 AUC", "generated_auc", low=0.65),
        # Without the words at the junction: replies that follow the prompt's last word, whatever it is about, meet the
        # two parts above, at .90 and .83.
        Part("inside, its score >= 80% of that of real pairs", "score_share_inside", low=0.8),
        Part("distinct-2 >= .8 of real replies'", "distinct_2_share", low=0.8),
        Part("<= 10% training copies", "copies", high=0.1),
    )


def pair_copies(prompt: np.ndarray, replies: np.ndarray, train: Any) -> float:
    """The share of replies that a training pair with the same end of its prompt has: its last word and the reply."""
    last = [_last(row) for row in train["prompt"]]
    known = {(a, b.tobytes()) for a, b in zip(last, train["tokens"], strict=True)}
    made = zip((_last(row) for row in prompt), replies, strict=True)
    return float(np.mean([(a, b.tobytes()) in known for a, b in made]))


def after_the_same_word(prompt: np.ndarray, known: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each of `prompt` [N, P] the row of one of the `known` prompts that end with the same word; of any, where none
    does."""
    rows: dict[int, list[int]] = {}
    for i, words in enumerate(known):
        rows.setdefault(_last(words), []).append(i)
    anything = list(range(len(known)))
    return np.array([rng.choice(rows.get(_last(words), anything)) for words in prompt])


def _last(prompt: np.ndarray) -> int:
    return int(prompt[prompt > 0][-1]) if (prompt > 0).any() else 0
