"""Training itself, on real data. Option `data`: an .npz of `image` [N, H, W, C] uint8 and of what `draw` is given.

Steps as a run takes them, `loop.steps_per_call` in a dispatch: the data lie on the device, batches are drawn by
`jaxgen.data.order`. Warm-up steps are training too.
"""

from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks.ours.call import Calls
from benchmarks.ours.system import config_of, facts
from benchmarks.protocol import Job
from jaxgen import assemble
from jaxgen.config import Config, Variational
from jaxgen.player import evaluate
from jaxgen.steps import gan, vae
from jaxgen.types import Array, PyTree


class Training:
    """A GAN or a VAE of images, from step 0."""

    def __init__(self, job: Job):
        config = config_of(job)
        with np.load(job["options"]["data"]) as given:
            image, self._drawn_of = given["image"], {name: given[name] for name in ("x", "noise") if name in given}
        game, _, train_step = assemble.build(config)
        self.unit = config.loop.steps_per_call
        self.facts = facts()
        to_batch = assemble.domain(config).to_batch
        fetch = lambda resident, one: to_batch({name: a[one] for name, a in resident.items()})  # noqa: E731
        state = assemble.new_state(config, game)
        self._calls = Calls(config, self.unit, partial(train_step, game=game), fetch, state, {"image": image})
        self._draw = jax.jit(partial(_drawn_by(config), game=game))

    def run(self, steps: int) -> None:
        self._calls.run(steps)

    def draw(self, path: str) -> None:
        """Of the averaged networks: `samples` [N, H, W, C] in [-1, 1] at `noise` [N, Z]; or of `x` [N, D] of 0 and 1
        `mu` and `logvar` [N, Z], and `logits` [N, D] at latents moved from there by `noise`."""
        np.savez(path, **self._draw(self._calls.state, **self._drawn_of))

    def losses(self, steps: int, path: str) -> list[list[float]]:
        raise ValueError("the check takes the bare step: kind `step`")


def _drawn_by(config: Config) -> Any:
    return partial(_bound, shape=config.shape) if isinstance(config.game, Variational) else _samples


def _samples(state: PyTree, noise: Array, game: gan.GAN) -> dict[str, Array]:
    return {"samples": gan.decode(state, noise, game)}


def _bound(state: PyTree, x: Array, noise: Array, game: vae.VAE, shape: tuple[int, ...]) -> dict[str, Array]:
    mu, logvar = vae.encode(state, x.reshape(-1, *shape).astype("float32"), game)
    params, stats = state.ema
    z = mu + jax.numpy.exp(0.5 * logvar) * noise
    logits = evaluate(game.decoder, (params["decoder"], stats["decoder"]), z)  # `vae.decode` gives probabilities
    return {"mu": mu, "logvar": logvar, "logits": logits.reshape(x.shape)}


build = Training
