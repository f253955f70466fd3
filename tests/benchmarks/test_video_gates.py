"""The gates of video: rules and shares by hand, and one verdict each on a few small clips."""

import dataclasses
import json
import zipfile
from functools import partial

import numpy as np
import pytest
from PIL import Image

from benchmarks import gates, quality
from benchmarks.gates import frame_prediction, video_gan_sprites
from jaxgen.config import Clip, Loop, UNet
from jaxgen.data import moving_digits, sprite_clips
from jaxgen.errors import UserError
from jaxgen.metrics import clip_comparison, clip_quality

pytestmark = pytest.mark.usefixtures("compiled_quickly")

SIDE = 16
IMPOSTORS = {"shuffled", "still", "pca_gaussian", "collapsed", "memoriser"}


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Few clips, small networks, two steps, and judges that learn for a moment."""
    shipped, whole, sprites = gates.config, moving_digits.clips, sprite_clips.read

    def config(name, data, seed):
        cfg = shipped(name, data, seed)
        small = {"gen": (4, 4), "disc": (4, 4)}
        if isinstance(cfg.model, Clip):
            small |= {"clip": (4, 4), "content": 4, "motion": 2, "hidden": 3}
        else:
            assert isinstance(cfg.model, UNet)
        loop = Loop(steps=2, steps_per_call=1, log_every=1, sample_every=2, save_every=2)
        model, shape = dataclasses.replace(cfg.model, **small), (4, SIDE, SIDE, cfg.shape[-1])
        return dataclasses.replace(cfg, model=model, shape=shape, batch=8, loop=loop, parallel="single")

    def few(shape, split, data_dir=""):
        return {name: a[: 96 if split == "train" else 32] for name, a in whole(shape, split, data_dir).items()}

    def short(*args, **options):
        return clip_quality.frame_classifier(*args, **(options | {"steps": 3}))

    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gates, "config", config)
    monkeypatch.setattr(moving_digits, "clips", few)
    monkeypatch.setattr(sprite_clips, "read", partial(sprites, most=72))
    monkeypatch.setattr(clip_comparison, "STEPS", 3)
    monkeypatch.setattr(clip_comparison, "frame_classifier", short)
    monkeypatch.setattr(video_gan_sprites, "frame_classifier", short)
    monkeypatch.setattr(quality, "RESULTS", tmp_path)


@pytest.fixture
def judged(tiny, tmp_path):
    """The record of a gate's verdict of a model that knows nothing."""

    def judge(name, *words):
        out = tmp_path / f"{name}-seed3.json"
        words = [name, "--seed", "3", "--workdir", str(tmp_path / name), "--json", str(out), *words]
        code, record = quality.main(words), json.loads(out.read_text())
        assert code == (0 if record["passed"] else 1)
        return record

    return judge


def test_rules_of_frames_by_hand():
    given = np.zeros((2, 3, 1, 3, 1), np.uint8)
    given[0, :, 0, :, 0] = [[0, 10, 200], [30, 10, 100], [90, 20, 0]]
    given[1, 2] = 7
    found = frame_prediction.rules(given)
    assert {name: (a.shape, a.dtype) for name, a in found.items()} == dict.fromkeys(
        ("copy_last", "mean", "extrapolated", "another_clip"), ((2, 1, 1, 3, 1), np.dtype(np.uint8))
    )
    assert found["copy_last"][0].ravel().tolist() == [90, 20, 0]
    assert found["mean"][0].ravel().tolist() == [40, 13, 100]
    assert found["extrapolated"][0].ravel().tolist() == [150, 30, 0]  # -100 is cut off
    assert found["another_clip"][0].ravel().tolist() == [7, 7, 7]
    assert found["another_clip"][1].ravel().tolist() == [90, 20, 0]
    assert frame_prediction.rules(np.full((1, 2, 1, 1, 1), 255, np.uint8))["extrapolated"].item() == 255


def test_kept_attributes_by_hand(monkeypatch):
    """Four clips of four frames; a clip counts where both attributes stay."""
    hair = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1]])
    skin = np.array([[2, 2, 2, 2], [2, 2, 2, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    tables = {"hair": np.eye(3)[hair], "skin": np.eye(3)[skin]}
    tables["skin"][1, 3] = (0.4, 0.3, 0.3)  # of no class: it counts neither way
    monkeypatch.setattr(video_gan_sprites, "frame_probabilities", lambda network, clips: tables[network])
    clips = np.zeros((4, 4, 2, 2, 3), np.uint8)
    found = video_gan_sprites.kept({name: name for name in tables}, clips)  # pyright: ignore[reportArgumentType]
    assert found == {"character_constant": 0.75, "hair_constant": 0.75, "skin_constant": 1.0}


def test_the_gate_of_moving_digits(judged):
    record = judged("video_gan")
    assert not record["passed"]
    assert (record["seed"], record["steps"], record["batch"]) == (3, 2, 8)
    assert record["real"] == "32 held-out clips, of digits that are in no training clip"
    assert record["impostors"].keys() == IMPOSTORS
    names = {"frechet_clips", "speed_tv", "energy_tv", "class_constant", "memorisation_auc", "coverage"}
    assert all(names <= row.keys() for row in (record["ours"], *record["impostors"].values()))
    assert record["others"].keys() == {"real vs real", "ours, best (step 2)"}
    assert record["others"]["ours, best (step 2)"] == record["ours"] == record["checkpoints"]["2"]
    first, *_ = record["parts"]
    assert first["name"].startswith("clip Fréchet distance <= 25%")
    assert first["high"] == pytest.approx(record["impostors"]["pca_gaussian"]["frechet_clips"] / 4)
    assert [part["column"] for part in record["parts"]] == [
        "frechet_clips",
        "speed_tv",
        "class_constant",
        "memorisation_auc",
    ]
    assert record["impostors"]["memoriser"]["memorisation_auc"] > 0.9


def test_the_gate_of_frames(judged):
    record = judged("frame_prediction")
    # The network begins as a copy of the latest frame, nearly, and two steps do not halve its errors.
    assert len(record["missed"]) == 2
    assert record["impostors"].keys() == {"copy_last", "mean", "extrapolated", "another_clip"}
    copy = record["impostors"]["copy_last"]
    for part, column in zip(record["parts"], ("mse", "feature_distance"), strict=True):
        assert part["column"] == column
        assert part["high"] == pytest.approx(frame_prediction.SHARE * copy[column])
    assert (record["others"]["real"]["mse"], record["others"]["real"]["feature_distance"]) == (0, 0)
    assert record["impostors"]["another_clip"]["mse"] > copy["mse"] > 0
    assert record["ours"].keys() == copy.keys() == {"mse", "feature_distance"}


@pytest.fixture
def archive(tmp_path):
    """Sheets of layers in bands of a colour for each variant, from left to right as the frames go."""
    folder = tmp_path / "sprites"
    folder.mkdir()
    with zipfile.ZipFile(folder / video_gan_sprites.FILE, "w") as archive:
        for i, kind in enumerate(sprite_clips.ATTRIBUTES):
            for variant in range(sprite_clips.VARIANTS):
                pixels = np.zeros((21, 64, 13, 64, 4), np.uint8)
                pixels[:, 16 * i : 16 * i + 16] = (40 * variant, 255 - 40 * variant, 90, 255)
                for column in range(13):
                    pixels[:, 16 * i : 16 * i + 16, column, 4 * column : 4 * column + 8, 2] = 250
                with archive.open(f"{kind}/{variant}.png", "w") as file:
                    Image.fromarray(pixels.reshape(21 * 64, 13 * 64, 4)).save(file, "PNG", compress_level=1)
        with archive.open("shoes/1.png", "w") as file:
            Image.new("RGBA", (13 * 64, 21 * 64)).save(file, "PNG", compress_level=1)
    return folder


def test_the_gate_of_sprites(judged, archive):
    record = judged("video_gan_sprites", "--data", str(archive))
    assert not record["passed"]
    assert record["real"] == "72 clips of characters that are in no training clip"
    assert record["attribute_accuracy"].keys() == set(sprite_clips.ATTRIBUTES)
    assert record["impostors"].keys() == IMPOSTORS
    names = {"character_constant", *(f"{name}_constant" for name in sprite_clips.ATTRIBUTES), "energy_tv"}
    rows = (record["ours"], *record["impostors"].values(), record["others"]["real vs real"])
    assert all(names <= row.keys() for row in rows)
    assert all(row["character_constant"] <= min(row[f"{n}_constant"] for n in sprite_clips.ATTRIBUTES) for row in rows)
    assert [part["column"] for part in record["parts"]] == [
        "frechet_clips",
        "energy_tv",
        "character_constant",
        "memorisation_auc",
    ]
    assert record["parts"][2]["low"] == 0.9


def test_missing_sprites_are_named(tmp_path):
    with pytest.raises(UserError, match=r"lpc-sprite-layers\.zip is missing\. Give its folder with --data"):
        video_gan_sprites.measure(0, tmp_path, tmp_path / "run")
