"""Pictures of two kinds: networks, pairs and what are none, and an evaluation of a run that knows the answer."""

import dataclasses
from functools import partial

import numpy as np
import pytest
from PIL import Image

from jaxgen.config import MLP, Adversarial, Config, Paired, UNet, Unpaired
from jaxgen.domains import style
from jaxgen.domains.style import DOMAIN
from jaxgen.errors import UserError
from jaxgen.models import unet

CONFIG = Config("style", UNet(gen=(6, 4), disc=(5, 4, 3), blocks=(2,)), Unpaired(), shape=(8, 12, 3))


def test_networks_are_the_configs():
    gen, critic = DOMAIN.networks(CONFIG, "data")
    assert gen == unet.UNet(3, (6, 4), (2,))
    assert critic == unet.PatchCritic((5, 4, 3), (2,))
    model = UNet(gen=(6,), disc=(6,), patch=2, residual=False)
    other = dataclasses.replace(CONFIG, model=model, game=Paired(), precision="bf16", shape=(8, 12, 1))
    gen, critic = DOMAIN.networks(other, None)
    assert gen == unet.UNet(1, (6,), (1,), 2, residual=False, dtype="bfloat16")
    assert critic == unet.PatchCritic((6,), (1,), 2, "bfloat16")
    assert DOMAIN.source(CONFIG) == (8, 12, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"game": Paired(degrade="noise-25")}, r"need no --game\.degrade; that is for the domain restoration"),
        ({"model": MLP()}, "'style' has no model MLP; choose UNet"),
        ({"game": Adversarial()}, "'style' is played by Paired or Unpaired, not Adversarial"),
        ({"model": UNet(gen=(4,), disc=(4,), patch=5)}, r"--model\.patch 5 does not divide 8 x 12 pixels"),
        ({"model": UNet(gen=(4,) * 4, disc=(4,))}, "8x12 can't be halved 3 times"),
        ({"model": UNet(gen=(4,) * 2, disc=(4,) * 3, patch=2)}, "4x6 can't be halved 2 times"),
        ({"model": UNet(gen=(4,) * 4, disc=(4,)), "shape": (8, 8, 3)}, "8x8 are too small to be halved 3 times"),
        ({"shape": (8, 12, 2)}, "1 channel for grey or 3 for colour"),
    ],
)
def test_configs_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        DOMAIN.networks(dataclasses.replace(CONFIG, **changes), None)


N = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Partners of the same number: A dark and striped, B bright and plain."""
    root = tmp_path_factory.mktemp("style") / "pairs"
    rng = np.random.default_rng(0)
    for split, n in (("train", N), ("test", 12)):
        for side in "AB":
            (root / f"{split}{side}").mkdir(parents=True)
        for i in range(n):
            dark = np.tile(np.array([[i], [i + 60]] * 4, np.uint8)[..., None], (1, 12, 3))
            bright = np.full((8, 12, 3), 180 + i, np.uint8)
            noise = rng.integers(0, 3, (2, 8, 12, 3), dtype=np.uint8)
            noise[:, 0, 0] = 0
            Image.fromarray(dark + noise[0]).save(root / f"{split}A" / f"{i:02}.png")
            Image.fromarray(bright + noise[1]).save(root / f"{split}B" / f"{i:02}.png")
    return root


def numbers(raw):
    """Which pair each source and each image is from."""
    return raw["source"][:, 0, 0, 0].astype(int), raw["image"][:, 0, 0, 0].astype(int) - 180


def test_partners_stay_together_in_a_paired_game_and_in_no_other(folder):
    config = dataclasses.replace(CONFIG, data=str(folder), game=Paired())
    for split in ("train", "test"):
        source, image = numbers(DOMAIN.load(config, split))
        np.testing.assert_array_equal(source, image)
        assert sorted(source) == list(range(len(source)))
    unpaired = dataclasses.replace(config, game=Unpaired())
    source, image = numbers(DOMAIN.load(unpaired, "train"))
    assert sorted(source) == sorted(image) == list(range(N))
    assert (source != image).all()
    assert len(set((image - source) % N)) > N / 3  # nor is the partner always as far away
    again = numbers(DOMAIN.load(unpaired, "train"))
    np.testing.assert_array_equal(again, (source, image))
    source, image = numbers(DOMAIN.load(unpaired, "test"))
    np.testing.assert_array_equal(source, image)  # held-out pairs are shown, and measured, side by side


class Knows:
    """A run that makes of each held-out source its partner."""

    def __init__(self, config, answers):
        self.config, self.answers = config, answers

    def translate(self, x, seed, back=False):
        assert (x.dtype, back) == (np.float32, False)
        assert x.min() < -0.5  # in the range of the step
        return self.answers["image"] / 127.5 - 1


@pytest.mark.parametrize("game", [Paired(), Unpaired()])
def test_a_run_that_knows_the_answer(game, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(style, "classifier", partial(style.classifier, steps=30))
    config = dataclasses.replace(CONFIG, data=str(folder), game=game)
    train, heldout = DOMAIN.load(config, "train"), DOMAIN.load(config, "test")
    found = DOMAIN.measure(Knows(config, heldout), train, heldout)
    assert found["extractor_accuracy"] > 0.9
    assert (found["taken_for_target"], found["taken_for_target_identity"]) == (1, 0)
    assert found["kid"] < 0.1 * found["kid_identity"]
    assert found["kid"] <= found["kid_histogram"] + 1e-9
    assert {"kid_error", "extractor", "extractor_hash", "taken_for_target_histogram"} <= found.keys()
    if isinstance(game, Paired):
        assert found["l1"] == 0
        away = np.abs(heldout["source"].astype(int) - heldout["image"]).mean()
        assert found["l1_identity"] == pytest.approx(away)
    else:
        assert not any(name.startswith("l1") for name in found)


def test_the_distance_to_the_partners_by_hand():
    made, truth = np.array([[0, 200], [7, 7]], np.uint8), np.array([[255, 199], [9, 7]], np.uint8)
    assert style.l1(made, truth) == (255 + 1 + 2 + 0) / 4


def test_what_takes_no_learning():
    """The sources as they are; and with other colours, of which each channel has the targets' own."""
    x = np.arange(4 * 4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 4, 3)
    y = 255 - x[::-1] // 2  # other pictures, in another order
    found = style.rivals({"image": y}, {"source": x, "image": x[:0]})
    assert found.keys() == {"identity", "histogram"}
    np.testing.assert_array_equal(found["identity"], x)
    matched = found["histogram"]
    assert (matched.shape, matched.dtype) == (x.shape, np.uint8)
    for c in range(3):
        np.testing.assert_allclose(np.sort(matched[..., c].ravel()), np.sort(y[..., c].ravel()), atol=1)
        order = np.argsort(x[..., c].ravel(), kind="stable")
        assert (np.diff(matched[..., c].ravel()[order].astype(int)) >= 0).all()  # darker pixels stay darker
