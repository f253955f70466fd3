"""Writing by category: each text belongs to a register, as captions, drama and manuals."""

from dataclasses import dataclass

import numpy as np
from etils import epath

from jaxgen.config import AdversarialSequence, Config, nearest
from jaxgen.data import texts
from jaxgen.domains import Domain, Found, Raw, Source, _text
from jaxgen.domains._text import KEPT, MOST_SAMPLES, TextOptions
from jaxgen.errors import UserError
from jaxgen.metrics import registers
from jaxgen.types import Split


@dataclass(frozen=True)
class RegisterOptions(TextOptions):
    """What `jaxgen sample` can be asked for of writing by category."""

    category: str = ""  # its name; nothing: all in turn


def load(cfg: Config, split: Split) -> Raw:
    """`tokens` int32 [N, T] and `label` int32 [N]; of held-out texts the categories in turn, as long as they last, so
    that the first few, which are shown, have some of each."""
    length, _ = _text.lengths(cfg)
    train, labels, names = texts.registers(cfg.data, "train", cfg.data_dir, cfg.download)
    assert isinstance(cfg.game, AdversarialSequence)
    if cfg.game.classes != len(names):
        raise UserError(
            f"{cfg.data} has {len(names)} categories ({', '.join(names)}); use --game.classes {len(names)}."
        )
    of = _text.of_texts(cfg, train)
    if split != "train":
        train, labels, _ = texts.registers(cfg.data, split, cfg.data_dir, cfg.download)
        place = np.empty(len(labels), int)  # of each text in its category
        for kind in np.unique(labels):
            place[labels == kind] = np.arange((labels == kind).sum())
        order = np.lexsort((labels, place))
        train, labels = [train[i] for i in order], labels[order]
    return {"tokens": of.encode(train, length), "label": labels}


def raw(cfg: Config) -> Raw:
    return {"tokens": np.zeros((1, _text.lengths(cfg)[0]), np.int32), "label": np.zeros((1,), np.int32)}


def kept(cfg: Config) -> dict[str, str]:
    train, _, names = texts.registers(cfg.data, "train", cfg.data_dir, cfg.download)
    return _text.kept(_text.of_texts(cfg, train), names)


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """`nll` of held-out texts, nats a token; of as many samples as there are of those, at most 2,000, in their
    categories' shares, the `quality` and the `accuracy` that a classifier trained on real texts gives them."""
    chosen = np.random.default_rng(0).permutation(len(heldout["tokens"]))[:MOST_SAMPLES]
    label = heldout["label"][chosen]
    samples = run.sequences(len(label), 0, {"label": label})
    real = {name: a[chosen] for name, a in heldout.items()}
    found: Found = {"nll": _text.nll(run, heldout)} | _text.quality(samples, train, real)
    of, _ = _text.read_kept(run.kept(KEPT))
    judge = registers.classifier(of.decode(train["tokens"]), train["label"])
    found["accuracy"] = judge.accuracy(of.decode(samples), label)
    return found | {"accuracy_real": judge.accuracy(of.decode(real["tokens"]), label)}


def sample(run: Source, options: RegisterOptions, folder: epath.Path) -> list[epath.Path]:
    """Texts, printed behind their categories and written. Raises `UserError`."""
    path = _text.check_out(options, folder)
    of, names = _text.read_kept(run.kept(KEPT))
    if options.category and options.category not in names:
        raise UserError(f"There is no category {options.category!r}{nearest(options.category, names)}.")
    label = np.arange(options.num) % len(names)
    if options.category:
        label = np.full(options.num, names.index(options.category))
    made = _text.drawn(run, options, {"label": label.astype(np.int32)})
    lines = [f"[{names[i]}] {line}" for i, line in zip(label, of.decode(made), strict=True)]
    return _text.written(made, lines, path, label=label.astype(np.int32))


DOMAIN = Domain(
    _text.networks,
    load,
    _text.to_batch,
    _text.to_raw,
    _text.write,
    measure,
    RegisterOptions,
    sample,
    raw=raw,
    kept=kept,
)
