"""The bare train step on one batch. Option `flax_layers`: Flax's transposed convolution in the place of ours."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import flax.linen
import jax
import numpy as np
import optax

import jaxgen
from benchmarks.ours.cost import costs
from benchmarks.ours.system import config_of, examples, facts, interval, jit_step
from benchmarks.protocol import Contestant, Job
from jaxgen.assemble import Built
from jaxgen.axes import example_keys
from jaxgen.config import Config
from jaxgen.models import conv, vae
from jaxgen.steps import sequence_gan, sequence_vae, translate

SEQUENCES = sequence_gan.SequenceGAN | sequence_vae.SequenceVAE
LOSSES = (
    "loss",
    "loss/disc",
    "loss/gen",
    "loss/disc/back",
    "loss/gen/back",
    "l1",
    "cycle",
    "identity",
    "nll",
    "matching",
)
"""What a check compares, of these as much as a game has, in this order."""
REAL = ("image", "sequence", "tokens")
"""The examples themselves, of a batch."""


class PlainStep:
    """The bare train step under `jax.jit`, on one batch, of the game that `assemble` makes of the config."""

    def __init__(self, job: Job, assemble: Callable[[Config], Built] = jaxgen.build):
        config = config_of(job)
        game, init, train_step = assemble(config)
        self.unit = interval(config)
        self.facts = facts()
        self._game, self._init, self._train_step = game, init, train_step
        self._config, self._assemble = config, assemble
        self._batch = jax.device_put(examples(config, config.batch))
        self._rate = job["sgd"]
        if not self._rate:
            self._step = partial(jit_step(train_step, config), game=game)
            self._state = init(jax.random.key(config.seed), self._batch, game)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._state, _ = self._step(self._state, self._batch)
        jax.block_until_ready(self._state)

    def costs(self) -> dict[str, Any]:
        return costs(self._config, self._assemble)

    def losses(self, steps: int, path: str) -> list[list[float]]:
        """Also writes the weights, the batch, and what each step drew: its `noise` [steps, B, ..., Z], of a relaxed
        text Gumbel's [steps, B, T, V], and its `source` [steps, B, ...] where the game makes it.

        Image to image begins with what makes nothing, and for a while nothing before it learns: for the check it gets
        other weights.
        """
        heard: dict[str, list[Any]] = {}
        game = _by_sgd(self._game, self._rate)
        state = self._init(jax.random.key(self._config.seed), self._batch, game)
        if isinstance(game, translate.Game):
            state = _stirred(state)
        given = {"x" if name in REAL else name: value for name, value in self._batch.items()} | _named(state)
        given: dict[str, Any] = {name: np.array(value) for name, value in given.items()}  # the state is donated below
        step = partial(jit_step(self._train_step, self._config), game=_overheard(game, heard))
        out = []
        for _ in range(steps):
            state, metrics = step(state, self._batch)
            out.append([float(metrics[name]) for name in LOSSES if name in metrics])
        jax.effects_barrier()
        np.savez(path, **_drawn(game, heard, len(given["x"])), **given)
        return out


def build(job: Job) -> Contestant:
    if job["options"].get("flax_layers"):
        for module in (conv, vae):
            setattr(module, "ConvTranspose", flax.linen.ConvTranspose)  # noqa: B010 (a type checker refuses the plain form)
    return PlainStep(job)


def _by_sgd(game: Any, rate: float) -> Any:
    names = [name for name in ("gen_tx", "disc_tx", "likelihood_tx", "tx") if hasattr(game, name)]
    return replace(game, **dict.fromkeys(names, optax.sgd(rate)))


def _named(state: Any) -> dict[str, jax.Array]:
    """Every parameter by network and path: `gen/Dense_0/kernel`."""
    if hasattr(state, "vae"):
        params = state.vae.params
    elif hasattr(state, "model"):
        params = {"model": state.model.params}
    else:
        params = {"gen": state.gen.params, "disc": state.disc.params}
        if back := getattr(state, "back", ()):
            params |= {"back_gen": back.gen.params, "back_disc": back.disc.params}
    leaves, _ = jax.tree.flatten_with_path(params)
    return {"/".join(k.key for k in path): leaf for path, leaf in leaves}


def _stirred(state: translate.State) -> translate.State:
    """The state with small kernels drawn in the place of those that are zero."""
    keys = iter(jax.random.split(jax.random.key(1), 1000))

    def drawn(leaf: jax.Array) -> jax.Array:
        if leaf.ndim < 2 or leaf.any():
            return leaf
        return 0.3 * jax.random.normal(next(keys), leaf.shape) * (leaf.size / leaf.shape[-1]) ** -0.5

    def other(old: Any) -> Any:
        return old.replace(params=jax.tree.map(drawn, old.params))

    back = state.back and state.back.replace(gen=other(state.back.gen), disc=other(state.back.disc))
    return state.replace(gen=other(state.gen), disc=other(state.disc), back=back)


@dataclass(frozen=True)
class Overheard:
    """A Flax module that reports what goes into and comes out of its training passes."""

    module: Any
    listen: Callable[..., None]

    def apply(self, variables: Any, *inputs: Any, **options: Any) -> Any:
        out, stats = self.module.apply(variables, *inputs, **options)
        jax.debug.callback(self.listen, inputs, out, ordered=True)
        return out, stats


@dataclass(frozen=True)
class Noted:
    """A network of sequences that reports the keys of its noise: the latents', the relaxation's."""

    module: Any
    listen: Callable[..., None]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    def apply(self, variables: Any, *inputs: Any, **options: Any) -> Any:
        relaxes = options.get("method") == "relax"
        if relaxes or not hasattr(self.module, "relax"):
            keys = inputs[0] if relaxes else options["rngs"]["example"]
            jax.debug.callback(self.listen, jax.random.key_data(keys), ordered=True)
        return self.module.apply(variables, *inputs, **options)


def _overheard(game: Any, heard: dict[str, list[Any]]) -> Any:
    def ear(name: str) -> Any:
        def listen(*found: Any) -> None:
            heard.setdefault(name, []).append(jax.tree.map(np.array, found))

        of = getattr(game, name)
        return Noted(of, listen) if isinstance(game, SEQUENCES) else Overheard(of, listen)

    names = [name for name in ("gen", "encoder", "decoder", "model") if hasattr(game, name)]
    return replace(game, **{name: ear(name) for name in names})


def _drawn(game: Any, heard: dict[str, list[Any]], batch: int) -> dict[str, np.ndarray]:
    """What the steps drew: what the generator was given, `noise` or `source`; or of an autoencoder, standard normal,
    (z - mu) / sigma; or what a network of sequences makes of its keys."""
    if isinstance(game, SEQUENCES):
        keys = [jax.random.wrap_key_data(key) for each in heard.values() for (key,) in each]
        return {"noise": np.stack([_noise(game, key, batch) for key in keys])} if keys else {}
    if isinstance(game, translate.Game):
        if not isinstance(game, translate.Paired):
            return {}
        inputs = [np.stack(each) for each in zip(*(given for given, _ in heard["gen"]), strict=True)]
        made = {"source": inputs[0]} if game.degrade else {}
        return made | ({"noise": inputs[1]} if game.z_dim else {})
    if "gen" in heard:
        return {"noise": np.stack([z for (z, *_), _ in heard["gen"]])}
    posteriors = [out for _, out in heard["encoder"]]
    latents = [z for (z, *_), _ in heard["decoder"]]
    pairs = zip(latents, posteriors, strict=True)
    return {"noise": np.stack([(z - mu) * np.exp(-0.5 * logvar) for z, (mu, logvar) in pairs])}


def _noise(game: Any, key: jax.Array, batch: int) -> np.ndarray:
    """What the networks of `jaxgen.models` make of their keys: Gumbel's [B, T, V], of `key` [B]; of latents standard
    normal [B, T, Z] or, where there is one a passage, [B, Z]."""
    if isinstance(game, sequence_gan.SequenceGAN):
        shape = (game.length, game.gen.vocabulary)
        return np.asarray(jax.vmap(lambda key: jax.random.gumbel(key, shape))(key))
    own = game.model.apply({}, method=lambda model: model.make_rng("example"), rngs={"example": key})
    z = (game.model.z_dim,)
    shape = z if hasattr(game.model, "encode") else (game.length, *z)
    return np.asarray(jax.vmap(lambda key: jax.random.normal(key, shape))(example_keys(own, batch, None)))
