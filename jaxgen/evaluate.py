"""A run's metrics on held-out data."""

import jax
import numpy as np
from etils import epath

from jaxgen import assemble
from jaxgen.config import Variational
from jaxgen.domains import Found, Raw, count
from jaxgen.latent import numbered_keys
from jaxgen.metrics.latents import active_units
from jaxgen.trained import Trained, load
from jaxgen.types import PyTree

BINARISATION_SEED = 0  # of the one fixed draw of the held-out images' pixels
IMPORTANCE_SAMPLES = 200
CHUNK = 250  # images in one pass


def evaluate(workdir: epath.PathLike, step: int | None = None) -> Found:
    """The metrics of a run's newest good checkpoint, or of one step. Raises `UserError` where there is none."""
    run = load(workdir, step)
    of = assemble.domain(run.config).load
    return {"step": run.step} | measure(run, of(run.config, "train"), of(run.config, "test"))


def measure(run: Trained, train: Raw, heldout: Raw) -> Found:
    """What the game and the domain can say of a run.

    A VAE: `elbo` and `nll` (importance sampling, 200 samples) in nats an image, `kl`, `active_units`. A domain with
    sample metrics: those.
    """
    found: Found = {"heldout": count(heldout)}
    if isinstance(run.config.game, Variational):
        found |= likelihoods(run, heldout)
    domain = assemble.domain(run.config)
    if domain.measure:
        found |= domain.measure(run, train, heldout)
    return found


def likelihoods(run: Trained, heldout: Raw) -> Found:
    """Means over all held-out examples, in nats; pixels are drawn once, by `BINARISATION_SEED`, where training draws
    them."""
    module, to_batch = assemble.steps(run.config), assemble.domain(run.config).to_batch
    binarise = run.game.binarise

    @jax.jit
    def bounds(state: PyTree, images: jax.Array, keys: jax.Array) -> dict[str, jax.Array]:
        x = to_batch({"image": images})["image"]
        x = module.binarised(keys, x) if binarise else x
        return module.bounds(state, {"image": x}, keys, run.game, IMPORTANCE_SAMPLES)

    n = len(heldout["image"])
    keys = numbered_keys(jax.random.key(BINARISATION_SEED), -(-n // CHUNK) * CHUNK)
    padded = np.concatenate([heldout["image"], np.repeat(heldout["image"][:1], len(keys) - n, axis=0)])
    parts = [bounds(run.state, padded[i : i + CHUNK], keys[i : i + CHUNK]) for i in range(0, len(keys), CHUNK)]
    of = {name: np.concatenate([np.asarray(part[name]) for part in parts])[:n] for name in parts[0]}
    means = {name: float(of[name].mean(dtype=np.float64)) for name in ("elbo", "log_likelihood", "kl")}
    found: Found = {
        "elbo": means["elbo"],
        "nll": -means["log_likelihood"],
        "kl": means["kl"],
        "importance_samples": IMPORTANCE_SAMPLES,
        "active_units": active_units(of["mu"]),
        "latents": of["mu"].shape[1],
    }
    return found | ({"binarisation_seed": BINARISATION_SEED} if binarise else {})
