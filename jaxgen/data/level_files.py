"""Game levels from files: a folder, an archive or one file."""

import difflib
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from jaxgen.errors import UserError
from jaxgen.levels import text, tiled
from jaxgen.levels.tiles import Tileset

SUFFIXES = (".txt", ".tmj")
_EVERY = 5  # one level of so many is held out
_HELD_OUT = ("test", "valid")  # names of the folder beside `train`; the first that is there


@dataclass(frozen=True)
class _File:
    parts: tuple[str, ...]  # of its path below the source
    name: str  # for messages
    content: Path | bytes


def read(path: Path, tileset: Tileset, shape: tuple[int, int], split: str, stride: int = 1) -> np.ndarray:
    """uint8 [N, H, W] of tile numbers: every window of (H, W) = `shape` tiles of the levels of `split`, in order.

    `path` is a folder, a .zip file, a folder or a file inside one ("vglc.zip/Super Mario Bros/Processed"), or one file.
    Folders are looked through with their sub-folders for .txt files (`text.parse`: one level or many) and .tmj files
    (`tiled.read`), in the order of their paths; hidden ones are left out, and links to folders are not followed.
    Nothing of an archive stays on the disk. From one window to the next it is `stride` tiles, across and down; a level
    just as large as `shape` is one window.

    "train" and "test" share no tile. Sub-folders `train` and `test` (or `valid`), where there are both, make the split.
    Otherwise every fifth level is held out; of two to four levels the last; of a single level its right end, a fifth of
    its columns and at least W of them.

    Raises `UserError` where there are no levels, or too few, for a level smaller than `shape`, and for what
    `text.parse` and `tiled.read` refuse.
    """
    if split not in ("train", "test"):
        raise UserError(f"There is no split {split!r}; choose from train, test.")
    files = _find(path)
    made = _made_split(files)
    levels, names = [], []
    for file in files if made is None else made[split]:
        found = _levels(file, tileset)
        levels += found
        names += [file.name if len(found) == 1 else f"level {i + 1} of {file.name}" for i in range(len(found))]
    for level, name in zip(levels, names, strict=True):
        if level.shape[0] < shape[0] or level.shape[1] < shape[1]:
            raise UserError(
                f"{name} has {_size(level.shape)} tiles (height x width), fewer than the {_size(shape)} asked for. "
                "Make it larger, take it out, or ask for smaller levels."
            )
    if made is None:
        levels = _split(levels, names, shape, split)
    return np.concatenate([windows(level, shape, stride) for level in levels])


def windows(level: np.ndarray, shape: tuple[int, int], stride: int = 1) -> np.ndarray:
    """uint8 [H, W] -> [N, h, w] with (h, w) = `shape`: row by row, `stride` tiles apart. Needs h <= H and w <= W."""
    if level.shape == shape:
        return level[None]  # a file may hold many such levels, and the general way is slow
    every = np.lib.stride_tricks.sliding_window_view(level, shape)
    return every[::stride, ::stride].reshape(-1, *shape)


def _split(levels: list[np.ndarray], names: list[str], shape: tuple[int, int], split: str) -> list[np.ndarray]:
    if len(levels) == 1:
        width = levels[0].shape[1]
        cut = width - max(shape[1], width // _EVERY)
        if cut < shape[1]:
            raise UserError(
                f"{names[0]} is a single level, {width} tiles wide, and too small to be split into training and "
                f"held-out data, which takes {2 * shape[1]} columns. Add levels."
            )
        return [levels[0][:, :cut] if split == "train" else levels[0][:, cut:]]
    held_out = set(range(_EVERY - 1, len(levels), _EVERY)) or {len(levels) - 1}
    return [level for i, level in enumerate(levels) if (i in held_out) == (split == "test")]


def _made_split(files: list[_File]) -> dict[str, list[_File]] | None:
    """The files of each split, where folders make one."""
    folders: dict[str, list[_File]] = {}
    for file in files:
        if len(file.parts) > 1:
            folders.setdefault(file.parts[0], []).append(file)
    test = next((name for name in _HELD_OUT if name in folders), None)
    return {"train": folders["train"], "test": folders[test]} if test and "train" in folders else None


def _levels(file: _File, tileset: Tileset) -> list[np.ndarray]:
    if file.parts[-1].lower().endswith(".tmj"):
        if isinstance(file.content, Path):
            return [tiled.read(file.content, tileset)]
        with tempfile.TemporaryDirectory() as folder:  # the parser takes nothing but files
            copy = Path(folder, "level.tmj")
            copy.write_bytes(file.content)
            return [tiled.read(copy, tileset, file.name)]
    try:
        content = file.content.read_bytes() if isinstance(file.content, Path) else file.content
    except OSError as error:
        raise UserError(f"Cannot read {file.name} ({error.strerror}).") from error
    return text.parse(content, tileset, file.name)


def _find(path: Path) -> list[_File]:
    """Every file of levels below `path`, at least one, in order."""
    path = path.expanduser()
    if path.is_dir():
        below = [file for file in path.rglob("*") if file.is_file()]
        found = [_File(file.relative_to(path).parts, str(file), file) for file in below]
        if files := _kept(found):
            return files
        raise UserError(f"The folder {path} holds no levels. It needs files that end in {' or '.join(SUFFIXES)}.")
    whole = next((part for part in (path, *path.parents) if part.is_file()), None)
    if whole and whole.suffix.lower() == ".zip":
        return _inside(whole, path.relative_to(whole).parts)
    if whole != path:
        raise UserError(
            f"{path} does not exist (looked at {path.absolute()}). Give a folder or a .zip of levels, or one "
            f"file that ends in {' or '.join(SUFFIXES)}."
        )
    if files := _kept([_File((path.name,), str(path), path)]):
        return files
    raise UserError(f"{path} is no file of levels. Those end in {' or '.join(SUFFIXES)}.")


def _kept(files: list[_File]) -> list[_File]:
    files = [
        file
        for file in files
        if file.parts[-1].lower().endswith(SUFFIXES) and not any(p.startswith((".", "__MACOSX")) for p in file.parts)
    ]
    return sorted(files, key=lambda file: file.parts)


def _inside(archive: Path, parts: tuple[str, ...]) -> list[_File]:
    """The files of levels in the archive, below the folder `parts` in it, or the file that `parts` is."""
    n = len(parts)
    try:
        with zipfile.ZipFile(archive) as opened:
            names = {PurePosixPath(name).parts: name for name in opened.namelist() if not name.endswith("/")}
            every = _kept([_File(inner, f"{archive}/{name}", b"") for inner, name in names.items() if inner])
            chosen = [file for file in every if file.parts[:n] == parts]
            files = [_File(f.parts[n:] or f.parts[-1:], f.name, opened.read(names[f.parts])) for f in chosen]
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"Cannot read the archive {archive} ({error}).") from error
    if files:
        return files
    if not every:
        raise UserError(f"{archive} holds no levels. It needs files that end in {' or '.join(SUFFIXES)}.")
    raise UserError(f"{archive} holds no levels at {'/'.join(parts)!r}. {_contents(archive, every, '/'.join(parts))}")


def _contents(archive: Path, files: list[_File], asked: str) -> str:
    """One or two sentences that say in which folders of the archive there are levels."""
    folders = sorted({"/".join(file.parts[:-1]) for file in files})
    above = sorted({"/".join(file.parts[:i]) for file in files for i in range(1, len(file.parts))})
    near = difflib.get_close_matches(asked, above, n=1)
    hint = f"Did you mean {str(archive / near[0])!r}? " if near else ""
    more = f" and {len(folders) - 20} more" if len(folders) > 20 else ""
    return f"{hint}There are some in {', '.join(repr(folder or '.') for folder in folders[:20])}{more}."


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"
