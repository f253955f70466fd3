"""Pictures of two kinds, A and B, to be translated from A to B."""

import difflib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from jaxgen.data import embedded, folder, photos, scikit_image, tfds
from jaxgen.data.heldout import split_indices
from jaxgen.data.transforms import Shape, check_shape, fit_all
from jaxgen.errors import UserError

NAMES = ("photos_to_textures",)
"""The sets that ship inside an installable package."""

_GRAVEL = ("gravel.png", "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12")
_LAYOUTS = ("{split}{side}", "{side}/{split}")
_VALIDATION = ("val", "valid", "validation")
_WAYS = (
    f"Give {NAMES[0]}, a folder with trainA, trainB, testA and testB or with A and B, "
    "or a TFDS set with such splits, as cycle_gan/horse2zebra"
)


def load(
    data: str,
    shape: tuple[int, ...],
    split: Literal["train", "validation", "test"],
    paired: bool,
    data_dir: str = "",
    download: bool = False,
) -> dict[str, np.ndarray]:
    """{"source": uint8 [N, H, W, C] of A, "image": uint8 [N, H, W, C] of B}; (H, W, C) is `shape`.

    `data` is, tried in this order:

    - "photos_to_textures": A are the embedded set `photo_patches`, B 64x64 patches of a grey picture of gravel that
      comes with scikit-image, on a grid of stride 32: 165 of the left of it to train on, 30 of the last fifth of its
      columns held out, which are its validation data too. N is 833, 80 to test on and 54 to validate. It has no pairs;
    - a folder with the sub-folders trainA, trainB, testA and testB, as CycleGAN has them, or A/train, A/test, B/train
      and B/test; beside them val, valid or validation. Or one with A and B, of whose images a fixed tenth is held out
      (`heldout.split_indices`, for each by itself if they are not paired). Images are read as `folder.read` does;
    - a TFDS set with the splits trainA, trainB, testA and testB, as its directory or by name, as in `images.load`. It
      has no pairs: TFDS keeps no file names.

    `paired`: row i of A belongs to row i of B. The files of a pair have the same path within their sub-folder, but for
    the ending, and every file must have its partner. If not `paired`, rows have nothing to do with each other, and
    the smaller set is repeated in order up to the size of the larger one, which is N.

    The order is fixed, and "train" and "test" share no example. "validation" is the same as "test" for a set without
    validation data. `data_dir` and `download` are as in `images.load`. Raises `UserError`.
    """
    target = check_shape(shape)
    if split not in ("train", "validation", "test"):
        raise UserError(f"There is no split {split!r}; choose from train, validation, test.")
    if not data:
        raise UserError(f"No data given. {_WAYS}.")
    path = Path(data).expanduser()
    if data in NAMES:
        _check_unpaired(paired, data)
        found = {"A": embedded.read("photo_patches", target, split)["image"], "B": fit_all(_gravel(split), target)}
    elif (path / "features.json").is_file() and (path / "dataset_info.json").is_file():
        found = _read_tfds(path, target, split, paired)
    elif path.is_dir():
        found = _read_folder(path, target, split, paired)
    elif path.exists() or data.startswith((".", "~", os.sep)):
        what = "is no folder" if path.exists() else f"does not exist (looked at {path.absolute()})"
        raise UserError(f"{data} {what}. {_WAYS}.")
    else:
        found = _read_tfds(_prepared(data, data_dir, download), target, split, paired)
    n = max(map(len, found.values()))
    return {"source": _repeat(found["A"], n), "image": _repeat(found["B"], n)}


def _gravel(split: str) -> np.ndarray:
    """uint8 [N, 64, 64, 1]. Every patch shows whole stones, each with an edge and a shade: a style one can tell."""
    content = scikit_image.file(*_GRAVEL, NAMES[0])
    train, held_out = photos.divide(np.asarray(Image.open(io.BytesIO(content)).convert("L"))[..., None])
    return photos.patches(train if split == "train" else held_out, photos.STRIDE)


def _read_folder(path: Path, shape: Shape, split: str, paired: bool) -> dict[str, np.ndarray]:
    roots, divide = _roots(path, split)
    files = {side: folder.find(root) for side, root in roots.items()}
    for side, root in roots.items():
        if not files[side]:
            raise UserError(f"The folder {root} holds no images. Put those of {side} there.")
    if paired:
        files = _pairs(roots, files)
    if divide:
        for side, root in roots.items():
            rows = split_indices(len(files[side]), split, f"The folder {root}")
            files[side] = [files[side][row] for row in rows]
    return {side: folder.load(root, files[side], shape) for side, root in roots.items()}


def _roots(path: Path, split: str) -> tuple[dict[str, Path], bool]:
    """The folder of each side, and whether a tenth of each still has to be held out."""
    for layout in _LAYOUTS:
        names = [layout.format(split=name, side=side) for name in ("train", "test") for side in "AB"]
        missing = [name for name in names if not (path / name).is_dir()]
        if len(missing) < len(names):
            if missing:
                raise UserError(f"{path} has no folder {missing[0]}. It needs all of {', '.join(names)}.")
            for name in _VALIDATION if split == "validation" else (split,):
                roots = {side: path / layout.format(split=name, side=side) for side in "AB"}
                if all(root.is_dir() for root in roots.values()):
                    return roots, False
            return {side: path / layout.format(split="test", side=side) for side in "AB"}, False
    roots = {side: path / side for side in "AB"}
    missing = [side for side, root in roots.items() if not root.is_dir()]
    if missing:
        needed = (
            "the folders A and B" if len(missing) == 1 else "the folders trainA, trainB, testA and testB, or A and B"
        )
        raise UserError(f"{path} has no folder {' nor '.join(missing)}. It needs {needed}.")
    return roots, True


def _pairs(roots: Mapping[str, Path], files: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """The files of both sides, partners at the same place, in the order of their paths without ending."""
    by_name: dict[str, dict[tuple[str, ...], Path]] = {}
    for side, found in files.items():
        by_name[side] = {}
        for file in found:
            other = by_name[side].setdefault(file.with_suffix("").parts, file)
            if other != file:
                raise UserError(f"{roots[side]} holds both {other} and {file}, so a pair cannot be told. Remove one.")
    for side, partner in (("A", "B"), ("B", "A")):
        for name, file in by_name[side].items():
            if name not in by_name[partner]:
                raise UserError(
                    f"{roots[side] / file} has no partner: {roots[partner]} holds no image {'/'.join(name)}.*. "
                    "Add it, or train unpaired."
                )
    return {side: [found[name] for name in sorted(found)] for side, found in by_name.items()}


def _read_tfds(directory: Path, shape: Shape, split: str, paired: bool) -> dict[str, np.ndarray]:
    _check_unpaired(paired, str(directory))
    prefix = "train" if split == "train" else "test"
    return {side: tfds.read(directory, shape, prefix + side)["image"] for side in "AB"}


def _prepared(data: str, data_dir: str, download: bool) -> Path:
    """The directory of the TFDS set named `data`, or a `UserError` that says how to come by it."""
    if found := tfds.locate(data, data_dir, download):
        return found
    near = difflib.get_close_matches(data, NAMES, n=1)
    near = near or difflib.get_close_matches(data.split("/")[0], tfds.names(), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise UserError(f"There is no data set named {data!r} nor is {Path(data).absolute()} a folder{hint} {_WAYS}.")


def _check_unpaired(paired: bool, data: str) -> None:
    if paired:
        raise UserError(
            f"{data} has no pairs. Train unpaired, or give a folder whose files in A and B have equal names."
        )


def _repeat(images: np.ndarray, n: int) -> np.ndarray:
    """[M, ...] -> [n, ...], in order, from the start again after the last."""
    return images if len(images) == n else images[np.arange(n) % len(images)]
