"""Restoration: what configs it takes, what needs no learning by hand, and a run that knows the truth."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import median_filter

from jaxgen.config import MLP, Adversarial, Config, Paired, UNet, Unpaired
from jaxgen.data import synthetic
from jaxgen.degrade import degradation
from jaxgen.domains import restoration
from jaxgen.domains.restoration import DOMAIN
from jaxgen.errors import UserError
from jaxgen.latent import numbered_keys
from jaxgen.models import unet

SHAPE = (8, 12, 3)
CONFIG = Config("restoration", UNet(gen=(6, 4), disc=(5, 4)), Paired(degrade="noise-25"), shape=SHAPE)


def with_degrade(name, **changes):
    return dataclasses.replace(CONFIG, game=Paired(degrade=name), **changes)


@pytest.mark.parametrize(
    ("name", "scale", "masked"), [("noise-25", 1, False), ("downsample-2", 2, False), ("holes-15", 1, True)]
)
def test_networks_fit_what_is_done_to_images(name, scale, masked):
    gen, critic = DOMAIN.networks(with_degrade(name), None)
    assert gen == unet.UNet(3, (6, 4), (1,), 1, scale, True, masked)
    assert critic == unet.PatchCritic((5, 4), (1,))
    images = np.zeros((2, *SHAPE), np.float32)
    x = jax.eval_shape(degradation(name), images, numbered_keys(jax.random.key(0), 2))
    made = jax.eval_shape(lambda x: gen.init_with_output(jax.random.key(0), x, train=False)[0], x)
    assert made.shape == images.shape
    assert DOMAIN.source(with_degrade(name)) is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (with_degrade(""), r"needs --game\.degrade: downsample-2, noise-25, holes-15"),
        (dataclasses.replace(CONFIG, game=Unpaired()), r"needs --game\.degrade"),
        (dataclasses.replace(CONFIG, game=Adversarial()), r"needs --game\.degrade"),
        (with_degrade("blur-3"), "no degradation 'blur-3'"),
        (with_degrade("downsample-1"), "downsample-1 changes nothing"),
        (with_degrade("noise-25", model=MLP()), "'restoration' has no model MLP; choose UNet"),
        (with_degrade("downsample-5"), "8x12 can't be made 5 times smaller"),
        (with_degrade("downsample-3"), "8x12 can't be made 3 times smaller"),
        (with_degrade("noise-25", model=UNet(gen=(4,) * 4, disc=(4,))), "8x12 can't be halved 3 times"),
    ],
)
def test_configs_that_do_not_fit_are_refused(config, message):
    with pytest.raises(UserError, match=message):
        DOMAIN.networks(config, None)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Noisy images of an .npz file, and labels that are of no use."""
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path / "cache"))
    data = synthetic.images(SHAPE, 80)
    rows = {"train": slice(0, 50), "val": slice(50, 60), "test": slice(60, 80)}
    arrays = {f"{split}_{n}s": data[n][r] for split, r in rows.items() for n in ("image", "label")}
    np.savez(tmp_path / "images.npz", **arrays)
    return dataclasses.replace(CONFIG, data=str(tmp_path / "images.npz"))


def test_labels_are_left_out(config):
    raw = DOMAIN.load(config, "train")
    assert {name: a.shape for name, a in raw.items()} == {"image": (50, *SHAPE)}


class Run:
    """One that returns the truth, some grey levels off."""

    def __init__(self, config, truth, off):
        self.config, self.truth, self.off = config, truth, off

    def sources(self, batch, seed):
        keys = numbered_keys(jax.random.key(seed), len(batch["image"]))
        return np.asarray(degradation(self.config.game.degrade)(batch["image"], keys))

    def translate(self, x, seed, back=False):
        assert x.shape == self.truth.shape
        assert np.abs(x - (self.truth / 127.5 - 1)).mean() > 0.05  # it is given what is noisy
        return (np.clip(self.truth.astype(float) + self.off, 0, 255)) / 127.5 - 1


def test_a_run_that_knows_the_truth(config, monkeypatch):
    monkeypatch.setattr(restoration, "FEATURE_STEPS", 20)
    monkeypatch.setattr(restoration, "DAMAGE", (("noise-25", "noisy"),))  # each is compiled
    train, heldout = DOMAIN.load(config, "train"), DOMAIN.load(config, "test")
    truth = heldout["image"].clip(0, 250)
    heldout = {"image": truth}
    found = DOMAIN.measure(Run(config, truth, 5), train, heldout)
    assert found["psnr"] == pytest.approx(20 * np.log10(255 / 5))
    assert 18 < found["psnr_noisy"] < 24  # 20.2 dB, and more where noise is cut off at black
    assert found["psnr_noisy"] < found["psnr_median3"] < found["psnr"]
    names = {f"{key}{way}" for key in ("psnr", "kid", "kid_error") for way in ("", "_noisy", "_median3", "_median5")}
    assert found.keys() >= names | {"extractor", "extractor_hash"}
    assert np.isfinite([v for v in found.values() if isinstance(v, float)]).all()
    assert found == DOMAIN.measure(Run(config, truth, 5), train, heldout)  # the same noise, the same features


def test_smaller_images_are_enlarged_by_pillow():
    x = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
    found = restoration.classical(x / 127.5 - 1, degradation("downsample-2"))
    assert found.keys() == {"bicubic", "lanczos"}
    for name, how in (("bicubic", Image.Resampling.BICUBIC), ("lanczos", Image.Resampling.LANCZOS)):
        for image, made in zip(x, found[name], strict=True):
            np.testing.assert_array_equal(made, np.asarray(Image.fromarray(image).resize((12, 8), how)))
    grey = restoration.classical(x[..., :1] / 127.5 - 1, degradation("downsample-2"))
    assert grey["bicubic"].shape == (2, 8, 12, 1)


def test_noise_is_filtered_by_medians_of_each_channel():
    x = np.random.default_rng(0).integers(0, 256, (2, 6, 7, 3), dtype=np.uint8)
    found = restoration.classical(x / 127.5 - 1, degradation("noise-25"))
    np.testing.assert_array_equal(found["noisy"], x)
    for n in (3, 5):
        np.testing.assert_array_equal(found[f"median{n}"][1, ..., 2], median_filter(x[1, ..., 2], n))


def test_holes_are_filled_with_the_mean_of_what_is_known_by_hand():
    x = np.array([[[10, 20], [30, 99]], [[200, 99], [99, 99]]], np.uint8)[..., None]
    hole = np.array([[[0, 0], [0, 1]], [[0, 1], [1, 1]]], np.float32)[..., None]
    spoilt = np.concatenate([(x / 127.5 - 1) * (1 - hole), hole], axis=-1)
    (found,) = restoration.classical(spoilt, degradation("holes-15")).values()
    np.testing.assert_array_equal(found[..., 0], [[[10, 20], [30, 20]], [[200, 200], [200, 200]]])


def test_crops_are_of_one_picture_after_the_other():
    pictures = np.arange(2 * 64 * 32 * 1).reshape(2, 64, 32, 1)
    cut = restoration.crops(pictures)
    assert cut.shape == (4, 32, 32, 1)
    np.testing.assert_array_equal(cut[1], pictures[0, 32:])
    np.testing.assert_array_equal(cut[2], pictures[1, :32])
    wide = np.arange(32 * 64 * 3).reshape(1, 32, 64, 3)
    np.testing.assert_array_equal(restoration.crops(wide)[1], wide[0, :, 32:])
    small = np.zeros((3, 8, 12, 3))
    assert restoration.crops(small) is small
