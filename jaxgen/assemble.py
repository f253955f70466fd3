"""From a config to a game that can be played. The only place that looks things up by name."""

import dataclasses
import importlib
import importlib.util
import pkgutil
import types
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax

import jaxgen.domains
from jaxgen.augment import augmentation
from jaxgen.config import Adversarial, Config, Variational, check_limits, nearest
from jaxgen.domains import Domain
from jaxgen.errors import UserError
from jaxgen.losses.adversarial import ADVERSARIAL
from jaxgen.losses.elbo import LIKELIHOODS
from jaxgen.losses.penalties import PENALTIES
from jaxgen.optim import adam
from jaxgen.parallel import layout
from jaxgen.steps import gan, vae

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
    first, second = domain(config).networks(config, where.axis_name)
    rules, skip = config.game, config.loop.nonfinite == "skip"
    if isinstance(rules, Adversarial):
        names = rules.penalty.split("+") if rules.penalty else []
        if config.batch % rules.critic_steps:
            raise UserError(f"A batch of {config.batch} can't be shared among {rules.critic_steps} critic steps.")
        programs = len(where.devices) if where.axis_name else 1
        if config.batch // programs % rules.critic_steps:
            raise UserError(
                f"Each of {programs} devices gets {config.batch // programs} examples, which {rules.critic_steps} "
                f"critic steps can't share evenly; choose --batch a multiple of {programs * rules.critic_steps}."
            )
        game = gan.GAN(
            first,
            second,
            _find("loss", rules.loss, ADVERSARIAL),
            adam(rules.gen),
            adam(rules.disc),
            config.model.z_dim,
            penalties=tuple(_find("penalty", name, PENALTIES) for name in names),
            penalty_weight=rules.penalty_weight,
            penalty_every=rules.penalty_every,
            critic_steps=rules.critic_steps,
            ema_decay=rules.ema_decay,
            classes=rules.classes,
            augment=augmentation(rules.augment) if rules.augment else None,
            augment_p=rules.augment_p,
            ada_target=rules.ada_target,
            ada_images=rules.ada_images,
            skip_nonfinite=skip,
        )
    else:
        if rules.samples > 1 and (rules.beta != 1 or rules.beta_warmup):
            raise UserError("The importance-weighted bound (--game.samples > 1) has no beta; leave it at 1.")
        beta = optax.linear_schedule(0.0, rules.beta, rules.beta_warmup) if rules.beta_warmup else rules.beta
        game = vae.VAE(
            first,
            second,
            _find("likelihood", rules.likelihood, LIKELIHOODS),
            adam(rules.tx),
            config.model.z_dim,
            beta=beta,
            samples=rules.samples,
            binarise=rules.binarise,
            ema_decay=rules.ema_decay,
            skip_nonfinite=skip,
        )
    module = steps(config)
    return Built(game, module.init, module.train_step)


def steps(config: Config) -> types.ModuleType:
    """The module of `jaxgen.steps` that plays the config's game."""
    return {Adversarial: gan, Variational: vae}[type(config.game)]


def domain(config: Config) -> Domain:
    """The domain of a config."""
    file, _, name = config.domain.partition("/")
    module = importlib.import_module(f"jaxgen.domains.{_known('domain', file, _domain_files())}")
    several = getattr(module, "DOMAINS", {})
    return _find(f"domain {file}/", name, several) if several else module.DOMAIN


def example_batch(config: Config) -> dict[str, jax.Array]:
    """A batch of one example without data: what `init` needs to know about shapes."""
    raw: dict[str, Any] = {"image": jnp.zeros((1, *config.shape), jnp.uint8)}
    if getattr(config.game, "classes", 0):
        raw["label"] = jnp.zeros((1,), jnp.int32)
    return dict(domain(config).to_batch(raw))


def new_state(config: Config, game: Any) -> Any:
    """The state of step 0: a function of the seed and the shapes."""
    init = partial(steps(config).init, game=game)
    return jax.jit(init)(jax.random.key(config.seed), example_batch(config))


def abstract_state(config: Config, game: Any) -> Any:
    """Shapes and types of a state."""
    return jax.eval_shape(partial(new_state, config, game))


def on_one_device(config: Config) -> Config:
    """The same run as one device plays it: batch statistics need no axis."""
    return dataclasses.replace(config, parallel="single")


def config_named(name: str) -> tuple[str, Config]:
    """(its name, the config) of a file's path, or of one that came with jaxgen: `digits_gan`.

    The file is a Python module with `get_config() -> Config`; it is run.
    """
    path = Path(name)
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
