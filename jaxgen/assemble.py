"""From a config to a game that can be played. The only place that looks things up by name."""

import dataclasses
import importlib
import importlib.util
import os
import pkgutil
import types
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from etils import epath
from flax import linen as nn

import jaxgen.domains
from jaxgen import run_directory
from jaxgen.augment import augmentation
from jaxgen.config import (
    Adversarial,
    AdversarialSequence,
    Config,
    Paired,
    Unpaired,
    Variational,
    VariationalSequence,
    check_limits,
    nearest,
)
from jaxgen.degrade import degradation
from jaxgen.domains import Domain
from jaxgen.errors import UserError
from jaxgen.losses.adversarial import ADVERSARIAL
from jaxgen.losses.elbo import LIKELIHOODS
from jaxgen.losses.penalties import PENALTIES
from jaxgen.optim import adam
from jaxgen.parallel import layout
from jaxgen.steps import gan, sequence_gan, sequence_vae, translate, vae
from jaxgen.text.vocabulary import UNKNOWN

T = TypeVar("T")


class Built(NamedTuple):
    """What a config builds: a game and the two pure functions that play it."""

    game: Any
    init: Callable[..., Any]
    train_step: Callable[..., Any]


def build(config: Config) -> Built:
    """`game, init, train_step = build(config)`.

    `init(key, batch, game) -> state` and `train_step(state, batch, game, axis_name=None) -> (state, metrics)` are the
    functions of `jaxgen.steps`. Where the config's parallel mode comes to `pmap`, the game's networks average batch
    statistics over the axis "data" and run under no other. Raises `UserError` where the config makes no sense.
    """
    check_limits(config)
    where = layout(config.parallel, config.batch)
    if isinstance(config.game, Adversarial):
        _check_critic_steps(config, len(where.devices) if where.axis_name else 1)
    game = _GAMES[type(config.game)](config, *domain(config).networks(config, where.axis_name))
    module = steps(config)
    return Built(game, module.init, module.train_step)


def steps(config: Config) -> types.ModuleType:
    """The module of `jaxgen.steps` that plays the config's game."""
    return _STEPS[type(config.game)]


def domain(config: Config) -> Domain:
    """The domain of a config."""
    file, _, name = config.domain.partition("/")
    module = importlib.import_module(f"jaxgen.domains.{_known('domain', file, _domain_files())}")
    several = getattr(module, "DOMAINS", {})
    return _find(f"domain {file}/", name, several) if several else module.DOMAIN


def example_raw(config: Config, n: int = 1) -> dict[str, np.ndarray]:
    """Zeros in the shapes and types of n examples of the config's data."""
    of = domain(config)
    if of.raw:
        return {name: np.repeat(a, n, axis=0) for name, a in of.raw(config).items()}
    raw: dict[str, np.ndarray] = {"image": np.zeros((n, *config.shape), np.uint8)}
    if getattr(config.game, "classes", 0):
        raw["label"] = np.zeros((n,), np.int32)
    if source := of.source(config):
        raw["source"] = np.zeros((n, *source), np.uint8)
    return raw


def example_batch(config: Config) -> dict[str, jax.Array]:
    """A batch of one example without data: what `init` needs to know about shapes."""
    return dict(domain(config).to_batch({name: jnp.asarray(a) for name, a in example_raw(config).items()}))


def new_state(config: Config, game: Any) -> Any:
    """The state of step 0: a function of the seed and the shapes."""
    init = partial(steps(config).init, game=game)
    return jax.jit(init)(jax.random.key(config.seed), example_batch(config))


def abstract_state(config: Config, game: Any) -> Any:
    """Shapes and types of a state."""
    return jax.eval_shape(partial(new_state, config, game))


def _check_critic_steps(config: Config, programs: int) -> None:
    """Raises `UserError` where the batch of one of `programs` can't be shared among the critic's steps."""
    parts = config.game.critic_steps if isinstance(config.game, Adversarial) else 1
    if config.batch % parts:
        raise UserError(f"A batch of {config.batch} can't be shared among {parts} critic steps.")
    if config.batch // programs % parts:
        raise UserError(
            f"Each of {programs} devices gets {config.batch // programs} examples, which {parts} critic steps can't "
            f"share evenly; choose --batch a multiple of {programs * parts}."
        )


def _adversarial(config: Config, gen: nn.Module, disc: nn.Module) -> gan.GAN:
    rules = config.game
    assert isinstance(rules, Adversarial)
    return gan.GAN(
        gen,
        disc,
        z_dim=_latents(config, gen),
        critic_steps=rules.critic_steps,
        classes=rules.classes,
        augment=augmentation(rules.augment) if rules.augment else None,
        augment_p=rules.augment_p,
        ada_target=rules.ada_target,
        ada_images=rules.ada_images,
        **_against_critic(config),
    )


def _paired(config: Config, gen: nn.Module, disc: nn.Module) -> translate.Paired:
    rules = config.game
    assert isinstance(rules, Paired)
    if "color" in rules.augment.split("+"):
        raise UserError(
            "--game.augment color would mix the two images of a pair, whose channels it gets as one image's; choose "
            "from translation, cutout, flip."
        )
    return translate.Paired(
        gen,
        disc,
        l1=rules.l1,
        adversarial=rules.adversarial,
        matching=rules.matching,
        z_dim=getattr(config.model, "z_dim", 0),
        z_map=True,
        augment=augmentation(rules.augment) if rules.augment else None,
        augment_p=rules.augment_p,
        **({"degrade": degradation(rules.degrade)} if rules.degrade else {}),
        **domain(config).rules(config),
        **_against_critic(config),
    )


def _unpaired(config: Config, gen: nn.Module, disc: nn.Module) -> translate.Unpaired:
    rules = config.game
    assert isinstance(rules, Unpaired)
    return translate.Unpaired(
        gen,
        disc,
        cycle=rules.cycle,
        identity=rules.identity,
        adversarial=rules.adversarial,
        pool=rules.pool,
        **_against_critic(config),
    )


def _variational(config: Config, encoder: nn.Module, decoder: nn.Module) -> vae.VAE:
    rules = config.game
    assert isinstance(rules, Variational)
    if rules.samples > 1 and (rules.beta != 1 or rules.beta_warmup):
        raise UserError("The importance-weighted bound (--game.samples > 1) has no beta; leave it at 1.")
    beta = optax.linear_schedule(0.0, rules.beta, rules.beta_warmup) if rules.beta_warmup else rules.beta
    return vae.VAE(
        encoder,
        decoder,
        _find("likelihood", rules.likelihood, LIKELIHOODS),
        adam(rules.tx),
        _latents(config, decoder),
        beta=beta,
        samples=rules.samples,
        binarise=rules.binarise,
        ema_decay=rules.ema_decay,
        skip_nonfinite=config.loop.nonfinite == "skip",
    )


def _variational_sequence(config: Config, model: nn.Module) -> sequence_vae.SequenceVAE:
    rules = config.game
    assert isinstance(rules, VariationalSequence)
    return sequence_vae.SequenceVAE(
        model,
        adam(rules.tx),
        config.shape[0],
        beta=rules.beta,
        beta_warmup=rules.beta_warmup,
        free_nats=rules.free_nats,
        free_until=rules.free_until,
        transpose=rules.transpose,
        ema_decay=rules.ema_decay,
        skip_nonfinite=config.loop.nonfinite == "skip",
    )


def _adversarial_sequence(config: Config, gen: Any, disc: nn.Module) -> sequence_gan.SequenceGAN:
    rules = config.game
    assert isinstance(rules, AdversarialSequence)
    return sequence_gan.SequenceGAN(
        gen,
        disc,
        likelihood_tx=adam(rules.likelihood),
        length=config.shape[0],
        pretrain=rules.pretrain,
        critic_pretrain=rules.critic_pretrain,
        estimator=rules.estimator,
        mle=rules.mle,
        temperature=rules.final_temperature,
        anneal=rules.anneal,
        rollouts=rules.rollouts,
        never=UNKNOWN if gen.ends else -1,
        **_against_critic(config),
    )


_GAMES: dict[type, Callable[..., Any]] = {
    Adversarial: _adversarial,
    Paired: _paired,
    Unpaired: _unpaired,
    Variational: _variational,
    VariationalSequence: _variational_sequence,
    AdversarialSequence: _adversarial_sequence,
}
_STEPS: dict[type, types.ModuleType] = {
    Adversarial: gan,
    Paired: translate,
    Unpaired: translate,
    Variational: vae,
    VariationalSequence: sequence_vae,
    AdversarialSequence: sequence_gan,
}


def _against_critic(config: Config) -> dict[str, Any]:
    """What all games with a critic have."""
    rules = config.game
    assert not isinstance(rules, Variational | VariationalSequence)
    names = rules.penalty.split("+") if rules.penalty else []
    return {
        "loss": _find("loss", rules.loss, ADVERSARIAL),
        "gen_tx": adam(rules.gen),
        "disc_tx": adam(rules.disc),
        "penalties": tuple(_find("penalty", name, PENALTIES) for name in names),
        "penalty_weight": rules.penalty_weight,
        "penalty_every": rules.penalty_every,
        "penalty_decay": rules.penalty_decay,
        "ema_decay": rules.ema_decay,
        "skip_nonfinite": config.loop.nonfinite == "skip",
    }


def _latents(config: Config, gen: nn.Module) -> int:
    z_dim = getattr(config.model, "z_dim", 0) or getattr(gen, "z_dim", 0)
    if not z_dim:
        kind, game = type(config.model).__name__, type(config.game).__name__
        raise UserError(f"A model {kind} makes images from images; it needs a game Paired or Unpaired, not {game}.")
    return z_dim


def on_one_device(config: Config) -> Config:
    """The same run as one device plays it: batch statistics need no axis."""
    return dataclasses.replace(config, parallel="single")


def config_named(name: str) -> tuple[str, Config]:
    """(its name, the config) of a file's path, or of one that came with jaxgen: `digits_gan`.

    The file is a Python module with `get_config() -> Config`; it is run. Or it is the `config.json` of a run, whose
    name is that of its directory.
    """
    path = Path(name)
    if path.suffix == ".json":
        return _config_of_run(name)
    if path.suffix != ".py":
        known = configs()
        if name not in known:
            raise UserError(f"There is no config {name!r}{nearest(name, known)}. Or give the path of a .py file.")
        path = known[name]
    if not path.is_file():
        raise UserError(f"There is no file {name}. Configs that came with jaxgen: {', '.join(sorted(configs()))}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:  # only for endings that Python does not know
        raise UserError(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config()
    except Exception as error:
        raise UserError(f"{path} can't be read as a config: {type(error).__name__}: {error}") from error
    if not isinstance(config, Config):
        raise UserError(f"get_config() in {path} must return a jaxgen.config.Config, not {type(config).__name__}.")
    return path.stem, config


def _config_of_run(name: str) -> tuple[str, Config]:
    path = epath.Path(name)
    if not path.exists():
        raise UserError(f"There is no file {name}. A run has its config in config.json.")
    folder = path.parent if "://" in name else epath.Path(os.path.abspath(path.parent))
    return folder.name if path.name == "config.json" else path.stem, run_directory.read_config_file(path)[0]


def configs() -> Mapping[str, Path]:
    """The configs that came with jaxgen, by name: in the wheel inside the package, in a checkout beside it."""
    package = Path(jaxgen.__file__).parent
    folder = next((f for f in (package / "configs", package.parent / "configs") if f.is_dir()), package)
    return {path.stem: path for path in sorted(folder.glob("*.py"))}


def _domain_files() -> list[str]:
    return [m.name for m in pkgutil.iter_modules(jaxgen.domains.__path__) if not m.name.startswith("_")]


def _find(what: str, name: str, known: Mapping[str, T]) -> T:
    return known[_known(what, name, known)]


def _known(what: str, name: str, known: Iterable[str]) -> str:
    if name not in known:
        raise UserError(f"There is no {what} {name!r}{nearest(name, known)}.")
    return name
