"""Everything that decides a run: frozen dataclasses of plain values, their way to JSON and back, and to a command
line."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jaxgen.errors import UserError
from jaxgen.sizes import (
    MLP,
    MLPVAE,
    Clip,
    Conv,
    ConvVAE,
    PassageVAE,
    Recurrent,
    Residual,
    SliceVAE,
    Spade,
    Spectrogram,
    UNet,
    Vocoder,
    Wave,
)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015), decoupled weight decay (Loshchilov & Hutter 2019), Nesterov momentum (Dozat 2016)."""

    lr: float = 2e-4
    b1: float = 0.5
    b2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    warmup: int = 0  # steps of linear warm-up from 0
    decay: int = 0  # the step at which a cosine has brought the rate to 0; 0 keeps it constant
    clip: float = 0.0  # largest global norm of the gradient; 0 leaves it alone
    nesterov: bool = False


@dataclass(frozen=True)
class Adversarial:
    """A GAN's rules. `penalty` is one of `losses.penalties`, or several joined by "+"."""

    loss: str = "relativistic"
    gen: Adam = field(default_factory=Adam)
    disc: Adam = field(default_factory=Adam)
    penalty: str = ""
    penalty_weight: float = 1.0
    penalty_every: int = 1  # lazy: computed at every n-th step with n times the weight
    penalty_decay: int = 0  # > 0: steps over which the weight falls to a tenth, by a cosine
    critic_steps: int = 1  # each trains on its own part of the batch
    ema_decay: float = 0.999
    classes: int = 0  # > 0: both networks see the label
    augment: str = ""  # what the critic's images go through: color, translation, cutout, flip, joined by "+"
    augment_p: float = 1.0  # probability of each at the start
    ada_target: float = 0.0  # > 0: the probability adapts to keep the critic's overfitting here; Karras et al. 2020
    ada_images: int = 500_000  # over how many images it could go from 0 to 1


@dataclass(frozen=True)
class Paired:
    """The rules of image to image from pairs: pix2pix (Isola et al. 2017)."""

    loss: str = "relativistic"
    gen: Adam = field(default_factory=Adam)
    disc: Adam = field(default_factory=Adam)
    l1: float = 100.0  # weight of the mean absolute difference
    adversarial: float = 1.0  # weight of the critic's loss in the generator's
    matching: float = 0.0  # weight of the difference of what the critic's layers see of made and true (HiFi-GAN)
    degrade: str = ""  # makes inputs from targets: downsample-2, noise-25, holes-15; else the data are pairs
    penalty: str = ""
    penalty_weight: float = 1.0
    penalty_every: int = 1
    penalty_decay: int = 0
    ema_decay: float = 0.999
    augment: str = ""  # of both images of a pair: translation, cutout, flip, joined by "+"
    augment_p: float = 1.0  # probability of each


@dataclass(frozen=True)
class Unpaired:
    """The rules of image to image from two sets without pairs: CycleGAN (Zhu et al. 2017)."""

    loss: str = "least_squares"
    gen: Adam = field(default_factory=Adam)
    disc: Adam = field(default_factory=Adam)
    cycle: float = 10.0  # weight of the difference after there and back
    identity: float = 5.0  # weight of what is changed of images that are of the right kind already
    adversarial: float = 1.0
    pool: int = 50  # earlier fakes that the critics learn from too
    penalty: str = ""
    penalty_weight: float = 1.0
    penalty_every: int = 1
    penalty_decay: int = 0
    ema_decay: float = 0.999


@dataclass(frozen=True)
class Variational:
    """A VAE's rules."""

    likelihood: str = "bernoulli"
    tx: Adam = field(default_factory=lambda: Adam(lr=1e-3, b1=0.9))
    beta: float = 1.0
    beta_warmup: int = 0  # steps over which beta rises from 0
    samples: int = 1  # K > 1 trains on the importance-weighted bound
    binarise: bool = False  # draw each pixel anew at every visit
    ema_decay: float = 0.999


@dataclass(frozen=True)
class VariationalSequence:
    """A VAE's rules for sequences of slices of 0 and 1."""

    tx: Adam = field(default_factory=lambda: Adam(lr=2e-3, b1=0.9, clip=1.0))
    beta: float = 1.0
    beta_warmup: int = 0  # steps over which beta rises from 0
    free_nats: float = 0.0  # nats of KL a latent, on average over the batch, that cost nothing
    free_until: int = 0  # the step at which those have fallen to 0; 0: they stay
    transpose: int = 0  # each example is shifted by up to so many entries, either way, at every visit
    ema_decay: float = 0.999


@dataclass(frozen=True)
class AdversarialSequence:
    """A GAN's rules for sequences of tokens: maximum likelihood first, then the critic's opinion too."""

    loss: str = "relativistic"
    estimator: Literal["gumbel", "reinforce"] = "gumbel"  # how its gradient passes the choice of tokens
    likelihood: Adam = field(default_factory=lambda: Adam(lr=2e-3, b1=0.9, clip=5.0))
    pretrain: int = 2000  # steps of maximum likelihood alone
    critic_pretrain: int = 100  # then steps of the critic alone
    mle: float = 0.0  # weight of the negative log likelihood, nats a token, beside the critic's opinion
    gen: Adam = field(default_factory=lambda: Adam(lr=1e-4, b1=0.9, clip=5.0))
    disc: Adam = field(default_factory=lambda: Adam(lr=1e-4, b1=0.9, clip=5.0))
    final_temperature: float = 0.01  # of the relaxation; it falls there from 1 by equal factors
    anneal: int = 1000  # steps over which that happens
    rollouts: int = 8  # completions of each prefix, of REINFORCE
    ema_decay: float = 0.999
    classes: int = 0  # > 0: both networks see the label
    penalty: str = ""
    penalty_weight: float = 1.0
    penalty_every: int = 1
    penalty_decay: int = 0


@dataclass(frozen=True)
class Loop:
    """How long, how often. Every interval is a multiple of `steps_per_call`."""

    steps: int = 4000
    steps_per_call: int = 10  # steps in one dispatch
    log_every: int = 100
    sample_every: int = 1000
    save_every: int = 1000
    keep: int = 3  # newest checkpoints kept
    nonfinite: Literal["stop", "skip"] = "stop"  # what a non-finite loss or gradient does


@dataclass(frozen=True)
class Config:
    """One run. Typed, frozen, plain values; a file in `configs/` states what differs from these defaults."""

    domain: str  # a file of jaxgen/domains, and where it has several, which of them: levels/mario
    model: (
        MLP
        | Conv
        | Residual
        | Clip
        | Spectrogram
        | Wave
        | Vocoder
        | UNet
        | Spade
        | MLPVAE
        | ConvVAE
        | SliceVAE
        | PassageVAE
        | Recurrent
    )
    game: Adversarial | Paired | Unpaired | Variational | VariationalSequence | AdversarialSequence
    data: str = "mnist_5k"  # an embedded or prepared TFDS set by name, a folder of images, or an .npz file
    shape: tuple[int, ...] = (28, 28, 1)  # of one example: height, width, channels
    data_dir: str = ""  # where TFDS sets are prepared; empty: JAXGEN_CACHE, or ~/.cache/jaxgen
    download: bool = False  # let TFDS fetch a set that is not prepared
    batch: int = 128  # examples a step, all devices together
    seed: int = 0
    parallel: Literal["auto", "single", "pmap", "jit"] = "auto"  # auto: pmap where there are several devices
    precision: Literal["fp32", "bf16"] = "fp32"  # of the networks' arithmetic; parameters are fp32
    matmul: Literal["default", "high", "highest"] = "default"  # precision of fp32 products on GPU and TPU
    loop: Loop = field(default_factory=Loop)


MAY_CHANGE = ("loop.", "parallel", "data_dir", "download")
"""Fields that a resumed run may change: they do not enter the mathematics."""


_ABOVE_ONE = math.nextafter(1, 2)

LIMITS: dict[str, tuple[float, float]] = {
    name: limits
    for limits, names in (
        ((1, math.inf), "ada_images batch critic_steps disc gen hidden layers penalty_every"),
        (
            (1, math.inf),
            "patch samples temperature width widths z_dim clip content frames hop mels motion periods rate",
        ),
        ((1, math.inf), "scales window"),
        ((1, math.inf), "anneal critic critic_embedding decoder embedding encoder every heads rollouts slots"),
        ((4, math.inf), "vocabulary"),
        ((1e-6, _ABOVE_ONE), "final_temperature"),
        ((0, 1), "ada_target b1 b2 blind critic_dropout dropout ema_decay"),
        ((0, _ABOVE_ONE), "augment_p"),
        (
            (0, math.inf),
            "adversarial beta beta_warmup blocks classes clip cycle decay eps identity l1 matching penalty_weight",
        ),
        ((0, math.inf), "pool warmup weight_decay conductor critic_pretrain free_nats free_until mle pretrain"),
        ((0, math.inf), "iterations penalty_decay shuffle"),
        ((0, 45), "transpose"),
    )
    for name in names.split()
}
"""(least, below) of a number, or of each of several, by its field's name."""


def check_limits(config: Config) -> None:
    """Raises `UserError` where a number lies outside its limits."""
    for name, value in flat(to_dict(config)).items():
        least, below = LIMITS.get(name.rpartition(".")[2], (-math.inf, math.inf))
        for number in value if isinstance(value, list) else (value,):
            if isinstance(number, int | float) and not least <= number < below:
                top = "at most 1" if below == _ABOVE_ONE else f"below {below}"
                limit = f"at least {least}" + (f" and {top}" if below < math.inf else "")
                raise UserError(f"--{name.replace('_', '-')} must be {limit}, not {number}.")


def to_dict(value: Any) -> Any:
    """Plain JSON values; a dataclass that stands in a union says which it is under `type`."""
    if not dataclasses.is_dataclass(value):
        return list(value) if isinstance(value, tuple) else value
    out: dict[str, Any] = {}
    hints = typing.get_type_hints(type(value))
    for f in dataclasses.fields(value):
        inner = getattr(value, f.name)
        out[f.name] = to_dict(inner)
        if _choices(hints[f.name]):
            out[f.name] = {"type": type(inner).__name__} | out[f.name]
    return out


def from_dict(tree: Mapping[str, Any], cls: type = Config) -> Any:
    """The inverse of `to_dict`. Raises `UserError` on a field or type it does not know."""
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}
    values = {}
    for name, value in tree.items():
        if name not in known:
            raise UserError(f"{cls.__name__} has no field {name!r}{nearest(name, known)}.")
        hint = hints[name]
        if choices := _choices(hint):
            if (kind := value.get("type")) not in choices:
                raise UserError(f"{cls.__name__}.{name} has no type {kind!r}{nearest(str(kind), choices)}.")
            value = from_dict({k: v for k, v in value.items() if k != "type"}, choices[kind])
        elif dataclasses.is_dataclass(hint):
            value = from_dict(value, typing.cast(type, hint))
        elif isinstance(value, list):
            value = tuple(value)
        values[name] = value
    try:
        return cls(**values)
    except TypeError as error:  # a field without a default is missing
        raise UserError(f"{cls.__name__}: {error}") from None


def differences(old: Config, new: Config) -> list[str]:
    """`name: old -> new` for each field that differs and that a resumed run may not change."""
    found = sorted((n, of) for n, of in differing(old, new).items() if not n.startswith(MAY_CHANGE))
    return [f"{name}: {before} -> {after}" for name, (before, after) in found]


def differing(one: Config, other: Config) -> dict[str, tuple[Any, Any]]:
    """(value, the other's) of each field that differs, in the order of the fields; None where one of them lacks it."""
    here, there = flat(to_dict(one)), flat(to_dict(other))
    return {name: (here.get(name), there.get(name)) for name in here | there if here.get(name) != there.get(name)}


def flags(config: Config, default: Config) -> list[str] | None:
    """The words on a command line that make `config` of `default`; None where that has another type of model or game,
    which no word can change."""
    words = []
    for name, (value, _) in differing(config, default).items():
        head, dot, last = name.replace("_", "-").rpartition(".")
        if last == "type":
            return None
        if isinstance(value, bool):
            words.append(f"--{head}{dot}{'' if value else 'no-'}{last}")
        elif isinstance(value, list):
            words += [f"--{head}{dot}{last}", *map(str, value)]
        elif str(value).startswith("-"):  # would be read as an option
            words.append(f"--{head}{dot}{last}={value}")
        else:
            words += [f"--{head}{dot}{last}", str(value)]
    return words


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """What `to_dict` made, as one level: `game.gen.lr`, as the command line spells it."""
    out = {}
    for name, value in tree.items():
        out |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return out


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; choose from {', '.join(known)}"


def _choices(hint: Any) -> dict[str, type]:
    """The dataclasses of a union, by name; nothing for any other type."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return {}
    members = [c for c in typing.get_args(hint) if isinstance(c, type)]
    return {c.__name__: c for c in members if dataclasses.is_dataclass(c)}
