"""Video: what configs are refused, clips and frames by hand, and runs that are made up, to every kind of file."""

import dataclasses
from functools import partial
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from PIL import Image

from jaxgen.config import MLP, Adversarial, Clip, Config, Paired, UNet, Unpaired
from jaxgen.domains import video
from jaxgen.domains.video import DOMAINS, ClipOptions, PredictionOptions
from jaxgen.errors import UserError
from jaxgen.metrics import clip_comparison, clip_quality
from jaxgen.models import unet
from jaxgen.models import video as models

T, SIDE = 4, 16
MODEL = Clip(content=4, motion=2, hidden=3, gen=(4, 4), disc=(5, 4), clip=(6, 4))
CLIPS = Config("video/clips", MODEL, Adversarial(), shape=(T, SIDE, SIDE, 1))
FRAMES = Config("video/prediction", UNet(gen=(6, 4), disc=(5, 4), patch=2), Paired(), shape=(T, SIDE, SIDE, 3))


def changed(config, shape=None, game=None, **model):
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, **model))
    return dataclasses.replace(config, shape=shape or config.shape, game=game or config.game)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dataclasses.replace(CLIPS, model=UNet()), "'video/clips' has no model UNet; choose Clip"),
        (changed(CLIPS, game=Paired()), "played by Adversarial"),
        (changed(CLIPS, game=Adversarial(augment="flip")), r"without --game\.augment"),
        (changed(CLIPS, shape=(16, 16, 1)), r"shape of a clip is \(frames, height, width, channels\)"),
        (changed(CLIPS, shape=(4, 16, 16, 2)), "1 channel for grey or 3 for colour"),
        (changed(CLIPS, frames=5), r"--model\.frames must be 1 to 4, the frames of a clip, not 5"),
        (changed(CLIPS, frames=0), r"--model\.frames must be 1 to 4"),
        (changed(CLIPS, shape=(4, 30, 30, 1), moves="place", patch=5), "does not divide what is drawn"),
        (changed(CLIPS, shape=(4, 16, 18, 1)), r"--model\.patch 2 needs sides that are multiples of 4: \(4, 16, 18"),
        (changed(CLIPS, moves="place", still=True), r"drawn once a clip anyway; leave out --model\.still"),
        (changed(CLIPS, disc=(4, 4, 4, 4)), "8x8 are too small to be halved 3 times"),
        (changed(CLIPS, gen=(4, 4, 4, 4)), "8x8 are too small to be halved 3 times"),
        (changed(CLIPS, moves="place", patch=4, gen=(4, 4, 4)), "4x4 are too small to be halved 2 times"),
        (dataclasses.replace(FRAMES, model=MLP()), "'video/prediction' has no model MLP; choose UNet"),
        (changed(FRAMES, game=Unpaired()), "predicted by Paired"),
        (changed(FRAMES, game=Paired(degrade="noise-25")), r"without --game\.degrade and --game\.augment"),
        (changed(FRAMES, game=Paired(augment="flip")), r"without --game\.degrade and --game\.augment"),
        (changed(FRAMES, shape=(2, 16, 16, 1)), "2 frames shows no motion to go on with; choose --shape with 3"),
        (changed(FRAMES, shape=(16, 16, 3)), "shape of a clip"),
        (changed(FRAMES, shape=(4, 15, 16, 3)), r"--model\.patch 2 does not divide 15 x 16"),
        (changed(FRAMES, disc=(4,) * 4), "8x8 are too small to be halved 3 times"),
    ],
)
def test_configs_that_do_not_fit_are_refused(config, message):
    with pytest.raises(UserError, match=message):
        DOMAINS[config.domain.partition("/")[2]].networks(config, None)


def test_networks_have_the_configs_sizes():
    gen, critics = DOMAINS["clips"].networks(changed(CLIPS, moves="place", frames=3, patch=4), "data")
    assert gen == models.Generator((T, SIDE, SIDE, 1), 4, 2, 3, (4, 4), True, patch=2, axis_name="data")
    assert critics == models.Critics((5, 4), (6, 4), 3, 4, True, axis_name="data")
    assert gen.z_dim == 4 + 2 + 2 * T
    gen, critics = DOMAINS["clips"].networks(dataclasses.replace(CLIPS, precision="bf16"), None)
    assert gen == models.Generator((T, SIDE, SIDE, 1), 4, 2, 3, (4, 4), False, patch=2, dtype="bfloat16")
    assert critics == models.Critics((5, 4), (6, 4), 2, 2, False, dtype="bfloat16")
    gen, critics = DOMAINS["clips"].networks(changed(CLIPS, game=Adversarial(classes=3), norm="batch"), None)
    assert gen == models.Generator((T, SIDE, SIDE, 1), 4, 2, 3, (4, 4), False, patch=2, norm="batch", classes=3)
    assert critics == models.Critics((5, 4), (6, 4), 2, 2, False, classes=3)
    gen, critic = DOMAINS["prediction"].networks(FRAMES, "data")
    assert gen == unet.UNet(3, (6, 4), (1,), 2, 1, True, False)
    assert critic == unet.PatchCritic((5, 4), (1,), 2)


@pytest.mark.parametrize(("patch", "drawn"), [(1, 1), (2, 1), (3, 1), (4, 2)])
def test_what_is_placed_is_drawn_at_half_the_size(patch, drawn):
    """And its pixels are parted so that they can be."""
    config = changed(CLIPS, shape=(T, 8 * patch, 8 * patch, 1), moves="place", patch=patch)
    gen, _ = DOMAINS["clips"].networks(config, None)
    assert gen.patch == drawn
    assert 4 * patch % (2 * drawn) == 0


def test_a_data_set_without_what_no_game_needs(monkeypatch):
    found = {name: np.zeros((2, *CLIPS.shape), np.uint8) for name in ("image", "label", "path")}
    monkeypatch.setattr(video.videos, "load", lambda *args: found)
    assert DOMAINS["clips"].load(CLIPS, "train").keys() == {"image", "label"}


def some_clips(n, channels=3, length=T, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, length, 6, 8, channels), dtype=np.uint8)


def test_the_frames_before_by_hand():
    """The latest first, each with its channels."""
    x = np.arange(2 * 3 * 1 * 2 * 2).reshape(2, 3, 1, 2, 2)
    expected = np.concatenate([x[:, 1], x[:, 0]], axis=-1)
    np.testing.assert_array_equal(video.before(x), expected)
    np.testing.assert_array_equal(video.before(x)[0, 0, 0], [4, 5, 0, 1])


@pytest.mark.parametrize("channels", [1, 3])
def test_past_of_takes_back_what_before_did(channels):
    x = some_clips(3, channels, 5)
    np.testing.assert_array_equal(video.past_of(video.before(x), channels), x[:, :-1])


def test_pairs_of_the_past_and_what_comes():
    raw = {"image": some_clips(2), "label": np.zeros(2, np.int32)}
    for arrays in (raw, {name: jnp.asarray(a) for name, a in raw.items()}):
        batch = DOMAINS["prediction"].to_batch(arrays)
        assert batch.keys() == {"source", "image"}
        np.testing.assert_allclose(batch["image"], raw["image"][:, 3] / 127.5 - 1, atol=1e-6)
        for back in range(3):
            frame = batch["source"][..., 3 * back : 3 * back + 3]
            np.testing.assert_allclose(frame, raw["image"][:, 2 - back] / 127.5 - 1, atol=1e-6)


class Maker:
    """Clips whose grey level is that of their content, and whose frames step by that of their motion."""

    config = CLIPS
    classes = 0

    def latents(self, n, seed, bound=0.0):
        z = np.random.default_rng(seed).normal(size=(n, 4 + 2 + 2 * T)).astype(np.float32)
        z.setflags(write=False)  # as what comes from JAX
        return z

    def decode(self, z, label=None):
        t = 0.2 * np.arange(T)[None, :] * z[:, 4:5] + 0.5 * z[:, :1] + (0 if label is None else label[:, None])
        return np.broadcast_to(np.tanh(t)[..., None, None, None], (len(z), T, 6, 8, 1))

    def draw(self, n, seed, label=None):
        return self.decode(self.latents(n, seed), label)


def test_clips_of_one_content_or_one_motion():
    run = Maker()
    z = run.latents(5, 3)
    np.testing.assert_array_equal(video.latents(run, 5, 3), z)
    same = video.latents(run, 5, 3, "content")
    np.testing.assert_array_equal(same[:, :4], np.tile(z[:1, :4], (5, 1)))
    np.testing.assert_array_equal(same[:, 4:], z[:, 4:])
    same = video.latents(run, 5, 3, "motion")
    np.testing.assert_array_equal(same[:, :4], z[:, :4])
    np.testing.assert_array_equal(same[:, 4:], np.tile(z[:1, 4:], (5, 1)))


def test_classes_are_in_turn_or_those_asked_for(tmp_path):
    run = Maker()
    run.classes = 3
    write = partial(sampled, "clips", run, tmp_path, num=5, seed=2, out=str(tmp_path / "a.npz"))
    for options, label in (({}, [0, 1, 2, 0, 1]), ({"label": 2}, [2] * 5), ({"same": "content"}, [0] * 5)):
        (path,) = write(**options)
        found = np.load(path)
        np.testing.assert_array_equal(found["label"], label)
        z = video.latents(run, 5, 2, options.get("same", ""))
        np.testing.assert_array_equal(found["image"], video._pixels.to_raw(run.decode(z, found["label"])))
    with pytest.raises(UserError, match="--label must be 0 to 2, the run's classes, not 3"):
        write(label=3)
    with pytest.raises(UserError, match="does not know of classes; leave out --label"):
        sampled("clips", Maker(), tmp_path, label=0)


def test_as_many_clips_of_each_class_are_measured_as_are_held_out():
    heldout = {"image": some_clips(4), "label": np.array([2, 0, 2, 1])}
    run = Maker()
    run.classes = 3
    expected = video._pixels.to_raw(run.decode(run.latents(4, 7), heldout["label"]))
    np.testing.assert_array_equal(video.drawn(run, heldout, 7), expected)
    run.classes = 0
    np.testing.assert_array_equal(video.drawn(run, heldout, 7), video._pixels.to_raw(run.decode(run.latents(4, 7))))


def sizes(path):
    """(width, height, frames) of a picture or a film."""
    if path.suffix == ".mp4":
        import av

        with av.open(str(path)) as film:
            frames = list(film.decode(video=0))
            return frames[0].width, frames[0].height, len(frames)
    with Image.open(path) as image:
        return *image.size, getattr(image, "n_frames", 1)


def grid(columns, rows, scale, height=6, width=8):
    return scale * (columns * (width + 1) + 1), scale * (rows * (height + 1) + 1)


def sampled(domain, run, folder, **options):
    kind = {"clips": ClipOptions, "prediction": PredictionOptions}[domain]
    return DOMAINS[domain].sample(run, kind(**options), epath.Path(folder))


def test_clips_to_each_kind_of_file(tmp_path):
    pytest.importorskip("av")
    write = partial(sampled, "clips", Maker(), tmp_path, num=5, seed=2)
    assert write() == [tmp_path / "seed-2.gif"]
    assert sizes(tmp_path / "seed-2.gif") == (*grid(3, 2, 2), T)
    (path,) = write(out=str(tmp_path / "a.mp4"))
    assert sizes(path) == (*grid(3, 2, 4), T)
    (path,) = write(out=str(tmp_path / "a.png"))
    assert sizes(path) == (*grid(T, 5, 2), 1)
    (path,) = write(out=str(tmp_path / "a.npz"), same="content")
    made = np.load(path)["image"]
    assert (made.shape, made.dtype) == ((5, T, 6, 8, 1), np.uint8)
    assert np.ptp(made[:, 0]) == 0
    assert np.ptp(made[:, 1]) > 0
    (path,) = write(out=str(tmp_path / "folder"))
    assert {p.name for p in path.iterdir()} == {f"{i:06}{ending}" for i in range(5) for ending in (".gif", ".mp4")}
    assert sizes(path / "000004.gif") == (*grid(1, 1, 2), T)
    assert sizes(path / "000004.mp4") == (*grid(1, 1, 4), T)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "a.wav"}, r"a\.wav must end in \.gif, \.mp4, \.png, \.npz, or be a folder\."),
        ({"fps": 0}, "--fps must be 1 to 100, not 0"),
        ({"fps": 101}, "--fps must be 1 to 100, not 101"),
    ],
)
def test_clips_that_cannot_be_written(options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        sampled("clips", Maker(), tmp_path, **options)


def test_a_folder_that_holds_something(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError, match="is not empty"):
        sampled("clips", Maker(), tmp_path, out=str(tmp_path))


class Teller:
    """Its next frame is the latest one, 20 grey levels brighter."""

    config = dataclasses.replace(FRAMES, shape=(T, 6, 8, 3))

    def examples(self):
        return {"image": some_clips(3) // 4, "label": np.zeros(3, np.int32)}

    def translate(self, x, seed, back=False, chunk=64):
        return x[..., :3] + 20 / 127.5


class Echo(Teller):
    """Its next frame is the earliest one that it sees."""

    def translate(self, x, seed, back=False, chunk=64):
        return x[..., -3:]


def test_frames_are_made_from_those_before():
    given = some_clips(2)[:, :3] // 2
    found = video.predicted(Teller(), given, 3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, given[:, -1:] + np.array([20, 40, 60], np.uint8)[None, :, None, None, None])
    np.testing.assert_array_equal(video.predicted(Echo(), given, 5), given[:, [0, 1, 2, 0, 1]])
    white = np.full_like(given, 250)
    assert (video.predicted(Teller(), white, 2) == 255).all()


def test_predictions_to_each_kind_of_file(tmp_path):
    pytest.importorskip("av")
    write = partial(sampled, "prediction", Teller(), tmp_path, num=3, seed=2)
    assert write() == [tmp_path / "seed-2.png"]
    assert sizes(tmp_path / "seed-2.png") == (*grid(3 + 1 + 1, 3, 2), 1)  # given, made, true
    (path,) = write(out=str(tmp_path / "a.gif"), frames=2)
    assert sizes(path) == (*grid(2, 2, 2), 5)
    (path,) = write(out=str(tmp_path / "a.mp4"), frames=2)
    assert sizes(path) == (*grid(2, 2, 4), 5)
    (path,) = write(out=str(tmp_path / "a.npz"), frames=2, num=2)
    found, kept = np.load(path), Teller().examples()["image"][:2]
    np.testing.assert_array_equal(found["source"], kept[:, :3])
    np.testing.assert_array_equal(found["image"], kept[:, [2, 2]] + np.array([20, 40], np.uint8)[:, None, None, None])


def test_the_users_own_video_is_gone_on_with(tmp_path):
    frames = [Image.new("RGB", (8, 6), (10 * i, 0, 0)) for i in range(6)]
    frames[0].save(tmp_path / "mine.gif", save_all=True, append_images=frames[1:])
    ask = partial(sampled, "prediction", Teller(), tmp_path)
    assert ask(input=str(tmp_path / "mine.gif"), frames=2) == [tmp_path / "mine-continued.png"]
    assert sizes(tmp_path / "mine-continued.png") == (*grid(3 + 2, 1, 2), 1)
    (path,) = ask(input=str(tmp_path / "mine.gif"), frames=2, out=str(tmp_path / "a.npz"))
    found = np.load(path)
    assert found["source"][0, :, 0, 0, 0].tolist() == [30, 40, 50]
    assert found["image"][0, :, 0, 0, 0].tolist() == [70, 90]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "folder"}, r"folder must end in \.png, \.gif, \.mp4, \.npz\."),
        ({"frames": 0}, "--frames must be 1 or more, not 0"),
        ({"num": 4}, "keeps 3 clips; use --num 3 or less"),
        ({"fps": 0}, "--fps must be 1 to 100"),
        ({"input": "gone.mp4"}, "There is no video gone.mp4"),
    ],
)
def test_predictions_that_cannot_be_made(options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        sampled("prediction", Teller(), tmp_path, **({"num": 3} | options))


def test_pictures_of_a_run(tmp_path):
    stem = epath.Path(tmp_path) / "7"
    paths = DOMAINS["clips"].write({"samples": Maker().draw(20, 0)}, stem)
    assert [path.name for path in paths] == ["7.png", "7.gif"]
    assert sizes(paths[0]) == (*grid(T, 8, 2), 1)
    assert sizes(paths[1]) == (*grid(4, 4, 2), T)
    clips = some_clips(2)
    batch = DOMAINS["prediction"].to_batch({"image": clips})
    shown = {"sources": batch["source"], "samples": -batch["image"], "targets": batch["image"]}
    (path,) = DOMAINS["prediction"].write(shown, stem)
    with Image.open(path) as image:
        found = np.asarray(image)[::2, ::2]
    assert found.shape[:2] == grid(5, 2, 1)[::-1]
    row = [found[1:7, 1 + 9 * i : 9 + 9 * i] for i in range(5)]
    for frame, expected in zip(row, [*clips[0, :3], 255 - clips[0, 3], clips[0, 3]], strict=True):
        np.testing.assert_array_equal(frame, expected)
    assert DOMAINS["prediction"].write({}, stem) == []


def test_how_far_ends_are_off_by_hand():
    true = np.full((2, T, 6, 8, 1), 100, np.uint8)
    made = true.copy()
    made[0, -1] = 100 + 51  # a fifth of the range
    made[1, -1, 0, 0] = 49
    real = SimpleNamespace(features=lambda clips: clips[:, -1, 0, 0].astype(np.float32) * [[1.0, 0.0]])
    found = video.ended(made, true, real)
    assert found["mse"] == pytest.approx((48 * 0.04 + 0.04) / 96)
    assert found["feature_distance"] == 51
    assert video.ended(true, true, real) == {"mse": 0, "feature_distance": 0}


def moving(n, seed):
    """A bright square or bar that moves to the right: its form is its class."""
    rng = np.random.default_rng(seed)
    image = np.zeros((n, T, SIDE, SIDE, 1), np.uint8)
    label = np.arange(n, dtype=np.int32) % 2
    for clip, kind in zip(image, label, strict=True):
        top, left, speed = *rng.integers(1, 6, 2), rng.integers(1, 3)
        for t, frame in enumerate(clip):
            frame[top : top + (4, 8)[kind], left + speed * t : left + speed * t + (4, 2)[kind]] = rng.integers(200, 256)
    return {"image": image, "label": label}


@pytest.fixture
def short(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(clip_comparison, "STEPS", 5)
    monkeypatch.setattr(clip_comparison, "frame_classifier", partial(clip_quality.frame_classifier, steps=5))


class Copier:
    """Training clips."""

    config = dataclasses.replace(CLIPS, data="moving_digits")
    classes = 0

    def draw(self, n, seed, label=None, bound=0.0):
        return moving(120, 0)["image"][:n] / 127.5 - 1


class Seer(Teller):
    """Knows what comes."""

    config = dataclasses.replace(CLIPS, domain="video/prediction")

    def translate(self, x, seed, back=False, chunk=64):
        return moving(len(x), 1)["image"][:, -1] / 127.5 - 1


def test_what_is_measured(short):
    train, heldout = moving(120, 0), moving(30, 1)
    found = DOMAINS["clips"].measure(Copier(), train, heldout)
    names = {"frechet_clips", "kid", "density", "coverage", "speed_tv", "energy_tv", "class_constant", "frame_accuracy"}
    assert names | {"extractor_hash", "extractor_accuracy", "memorisation_auc"} <= found.keys()
    assert found["n_samples"] == 30
    assert found["memorisation_auc"] > 0.9
    assert found == DOMAINS["clips"].measure(Copier(), train, heldout)
    unlabelled = [{"image": raw["image"]} for raw in (train, heldout)]
    assert "class_constant" not in DOMAINS["clips"].measure(Copier(), *unlabelled)
    found = DOMAINS["prediction"].measure(Seer(), train, heldout)
    assert (found["mse"], found["feature_distance"]) == (0, 0)
    assert found["feature_distance_copy"] > 0
    steps = np.diff(heldout["image"][:, -2:].astype(float), axis=1) / 255
    assert found["mse_copy"] == pytest.approx((steps**2).mean())


@pytest.mark.parametrize(("data", "side"), [("moving_digits", 10), ("folder", 0)])
def test_digits_are_looked_at_around_their_centre(short, monkeypatch, data, side):
    found = []
    monkeypatch.setattr(clip_comparison, "reference", lambda *args: found.append(args[3]))
    video.reference(dataclasses.replace(CLIPS, data=data), {}, {})
    assert found == [side]


@pytest.mark.parametrize(("domain", "run"), [("clips", Copier()), ("prediction", Seer())])
def test_few_held_out_clips_say_nothing(domain, run):
    with pytest.raises(UserError, match="23 held-out clips are too few to be measured by; hold out 24"):
        DOMAINS[domain].measure(run, moving(120, 0), moving(23, 1))
