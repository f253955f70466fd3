"""A prompt in, a reply or a continuation out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from etils import epath

from jaxgen.config import Config
from jaxgen.data import texts
from jaxgen.domains import Domain, Found, Raw, Source, _text
from jaxgen.domains._text import KEPT, MOST_SAMPLES, TextOptions
from jaxgen.errors import UserError
from jaxgen.metrics import matcher
from jaxgen.text import vocabulary
from jaxgen.text.vocabulary import Vocabulary
from jaxgen.types import Split


@dataclass(frozen=True)
class ReplyOptions(TextOptions):
    """What `jaxgen sample` can be asked for of replies."""

    prompt: str | None = None  # to be replied to `num` times; else held-out prompts that the run keeps


def load(cfg: Config, split: Split) -> Raw:
    """`prompt` int32 [N, P], of which the end is kept where it is too long, and `tokens` int32 [N, T]."""
    length, room = _text.lengths(cfg)
    train = texts.replies(cfg.data, "train", cfg.data_dir, cfg.download)
    pairs = train if split == "train" else texts.replies(cfg.data, split, cfg.data_dir, cfg.download)
    of = _vocabulary(cfg, train)
    prompts, replies = zip(*pairs, strict=True)
    return {"prompt": _last(of, prompts, room), "tokens": of.encode(replies, length)}


def raw(cfg: Config) -> Raw:
    length, room = _text.lengths(cfg)
    return {"prompt": np.zeros((1, room), np.int32), "tokens": np.zeros((1, length), np.int32)}


def kept(cfg: Config) -> dict[str, str]:
    return _text.kept(_vocabulary(cfg, texts.replies(cfg.data, "train", cfg.data_dir, cfg.download)))


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """`nll` of held-out replies, nats a token; of replies to held-out prompts, at most 2,000, what a matcher says of
    them (see `metrics.matcher`), beside real ones and shuffled ones, and their `quality`."""
    some = {name: a[:MOST_SAMPLES] for name, a in heldout.items()}
    samples = run.sequences(len(some["prompt"]), 0, {"prompt": some["prompt"]})
    found: Found = {"nll": _text.nll(run, heldout)} | _text.quality(samples, train, heldout)
    found["distinct_2_real"] = _text.text_quality.distinct(some["tokens"], 2)
    return found | judged(run, train, some, samples)


def judged(run: Source, train: Raw, heldout: Raw, samples: np.ndarray) -> Found:
    """What `matcher.fit` says of `samples` [N, T], replies to the held-out prompts, by a matcher trained on real pairs;
    `..._inside` by one that does not see the words on either side of the junction."""
    of, _ = _text.read_kept(run.kept(KEPT))
    return said(matchers(of, train), of, heldout, samples)


def matchers(of: Vocabulary, train: Raw) -> tuple[matcher.Matcher, matcher.Matcher]:
    """Trained on real pairs: one that sees all of them, one that does not see the words at the junction."""
    known = _pairs(of, train["prompt"], train["tokens"])
    return matcher.matcher(known), matcher.matcher(known, junction=False)


def said(
    judges: tuple[matcher.Matcher, matcher.Matcher], of: Vocabulary, heldout: Raw, samples: np.ndarray
) -> dict[str, float]:
    """`matcher.fit` by the first of the judges, and by the second as `..._inside`."""
    real, ours = _pairs(of, heldout["prompt"], heldout["tokens"]), _pairs(of, heldout["prompt"], samples)
    inner = matcher.fit(judges[1], ours, real)
    inside = {f"{name}_inside": inner[name] for name in ("matcher_auc", "generated_auc")}
    return matcher.fit(judges[0], ours, real) | inside


def sample(run: Source, options: ReplyOptions, folder: epath.Path) -> list[epath.Path]:
    """Replies, printed behind their prompts and written. Raises `UserError`."""
    path = _text.check_out(options, folder)
    of, _ = _text.read_kept(run.kept(KEPT))
    if options.prompt is None:
        held = run.examples()["prompt"]
        prompt = held[np.arange(options.num) % len(held)]
    else:
        asked = _asked(options.prompt, of, _text.lengths(run.config)[1])
        prompt = np.repeat(asked[None], options.num, axis=0)
    made = _text.drawn(run, options, {"prompt": prompt})
    lines = [f"{a} | {b}" for a, b in zip(of.decode(prompt), of.decode(made), strict=True)]
    return _text.written(made, lines, path, prompt=prompt)


def _asked(prompt: str, of: Vocabulary, room: int) -> np.ndarray:
    """[P] tokens of a user's prompt. What cannot be read is said; raises `UserError` where nothing can."""
    if not prompt.strip():
        raise UserError('--prompt is empty; give some words, as --prompt "a man on a". Without it held-out ones serve.')
    if unknown := of.unknown(prompt):
        print(f"Not in the vocabulary, read as unknown: {', '.join(unknown)}.")
    tokens = _last(of, [prompt], room)[0]
    if not (tokens > 1).any():
        raise UserError(f"No word of the prompt {prompt!r} is in the run's vocabulary; choose others.")
    if len(vocabulary.split(prompt, of.level)) > room:
        print(f"The prompt is longer than {room} {of.level}s; its end is read.")
    return tokens


def _last(of: Vocabulary, prompts: Sequence[str], room: int) -> np.ndarray:
    """[N, room] tokens of prompts, of longer ones the end: what is replied to lies there."""
    out = np.zeros((len(prompts), room), np.int32)
    for row, prompt in zip(out, prompts, strict=True):
        words = len(vocabulary.split(prompt, of.level))
        tokens = of.encode([prompt], max(1, words))[0, :words][-room:]
        row[: len(tokens)] = tokens
    return out


def _pairs(of: Vocabulary, prompts: np.ndarray, replies: np.ndarray) -> list[tuple[str, str]]:
    return list(zip(of.decode(prompts), of.decode(replies), strict=True))


def _vocabulary(cfg: Config, pairs: Sequence[tuple[str, str]]) -> Vocabulary:
    return _text.of_texts(cfg, [text for pair in pairs for text in pair])


DOMAIN = Domain(
    partial(_text.networks, prompted=True),
    load,
    _text.to_batch,
    _text.to_raw,
    _text.write,
    measure,
    ReplyOptions,
    sample,
    raw=raw,
    kept=kept,
)
