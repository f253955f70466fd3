"""What the GANs of text share: their networks, their vocabulary, their files. Not a domain."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from etils import epath
from flax import linen as nn

from jaxgen import files, preview
from jaxgen.config import AdversarialSequence, Config, Recurrent
from jaxgen.domains import Found, Pictures, Raw, SampleOptions, Source
from jaxgen.errors import UserError
from jaxgen.metrics import bleu, text_quality
from jaxgen.metrics.tokens import counted
from jaxgen.models import tokens
from jaxgen.text import vocabulary
from jaxgen.text.vocabulary import Vocabulary
from jaxgen.types import Array, Batch

KEPT = "vocabulary.json"
MOST_SAMPLES = 2000
"""Texts that metrics are computed of, at most: self-BLEU grows with their number."""


@dataclass(frozen=True)
class TextOptions(SampleOptions):
    """What `jaxgen sample` can be asked for of text."""

    num: int = 10  # how many texts
    out: str = ""  # .txt one text a line, .npz tokens; nothing: printed, and written into the run
    temperature: float = 1.0  # below 1: more typical, less varied
    judged: bool = False  # only texts that the critic lets pass: see `steps.sequence_gan.judged`


def networks(
    cfg: Config, axis_name: str | None, prompted: bool = False, ends: bool = True
) -> tuple[nn.Module, nn.Module]:
    """Generator and critic. Raises `UserError` where the config has others."""
    model, rules = cfg.model, cfg.game
    if not isinstance(model, Recurrent):
        raise UserError(f"The domain {cfg.domain!r} has no model {type(model).__name__}; choose Recurrent.")
    if not isinstance(rules, AdversarialSequence):
        raise UserError(f"Text is played by AdversarialSequence, not {type(rules).__name__}.")
    shortest, span = min(lengths(cfg)) if prompted else lengths(cfg)[0], len(model.critic) + 1
    if not model.critic or shortest < span:
        raise UserError(
            f"--shape {shortest} is too short for a critic of spans of 2 to {span} tokens; --model.critic takes "
            "channels for one span and more."
        )
    if model.core == "memory" and model.width % model.heads:
        raise UserError(f"--model.width {model.width} can't be shared among {model.heads} heads.")
    dtype = "bfloat16" if cfg.precision == "bf16" else None
    gen = tokens.Generator(
        model.vocabulary,
        model.embedding,
        model.width,
        model.core,
        model.slots,
        model.heads,
        model.dropout,
        rules.classes,
        prompted,
        ends,
        axis_name,
        dtype,
    )
    critic = tokens.Critic(
        model.vocabulary,
        model.critic_embedding,
        model.critic,
        model.critic_dropout,
        rules.classes,
        prompted,
        axis_name,
        dtype,
    )
    return gen, critic


def lengths(cfg: Config) -> tuple[int, int]:
    """Tokens of a text and of a prompt. Raises `UserError`."""
    if not 1 <= len(cfg.shape) <= 2 or min(cfg.shape) < 2:
        raise UserError(
            f"--shape of text is its tokens, and perhaps those of a prompt, as 20 or 20 12; not {cfg.shape}."
        )
    return cfg.shape[0], cfg.shape[-1]


def of_texts(cfg: Config, texts: Sequence[str]) -> Vocabulary:
    """The vocabulary of the config's size and level that training texts give. Raises `UserError` where they have fewer
    words: the generator would write numbers that stand for none."""
    assert isinstance(cfg.model, Recurrent)
    found = vocabulary.build(texts, cfg.model.vocabulary, cfg.model.level)
    if found.size < cfg.model.vocabulary:
        raise UserError(
            f"The training texts have {len(found.words)} different {found.level}s, with the end and the unknown "
            f"{found.size}; use --model.vocabulary {found.size}, or less."
        )
    return found


def kept(of: Vocabulary, names: Sequence[str] = ()) -> dict[str, str]:
    """The file that a run keeps: its vocabulary, and the names of its classes."""
    return {KEPT: json.dumps({"vocabulary": json.loads(of.to_json()), "names": list(names)}, ensure_ascii=False)}


def read_kept(text: str) -> tuple[Vocabulary, list[str]]:
    """(vocabulary, names) of that file's text. Raises `UserError` where it is damaged."""
    try:
        found = json.loads(text)
        return vocabulary.from_json(json.dumps(found["vocabulary"])), [str(name) for name in found["names"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"The run's {KEPT} is damaged ({error}). Go on with the run, which writes it anew.") from None


def to_batch(raw: Mapping[str, Any]) -> Batch:
    return dict(raw)


def to_raw(x: Array | np.ndarray) -> np.ndarray:
    return np.asarray(x, np.int32)


def write(pictures: Pictures, stem: epath.Path, kept: Mapping[str, str]) -> list[epath.Path]:
    """The texts, one a line; in front of each its class, or its prompt and what came next in truth."""
    of, names = read_kept(kept[KEPT])
    lines = of.decode(to_raw(pictures["samples"]))
    if "label" in pictures:
        lines = [f"[{names[int(i)]}] {line}" for i, line in zip(pictures["label"], lines, strict=True)]
    if "prompt" in pictures:
        prompts, true = of.decode(to_raw(pictures["prompt"])), of.decode(to_raw(pictures["originals"]))
        rows = zip(prompts, lines, true, strict=True)
        lines = [f"{prompt} | {line} (in the data: {real})" for prompt, line, real in rows]
    return [write_lines(preview.named(stem, ".txt"), lines)]


def write_lines(path: epath.Path, lines: Sequence[str]) -> epath.Path:
    return files.write(path, "".join(f"{line}\n" for line in lines).encode())


def check_out(options: TextOptions, folder: epath.Path) -> epath.Path:
    """Where texts are written to. Raises `UserError` for an ending that says nothing, or a temperature out of range."""
    path = epath.Path(options.out or folder / f"seed-{options.seed}.txt")
    if path.suffix not in (".txt", ".npz") or path.is_dir():
        raise UserError(f"--out {path} must be a file that ends in .txt (one text a line) or .npz (tokens).")
    if not 0.05 <= options.temperature <= 5:
        raise UserError(f"--temperature must be 0.05 to 5, not {options.temperature}.")
    return path


def drawn(run: Source, options: TextOptions, given: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
    """Tokens [N, T] of the texts that were asked for."""
    draw = run.judged if options.judged else run.sequences
    return draw(options.num, options.seed, given, options.temperature)


def written(made: np.ndarray, lines: Sequence[str], path: epath.Path, **beside: np.ndarray) -> list[epath.Path]:
    """Prints the texts and writes them, or their tokens and the arrays that they go with."""
    for line in lines:
        print(line)
    if path.suffix == ".npz":
        return [preview.write_npz(path, tokens=made, **beside)]
    return [write_lines(path, lines)]


def nll(run: Source, batch: Raw, ends: bool = True) -> float:
    """Nats a token of held-out texts, their ends among the tokens where they have any."""
    tokens = batch["tokens"]
    return -float(run.log_likelihood(batch).sum(dtype=np.float64) / (counted(tokens) if ends else tokens.size))


def quality(samples: np.ndarray, train: Raw, heldout: Raw) -> Found:
    """Of samples, tokens [N, T]: BLEU-2 to 5 against all held-out texts, self-BLEU-2 to 5, shares of different pairs
    and of copies, memorisation."""
    references = bleu.References(heldout["tokens"])
    found: Found = {f"bleu_{n}": bleu.bleu(samples, references, n) for n in bleu.ORDERS}
    found |= {f"self_bleu_{n}": bleu.self_bleu(samples, n) for n in bleu.ORDERS}
    found |= {"distinct_2": text_quality.distinct(samples, 2)}
    found |= {"copies": text_quality.copies(samples, train["tokens"])}
    return found | text_quality.memorisation(samples, train["tokens"], heldout["tokens"][: len(samples)])
