"""Gates of images from images, without training: their impostors, their labels, and that a tie beats nothing."""

import dataclasses
import zipfile

import jax
import numpy as np
import pytest
from PIL import Image

from benchmarks import dcss, gates, quality, restored
from benchmarks.gates import Verdict, denoising, inpainting, scene_gan, style_transfer_gan, super_resolution
from jaxgen.degrade import degradation
from jaxgen.domains import _pixels, restoration, scenes, style
from jaxgen.errors import UserError
from jaxgen.latent import numbered_keys
from jaxgen.metrics.classifier import Classifier
from jaxgen.metrics.sample_quality import Reference

EMBEDDED = {"denoising": denoising, "inpainting": inpainting, "super_resolution": super_resolution}


class Pixels(Classifier):
    """Pixels as features; what a picture shows is told by its mean: dark, middling or bright."""

    def __init__(self):
        super().__init__({}, (), 3, "none", 1.0)

    def features_and_probabilities(self, images):
        dark = images.reshape(len(images), -1).mean(1) // 86
        return images.reshape(len(images), -1) / 127.5 - 1, np.eye(3)[dark.astype(int)]


def smooth(n, size=16, channels=1, seed=0):
    """uint8 [n, size, size, channels]: waves, no two alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    fy, fx, phase, level = rng.uniform([0, 0, 0, 60], [1.5, 1.5, 6, 180], (n, 4)).T[..., None, None]
    waves = level + 50 * np.sin(6 * (fy * y + fx * x) + phase)
    return np.repeat(waves[..., None], channels, axis=-1).astype(np.uint8)


def pairs(n, seed):
    """Old tiles, and new ones in other colours."""
    old = smooth(n, channels=3, seed=seed)
    return {"source": old, "image": 255 - old // 2}


@pytest.fixture
def untrained(monkeypatch, tmp_path):
    """Gates that train nothing and find the data that they are given; what their runs make is for the test to say."""
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(gates, "trained", lambda cfg, workdir: ([100, 200], 1.5))

    def prepare(module, domain, train, heldout, made):
        splits = {"train": train, "test": heldout}
        found = dataclasses.replace(domain, load=lambda cfg, split: splits[split])
        monkeypatch.setattr(module.assemble, "domain", lambda cfg: found)
        monkeypatch.setattr(module, "load", made)

    return prepare


class Restorer:
    """A run that gives back what it is told, whatever it sees."""

    def __init__(self, name, made, truth):
        spoil = {"denoising": "noise-25", "inpainting": "holes-15", "super_resolution": "downsample-2"}
        self.spoil = degradation(spoil.get(name, "downsample-4"))
        self.made, self.truth = made, truth

    def at(self, step):
        """The checkpoint before the last is grey."""
        return self if step == 200 else Restorer("denoising", grey, self.truth)

    def sources(self, batch, seed):
        assert seed == restoration.SEED
        np.testing.assert_array_equal(_pixels.to_raw(batch["image"]), self.truth)
        keys = numbered_keys(jax.random.key(seed), len(self.truth))
        return np.asarray(jax.jit(self.spoil)(batch["image"], keys))

    def translate(self, x, seed):
        return _pixels.to_batch({"image": self.made(x, self.spoil)})["image"]


def grey(x, spoil):
    return np.full((len(x), 16, 16, 1), 128, np.uint8)


@pytest.fixture
def restore(untrained, monkeypatch, tmp_path):
    """The verdict of a gate of restoration on a run that makes `made(x, spoil)`, uint8."""
    train, heldout = {"image": smooth(40)}, {"image": smooth(24, seed=1)}
    monkeypatch.setattr(restoration, "features", lambda cfg: Pixels())

    def measure(name, made):
        def load(workdir):
            return Restorer(workdir.name, made, heldout["image"])

        untrained(restored, restoration.DOMAIN, train, heldout, load)
        return EMBEDDED[name].measure(0, None, tmp_path)

    measure.truth = heldout["image"]
    return measure


@pytest.mark.parametrize(
    ("name", "rules", "endings"),
    [
        ("denoising", ("median3", "median5"), ("",)),
        ("inpainting", ("mean_fill",), ("",)),
        ("super_resolution", ("bicubic", "lanczos"), ("", "_x4")),
    ],
)
def test_a_restoration_has_to_beat_the_rules(restore, name, rules, endings):
    """Nearly the truth does; each rule itself does not, and nor do pictures of something else."""
    found = restore(name, lambda x, spoil: restore.truth ^ 1)
    assert found.missed == []
    assert not {"shuffled", "grey", *rules} & set(found.passing_impostors)
    assert {"memoriser", "shuffled", "grey", *rules} <= found.impostors.keys()
    assert [part.column for part in found.parts] == [f"{n}{end}" for end in endings for n in ("psnr", "kid")]
    assert found.ours.keys() == {f"{n}{end}" for end in endings for n in ("psnr", "kid", "kid_error")}
    assert all(row.keys() == found.ours.keys() for row in found.impostors.values())
    assert sum(row.startswith("ours, ") for row in found.others) == 2 * len(endings)
    for part in found.parts:
        numbers = [found.impostors[rule][part.column] for rule in rules]
        assert not any(part.met({part.column: number}) for number in numbers)
        best = max(numbers) if "psnr" in part.column else min(numbers)
        assert part.met({part.column: best + (1e-9 if "psnr" in part.column else -1e-9)})
    tied = restore(name, lambda x, spoil: restoration.classical(x, spoil)[rules[0]])
    assert len(tied.missed) >= 1
    if len(rules) == 1:
        assert tied.missed == [part.name for part in tied.parts]


def test_impostors_of_restorations():
    train, heldout = {"image": smooth(30)}, {"image": smooth(6, seed=1)}
    heldout["image"][2] = train["image"][17] ^ 1
    made = restored.impostors(train, heldout, np.zeros((6, 8, 8, 1)), masked=False)
    assert {name: (a.shape, a.dtype) for name, a in made.items()} == dict.fromkeys(
        ("memoriser", "shuffled", "grey"), ((6, 16, 16, 1), np.uint8)
    )
    np.testing.assert_array_equal(made["memoriser"][2], train["image"][17])
    known = {picture.tobytes() for picture in train["image"]}
    assert all(picture.tobytes() in known for picture in made["memoriser"])
    by_hand = abs(train["image"].astype(int) - heldout["image"][:1]).astype(float)
    np.testing.assert_array_equal(made["memoriser"][0], train["image"][(by_hand**2).sum((1, 2, 3)).argmin()])
    np.testing.assert_array_equal(made["shuffled"][:3], heldout["image"][3:])
    assert all(len(np.unique(picture)) == 1 for picture in made["grey"])
    np.testing.assert_array_equal(made["grey"][:, 0, 0, 0], heldout["image"].mean((1, 2, 3)).astype(np.uint8))


def test_impostors_leave_what_is_known():
    train, heldout = {"image": smooth(30, channels=3)}, {"image": smooth(6, channels=3, seed=1)}
    hole = np.zeros((6, 16, 16, 1), bool)
    hole[:, 4:9, 2:7] = True
    x = np.concatenate([np.zeros((6, 16, 16, 3)), hole], axis=-1).astype(np.float32)
    plain, masked = (restored.impostors(train, heldout, x, m) for m in (False, True))
    assert plain.keys() == masked.keys()
    for name, made in masked.items():
        assert made.dtype == np.uint8
        np.testing.assert_array_equal(made[~hole[..., 0]], heldout["image"][~hole[..., 0]])
        np.testing.assert_array_equal(made[hole[..., 0]], plain[name][hole[..., 0]])
        assert (made[hole[..., 0]] != heldout["image"][hole[..., 0]]).any()


@pytest.fixture
def restyle(untrained, monkeypatch, tmp_path):
    """The verdict of gate 8 on runs that make `made(source)`, uint8."""
    train, heldout = pairs(40, 0), pairs(20, 1)
    monkeypatch.setattr(dcss, "pairs", lambda data: tmp_path)
    monkeypatch.setattr(style, "which_kind", lambda train, heldout, cfg: Pixels())
    monkeypatch.setattr(style_transfer_gan, "content", lambda folder, tiles, cfg: Pixels())

    class Run:
        def __init__(self, made):
            self.made = made

        def at(self, step):
            """The checkpoint before the last makes black tiles."""
            return self if step == 200 else Run(np.zeros_like)

        def translate(self, x, seed):
            return _pixels.to_batch({"image": self.made(_pixels.to_raw(x))})["image"]

    def measure(paired, unpaired):
        runs = {"paired": Run(paired), "unpaired": Run(unpaired)}
        untrained(style_transfer_gan, style.DOMAIN, train, heldout, lambda workdir: runs[workdir.name])
        return style_transfer_gan.measure(0, tmp_path, tmp_path)

    return measure


def redrawn(old):
    return 255 - old // 2


def test_a_style_has_to_beat_what_learns_nothing(restyle):
    found = restyle(redrawn, lambda old: redrawn(old) ^ 1)
    numbers = [part.name for part in found.parts if part.column != "content_unpaired"]
    assert len(numbers) == 4
    assert not set(numbers) & set(found.missed)
    assert found.ours["l1_paired"] == 0
    assert found.ours["l1_unpaired"] == 1
    assert {"identity", "histogram", "memoriser", "median", "collapsed"} == found.impostors.keys()
    assert all(row.keys() == found.ours.keys() for row in found.impostors.values())
    tied = restyle(redrawn, lambda old: old)
    assert tied.ours["content_unpaired"] == 1
    bars = {part.column: part for part in tied.parts}
    for column, part in bars.items():
        if column != "content_unpaired":
            rivals = [tied.impostors[name][column] for name in ("identity", "histogram")]
            assert not any(part.met({column: value}) for value in rivals)
            assert part.met({column: min(rivals) - 1e-9})
    better = min(("identity", "histogram"), key=lambda name: tied.impostors[name]["l1_unpaired"])
    assert not bars["l1_unpaired"].met(tied.ours), better
    assert bars["l1_paired"].met(tied.ours)
    assert bars["content_unpaired"].met({"content_unpaired": 0.9})
    assert not bars["content_unpaired"].met({"content_unpaired": 0.899})


def test_impostors_of_styles():
    train, heldout = pairs(30, 0), pairs(6, 1)
    heldout["source"][2] = train["source"][17] ^ 1
    made = style_transfer_gan.impostors(train, heldout, seed=4)
    assert {name: (a.shape, a.dtype) for name, a in made.items()} == dict.fromkeys(
        ("identity", "histogram", "memoriser", "median", "collapsed"), ((6, 16, 16, 3), np.uint8)
    )
    np.testing.assert_array_equal(made["identity"], heldout["source"])
    np.testing.assert_array_equal(made["memoriser"][2], train["image"][17])
    targets = {picture.tobytes() for picture in train["image"]}
    assert all(picture.tobytes() in targets for picture in made["memoriser"])
    np.testing.assert_array_equal(made["median"][5], np.median(train["image"], axis=0).astype(np.uint8))
    np.testing.assert_array_equal(made["collapsed"], np.repeat(train["image"][4:5], 6, axis=0))


def test_what_a_tile_shows_is_its_folder(tmp_path, monkeypatch):
    """Each tile's first pixel says which class it is of; what is in no class is left out, or in no folder."""
    names = {
        "item": ("a.png", "cold.png", "z.png"),
        "mon": ("cold-res.png", "b.png"),
        "effect": ("x.png",),
        "": ("y.png",),
    }
    with zipfile.ZipFile(tmp_path / dcss.SPRITES, "w") as archive:
        for kind in ("item", "mon", "effect"):
            for name in names[kind]:
                archive.writestr(f"{kind}/deep/{name}", b"")
        archive.writestr("README.txt", b"")
    for split in ("train", "test"):
        for side, shade in (("A", 100), ("B", 200)):
            (tmp_path / f"{split}{side}").mkdir()
            for kind, files in names.items():
                for name in files:
                    mark = shade + (style_transfer_gan.CONTENT.index(kind) if kind in ("item", "mon") else 50)
                    Image.fromarray(np.full((32, 32, 3), mark, np.uint8)).save(tmp_path / f"{split}{side}" / name)
    seen = []
    monkeypatch.setattr(style_transfer_gan, "classifier", lambda *a, **more: seen.extend(a))
    cfg = gates.config("style_transfer_gan_tiles", tmp_path, 0)
    style_transfer_gan.content(tmp_path, tmp_path, cfg)
    for images, label in ((seen[0], seen[1]), (seen[2], seen[3])):
        assert images.shape == (10, 32, 32, 3)
        assert label.dtype == np.int32
        np.testing.assert_array_equal(images[:, 0, 0, 0], np.repeat([100, 200], 5) + label)
        assert sorted(label[:5]) == [1, 1, 1, 2, 2]
    with pytest.raises(UserError, match=rf"taken from the folders in .*nowhere/{dcss.SPRITES}, which is missing"):
        style_transfer_gan.content(tmp_path, tmp_path / "nowhere", cfg)


def views(n, seed):
    """Maps of 3x4 cells with all kinds; each cell flat in ten times its kind, a little brighter in some views."""
    rng = np.random.default_rng(seed)
    maps = rng.permuted(np.tile(np.resize(np.arange(scenes.KINDS), 12), (n, 1)), axis=1).reshape(n, 3, 4)
    image = (10 * maps + rng.integers(0, 4, (n, 1, 1)))[..., None].repeat(3, -1).astype(np.uint8)
    return {"source": maps.astype(np.uint8), "image": image.repeat(8, 1).repeat(8, 2)}


def test_what_learns_nothing_of_scenes():
    train, heldout = views(20, 0), views(6, 1)
    heldout["source"][2] = train["source"][13]
    heldout["source"][2, 0, 0] = (heldout["source"][2, 0, 0] + 1) % scenes.KINDS
    train["image"][:, :, 1::8, 2] //= 2  # a texture: the second column of every cell is less blue
    made = scene_gan._unlearnt(train, heldout)
    assert {name: (a.shape, a.dtype) for name, a in made.items()} == dict.fromkeys(
        ("painted", "memoriser", "shuffled", "collapsed"), ((6, 24, 32, 3), np.uint8)
    )
    for row, column, inside in ((0, 0, (3, 0)), (2, 3, (7, 1)), (1, 2, (0, 7))):
        kind = heldout["source"][4, row, column]
        where = np.argwhere(train["source"] == kind)
        pixels = [train["image"][n, 8 * r + inside[0], 8 * c + inside[1]] for n, r, c in where]
        found = made["painted"][4, 8 * row + inside[0], 8 * column + inside[1]]
        np.testing.assert_array_equal(found, np.mean(pixels, axis=0).astype(np.uint8))
    np.testing.assert_array_equal(made["memoriser"][2], train["image"][13])
    shares = (train["source"] == heldout["source"][0]).mean((1, 2))
    np.testing.assert_array_equal(made["memoriser"][0], train["image"][shares.argmax()])
    np.testing.assert_array_equal(made["shuffled"][:3], heldout["image"][3:])
    np.testing.assert_array_equal(made["collapsed"], np.repeat(train["image"][:1], 6, axis=0))


def test_the_two_halves_of_gate_10(monkeypatch, tmp_path):
    """An impostor is judged where it cheats: the other half of its row meets every part."""
    scene = {"miou": 0.9, "diversity": 3.0, "kid": 0.1, "segmenter_miou": 1.0}
    sprite = {"class_accuracy_ratio": 0.8, "kid": 0.04, "coverage": 1.0, "memorisation_auc": 0.5}
    features = np.random.default_rng(0).normal(size=(60, 4))
    real = Reference(Pixels(), features[:30], features[30:], np.linspace(0, 1, 30), None)
    rivals = {"flat": scene | {"diversity": 0.0}, "painted": scene | {"kid": 0.8}}
    unlike = {
        "bad": sprite | {"coverage": 0.0},
        "class_gaussians": sprite | {"kid": 0.2},
        "memoriser": sprite | {"kid": 0.02, "memorisation_auc": 1.0},
    }
    rows = ({100: scene | {"miou": 0.1}, 200: scene}, rivals, {}, scene | {"diversity": 8.0})
    monkeypatch.setattr(gates, "trained", lambda cfg, workdir: ([100, 200], 1.5))
    monkeypatch.setattr(dcss, "sprites", lambda data: tmp_path / "sprites.npz")
    monkeypatch.setattr(scene_gan, "_scenes", lambda *a: rows)
    monkeypatch.setattr(scene_gan, "_sprites", lambda *a: ({200: sprite}, unlike, real))
    found = scene_gan.measure(0, tmp_path, tmp_path)
    assert found.missed == []  # of the last step
    assert found.passing_impostors == []
    parts = {part.column: part for part in found.parts}
    missed = {name: [p.column for p in found.parts if not p.met(row)] for name, row in found.impostors.items()}
    assert missed == {
        "scenes flat": ["diversity"],
        "scenes painted": ["kid"],
        "sprites bad": ["sprite_coverage"],
        "sprites class_gaussians": ["sprite_kid"],
        "sprites memoriser": ["sprite_memorisation_auc"],
    }
    for column, met, not_met in (
        ("miou", 0.8, 0.799),
        ("diversity", 2.0, 1.999),  # of a quarter of 8
        ("kid", 0.2, 0.201),  # of a quarter of 0.8
        ("sprite_class_accuracy_ratio", 0.7, 0.699),
        ("sprite_kid", 0.05, 0.051),  # of a quarter of 0.2
        ("sprite_memorisation_auc", 0.5, 0.99),
    ):
        assert parts[column].met({column: met})
        assert not parts[column].met({column: not_met})


@pytest.mark.parametrize("name", EMBEDDED)
def test_data_that_come_with_a_package(name, tmp_path, monkeypatch, capsys):
    """They are not asked for, and another folder is refused."""
    given = []

    def measure(seed, data, workdir):
        given.append((seed, data, workdir))
        return Verdict({}, (), {}, {}, {})

    monkeypatch.setattr(EMBEDDED[name], "measure", measure)
    monkeypatch.setattr(quality, "SHARED", tmp_path / "nowhere")
    monkeypatch.setattr(quality, "RESULTS", tmp_path)
    assert quality.main([name, "--data", str(tmp_path)]) == 2
    assert f"The data of {name} come with a package; leave out --data." in capsys.readouterr().err
    assert given == []
    assert quality.main([name, "--seed", "3", "--workdir", str(tmp_path)]) == 0
    assert given == [(3, None, tmp_path)]
    assert quality.main(["style_transfer_gan"]) == 2
    assert "The gate's data are not at" in capsys.readouterr().err
