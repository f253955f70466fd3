"""Images from one .npz file of NumPy arrays."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from jaxgen.data.heldout import split_indices
from jaxgen.data.transforms import Shape, fit_all
from jaxgen.errors import UserError

_LAYOUTS = (  # the names of the images and of the labels of each split
    ("x_{}", "y_{}"),  # Keras
    ("{}_image", "{}_label"),
    ("{}_images", "{}_labels"),  # MedMNIST
)


def read(path: Path, shape: Shape, split: str) -> dict[str, np.ndarray]:
    """{"image": uint8 [N, *shape], and "label": int32 [N] where there are labels}, in the file's order.

    Keys: `image` and optionally `label`, of which a fixed tenth is held out (`heldout.split_indices`), or a split made
    by the file: `x_train, y_train, x_test, y_test` as Keras names them, `train_image, train_label, test_image,
    test_label`, or the same with an s as MedMNIST names them; labels may be missing. With `val` in the place of `test`
    they are the split "validation"; where those are missing, it is the same as "test".

    Images are [N, h, w] or [N, h, w, c] with c of 1, 3 or 4: uint8, or floats in [0, 1], which are rounded to 8 bits.
    Other sizes and channels are brought to `shape` by `transforms.fit`. Labels are whole numbers from 0, [N] or [N, 1].
    Raises `UserError` for anything else, pickled content among it: nothing in the file is executed.
    """
    try:
        with path.open("rb") as opened:  # NumPy leaves the file open when it turns out to be broken
            file = np.load(opened, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise UserError(f"{path} holds one bare array. Save it with numpy.savez(path, image=..., label=...).")
            with file:
                image, label = _arrays(file, path, split)
    except UserError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"Cannot read {path} ({error}). It must be an .npz file of plain arrays, as numpy.savez writes; "
            "pickled objects are refused."
        ) from error
    out = {"image": fit_all(image, shape)}
    return out if label is None else out | {"label": label}


def _arrays(file: np.lib.npyio.NpzFile, path: Path, split: str) -> tuple[np.ndarray, np.ndarray | None]:
    for images, labels in _LAYOUTS:
        if images.format("train") in file and images.format("test") in file:
            part = split
            if split == "validation":
                part = "val" if images.format("val") in file else "test"
            name, label_name = images.format(part), labels.format(part)
            image = _checked_images(file[name], f"`{name}` in {path}")
            label = file.get(label_name)
            return image, _checked_labels(label, len(image), f"`{label_name}` in {path}")
    if "image" not in file:
        raise UserError(
            f"{path} holds {', '.join(file.files) or 'no arrays'}. It needs `image` and optionally `label`, or "
            "`x_train` and `x_test` with optional `y_train` and `y_test`."
        )
    image = _checked_images(file["image"], f"`image` in {path}")
    label = _checked_labels(file.get("label"), len(image), f"`label` in {path}")
    chosen = split_indices(len(image), split, str(path))
    return image[chosen], None if label is None else label[chosen]


def _checked_images(image: np.ndarray, name: str) -> np.ndarray:
    """uint8 [N, h, w, c], or a `UserError` that says what is wrong."""
    if image.ndim not in (3, 4):
        raise UserError(
            f"{name} has shape {list(image.shape)}; images are [N, height, width] or [N, height, width, C]."
        )
    if image.size == 0:
        raise UserError(f"{name} is empty (shape {list(image.shape)}); it needs at least one image.")
    if image.ndim == 3:
        image = image[..., None]
    if image.shape[3] not in (1, 3, 4):
        first = " They seem to come first: transpose with (0, 2, 3, 1)." if image.shape[1] in (1, 3, 4) else ""
        raise UserError(f"{name} has {image.shape[3]} channels in its last axis; images have 1, 3 or 4.{first}")
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind != "f":
        raise UserError(f"{name} is {image.dtype}; images are uint8 (0 to 255) or floats in [0, 1]. Convert it first.")
    if not np.isfinite(image).all():
        raise UserError(f"{name} holds NaN or infinite values; images are uint8 or finite floats in [0, 1].")
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 1:
        raise UserError(f"{name} reaches from {low:g} to {high:g}; floats must lie in [0, 1]. Rescale them first.")
    return np.rint(image.astype(np.float32) * 255).astype(np.uint8)


def _checked_labels(label: np.ndarray | None, n: int, name: str) -> np.ndarray | None:
    """int32 [n], or a `UserError` that says what is wrong; nothing where there are no labels."""
    if label is None:
        return None
    if label.ndim == 2 and label.shape[1] == 1:
        label = label[:, 0]
    if label.shape != (n,):
        raise UserError(f"{name} has shape {list(label.shape)}; {n} images need {n} labels, one whole number each.")
    if label.dtype.kind not in "iu":
        raise UserError(f"{name} is {label.dtype}; labels are whole numbers, counted from 0.")
    low, high = int(label.min()), int(label.max())
    if low < 0 or high >= 2**31:
        raise UserError(f"{name} reaches from {low} to {high}; labels are counted from 0.")
    return label.astype(np.int32)
