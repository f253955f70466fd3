"""jaxgen's worker: `python -m benchmarks.ours`."""

import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any

import flax.linen
import jax
import numpy as np
import optax

import jaxgen
from benchmarks.protocol import Contestant, Job, serve_standard_streams
from jaxgen import parallel
from jaxgen.config import Adversarial, Config, from_dict
from jaxgen.data.order import call_indices
from jaxgen.models import conv, vae

EXAMPLES = 4000
"""Resident examples that a call of several steps draws its batches from: as many as the digits to train on."""


class PlainStep:
    """The bare train step under `jax.jit`, on one batch."""

    def __init__(self, job: Job):
        config = _config(job)
        game, init, train_step = jaxgen.build(config)
        self.unit = _interval(config)
        self.facts = facts()
        self._game, self._init, self._train_step = game, init, train_step
        self._config = config
        self._batch = {"image": jax.device_put(images(config, config.batch))}
        self._rate = job["sgd"]
        if not self._rate:
            self._step = partial(_jit(train_step), game=game)
            self._state = init(jax.random.key(config.seed), self._batch, game)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._state, _ = self._step(self._state, self._batch)
        jax.block_until_ready(self._state)

    def losses(self, steps: int, path: str) -> list[list[float]]:
        """Also writes the weights, the batch and each step's noise [steps, B, Z], as they were drawn."""
        heard: dict[str, list[Any]] = {}
        game = _by_sgd(self._game, self._rate)
        state = self._init(jax.random.key(self._config.seed), self._batch, game)
        given = {"x": self._batch["image"], **_named(state)}
        given: dict[str, Any] = {name: np.array(value) for name, value in given.items()}  # the state is donated below
        step = partial(_jit(self._train_step), game=_overheard(game, heard))
        out = []
        for _ in range(steps):
            state, metrics = step(state, self._batch)
            names = ("loss/disc", "loss/gen") if "loss/gen" in metrics else ("loss",)
            out.append([float(metrics[name]) for name in names])
        jax.effects_barrier()
        np.savez(path, noise=_noise(heard), **given)
        return out


class Call:
    """A call of K steps as a run makes them: the data lie on the device, the batches are drawn within the call."""

    def __init__(self, job: Job):
        config = _config(job)
        game, init, train_step = jaxgen.build(config)
        self._config, self._k, self._done = config, job["steps_per_call"], 0
        # Calls enough for one penalty: the share of penalised steps is then right to within one step in a turn.
        self.unit = self._k * -(-_interval(config) // self._k)
        self.facts = facts()
        self._where = parallel.layout("single", config.batch)
        data = images(config, EXAMPLES)
        self._data = parallel.replicate(data, self._where)
        state = init(jax.random.key(config.seed), {"image": data[: config.batch]}, game)
        self._state = parallel.replicate(state, self._where)
        fetch = lambda resident, indices: {"image": resident[indices]}  # noqa: E731
        step = partial(train_step, game=game)
        self._compile = lambda: parallel.compile_call(step, fetch, self._where, self._state, self._data, self._feed())
        self._call = None  # compiled by the first run, as the plain step is: that is how the compile time is told

    def run(self, steps: int) -> None:
        self._call = self._call or self._compile()
        for _ in range(0, steps, self._k):
            self._state, _ = self._call(self._state, self._data, self._feed())
            self._done += self._k
        jax.block_until_ready(self._state)

    def losses(self, steps: int, path: str) -> list[list[float]]:
        raise ValueError("the check takes the bare step: set steps_per_call to 0")

    def _feed(self) -> Any:
        c = self._config
        return parallel.split(call_indices(c.seed, self._done, self._k, EXAMPLES, c.batch), self._where)


def build(job: Job) -> Contestant:
    if job["flax_layers"]:
        for module in (conv, vae):
            setattr(module, "ConvTranspose", flax.linen.ConvTranspose)  # noqa: B010 (a type checker refuses the plain form)
    return Call(job) if job["steps_per_call"] else PlainStep(job)


def images(config: Config, n: int) -> np.ndarray:
    """[n, *shape] float32 in the range of the game: [-1, 1] for a GAN, [0, 1] for a VAE. Mostly dark, as digits are."""
    x = np.random.default_rng(0).random((n, *config.shape), np.float32) ** 4
    return 2 * x - 1 if isinstance(config.game, Adversarial) else x


def facts() -> dict[str, Any]:
    versions = {name: version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")}
    return {"device": jax.devices()[0].device_kind, "versions": versions | {"python": platform.python_version()}}


def _config(job: Job) -> Config:
    return replace(from_dict(job["config"]), parallel="single")


def _jit(step: Callable[..., Any]) -> Callable[..., Any]:
    options = jaxgen.compiler_options() or None
    return jax.jit(step, static_argnames=("game", "axis_name"), donate_argnums=0, compiler_options=options)


def _interval(config: Config) -> int:
    """Steps after which the work repeats: a lazy penalty's."""
    game = config.game
    return game.penalty_every if isinstance(game, Adversarial) and game.penalty else 1


def _by_sgd(game: Any, rate: float) -> Any:
    names = ("gen_tx", "disc_tx") if hasattr(game, "gen_tx") else ("tx",)
    return replace(game, **dict.fromkeys(names, optax.sgd(rate)))


def _named(state: Any) -> dict[str, jax.Array]:
    """Every parameter by network and path: `gen/Dense_0/kernel`."""
    params = state.vae.params if hasattr(state, "vae") else {"gen": state.gen.params, "disc": state.disc.params}
    leaves, _ = jax.tree.flatten_with_path(params)
    return {"/".join(k.key for k in path): leaf for path, leaf in leaves}


@dataclass(frozen=True)
class Overheard:
    """A Flax module that reports what goes into and comes out of its training passes."""

    module: Any
    listen: Callable[..., None]

    def apply(self, variables: Any, *inputs: Any, **options: Any) -> Any:
        out, stats = self.module.apply(variables, *inputs, **options)
        jax.debug.callback(self.listen, inputs[0], out, ordered=True)
        return out, stats


def _overheard(game: Any, heard: dict[str, list[Any]]) -> Any:
    def ear(name: str) -> Overheard:
        def listen(given: Any, out: Any) -> None:
            heard.setdefault(name, []).append(jax.tree.map(np.array, (given, out)))

        return Overheard(getattr(game, name), listen)

    return replace(game, **{name: ear(name) for name in (("gen",) if hasattr(game, "gen") else ("encoder", "decoder"))})


def _noise(heard: dict[str, list[Any]]) -> np.ndarray:
    """[steps, B, Z] standard normal: what the generator was given, or (z - mu) / sigma of an autoencoder."""
    if "gen" in heard:
        return np.stack([z for z, _ in heard["gen"]])
    posteriors = [out for _, out in heard["encoder"]]
    latents = [z for z, _ in heard["decoder"]]
    return np.stack([(z - mu) * np.exp(-0.5 * logvar) for z, (mu, logvar) in zip(latents, posteriors, strict=True)])


if __name__ == "__main__":
    serve_standard_streams(build)
