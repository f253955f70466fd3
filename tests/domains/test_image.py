"""Small images: what the numbers mean, on the way in and out."""

import dataclasses

import numpy as np
import pytest
from etils import epath
from PIL import Image

from jaxgen.config import MLP, MLPVAE, Config, ConvVAE, Variational
from jaxgen.domains.image import DOMAIN
from jaxgen.errors import UserError
from jaxgen.models import vae

CONFIG = Config("image", MLPVAE(z_dim=3, widths=(6, 4)), Variational(), shape=(8, 12, 3))


def test_pixels_go_to_zero_to_one_and_come_back():
    raw = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    batch = DOMAIN.to_batch({"image": raw})
    assert batch["image"].dtype == np.float32
    np.testing.assert_allclose(np.asarray(batch["image"]).ravel()[[0, 51, 255]], [0, 0.2, 1], atol=1e-6)
    np.testing.assert_array_equal(DOMAIN.to_raw(batch["image"]), raw)
    np.testing.assert_array_equal(DOMAIN.to_raw(np.array([-3.0, 0.5, 3.0])), [0, 128, 255])


def test_networks_are_the_configs():
    encoder, decoder = DOMAIN.networks(CONFIG, None)
    assert encoder == vae.MLPEncoder(3, (6, 4))
    assert decoder == vae.MLPDecoder((8, 12, 3), (4, 6))
    model = ConvVAE(z_dim=3, widths=(2, 5), hidden=7)
    encoder, decoder = DOMAIN.networks(dataclasses.replace(CONFIG, model=model, precision="bf16"), None)
    assert encoder == vae.ConvEncoder(3, (2, 5), 7, "bfloat16")
    assert decoder == vae.ConvDecoder((8, 12, 3), (2, 5), 7, "bfloat16")


def test_models_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="'image' has no model MLP; choose MLPVAE or ConvVAE"):
        DOMAIN.networks(dataclasses.replace(CONFIG, model=MLP()), None)
    with pytest.raises(UserError, match="8x12 can't be halved 3 times"):
        DOMAIN.networks(dataclasses.replace(CONFIG, model=ConvVAE(widths=(2, 2, 2))), None)


def grey(values, shape=(4, 4, 1)):
    return np.stack([np.full(shape, v / 255, np.float32) for v in values])


def test_files(tmp_path):
    originals, reconstructions = grey(range(16)), grey(range(100, 116))
    pictures = {
        "samples": grey([200] * 64),
        "originals": originals,
        "reconstructions": reconstructions,
        "interpolations": grey([220] * 32),
        "map": originals,
        "map_points": np.random.default_rng(0).normal(size=(16, 2)),
        "walk": np.stack([originals[:4], reconstructions[:4]]),
    }
    stem = epath.Path(tmp_path) / "step-10"
    paths = DOMAIN.write(pictures, stem)
    assert [p.name for p in paths] == ["step-10.png", "step-10.gif", "step-10-latent-map.png"]
    with Image.open(paths[0]) as image:
        picture = np.asarray(image)[::2, ::2]  # back to one pixel each
    # Eight a row, 4 wide with borders of 1: two rows of originals, each above its reconstructions.
    assert picture.shape[1] == 8 * 5 + 1
    starts = 1 + 5 * np.arange(8)
    found = [list(picture[1 + 5 * row, starts]) for row in range(4)]
    assert found == [[*range(8)], [*range(100, 108)], [*range(8, 16)], [*range(108, 116)]]
    assert picture.shape[0] == (4 * 5 + 1) + 6 + (8 * 5 + 1) + 6 + (4 * 5 + 1)
    assert picture[21 + 6 + 1, 1] == 200
    assert picture[21 + 6 + 41 + 6 + 1, 1] == 220


def test_samples_alone_make_a_square(tmp_path):
    (path,) = DOMAIN.write({"samples": grey([10] * 9)}, epath.Path(tmp_path) / "a")
    with Image.open(path) as image:
        assert image.size == (2 * 16, 2 * 16)
