"""Digits: what the numbers mean, on the way in and out."""

import dataclasses

import numpy as np
import pytest
from etils import epath
from PIL import Image

from jaxgen.config import MLP, MLPVAE, Adversarial, Config, Conv
from jaxgen.domains import check_halvings
from jaxgen.domains.digits import DOMAIN
from jaxgen.errors import UserError
from jaxgen.models import conv, mlp

CONFIG = Config("digits", MLP(gen=(4, 5), disc=(3,), dropout=0.1), Adversarial(classes=10), shape=(8, 12, 1))


def test_pixels_go_to_minus_one_to_one_and_come_back():
    raw = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    batch = DOMAIN.to_batch({"image": raw, "label": np.array([3])})
    assert batch["image"].dtype == np.float32
    np.testing.assert_allclose(np.asarray(batch["image"]).ravel()[[0, 51, 255]], [-1, -0.6, 1], atol=1e-6)
    np.testing.assert_array_equal(batch["label"], [3])
    np.testing.assert_array_equal(DOMAIN.to_raw(batch["image"]), raw)
    np.testing.assert_array_equal(DOMAIN.to_raw(np.array([-3.0, 0.0, 3.0])), [0, 128, 255])


def test_networks_are_the_configs():
    gen, disc = DOMAIN.networks(CONFIG, "data")
    assert gen == mlp.Generator((8, 12, 1), (4, 5), classes=10)
    assert disc == mlp.Critic((3,), dropout=0.1, classes=10, axis_name="data")
    model = Conv(width=3, layers=2, dropout=0.2, spectral_norm=True)
    gen, disc = DOMAIN.networks(dataclasses.replace(CONFIG, model=model, precision="bf16"), None)
    assert gen == conv.Generator((8, 12, 1), 3, 2, classes=10, dtype="bfloat16")
    assert disc == conv.Critic(3, 2, dropout=0.2, spectral_norm=True, classes=10, dtype="bfloat16")


def test_models_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="'digits' has no model MLPVAE; choose MLP or Conv"):
        DOMAIN.networks(dataclasses.replace(CONFIG, model=MLPVAE()), None)
    with pytest.raises(UserError, match=r"8x12 can't be halved 3 times; choose --shape .* multiples of 8"):
        DOMAIN.networks(dataclasses.replace(CONFIG, model=Conv(layers=3)), None)
    check_halvings((8, 12, 1), 2)


def test_files(tmp_path):
    samples = np.linspace(-1, 1, 5 * 6, dtype=np.float32).reshape(5, 2, 3, 1)
    stem = epath.Path(tmp_path) / "step-10"
    paths = DOMAIN.write({"samples": samples, "walk": np.stack([samples, samples[::-1]])}, stem)
    assert [p.name for p in paths] == ["step-10.png", "step-10.gif"]
    with Image.open(paths[0]) as image:  # 2 rows of 3, borders of 1, twice the size
        assert image.size == (2 * (3 * 4 + 1), 2 * (2 * 3 + 1))
        assert np.asarray(image)[2, 2] == 0
    with Image.open(paths[1]) as image:
        assert image.n_frames == 2
    assert DOMAIN.write({}, stem) == []
