"""Texts without a prompt: `text/sentences` of words or characters, `text/tokens` that are numbers already."""

from functools import partial

import numpy as np
from etils import epath

from jaxgen import preview
from jaxgen.config import Config, Recurrent
from jaxgen.data import texts, token_files
from jaxgen.domains import Domain, Found, Pictures, Raw, Source, _text
from jaxgen.domains._text import KEPT, MOST_SAMPLES, TextOptions
from jaxgen.types import Split


def load(cfg: Config, split: Split) -> Raw:
    """`tokens` int32 [N, T]."""
    length, _ = _text.lengths(cfg)
    train = texts.sentences(cfg.data, "train", cfg.data_dir, cfg.download)
    chosen = train if split == "train" else texts.sentences(cfg.data, split, cfg.data_dir, cfg.download)
    return {"tokens": _text.of_texts(cfg, train).encode(chosen, length)}


def raw(cfg: Config) -> Raw:
    return {"tokens": np.zeros((1, _text.lengths(cfg)[0]), np.int32)}


def kept(cfg: Config) -> dict[str, str]:
    return _text.kept(_text.of_texts(cfg, texts.sentences(cfg.data, "train", cfg.data_dir, cfg.download)))


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """`nll` of held-out texts, nats a token, and the `quality` of as many samples as there are of those, at most
    2,000."""
    samples = run.sequences(min(MOST_SAMPLES, len(heldout["tokens"])), seed=0)
    return {"nll": _text.nll(run, heldout)} | _text.quality(samples, train, heldout)


def sample(run: Source, options: TextOptions, folder: epath.Path) -> list[epath.Path]:
    """Texts, printed and written. Raises `UserError`."""
    path = _text.check_out(options, folder)
    of, _ = _text.read_kept(run.kept(KEPT))
    made = _text.drawn(run, options)
    return _text.written(made, of.decode(made), path)


def load_tokens(cfg: Config, split: Split) -> Raw:
    assert isinstance(cfg.model, Recurrent)
    return {"tokens": token_files.read(cfg.data, split, _text.lengths(cfg)[0], cfg.model.vocabulary)}


def write_tokens(pictures: Pictures, stem: epath.Path) -> list[epath.Path]:
    return [_text.write_lines(preview.named(stem, ".txt"), _spelled(pictures["samples"]))]


def measure_tokens(run: Source, train: Raw, heldout: Raw) -> Found:
    return {"nll": _text.nll(run, heldout, ends=False)}


def sample_tokens(run: Source, options: TextOptions, folder: epath.Path) -> list[epath.Path]:
    path = _text.check_out(options, folder)
    made = _text.drawn(run, options)
    return _text.written(made, _spelled(made), path)


def _spelled(tokens: np.ndarray) -> list[str]:
    return [" ".join(map(str, row)) for row in tokens.tolist()]


DOMAINS = {
    "sentences": Domain(
        _text.networks,
        load,
        _text.to_batch,
        _text.to_raw,
        _text.write,
        measure,
        TextOptions,
        sample,
        raw=raw,
        kept=kept,
    ),
    "tokens": Domain(
        partial(_text.networks, ends=False),
        load_tokens,
        _text.to_batch,
        _text.to_raw,
        write_tokens,
        measure_tokens,
        TextOptions,
        sample_tokens,
        raw=raw,
    ),
}
