"""Faces: the networks of a config, and what an evaluation measures."""

import dataclasses

import numpy as np
import pytest

from jaxgen.config import MLP, Adversarial, Config, Conv, Residual
from jaxgen.data import synthetic
from jaxgen.domains.face import DOMAIN
from jaxgen.errors import UserError
from jaxgen.models import conv, residual

CONFIG = Config("face", Residual(gen=(6, 5, 4), disc=(7, 3), blocks=(2,)), Adversarial(), shape=(8, 12, 3))


def test_networks_are_the_configs():
    gen, critic = DOMAIN.networks(CONFIG, "data")
    assert gen == residual.Generator((8, 12, 3), (6, 5, 4), (2,), axis_name="data")
    assert critic == residual.Critic((7, 3), (2,))
    gen, critic = DOMAIN.networks(dataclasses.replace(CONFIG, model=Residual(gen=(6,), disc=(6,), patch=2)), None)
    assert (gen.patch, critic.patch) == (2, 2)
    by_class = dataclasses.replace(CONFIG, model=Residual(norm="batch"), game=Adversarial(classes=3), precision="bf16")
    gen, critic = DOMAIN.networks(dataclasses.replace(by_class, shape=(16, 16, 1)), None)
    assert (gen.norm, gen.classes, critic.classes, gen.dtype) == ("batch", 3, 3, "bfloat16")
    gen, critic = DOMAIN.networks(dataclasses.replace(CONFIG, model=Conv(width=3, layers=2)), None)
    assert (type(gen), type(critic)) == (conv.Generator, conv.Critic)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (MLP(), "'face' has no model MLP; choose Residual or Conv"),
        (Residual(gen=(4, 4, 4, 4), disc=(4,)), "8x12 can't be halved 3 times"),
        (Residual(gen=(4, 4, 4), disc=(4,), patch=2), "4x6 can't be halved 2 times"),
        (Residual(gen=(4,), disc=(4,), patch=5), "--model.patch 5 does not divide 8 x 12 pixels"),
        (Residual(gen=(4, 4), disc=(4,), placed="@"), "Only levels have tiles to place"),
    ],
)
def test_models_that_do_not_fit_are_refused(model, message):
    with pytest.raises(UserError, match=message):
        DOMAIN.networks(dataclasses.replace(CONFIG, model=model), None)


def test_a_side_of_one_pixel_is_too_small():
    with pytest.raises(UserError, match="8x8 are too small to be halved 3 times"):
        DOMAIN.networks(dataclasses.replace(CONFIG, model=Residual(gen=(4,) * 4, disc=(4,)), shape=(8, 8, 3)), None)


def test_few_held_out_faces_are_measured_with_enough_samples(monkeypatch):
    """Without labels the features are principal components."""
    data = synthetic.images((8, 12, 3), 80)["image"]

    class Run:
        config = CONFIG

        def draw(self, n, seed, label=None, bound=0.0):
            return synthetic.images((8, 12, 3), n, seed=7)["image"] / 127.5 - 1

    found = DOMAIN.measure(Run(), {"image": data[:60]}, {"image": data[60:]})
    assert (found["n_samples"], found["n_fake"], found["n_real"]) == (500, 20, 20)
    assert {"kid", "coverage", "memorisation_auc", "extractor_hash"} <= found.keys()
    assert np.isfinite([v for v in found.values() if isinstance(v, float)]).all()
