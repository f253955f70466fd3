"""The benchmark's tiles of Dungeon Crawl Stone Soup (CC0): pairs of an old and a new picture, and sprites by class."""

import contextlib
import io
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.sparse.csgraph import connected_components

from jaxgen.data.cache import cache_dir
from jaxgen.errors import UserError

PAIRS, SPRITES = "dcss-tile-pairs-cc0.zip", "dcss-tiles-cc0.zip"
SIDE = 32
EVERY = 5
"""Of every five files, in the order of their names, the last is held out."""
SAME = 0.9
"""Share of the union of two silhouettes that is common to near copies."""

_FOLDERS = {
    "humanoid": ("mon", "mon/unique", "mon/spriggan"),
    "animal": ("mon/animals",),
    "demon": ("mon/demons", "mon/demonspawn"),
    "undead": ("mon/undead", *(f"mon/undead/{kind}" for kind in ("simulacra", "skeletons", "spectrals", "zombies"))),
    "player body": ("player/base",),
    "clothes": ("player/body", "player/cloak"),
    "armour": ("UNUSED/armour", "item/armour", *(f"item/armour/{k}" for k in ("artefact", "headgear", "shields"))),
    "weapon": ("UNUSED/weapons", "item/weapon", "item/weapon/artefact", "item/weapon/ranged"),
    "treasure": ("item/amulet", "item/amulet/artefact", "item/gold", "item/misc/runes", "item/ring/artefact"),
    "potion or book": ("item/book", "item/book/artefact", "item/potion", "item/scroll"),
}
CLASSES = tuple(_FOLDERS)
"""Their names, by number."""

NOTE = (
    "883 + 211 of 4,357 tiles (humanoid 126 + 30, animal 60 + 15, demon 46 + 11, undead 80 + 19, player body 77 + 17, "
    "clothes 112 + 25, armour 100 + 24, weapon 173 + 43, treasure 60 + 15, potion or book 49 + 12); left out: dungeon, "
    "effects, signs, parts of figures, what is held or worn besides clothes, sticks (staffs, rods, wands), food, small "
    "kinds of monster, what looks unlike its class, other sizes than 32x32 and 4 exact copies; near copies "
    "(silhouettes of one class that overlap by 0.9 or more: other colours or frames of one drawing) are on one side of "
    "the split"
)

_CLASS_OF = {folder: label for label, folders in enumerate(_FOLDERS.values()) for folder in folders}
_DEMONS = {f"mon/unique/{name}.png" for name in ("azrael", "geryon", "ignacio")}
_BEASTS = (
    *("aizul", "dissolution", "gastronok", "giaggostuono", "jormungandr", "lernaean", "murray", "natasha", "nellie"),
    *("prince_ribbit", "roxanne", "royal_jelly", "serpent", "tiamat", "xtahua"),
)
_UNLIKE = {  # how the names of those begin that look like no other of their folder
    "mon": ("entropy", "formicid", "griffon", "guardian_s", "hippogriff", "manticore", "mutant", "orb_", "sphinx"),
    "mon/unique": _BEASTS,
    "mon/demonspawn": ("black_sun", "blood_saint", "chaos_champion", "warmonger"),  # clothes without a body
    "player/base": ("demonspawn_black", "demonspawn_red", "octopode", "shadow"),  # all but black, most of them
    "player/body": ("belt", "bloody", "neck", "shoulder_pad"),
    "item/amulet": ("i-",),  # a sign in a corner, which the game lays over an item; the next two as well
    "item/potion": ("i-",),
    "item/scroll": ("i-",),
}


def pairs(folder: Path) -> Path:
    """A folder with sub-folders `trainA`, `trainB`, `testA` and `testB` of RGB PNG files, made once.

    A is a tile before an artist drew it anew, B the new one, each 32x32 over black; the two have one name. Of the
    sorted names, every fifth is for testing. Raises `UserError` where the zip in `folder` is missing or broken.
    """
    out, images = cache_dir() / "benchmarks" / "dcss-tile-pairs", {}
    source = _source(folder, PAIRS, "pairs of tiles")
    if out.is_dir():
        return out
    with _opened(source) as archive:
        names = sorted(name.removeprefix("ancient/") for name in archive.namelist() if name.startswith("ancient/"))
        for i, name in enumerate(name for name in names if name.endswith(".png")):
            split = "test" if i % EVERY == EVERY - 1 else "train"
            for letter, age in (("A", "ancient"), ("B", "new")):
                images[f"{split}{letter}/{name}"] = _over_black(archive.read(f"{age}/{name}"))
    if len(images) < 2 * EVERY:
        raise _broken(source, "it has fewer than five pairs")
    partial = out.with_name(f"{out.name}.{os.getpid()}")  # of this process alone: two seeds may start at once
    for name in ("trainA", "trainB", "testA", "testB"):
        (partial / name).mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        Image.fromarray(image).save(partial / name)
    try:
        partial.rename(out)
    except OSError:
        shutil.rmtree(partial)
        if not out.is_dir():  # else another process was quicker
            raise
    return out


def sprites(folder: Path) -> Path:
    """An .npz with `x_train`, `y_train`, `x_test`, `y_test`, made once: uint8 [N, 32, 32, 3] and numbers of `CLASSES`.

    Sprites stand over black. Of those that are the same to the pixel only the first is kept; then about every fifth of
    each class, in the order of folders and names, is for testing: see `held_out`. Raises `UserError` where the zip in
    `folder` is missing or broken.
    """
    out = cache_dir() / "benchmarks" / "dcss-sprites-apart.npz"
    source = _source(folder, SPRITES, "tiles")
    if out.is_file():
        return out
    chosen = {name: [] for name in CLASSES}
    seen = set()
    with _opened(source) as archive:
        for name in sorted(archive.namelist()):
            label = _label(name)
            if label is None:
                continue
            image = _over_black(archive.read(name))
            if image.shape == (SIDE, SIDE, 3) and image.tobytes() not in seen:
                seen.add(image.tobytes())
                chosen[CLASSES[label]].append(image)
    if few := [name for name, images in chosen.items() if len(images) < EVERY]:
        raise _broken(source, f"it has fewer than five of {', '.join(few)}")
    x = {"train": [], "test": []}
    y = {"train": [], "test": []}
    for label, images in enumerate(chosen.values()):
        for image, out_of_training in zip(images, held_out(np.stack(images)), strict=True):
            split = "test" if out_of_training else "train"
            x[split].append(image)
            y[split].append(label)
    arrays = {f"x_{split}": np.stack(images) for split, images in x.items()}
    arrays |= {f"y_{split}": np.array(labels, np.int32) for split, labels in y.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(f".{os.getpid()}.npz")
    np.savez(partial, allow_pickle=False, **arrays)
    partial.replace(out)
    return out


def held_out(images: np.ndarray) -> np.ndarray:
    """Which of uint8 [N, H, W, 3] over black are for testing, bool [N]: every fifth drawing, with all its near copies.

    Near copies are pictures whose silhouettes have at least `SAME` of their union in common, and near copies of these.
    A drawing with so many that more than a fifth would be held out is for training.
    """
    mask = (images.max(-1) > 0).reshape(len(images), -1).astype(np.float32)
    common, size = mask @ mask.T, mask.sum(1)
    alike = common >= SAME * (size[:, None] + size - common)
    _, drawing = connected_components(alike, directed=False)
    out = np.zeros(len(images), bool)
    seen = 0
    for number in dict.fromkeys(drawing.tolist()):
        copies = drawing == number
        seen += copies.sum()
        if EVERY * (out.sum() + copies.sum()) <= seen:
            out |= copies
    return out


def _label(name: str) -> int | None:
    """The class of a file of the archive, None for those that are in none."""
    if name in _DEMONS:
        return CLASSES.index("demon")
    folder, _, stem = name.rpartition("/")
    if not name.endswith(".png") or stem.startswith(_UNLIKE.get(folder, ())):
        return None
    return _CLASS_OF.get(folder)


def _source(folder: Path, name: str, what: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise UserError(
            f"The benchmark needs Dungeon Crawl's {what}; {path} is missing. Give its folder with --data DIR."
        )
    return path


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; what is wrong with it, or with a file that it lacks, is a `UserError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, OSError) as error:
        raise _broken(path, str(error)) from error


def _broken(path: Path, what: str) -> UserError:
    return UserError(f"{path} is not the whole set ({what}). Compare its sha256 with the one in SOURCE.md beside it.")


def _over_black(png: bytes) -> np.ndarray:
    """uint8 [H, W, 3]."""
    with Image.open(io.BytesIO(png)) as file:
        image = file.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB"))
