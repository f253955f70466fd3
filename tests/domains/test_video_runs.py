"""Small runs of video by the command line: trained, gone on with, measured, and sampled to every kind of file."""

import dataclasses
import json
import re
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from etils import epath
from PIL import Image

from jaxgen import cli, run_directory
from jaxgen.config import Adversarial, Clip, Config, Loop, Paired, UNet
from jaxgen.data import moving_digits
from jaxgen.metrics import clip_comparison, clip_quality

pytestmark = pytest.mark.usefixtures("compiled_quickly")

T, SIDE = 4, 16
CONFIGS = {
    "clips": Config(
        "video/clips",
        Clip(content=4, motion=2, hidden=3, moves="place", gen=(4, 4), disc=(4, 4), clip=(4, 4), norm="batch"),
        Adversarial(penalty="r1+r2", penalty_every=2, classes=10),
        data="moving_digits",
        shape=(T, SIDE, SIDE, 1),
        batch=8,
        loop=Loop(steps=2, steps_per_call=1, log_every=1, sample_every=2, save_every=2),
        parallel="single",
    ),
}
CONFIGS["prediction"] = dataclasses.replace(
    CONFIGS["clips"], domain="video/prediction", model=UNet(gen=(4, 4), disc=(4, 4), patch=2), game=Paired()
)
FILE = '''"""A small run."""

from jaxgen.config import *


def get_config():
    return {}
'''


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A place for runs, whose data are few clips and whose judges learn for a moment."""
    home = tmp_path_factory.mktemp("home")
    frames = [Image.new("L", (20, SIDE), 10 * i) for i in range(6)]
    frames[0].save(home / "mine.gif", save_all=True, append_images=frames[1:])
    frames[0].save(home / "picture.gif")
    whole = moving_digits.clips
    settings: Any = jax.config  # its attributes appear only when it runs
    before = settings.jax_compilation_cache_dir

    def few(shape, split, data_dir=""):
        return {name: a[: 96 if split == "train" else 32] for name, a in whole(shape, split, data_dir).items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGEN_CACHE", str(home / "cache"))
        patch.setattr(moving_digits, "clips", few)
        patch.setattr(clip_comparison, "STEPS", 3)
        patch.setattr(clip_comparison, "frame_classifier", partial(clip_quality.frame_classifier, steps=3))
        yield home
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture
def trained(home, capsys):
    """`trained(kind)`: (directory, what was printed) of a run of two steps."""

    def run(kind):
        said = home / f"{kind}.txt"
        if not said.exists():
            (home / f"{kind}.py").write_text(FILE.format(repr(CONFIGS[kind])))
            code = cli.main(["train", str(home / f"{kind}.py"), "--workdir", str(home / kind)])
            found = capsys.readouterr()
            assert code == 0, found.err
            said.write_text(found.out)
        return epath.Path(home / kind), said.read_text()

    return run


def frames_of(path):
    with Image.open(path) as image:
        return getattr(image, "n_frames", 1)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_run_trains_and_is_measured(trained, kind, tmp_path):
    run, said = trained(kind)
    assert "No metrics" not in said
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert all(np.isfinite(line[name]) for line in lines for name in ("loss/gen", "loss/disc"))
    drawn = {"clips": {"2.png", "2.gif"}, "prediction": {"2.png"}}[kind]
    assert {path.name for path in (run / "samples").iterdir() if path.is_file()} >= drawn
    assert cli.main(["evaluate", str(run), "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert (found["step"], found["heldout"]) == (2, 32)
    measured = {
        "clips": {"frechet_clips", "kid", "coverage", "speed_tv", "energy_tv", "class_constant", "memorisation_auc"},
        "prediction": {"mse", "mse_copy", "feature_distance", "feature_distance_copy"},
    }[kind]
    assert measured <= found.keys()
    assert all(f"\n{name} " in said for name in measured)


def test_a_run_is_gone_on_with(trained, home, capsys):
    """From where it was, to the bits of one that was never stopped."""
    trained("clips")
    words = ["train", str(home / "clips.py"), "--loop.steps", "4"]
    for name in ("whole", "parts"):
        if name == "parts":
            assert cli.main([*words[:2], "--workdir", str(home / name)]) == 0
            capsys.readouterr()
        assert cli.main([*words, "--workdir", str(home / name)]) == 0
        assert ("Going on from step 2" in capsys.readouterr().err) == (name == "parts")
    whole, parts = (np.load(arrays(home / name, home, num=3, seed=1))["image"] for name in ("whole", "parts"))
    np.testing.assert_array_equal(whole, parts)


def arrays(run, folder, **options):
    path = folder / "made.npz"
    path.unlink(missing_ok=True)
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    assert cli.main(["sample", str(run), *words, "--out", str(path)]) == 0
    return path


def test_clips_are_sampled(trained, tmp_path, capsys):
    pytest.importorskip("av")
    run, _ = trained("clips")
    found = np.load(arrays(run, tmp_path, num=3, seed=5))
    made = found["image"]
    assert found["label"].tolist() == [0, 1, 2]
    assert (made.shape, made.dtype) == ((3, T, SIDE, SIDE, 1), np.uint8)
    capsys.readouterr()
    for name in ("a.gif", "a.png", "a.mp4", "folder"):
        out = tmp_path / name
        assert cli.main(["sample", str(run), "--num", "3", "--seed", "5", "--fps", "5", "--out", str(out)]) == 0
        assert capsys.readouterr().out.split() == [str(out)]
    assert frames_of(tmp_path / "a.gif") == frames_of(tmp_path / "folder" / "000002.gif") == T
    with Image.open(tmp_path / "a.png") as image:
        shown = np.asarray(image)[::2, ::2]
    np.testing.assert_array_equal(shown[1 : 1 + SIDE, 1 : 1 + SIDE], made[0, 0, :, :, 0])  # the same seed
    assert (tmp_path / "a.mp4").stat().st_size > 0
    assert len(list((tmp_path / "folder").iterdir())) == 6
    plain, content, motion = (
        np.load(arrays(run, tmp_path, num=3, seed=5, **same))["image"]
        for same in ({}, {"same": "content"}, {"same": "motion"})
    )
    for other in (content, motion):
        np.testing.assert_array_equal(other[0], plain[0])
        assert (other[1] != plain[1]).any()
    assert (content[1:] != motion[1:]).any()


def test_frames_are_gone_on_with(trained, home, tmp_path, capsys):
    run, _ = trained("prediction")
    kept = run_directory.read_examples(run)["image"]
    found = np.load(arrays(run, tmp_path, num=2, frames=3))
    np.testing.assert_array_equal(found["source"], kept[:2, : T - 1])
    assert found["image"].shape == (2, 3, SIDE, SIDE, 1)
    capsys.readouterr()
    assert cli.main(["sample", str(run), "--num", "2"]) == 0
    assert capsys.readouterr().out.split() == [str(run / "samples" / "seed-0.png")]
    own = np.load(arrays(run, tmp_path, input=home / "mine.gif", frames=2))
    assert own["source"][0, :, 3, 3, 0].tolist() == [30, 40, 50]
    assert own["image"].shape == (1, 2, SIDE, SIDE, 1)


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("clips", ["--num", "0"], "--num must be 1 or more, not 0"),
        ("clips", ["--out", "a.wav"], r"a\.wav must end in \.gif, \.mp4, \.png, \.npz, or be a folder"),
        ("clips", ["--fps", "0"], "--fps must be 1 to 100"),
        ("clips", ["--label", "10"], "--label must be 0 to 9"),
        ("prediction", ["--num", "33"], "keeps 32 clips; use --num 32 or less"),
        ("prediction", ["--input", "{home}/gone.gif"], r"There is no video .*gone\.gif"),
        ("prediction", ["--input", "{home}/picture.gif"], "has 1 frame, and 3 are needed"),
        ("prediction", ["--input", "{home}/clips.py"], "Cannot read the video .*clips.py"),
    ],
)
def test_what_cannot_be_sampled_is_said(trained, home, kind, words, message, capsys):
    run, _ = trained(kind)
    capsys.readouterr()
    assert cli.main(["sample", str(run), *(word.format(home=home) for word in words)]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "Traceback" not in error
    assert re.search(message, error), error
