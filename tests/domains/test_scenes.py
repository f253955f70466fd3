"""Scenes from maps: what networks and data must be, a painted map's way to pictures, and what is measured of a run."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from PIL import Image

from jaxgen import assemble, run_directory
from jaxgen import sample as sampling
from jaxgen.checkpoint import Checkpoints
from jaxgen.config import Adversarial, Config, Paired, Residual, Spade, Unpaired
from jaxgen.data import crafter_views
from jaxgen.domains import scenes
from jaxgen.domains.scenes import DOMAIN, SceneOptions
from jaxgen.errors import UserError
from jaxgen.latent import numbered_keys, prior_map
from jaxgen.levels.palette import PALETTE, picture_from_map

CONFIG = Config(
    domain="scenes",
    model=Spade(z_dim=4, gen=(4,), disc=(4,), hidden=4, patch=8),
    game=Paired(),
    data="crafter_views",
    shape=(64, 64, 3),
)


def some_maps(n, size=(8, 8), seed=0):
    return np.random.default_rng(seed).integers(0, scenes.KINDS, (n, *size)).astype(np.uint8)


def painted(maps, light=1.0):
    """uint8 [N, 64, 64, 3]: each cell in its colour, in some light."""
    return (scenes.drawn(maps) * np.reshape(light, (-1, 1, 1, 1))).astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def read_once(compiled_quickly):
    """The run is read once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "load", cache(sampling.load))
        yield


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run of one checkpoint without training, its parameters by NumPy, which keeps twelve maps."""
    run = tmp_path_factory.mktemp("scenes") / "run"
    rng = np.random.default_rng(0)

    def filled(a):
        numbers = not jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key)
        return jnp.asarray(rng.uniform(-0.3, 0.6, a.shape), a.dtype) if numbers else jax.random.key(0)

    state = jax.tree.map(filled, assemble.abstract_state(CONFIG, assemble.build(CONFIG).game))
    params, stats = state.ema
    state = state.replace(ema=(params, jax.tree.map(lambda a: abs(a) + 0.5, stats)))
    run_directory.write_config(run, CONFIG, data_fingerprint="none")
    run_directory.write_examples(run, {"image": painted(some_maps(12)), "source": some_maps(12)})
    with Checkpoints(run_directory.checkpoints(run)) as checkpoints:
        checkpoints.save(1, state)
    return run


@pytest.fixture(scope="module")
def run(workdir):
    return sampling.load(workdir)


@pytest.fixture
def painting(tmp_path):
    """Saves a picture of a map; gives its path."""

    def save(pixels, name="mine.png", mode="RGB"):
        Image.fromarray(np.asarray(pixels, np.uint8)).convert(mode).save(tmp_path / name)
        return str(tmp_path / name)

    return save


def sample(run, folder, **options):
    """The one path that is written."""
    (path,) = scenes.sample(run, SceneOptions(**options), epath.Path(folder))
    return path


def arrays(path):
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": Residual()}, "'scenes' has no model Residual; choose Spade"),
        ({"game": Unpaired()}, "Scenes are played by Paired"),
        ({"game": Adversarial()}, "Scenes are played by Paired"),
        ({"game": Paired(degrade="noise-25")}, r"without --game\.degrade and --game\.augment"),
        ({"game": Paired(augment="flip")}, r"without --game\.degrade and --game\.augment"),
        ({"shape": (64, 60, 3)}, r"multiples of 8, not \(64, 60, 3\)"),
        ({"shape": (60, 64, 3)}, "multiples of 8"),
        ({"shape": (64, 64)}, "shape"),
        ({"model": Spade(gen=(4, 4), patch=2)}, r"--model\.patch 2 and 2 resolutions make cells of 4 pixels, not 8"),
        ({"model": Spade(gen=(4, 4, 4), patch=4)}, "make cells of 16 pixels, not 8"),
        ({"model": Spade(gen=(4, 4), disc=(4,) * 5, patch=4)}, "too small to be halved 4 times"),
    ],
)
def test_networks_that_make_no_scenes(changes, message):
    with pytest.raises(UserError, match=message):
        DOMAIN.networks(dataclasses.replace(CONFIG, **changes), None)


def test_networks():
    gen, critic = DOMAIN.networks(dataclasses.replace(CONFIG, precision="bf16", shape=(16, 64, 3)), "data")
    assert (gen.cell, gen.axis_name, gen.dtype, critic.dtype) == (8, "data", "bfloat16", "bfloat16")
    assert DOMAIN.source(dataclasses.replace(CONFIG, shape=(16, 64, 3))) == (2, 8)


def test_only_views_of_one_size_are_known():
    with pytest.raises(UserError, match="There are no scenes 'mnist_5k'; use --data crafter_views"):
        DOMAIN.load(dataclasses.replace(CONFIG, data="mnist_5k"), "train")
    with pytest.raises(UserError, match=r"have the shape 64 64 3; use that, not \(32, 64, 3\)"):
        DOMAIN.load(dataclasses.replace(CONFIG, shape=(32, 64, 3)), "train")


def test_maps_become_one_hot():
    maps = some_maps(2)
    maps[0, 0, :2] = 0, scenes.KINDS - 1
    images = np.zeros((2, 64, 64, 3), np.uint8)
    images[0, 0, 0] = 0, 51, 255
    batch = DOMAIN.to_batch({"image": images, "source": maps})
    assert batch["source"].shape == (2, 8, 8, 10)
    assert str(batch["source"].dtype) == "float32"
    np.testing.assert_array_equal(batch["source"], np.eye(10)[maps])
    np.testing.assert_allclose(batch["image"][0, 0, 0], [-1, -0.6, 1], atol=1e-6)
    raw = DOMAIN.to_raw(batch["image"])
    np.testing.assert_array_equal(raw, images)


@pytest.mark.parametrize(("targets", "width"), [(True, 3 * 64 + 2 * 2), (False, 2 * 64 + 2)])
def test_the_preview(targets, width, tmp_path):
    """Five strips in rows of four, a border around each, all twice as large; the first begins with its map."""
    maps = some_maps(5)
    pictures = {"sources": np.eye(10, dtype=np.float32)[maps], "samples": np.full((5, 64, 64, 3), -1.0)}
    pictures |= {"targets": np.ones((5, 64, 64, 3))} if targets else {}
    (path,) = DOMAIN.write(pictures, epath.Path(tmp_path) / "preview")
    with Image.open(path) as image:
        assert image.size == (2 * (4 * (width + 1) + 1), 2 * (2 * 65 + 1))
        first = np.asarray(image)[2 : 2 + 128, 2 : 2 + 2 * width]
    np.testing.assert_array_equal(first[8::16, 8:128:16], picture_from_map(maps[0]))
    assert (first[:, 132 : 132 + 128] == 0).all()
    assert (first[:, 264:] == 255).all()


def test_there_is_nothing_to_preview_without_maps(tmp_path):
    assert DOMAIN.write({"samples": np.zeros((5, 64, 64, 3))}, epath.Path(tmp_path) / "preview") == []


def test_scenes_of_the_maps_that_a_run_keeps(run, tmp_path):
    """Eight maps; each scene is of its own noise, by the seed and its place among all."""
    found = arrays(sample(run, tmp_path, num=3, seed=5, out=str(tmp_path / "a.npz")))
    maps, image = found["map"], found["image"]
    np.testing.assert_array_equal(maps, some_maps(12)[:8])
    assert (image.shape, image.dtype) == ((8, 3, 64, 64, 3), np.uint8)
    params, stats = run.state.ema
    z = prior_map(numbered_keys(jax.random.key(5), 24), (8, 8), 4)
    x = np.eye(10, dtype=np.float32)[np.repeat(maps, 3, axis=0)]

    def by_hand(x, z):
        return run.game.gen.apply({"params": params, **stats}, x, z, train=False)

    expected = (np.asarray(jax.jit(by_hand)(x, z)) + 1) * 127.5
    np.testing.assert_allclose(image.reshape(expected.shape), expected, atol=0.6)
    scenes_of_one = image[0].astype(int)
    assert min(abs(scenes_of_one[i] - scenes_of_one[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))) > 2
    again, other = (arrays(sample(run, tmp_path, num=3, seed=s, out=str(tmp_path / f"{s}.npz"))) for s in (5, 6))
    np.testing.assert_array_equal(again["image"], image)
    assert (other["image"] != image).any((2, 3, 4)).all()


def test_a_map_of_ones_own_by_the_command(workdir, painting):
    """Of another size than the run's; the picture has the map in its colours, then four scenes."""
    maps = some_maps(1, (2, 5), seed=3)
    options = SceneOptions(map=painting(picture_from_map(maps[0])))
    (path,) = sampling.sample(workdir, options)
    assert path == workdir / "samples" / "mine-scenes.png"
    with Image.open(path) as image:
        assert image.size == (5 * (5 * 8 + 1) + 1, 2 * 8 + 2)
        pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels[1 + 4 : -1 : 8, 1 + 4 : 41 : 8], picture_from_map(maps[0]))
    first = path.read_bytes()
    assert sampling.sample(workdir, options)[0].read_bytes() == first
    assert sampling.sample(workdir, dataclasses.replace(options, seed=1))[0].read_bytes() != first


def test_a_folder_of_scenes(run, tmp_path, painting):
    maps = some_maps(1, seed=4)
    path = sample(run, tmp_path, map=painting(picture_from_map(maps[0])), out=str(tmp_path / "set"))
    names = ["000-map.png", *(f"000-scene-{i}.png" for i in range(4))]
    assert sorted(p.name for p in path.iterdir()) == names
    np.testing.assert_array_equal(scenes.read_map(tmp_path / "set" / "000-map.png"), maps[0])
    with Image.open(path / "000-scene-1.png") as image:
        assert image.size == (64, 64)
    with pytest.raises(UserError, match="set is not empty; choose another --out"):
        sample(run, tmp_path, num=3, out=str(tmp_path / "set"))


def test_where_scenes_go(run, tmp_path):
    assert sample(run, tmp_path / "samples", num=3, seed=9) == tmp_path / "samples" / "seed-9.png"
    with pytest.raises(UserError, match=r"bad\.jpg must end in \.png or \.npz \(arrays\), or be a folder"):
        sample(run, tmp_path, out=str(tmp_path / "bad.jpg"))


def test_the_legend(run, tmp_path):
    path = sample(run, tmp_path, legend=str(tmp_path / "legend.png"), out="is.not.asked.for")
    with Image.open(path) as image:
        assert image.size == (8 * 10, 8)
        np.testing.assert_array_equal(np.asarray(image)[4, 4::8], PALETTE)
    with pytest.raises(UserError, match=r"--legend .*legend\.jpg must end in \.png"):
        sample(run, tmp_path, legend=str(tmp_path / "legend.jpg"))
    assert not (tmp_path / "legend.jpg").exists()


def test_maps_in_other_kinds_of_file_that_keep_colours(painting):
    maps = some_maps(1, (3, 4))[0]
    opaque = np.concatenate([picture_from_map(maps), np.full((3, 4, 1), 255)], axis=-1)
    for path in (painting(picture_from_map(maps), mode="P"), painting(opaque, mode="RGBA")):
        np.testing.assert_array_equal(scenes.read_map(epath.Path(path)), maps)


def test_maps_that_cannot_be_read(painting, tmp_path):
    picture = picture_from_map(some_maps(1, (3, 4))[0])
    wrong, clear = picture.copy(), np.concatenate([picture, np.full((3, 4, 1), 255, np.uint8)], axis=-1)
    wrong[1, 2] = 1, 2, 3
    clear[0, 1, 3] = 0
    refused = {
        r"the colour #010203 at column 2, row 1 .* means no tile": painting(wrong, "wrong.png"),
        r"transparent cells; paint each in a colour of the legend": painting(clear, "clear.png", "RGBA"),
        r"has the mode CMYK; save it as 8-bit RGB": painting(picture, "cmyk.tif", "CMYK"),
        r"has the mode I;16": painting(picture, "deep.png", "I;16"),
        r"grey\.png: the colour #([0-9a-f]{2})\1\1 .* means no tile": painting(picture, "grey.png", "L"),
        r"Cannot read the picture .*nowhere\.png": str(tmp_path / "nowhere.png"),
        r"Cannot read the picture": str(tmp_path),
    }
    (tmp_path / "text.png").write_text("hello")
    refused[r"Cannot read the picture .*text\.png"] = str(tmp_path / "text.png")
    for message, path in refused.items():
        with pytest.raises(UserError, match=message):
            scenes.read_map(epath.Path(path))


def test_a_run_without_maps(run, tmp_path):
    bare = dataclasses.replace(run, workdir=tmp_path)
    with pytest.raises(UserError, match=r"examples\.npz cannot be read"):
        sample(bare, tmp_path)


class Run:
    """Paints each cell in its colour, in a light by the seed and the place of the scene; or of maps in other order."""

    def __init__(self, config, deaf=False):
        self.config, self.deaf = config, deaf

    def translate(self, x, seed, back=False):
        assert x.shape[1:] == (8, 8, scenes.KINDS)
        maps = np.roll(x.argmax(-1), 7, axis=0) if self.deaf else x.argmax(-1)
        return painted(maps, np.random.default_rng(seed).uniform(0.5, 1, len(x))) / 127.5 - 1


def test_what_is_measured(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)

    def views(split, data_dir):
        n, seed = {"train": (100, 1), "test": (40, 2)}[split]
        maps = some_maps(n, seed=seed)
        return {"map": maps, "image": painted(maps, rng.uniform(0.5, 1, n))}

    monkeypatch.setattr(crafter_views, "views", views)
    config = dataclasses.replace(CONFIG, data_dir=str(tmp_path))
    train, heldout = DOMAIN.load(config, "train"), DOMAIN.load(config, "test")
    assert sorted(train) == ["image", "source"]
    reader = scenes.segmenter(train, heldout)
    monkeypatch.setattr(scenes, "segmenter", lambda *splits: reader)
    good, deaf = (DOMAIN.measure(Run(config, deaf), train, heldout) for deaf in (False, True))
    assert good["segmenter_miou"] == deaf["segmenter_miou"] == reader.heldout_miou > 0.95
    assert good["segmenter_hash"] == reader.hash
    assert good["miou"] > 0.95
    assert good["cells_right"] > 0.95
    assert deaf["miou"] < 0.1  # chance: 1 / 19
    assert deaf["cells_right"] < 0.15
    levels = scenes.drawn(heldout["source"][:32]).mean()  # two lights in [0.5, 1] differ by a sixth on average
    assert good["diversity"] == pytest.approx(levels / 6, rel=0.15)
    assert {"kid", "coverage", "memorisation_auc", "extractor"} <= good.keys()
    assert good["n_samples"] == 40


def test_diversity_compares_scenes_of_one_map(monkeypatch):
    """A run without noise has none, however different the maps are."""
    heldout = {"source": some_maps(40)}
    run = Run(CONFIG)
    assert scenes.diversity(run, heldout, maps=3) > 1
    monkeypatch.setattr(Run, "translate", lambda self, x, seed: painted(x.argmax(-1)) / 127.5 - 1)
    assert scenes.diversity(run, heldout, maps=3) == 0
