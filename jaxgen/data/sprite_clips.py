"""Clips of animated game characters, composed of the sprite-sheet layers of the Liberated Pixel Cup.

After the 'Sprites' benchmark (Li & Mandt, Disentangled Sequential Autoencoder, 2018): a body, what is worn below and
above, hair, in six variants each, and one pair of shoes, laid over each other; 9 actions of 8 frames, which show each
sheet's cells in the benchmark's order. Here actions are numbered, and every tenth character is held out.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from jaxgen.data.frames import check_clip_shape, check_split
from jaxgen.data.heldout import split_indices
from jaxgen.data.order import permutation
from jaxgen.errors import UserError

ATTRIBUTES = ("body", "bottomwear", "topwear", "hair")
"""The layers that differ, each over the one before; a character is the number of its variant in each."""
VARIANTS = 6
FRAMES = 8
CELL = 64

_SHOES = "shoes/1.png"
_SHEET = (13 * CELL, 21 * CELL)
_CELLS = {  # the first of its four rows in a sheet (seen from the back, left, front, right), and its columns by frame
    "walk": (8, (8, 1, 2, 3, 4, 5, 6, 7)),  # the first column stands
    "spellcast": (0, (0, 1, 2, 3, 4, 5, 4, 6)),
    "slash": (12, (0, 1, 2, 3, 4, 5, 4, 0)),
}
_ROWS = {"front": 2, "left": 1, "right": 3}
ACTIONS = tuple(f"{move} {side}" for move in _CELLS for side in _ROWS)
"""Their names, by number."""

_KEY = 2**64 - 2  # no epoch's


def is_source(path: Path) -> bool:
    """Whether a folder or a .zip holds the layers: the first sheet of each of `ATTRIBUTES`."""
    names = [f"{kind}/0.png" for kind in ATTRIBUTES]
    if path.is_dir():
        return all((path / name).is_file() for name in names)
    try:
        with zipfile.ZipFile(path) as archive:
            return set(names) <= set(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def read(path: Path, shape: tuple[int, ...], split: str, most: int = 0) -> dict[str, np.ndarray]:
    """{"image": uint8 [N, T, H, W, 3], "label": int32 [N], "character": int32 [N, 4]}; (T, H, W, 3) is `shape`.

    `path` is the folder or the .zip of the layers. Of the 6^4 = 1,296 characters a fixed tenth is held out
    (`heldout.split_indices`), each with its 9 actions, which `label` numbers as `ACTIONS`: 10,503 clips to train on and
    1,161 others. `most`, unless 0, keeps that many of them, the same each time. Clips show the first T of 8 frames over
    black, the largest centred part that has the proportions of `shape`, resized as `transforms.fit` does it.

    "validation" is the same as "test". Raises `UserError` for a shape of more than 8 frames or other than 3 channels,
    and for a sheet that is missing, broken or of another size, with its name.
    """
    length, height, width, channels = check_clip_shape(shape)
    check_split(split)
    if length > FRAMES or channels != 3:
        raise UserError(
            f"Sprite clips have {FRAMES} frames at most and 3 channels, not {length} and {channels}; "
            f"choose a shape such as ({FRAMES}, 32, 32, 3)."
        )
    sheets = _sheets(path)
    characters = split_indices(VARIANTS ** len(ATTRIBUTES), split, str(path))
    n = len(characters) * len(ACTIONS)
    kept = np.sort(permutation(n, (n, _KEY))[:most]) if most else np.arange(n)
    image = np.empty((len(kept), length, height, width, 3), np.uint8)
    owner, action = np.divmod(kept, len(ACTIONS))
    character = np.stack(np.unravel_index(characters[owner], (VARIANTS,) * len(ATTRIBUTES)), axis=1).astype(np.int32)

    def draw(body: int) -> None:
        half_dressed: dict[tuple[int, ...], Image.Image] = {(): Image.new("RGBA", sheets["shoes"].size, (0, 0, 0, 255))}
        for i in np.unique(owner[character[:, 0] == body]):
            mine = slice(*np.searchsorted(owner, (i, i + 1)))
            frames = _resized(_compose(tuple(character[mine.start]), sheets, half_dressed), height, width)
            image[mine] = frames.reshape(len(ACTIONS), FRAMES, height, width, 3)[action[mine], :length]

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lays over and resizes outside Python's lock
        for _ in pool.map(draw, range(VARIANTS)):
            pass  # raises the first error
    return {"image": image, "label": action.astype(np.int32), "character": character}


def _compose(
    character: tuple[int, ...], sheets: dict[str, Image.Image], half_dressed: dict[tuple[int, ...], Image.Image]
) -> Image.Image:
    """The cells of one character over black; `half_dressed` keeps the latest of what others have in common with it."""
    for worn in range(1, len(character) + 1):
        begun = character[:worn]
        if begun not in half_dressed:
            for old in [key for key in half_dressed if len(key) >= worn]:  # characters come in order: no longer needed
                del half_dressed[old]
            layer = sheets[f"{ATTRIBUTES[worn - 1]}{begun[-1]}"]
            half_dressed[begun] = Image.alpha_composite(half_dressed[begun[:-1]], layer)
    return Image.alpha_composite(half_dressed[character], sheets["shoes"]).convert("RGB")


def _resized(cells: Image.Image, height: int, width: int) -> np.ndarray:
    """The cells of a column [n * 64, 64] as uint8 [n, height, width, 3]: what `transforms.fit` makes of each, at once.

    The columns of all are resized in one call, then the rows, as Pillow does it with one picture.
    """
    crop_height = min(CELL, max(1, round(CELL * height / width)))
    crop_width = min(CELL, max(1, round(CELL * width / height)))
    top, left = (CELL - crop_height) // 2, (CELL - crop_width) // 2
    frames = np.asarray(cells).reshape(-1, CELL, CELL, 3)[:, top : top + crop_height, left : left + crop_width]
    n = len(frames)
    column = Image.fromarray(np.ascontiguousarray(frames).reshape(n * crop_height, crop_width, 3))
    if crop_width != width:
        column = column.resize((width, n * crop_height), Image.Resampling.LANCZOS)
    if crop_height == height:
        return np.asarray(column).reshape(n, height, width, 3)
    row = np.asarray(column).reshape(n, crop_height, width, 3).swapaxes(0, 1).reshape(crop_height, n * width, 3)
    row = Image.fromarray(np.ascontiguousarray(row)).resize((n * width, height), Image.Resampling.LANCZOS)
    return np.asarray(row).reshape(height, n, width, 3).swapaxes(0, 1)


def _sheets(path: Path) -> dict[str, Image.Image]:
    """Of each layer the 72 cells that are used, as one column [72 * 64, 64] RGBA: "body0", ..., "hair5", "shoes"."""
    names = {f"{kind}{i}": f"{kind}/{i}.png" for kind in ATTRIBUTES for i in range(VARIANTS)} | {"shoes": _SHOES}
    if path.is_dir():
        return {key: _sheet(path, name, (path / name).read_bytes) for key, name in names.items()}
    try:
        with zipfile.ZipFile(path) as archive:
            return {key: _sheet(path, name, lambda n=name: archive.read(n)) for key, name in names.items()}
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"Cannot read {path} ({error}). It must be a .zip of the sprite-sheet layers.") from error


def _sheet(path: Path, name: str, read: Callable[[], bytes]) -> Image.Image:
    try:
        with Image.open(io.BytesIO(read())) as file:
            sheet = file.convert("RGBA")
    except (zipfile.BadZipFile, zlib.error, KeyError, OSError, ValueError, SyntaxError, EOFError) as error:
        raise UserError(
            f"Cannot read the sprite sheet {name} of {path} ({error}). It needs {', '.join(ATTRIBUTES)}, "
            f"{VARIANTS} sheets each, 0.png to {VARIANTS - 1}.png, and {_SHOES}."
        ) from error
    if sheet.size != _SHEET:
        raise UserError(f"{name} of {path} is {sheet.size[0]}x{sheet.size[1]}, not {_SHEET[0]}x{_SHEET[1]} pixels.")
    rows = [(first + row, columns) for first, columns in _CELLS.values() for row in _ROWS.values()]
    grid = np.asarray(sheet).reshape(_SHEET[1] // CELL, CELL, _SHEET[0] // CELL, CELL, 4)
    return Image.fromarray(np.concatenate([grid[row, :, column] for row, columns in rows for column in columns]))
