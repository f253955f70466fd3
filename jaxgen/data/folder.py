"""Images from a folder of files."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from jaxgen.data.heldout import split_indices
from jaxgen.data.transforms import Shape, fit
from jaxgen.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


def read(path: Path, shape: Shape, split: str) -> dict[str, np.ndarray]:
    """{"image": uint8 [N, *shape], and "label": int32 [N] where there are classes}, in the order of the files' paths.

    Looks through all sub-folders for png, jpg, jpeg, bmp, gif (its first frame) and webp files of any size; hidden
    files are left out. Sub-folders `train` and `test`, where both exist, make the split, and one of `val`, `valid` and
    `validation` beside them is the split "validation"; otherwise a fixed tenth is held out (`heldout.split_indices`).
    Without validation data that split is the same as "test". Where all images lie in two or more sub-folders, these are
    the classes, numbered in the order of their names; else there are no labels. Images are turned as their EXIF data
    say, then brought to `shape` by `transforms.fit`.

    Raises `UserError` for a folder without images, validation images of a class that the others lack, and a file that
    cannot be read, with its name.
    """
    root, chosen, label = choose(path, split)
    image = load(root, chosen, shape)
    return {"image": image} if label is None else {"image": image, "label": label}


def choose(path: Path, split: str, suffixes: tuple[str, ...] = SUFFIXES) -> tuple[Path, list[Path], np.ndarray | None]:
    """The files of a split as `read` divides them: their folder, N paths from there, and labels int32 [N] or None.

    No files where the folder has none that end in one of `suffixes`. Raises `UserError` where they cannot be divided.
    """
    made = [path / name for name in ("train", "test")]
    if all(folder.is_dir() for folder in made):
        files = {folder.name: find(folder, suffixes) for folder in made}
        classes = _classes(files["train"] + files["test"])
        root = path / split if split in files else _validation(path)
        chosen = files[root.name] if root.name in files else find(root, suffixes)
        unknown = [file for file in chosen if classes and file.parts[0] not in classes]
        if unknown:
            raise UserError(f"{root / unknown[0]} is of no class; the classes are {', '.join(classes)}. Move it there.")
    else:
        found, root = find(path, suffixes), path
        classes = _classes(found)
        chosen = [found[i] for i in split_indices(len(found), split, f"The folder {path}")] if found else []
    return root, chosen, np.array([classes[file.parts[0]] for file in chosen], np.int32) if classes else None


def find(root: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """The files under `root` of these `suffixes`, relative to it, in order. Follows links to folders, each once."""
    found, seen = [], set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__MACOSX")))
        found += [Path(folder, f).relative_to(root) for f in files if f.lower().endswith(suffixes) and f[0] != "."]
    return sorted(found, key=lambda file: file.parts)


def load(root: Path, files: Sequence[Path], shape: Shape) -> np.ndarray:
    """uint8 [N, *shape] of `files`, relative to `root`, as `read` brings them to `shape`; raises as it does."""
    if not files:
        raise UserError(f"The folder {root} holds no images. It needs files that end in {', '.join(SUFFIXES)}.")
    image = np.empty((len(files), *shape), np.uint8)

    def put(i: int) -> None:
        image[i] = _open(root / files[i], shape)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes and resizes outside Python's lock
        for _ in pool.map(put, range(len(files))):
            pass  # raises the first error, in the files' order
    return image


def _validation(path: Path) -> Path:
    """The folder of the split "validation" in one that has `train` and `test`."""
    return next((path / name for name in ("val", "valid", "validation") if (path / name).is_dir()), path / "test")


def _classes(files: list[Path]) -> dict[str, int]:
    """The number of each class by the name of its folder; empty where the folders do not name classes."""
    if any(len(file.parts) == 1 for file in files):
        return {}
    names = sorted({file.parts[0] for file in files})
    return {name: i for i, name in enumerate(names)} if len(names) > 1 else {}


def _open(file: Path, shape: Shape) -> np.ndarray:
    try:
        with Image.open(file) as image:
            return fit(ImageOps.exif_transpose(image), shape)
    except Image.DecompressionBombError as error:
        raise UserError(f"{file} is too large to be opened safely ({error}). Shrink it or take it out.") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # whatever a decoder may say of a broken file
        raise UserError(f"Cannot read the image {file} ({error}). Repair it or take it out of the folder.") from error
