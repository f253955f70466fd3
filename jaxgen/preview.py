"""Arrays to pictures, and to files of arrays."""

import io
import math
from collections.abc import Sequence

import numpy as np
from etils import epath
from PIL import Image

from jaxgen import files
from jaxgen.errors import UserError


def grid(images: np.ndarray, columns: int = 0, border: int = 1) -> np.ndarray:
    """uint8 [N, H, W, C] -> one uint8 picture [.., .., C], row by row; `columns` 0 makes it nearly square."""
    n, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    out = np.full((rows * (height + border) + border, columns * (width + border) + border, channels), 64, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + border) + border, (i % columns) * (width + border) + border
        out[y : y + height, x : x + width] = image
    return out


def rows(named: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Several sets of images below each other, each starting a row of its own, a gap between them."""
    parts = [grid(images, columns) for images in named]
    gap = np.full((6, *parts[0].shape[1:]), 255, np.uint8)
    return np.concatenate([p for part in parts for p in (part, gap)][:-1])


def scatter(images: np.ndarray, points: np.ndarray, size: int = 900) -> np.ndarray:
    """Each image uint8 [N, H, W, C] drawn at its point [N, 2] on one canvas [size, size, C]; later over earlier."""
    low, high = np.percentile(points, [1, 99], axis=0)
    height, width = images.shape[1:3]
    room = np.array([size - width, size - height])
    places = (np.clip((points - low) / np.maximum(high - low, 1e-9), 0, 1) * room).astype(int)
    out = np.zeros((size, size, images.shape[-1]), np.uint8)
    for image, (x, y) in zip(images, places, strict=True):
        patch = out[y : y + height, x : x + width]
        np.maximum(patch, image, out=patch)
    return out


def to_image(picture: np.ndarray, scale: int = 1) -> Image.Image:
    """uint8 [H, W, 1 or 3] -> a Pillow image, each pixel `scale` wide."""
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def write_png(path: epath.Path, picture: np.ndarray, scale: int = 1) -> epath.Path:
    """uint8 [H, W, 1 or 3] to a PNG file."""
    return _write(path, lambda file: to_image(picture, scale).save(file, format="PNG"))


def write_gif(path: epath.Path, frames: Sequence[np.ndarray], seconds: float = 0.08) -> epath.Path:
    """uint8 frames [H, W, 1 or 3] to a GIF that repeats."""
    first, *rest = [to_image(f, 2) for f in frames]
    milliseconds = round(seconds * 1000)
    return _write(
        path, lambda file: first.save(file, "GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0)
    )


def write_npz(path: epath.Path, **arrays: np.ndarray) -> epath.Path:
    """Arrays by name to a compressed .npz file."""
    return _write(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def named(stem: epath.Path, ending: str) -> epath.Path:
    """The file `ending` of a stem, in whose name a dot ends nothing: runs/v1.2 -> runs/v1.2.png."""
    return stem.parent / f"{stem.name}{ending}"


def new_folder(path: epath.Path) -> epath.Path:
    """Makes the folder for single files. Raises `UserError` where there is a file, or a folder that holds any."""
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file; choose another --out.")
    if path.exists() and any(path.iterdir()):
        raise UserError(f"{path} is not empty; choose another --out, so that nothing old is mixed in.")
    path.mkdir(parents=True, exist_ok=True)
    return path


def _write(path: epath.Path, save) -> epath.Path:
    """Through memory, since Pillow knows no gs:// paths."""
    buffer = io.BytesIO()
    save(buffer)
    return files.write(path, buffer.getvalue())
