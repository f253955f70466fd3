"""A run's metrics: every held-out image once, chunks and padding unseen, numbers as the steps compute them."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest

from jaxgen import assemble, evaluate, run_directory
from jaxgen.checkpoint import Checkpoints
from jaxgen.config import MLP, MLPVAE, Adversarial, Config, Variational
from jaxgen.data import synthetic
from jaxgen.evaluate import CHUNK
from jaxgen.steps import vae
from jaxgen.trained import Trained

VAE = Config(
    domain="image",
    shape=(8, 8, 1),
    model=MLPVAE(z_dim=3, widths=(16,)),
    game=Variational(binarise=True),
    parallel="single",
)


@pytest.fixture(scope="module")
def trained():
    """A VAE whose decoder has been pushed away from its start, where all posteriors are nearly the prior."""
    game = assemble.build(VAE).game
    state = assemble.new_state(VAE, game)
    return Trained(VAE, game, state.replace(ema=jax.tree.map(lambda a: 2 * a, state.ema)), 7, [])


@pytest.fixture(scope="module")
def heldout():
    return {"image": synthetic.images((8, 8, 1), CHUNK + 3)["image"]}


def test_likelihoods_are_means_over_each_image_once(trained, heldout):
    """Against one unpadded pass over all images."""
    found: dict[str, Any] = evaluate.likelihoods(trained, heldout)
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(evaluate.BINARISATION_SEED), i))(
        np.arange(len(heldout["image"]))
    )
    x = vae.binarised(keys, heldout["image"].astype(np.float32) / 255)
    assert set(np.unique(x)) == {0.0, 1.0}
    expected = vae.bounds(trained.state, {"image": x}, keys, trained.game, evaluate.IMPORTANCE_SAMPLES)
    for name, value in (("elbo", "elbo"), ("kl", "kl")):
        np.testing.assert_allclose(found[name], np.asarray(expected[value], np.float64).mean(), rtol=1e-5)
    np.testing.assert_allclose(found["nll"], -np.asarray(expected["log_likelihood"], np.float64).mean(), rtol=1e-5)
    assert -found["nll"] >= found["elbo"]
    assert found["kl"] > 0
    assert (found["latents"], found["importance_samples"], found["binarisation_seed"]) == (3, 200, 0)
    assert found["active_units"] == int((np.asarray(expected["mu"]).var(axis=0) > 0.01).sum())
    assert evaluate.likelihoods(trained, heldout) == found


def test_the_images_matter(trained, heldout):
    black = {"image": np.zeros_like(heldout["image"])}
    nll = [float(evaluate.likelihoods(trained, images)["nll"]) for images in (black, heldout)]
    assert abs(nll[0] - nll[1]) > 0.1


def test_without_drawing_pixels_there_is_no_seed_to_report(trained, heldout):
    game = dataclasses.replace(trained.game, binarise=False)
    found: dict[str, Any] = evaluate.likelihoods(
        dataclasses.replace(trained, game=game), {"image": heldout["image"][:5]}
    )
    assert "binarisation_seed" not in found
    x = heldout["image"][:5].astype(np.float32) / 255
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.arange(5))
    expected = vae.bounds(trained.state, {"image": x}, keys, game, evaluate.IMPORTANCE_SAMPLES)
    np.testing.assert_allclose(found["elbo"], np.asarray(expected["elbo"]).mean(), rtol=1e-5)


def test_a_run_is_measured_from_its_directory(tmp_path, monkeypatch):
    """A GAN: the newest step unless another is asked for; without labels the features are principal components."""
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path / "cache"))
    data = str(tmp_path / "images.npz")
    np.savez(data, image=synthetic.images((8, 8, 1), 160)["image"])
    config = dataclasses.replace(VAE, domain="digits", data=data, model=MLP(4, (16,), (8,)), game=Adversarial())
    state = assemble.new_state(config, assemble.build(config).game)
    run_directory.write_config(tmp_path / "run", config)
    with Checkpoints(run_directory.checkpoints(tmp_path / "run")) as checkpoints:
        for step, scale in ((1, 1.0), (2, 3.0)):
            checkpoints.save(step, state.replace(ema=jax.tree.map(lambda a, scale=scale: scale * a, state.ema)))
    found: dict[str, Any] = evaluate.evaluate(tmp_path / "run")
    assert (found["step"], found["heldout"], found["n_samples"], found["extractor"]) == (2, 16, 16, "pca")
    assert 0 <= found["coverage"] <= 1
    assert found["frechet_pca"] > 0
    assert json.loads(json.dumps(found)) == found == evaluate.evaluate(tmp_path / "run")
    first = evaluate.evaluate(tmp_path / "run", step=1)
    assert first["step"] == 1
    assert first["frechet_pca"] != found["frechet_pca"]
