"""jaxgen's systems in artifex, a step at a time: its trainers and networks, under `nnx.jit` as its documentation says.

Variants: `own` has artifex's own networks, the nearest that its configs express, under its `GANTrainer` or
`VAETrainer`; `same` has our networks of Flax NNX's layers in artifex's `GAN`, on its objectives, so that the losses can
be compared. Its step lacks our moving average, and where ours has dropout, relativistic loss or lazy penalties it has
the plain loss.

Where `own` differs. DCGAN: a single dense layer without normalisation or ReLU feeds the transposed convolutions; one
takes the place of our last transposed convolution and the 3x3 one after it; the last hidden layer has no normalisation,
and the critic none at all, as in artifex's example (examples/generative_models/image/gan/advanced_gan.py). With a
normalised critic `GANTrainer.generator_step`, which closes over it, fails, jitted or not, with `TraceContextError:
Cannot mutate BatchStat from a different trace level`; so `same` takes artifex's objectives in a loop of ours. MLP GAN:
the generator's leaky ReLU has slope 0.01. Both critics end in a sigmoid, which the trainer's loss takes for logits.
conv VAE: kernels of 3x3, ReLU, no hidden dense layers, a bilinear resize at the end. MLP VAE: the same as ours, so its
losses are compared.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (artifex is installed in the peer's own environment only; a type checker takes this folder for it.)

import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from artifex.generative_models.training.trainers.gan_trainer import GANTrainer
from artifex.generative_models.training.trainers.vae_trainer import VAETrainer, VAETrainingConfig
from flax import nnx

from benchmarks.peers.artifex import networks
from benchmarks.protocol import Incomparable, Job


class TrainerStep:
    """`GANTrainer.discriminator_step` and `generator_step`, of new noise for each."""

    def __init__(self, job: Job):
        config = job["config"]
        self.unit, self.facts = 1, facts()
        model, game = networks.gan(config, "own", check=False), config["game"]
        self._gen, self._disc = model.generator, model.discriminator
        self._gen_tx = nnx.Optimizer(self._gen, _tx(game["gen"], job["sgd"]), wrt=nnx.Param)
        self._disc_tx = nnx.Optimizer(self._disc, _tx(game["disc"], job["sgd"]), wrt=nnx.Param)
        trainer = GANTrainer()
        self._disc_step, self._gen_step = nnx.jit(trainer.discriminator_step), nnx.jit(trainer.generator_step)
        shape = (2, config["batch"], config["model"]["z_dim"])
        self._noise = jax.jit(lambda key: jax.random.normal(key, shape))
        self._key = jax.random.key(0)
        self._x = networks.placed(_images(config), config, "own")

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._key, noise_key, penalty_key = jax.random.split(self._key, 3)
            of_disc, of_gen = self._noise(noise_key)
            self._disc_step(self._gen, self._disc, self._disc_tx, self._x, of_disc, penalty_key)
            self._gen_step(self._gen, self._disc, self._gen_tx, of_gen)
        jax.block_until_ready((nnx.state(self._gen, nnx.Param), nnx.state(self._disc, nnx.Param)))

    def losses(self, steps: int, path: str) -> list[list[float]]:
        """Raises `Incomparable`."""
        raise Incomparable("artifex's own networks or losses are not ours")


class GANStep:
    """One update of each player of `same`, by artifex's own objectives. It makes fakes anew for each player."""

    def __init__(self, job: Job):
        config = job["config"]
        self.unit, self.facts = 1, facts()
        self._model = networks.gan(config, "same", check=job["sgd"] > 0)
        game = config["game"]
        self._critic = _player(self._model, "discriminator", game["disc"], job["sgd"])
        self._gen = _player(self._model, "generator", game["gen"], job["sgd"])
        self._x = networks.placed(_images(config), config, "same")

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._take(self._x)
        jax.block_until_ready(nnx.state(self._model, nnx.Param))

    def losses(self, steps: int, path: str) -> list[list[float]]:
        return _losses(self._model, networks.load, self._take, steps, path)

    def _take(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self._critic(x), self._gen(x)


def _player(model: nnx.Module, name: str, adam: dict[str, Any], sgd: float) -> Any:
    """x -> loss: a compiled update of one player."""
    wrt = nnx.All(nnx.Param, nnx.PathContains(name))
    optimizer = nnx.Optimizer(model, _tx(adam, sgd), wrt=wrt)

    @nnx.jit
    def update(model, optimizer, x):
        def loss(model):
            return getattr(model, f"{name}_objective")(x)["total_loss"]

        value, grads = nnx.value_and_grad(loss, argnums=nnx.DiffState(0, wrt))(model)
        optimizer.update(model, grads)
        return value

    return lambda x: update(model, optimizer, x)


class VAEStep:
    """One `VAETrainer.train_step` with binary cross-entropy."""

    def __init__(self, job: Job):
        config, self._job = job["config"], job
        self.unit, self.facts = 1, facts()
        self._model = networks.vae(config, check=job["sgd"] > 0)
        self._optimizer = nnx.Optimizer(self._model, _tx(config["game"]["tx"], job["sgd"]), wrt=nnx.Param)
        trainer = VAETrainer(VAETrainingConfig(kl_annealing="none", beta=config["game"]["beta"]))
        self._step = nnx.jit(trainer.train_step, static_argnames="loss_type")
        self._x = jnp.asarray(_images(config))

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._take(self._x)
        jax.block_until_ready(nnx.state(self._model, nnx.Param))

    def losses(self, steps: int, path: str) -> list[list[float]]:
        """Raises `Incomparable` where artifex computes something else."""
        if self._job["config"]["model"]["type"] != "MLPVAE":
            raise Incomparable("artifex's convolutional VAE is not ours")
        return _losses(self._model, networks.load_vae, self._take, steps, path)

    def _take(self, x: jax.Array) -> tuple[jax.Array]:
        return (self._step(self._model, self._optimizer, {"image": x}, loss_type="bce")[0],)


def _losses(
    model: Any, load: Callable[..., None], take: Callable[..., Any], steps: int, path: str
) -> list[list[float]]:
    """Of the given weights, batch and noise."""
    with np.load(path) as given:
        arrays = dict(given)
    load(model, arrays)
    x, out = jnp.asarray(arrays["x"]), []
    for noise in arrays["noise"][:steps]:
        model.given.set_value(jnp.asarray(noise))
        out.append([float(loss) for loss in take(x)])
    return out


def facts() -> dict[str, Any]:
    names = ("avitai-artifex", "jax", "flax", "optax", "numpy")
    versions = {name: version(name) for name in names} | {"python": platform.python_version()}
    return {"device": jax.devices()[0].device_kind, "versions": versions}


def _tx(adam: dict[str, Any], sgd: float) -> optax.GradientTransformation:
    return optax.sgd(sgd) if sgd else optax.adam(adam["lr"], adam["b1"], adam["b2"], adam["eps"])


def _images(config: dict[str, Any]) -> np.ndarray:
    """[B, H, W, C], mostly dark, as digits are."""
    x = np.random.default_rng(0).random((config["batch"], *config["shape"]), np.float32) ** 4
    return 2 * x - 1 if config["game"]["type"] == "Adversarial" else x


def build(job: Job) -> TrainerStep | GANStep | VAEStep:
    if job["config"]["game"]["type"] != "Adversarial":
        return VAEStep(job)
    return (GANStep if job["variant"] == "same" else TrainerStep)(job)
