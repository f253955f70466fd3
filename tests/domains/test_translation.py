"""What `jaxgen sample` does where images are made of images: held-out pictures, and a user's own of any size."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from PIL import Image

from jaxgen import assemble, run_directory, tiling
from jaxgen import sample as sampling
from jaxgen.checkpoint import Checkpoints
from jaxgen.config import Config, Paired, UNet, Unpaired
from jaxgen.domains import _translation
from jaxgen.domains._translation import TranslateOptions
from jaxgen.errors import UserError

RNG = np.random.default_rng(0)
KEPT = 6
MODEL = UNet(gen=(4, 4), disc=(4, 4))
CONFIGS = {
    "holes": Config("restoration", MODEL, Paired(degrade="holes-15"), shape=(8, 8, 1)),
    "double": Config("restoration", MODEL, Paired(degrade="downsample-2"), shape=(8, 8, 3)),
    "noise": Config("restoration", MODEL, Paired(degrade="noise-25"), shape=(8, 8, 3)),
    "both": Config("style", MODEL, Unpaired(pool=2), shape=(8, 8, 3)),
}
CONFIGS = {name: dataclasses.replace(c, data="/nowhere/images.npz", parallel="pmap") for name, c in CONFIGS.items()}


@pytest.fixture(scope="module", autouse=True)
def read_once(compiled_quickly):
    """Each run is read once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "load", cache(sampling.load))
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of one checkpoint with random weights, and with the held-out pictures that `train` leaves there."""
    root = tmp_path_factory.mktemp("translation")
    for name, config in CONFIGS.items():
        game = assemble.build(assemble.on_one_device(config)).game
        abstract = assemble.abstract_state(config, game).replace(key=())
        rng = np.random.default_rng(1)
        state = jax.tree.map(lambda a, rng=rng: jnp.asarray(rng.normal(size=a.shape) * 0.2, a.dtype), abstract)
        run_directory.write_config(root / name, config, data_fingerprint="none")
        with Checkpoints(run_directory.checkpoints(root / name)) as checkpoints:
            checkpoints.save(3, state.replace(key=jax.random.key(0)))
        kept = {"image": RNG.integers(0, 256, (KEPT, *config.shape), dtype=np.uint8)}
        if name == "both":
            kept["source"] = RNG.integers(0, 256, (KEPT, *config.shape), dtype=np.uint8)
        run_directory.write_examples(root / name, kept)
    return root


@pytest.fixture
def small_tiles(monkeypatch):
    """Also for a function that has its default from before."""
    monkeypatch.setattr(tiling, "SIDE", 16)
    defaults = tiling.translate.__defaults__
    monkeypatch.setattr(tiling.translate, "__defaults__", (*defaults[:-1], 16))


def sample(run, **options):
    """The one path that is written."""
    options = {name: str(v) if name in ("out", "input", "mask") else v for name, v in options.items()}
    (path,) = sampling.sample(run, TranslateOptions(**options))
    return path


def pixels(path):
    """uint8 [H, W, C] of a picture file."""
    with Image.open(path) as picture:
        array = np.asarray(picture)
    return array if array.ndim == 3 else array[..., None]


def photo(path, height, width, mode="RGB"):
    """A smooth picture of a mode, written; its pixels."""
    y, x = np.mgrid[:height, :width]
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    array = np.stack([127 + 120 * np.sin(y / 7 + x / (5 + c)) for c in range(channels)], axis=-1).astype(np.uint8)
    if mode in ("LA", "RGBA"):
        array[..., -1] = 255
        array[2:7, 3 : width // 2, -1] = 0
    Image.fromarray(array[..., 0] if channels == 1 else array, mode).save(path)
    return array


def whole(run, x):
    """uint8: what the averaged generator makes of x [H, W, I] in one piece."""
    trained = sampling.load(run)
    gen, ema = trained.game.gen, trained.state.ema
    params, _ = ema[0] if isinstance(trained.config.game, Unpaired) else ema
    ends = [(0, max(-n % gen.stride, 2 * gen.stride - n)) for n in x.shape[:2]]
    padded = np.pad(x, (*ends, (0, 0)), mode="symmetric")[None]
    made = jax.jit(lambda x: gen.apply({"params": params}, x, train=False))(padded)[0]
    made = np.asarray(made)[: gen.scale * x.shape[0], : gen.scale * x.shape[1]]
    return np.clip((made + 1) * 127.5, 0, 255)


def scaled(x):
    return x.astype(np.float32) / 127.5 - 1


def test_a_picture_larger_than_a_tile_is_enlarged_without_seams(runs, tmp_path, small_tiles):
    x = photo(tmp_path / "photo.png", 75, 91)
    out = sample(runs / "double", input=tmp_path / "photo.png", out=tmp_path / "deep" / "large.png")
    made = pixels(out)
    assert made.shape == (150, 182, 3)
    expected = whole(runs / "double", scaled(x))
    assert expected.std() > 20
    np.testing.assert_allclose(made, expected, atol=0.51)
    default = sample(runs / "double", input=tmp_path / "photo.png")
    assert default == runs / "double" / "samples" / "photo-translated.png"
    assert default.read_bytes() == out.read_bytes()


def test_holes_of_a_mask_and_of_transparent_pixels_are_the_same(runs, tmp_path, small_tiles):
    """A grey run, a mask in colour, and pixels that are not missing as they were."""
    x = photo(tmp_path / "clear.png", 9, 21, "LA")
    hole = x[..., 1:] == 0
    Image.fromarray(x[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(np.repeat(np.where(hole, 255, 60).astype(np.uint8), 3, axis=2)).save(tmp_path / "mask.png")
    by_mask = pixels(sample(runs / "holes", input=tmp_path / "grey.png", mask=tmp_path / "mask.png"))
    assert by_mask.shape == (9, 21, 1)
    np.testing.assert_array_equal(by_mask[~hole], x[..., :1][~hole])
    spoilt = np.concatenate([scaled(x[..., :1]) * (1 - hole), hole], axis=-1).astype(np.float32)
    np.testing.assert_allclose(by_mask, whole(runs / "holes", spoilt), atol=0.51)
    assert (by_mask[hole] != 128).any()
    np.testing.assert_array_equal(pixels(sample(runs / "holes", input=tmp_path / "clear.png")), by_mask)


def test_pictures_are_turned_as_their_camera_says_and_palettes_looked_up(tmp_path):
    array = photo(tmp_path / "photo.png", 8, 12)
    picture = Image.fromarray(array)
    exif = picture.getexif()
    exif[0x0112] = 6  # turn right
    picture.save(tmp_path / "turned.png", exif=exif)
    found, hole = _translation.read(tmp_path / "turned.png", 3)
    np.testing.assert_array_equal(found, np.rot90(array, -1))
    assert hole is None
    picture.quantize(16).save(tmp_path / "palette.png")
    with Image.open(tmp_path / "palette.png") as few:
        expected = np.asarray(few.convert("RGB"))
    np.testing.assert_array_equal(_translation.read(tmp_path / "palette.png", 3)[0], expected)
    Image.fromarray(array[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(_translation.read(tmp_path / "grey.png", 3)[0], array[..., :1].repeat(3, axis=2))


def test_a_grey_picture_with_transparent_pixels_is_grey(tmp_path):
    array = photo(tmp_path / "clear.png", 9, 21, "LA")
    found, hole = _translation.read(tmp_path / "clear.png", 1)
    np.testing.assert_array_equal(found, array[..., :1])
    np.testing.assert_array_equal(hole, array[..., 1] == 0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pictures and masks by name."""
    root = tmp_path_factory.mktemp("files")
    for mode, name in (("RGB", "photo"), ("L", "grey"), ("RGBA", "clear"), ("CMYK", "ink")):
        photo(root / (f"{name}.jpg" if mode == "CMYK" else f"{name}.png"), 8, 12, mode)
    photo(root / "tiny.png", 1, 12, "L")
    photo(root / "tall.png", 12, 8, "L")
    for name, value in (("none", 0), ("all", 255)):
        Image.new("L", (12, 8), value).save(root / f"{name}.png")
    mask = Image.new("L", (12, 8))
    mask.putpixel((3, 3), 255)
    mask.save(root / "one.png")
    mask.crop((0, 0, 12, 1)).point(lambda _: 255).save(root / "tiny-mask.png")
    (root / "text.png").write_text("no picture")
    (root / "half.png").write_bytes((root / "photo.png").read_bytes()[:90])
    (root / "full").mkdir()
    (root / "full" / "something.txt").write_text("old")
    return root


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        ("holes", {"input": "grey.png"}, r"Nothing is missing in .*grey\.png\. Give --mask, white where it is"),
        ("holes", {"input": "grey.png", "mask": "none.png"}, "Nothing is missing"),
        ("holes", {"input": "grey.png", "mask": "all.png"}, "The mask covers all of .*Leave some pixels"),
        ("holes", {"input": "tall.png", "mask": "one.png"}, r"The mask has 12x8 pixels, .*tall\.png 8x12; make them"),
        ("holes", {"input": "photo.png", "mask": "one.png"}, "is in colour, and the run knows grey pictures only"),
        ("holes", {"input": "grey.png", "mask": "gone.png"}, r"Cannot read the picture .*gone\.png"),
        ("holes", {"mask": "one.png"}, "--mask goes with --input"),
        ("both", {"input": "photo.png", "mask": "one.png"}, "--mask goes with --input, of a run that fills holes"),
        ("noise", {"input": "photo.png", "mask": "one.png"}, "--mask goes with --input, of a run that fills holes"),
        ("both", {"input": "clear.png"}, "has transparent pixels, and this run fills no holes"),
        ("both", {"input": "ink.jpg"}, "has the mode CMYK; save it as 8-bit RGB or grey"),
        ("both", {"input": "text.png"}, "Cannot read the picture .*Give a PNG or JPEG file"),
        ("both", {"input": "half.png"}, "Cannot read the picture"),
        ("both", {"input": "gone.png"}, "Cannot read the picture"),
        ("both", {"input": "full"}, "Cannot read the picture"),
        ("both", {"input": "tiny.png"}, "12x1 pixels is too small: the network needs 2x2"),
        ("both", {"input": "photo.png", "out": "new.npz"}, r"new\.npz must end in \.png\."),
        ("both", {"out": "new.jpg"}, r"new\.jpg must end in \.png \(strips\) or \.npz \(arrays\), or be a folder"),
        ("both", {"out": "full"}, "full is not empty; choose another --out"),
        ("both", {"num": KEPT + 1}, f"The run keeps {KEPT} pictures; use --num {KEPT} or less"),
        ("both", {"num": 0}, "--num must be 1 or more, not 0"),
        ("noise", {"back": True}, "Only a run from unpaired sets goes both ways; leave out --back"),
    ],
)
def test_what_can_not_be_is_said(run, options, message, runs, files):
    options = {name: files / value if isinstance(value, str) else value for name, value in options.items()}
    with pytest.raises(UserError, match=message):
        sample(runs / run, **{"num": KEPT} | options)
    assert not (files / "new.npz").exists()


def test_held_out_pictures_as_arrays(runs, tmp_path):
    kept = run_directory.read_examples(runs / "both")
    for back, name in ((False, "source"), (True, "image")):
        with np.load(sample(runs / "both", num=4, out=tmp_path / f"{name}.npz", back=back)) as found:
            np.testing.assert_array_equal(found["source"], scaled(kept[name][:4]))
            assert (found["image"].shape, found["image"].dtype) == ((4, 8, 8, 3), np.uint8)
            if not back:
                np.testing.assert_allclose(found["image"][2], whole(runs / "both", scaled(kept[name][2])), atol=0.51)


def test_what_is_spoilt_belongs_to_the_seed(runs, tmp_path):
    kept = run_directory.read_examples(runs / "holes")["image"]
    found = []
    for i, seed in enumerate((0, 0, 1)):
        with np.load(sample(runs / "holes", num=4, seed=seed, out=tmp_path / f"{i}.npz")) as file:
            found.append(file["source"])
    hole = found[0][..., 1:]
    assert found[0].shape == (4, 8, 8, 2)
    np.testing.assert_allclose(found[0][..., :1], scaled(kept[:4]) * (1 - hole), atol=1e-6)
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_strips_and_folders(runs, tmp_path):
    """Input, output and target side by side, four strips a row, each pixel 2 wide."""
    kept = run_directory.read_examples(runs / "double")["image"]
    picture = pixels(sample(runs / "double", num=KEPT, out=tmp_path / "strips.png"))
    strip = 3 * 8 + 2 * 2
    assert picture.shape == (2 * (2 * 9 + 1), 2 * (4 * (strip + 1) + 1), 3)
    small = picture[::2, ::2]
    np.testing.assert_array_equal(small[1:9, 1 + 20 : 1 + 28], kept[0])
    np.testing.assert_array_equal(small[1:9:2, 1:9:2], small[2:10:2, 2:10:2])  # the input, by repetition
    folder = sample(runs / "double", num=3, out=tmp_path / "folder")
    names = sorted(str(p.relative_to(folder)) for p in folder.glob("*/*"))
    assert names == [f"{kind}/{i:06}.png" for kind in ("input", "output") for i in range(3)]
    np.testing.assert_array_equal(pixels(folder / "input" / "000000.png"), small[1:9, 1:9])
    np.testing.assert_array_equal(pixels(folder / "output" / "000000.png"), small[1:9, 11:19])


def test_both_ways_are_shown_below_each_other(tmp_path):
    images = {name: np.full((5, 8, 8, 1), i / 10) for i, name in enumerate(("sources", "samples"))}
    stem = epath.Path(tmp_path) / "step-10"
    (path,) = _translation.write(images, stem)
    strip, row = 2 * 8 + 2, 8 + 1
    assert path.name == "step-10.png"
    assert pixels(path).shape == (2 * (2 * row + 1), 2 * (4 * (strip + 1) + 1), 1)
    back = {f"{name}_back": a for name, a in images.items()}
    (path,) = _translation.write(images | back, stem)
    assert pixels(path).shape[0] == 2 * (2 * (2 * row + 1) + 6)
    assert _translation.write({}, stem) == []


def test_a_run_that_keeps_no_pictures_can_still_be_given_one(runs, files, tmp_path):
    (tmp_path / "young").mkdir()
    for name in ("config.json", "checkpoints"):
        (tmp_path / "young" / name).symlink_to(runs / "noise" / name)
    with pytest.raises(UserError, match=r"examples\.npz cannot be read .*or give something of your own"):
        sample(tmp_path / "young")
    (tmp_path / "young" / "examples.npz").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"examples\.npz cannot be read"):
        sample(tmp_path / "young")
    out = sample(tmp_path / "young", input=files / "photo.png", out=tmp_path / "out.png")
    assert pixels(out).shape == (8, 12, 3)
