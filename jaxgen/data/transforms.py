"""The one rule by which an image of any size and kind becomes uint8 [H, W, C]."""

import numpy as np
from PIL import Image

from jaxgen.errors import UserError

Shape = tuple[int, int, int]


def check_shape(shape: tuple[int, ...]) -> Shape:
    """`shape` as (height, width, channels). Raises `UserError` unless it is that, with 1 or 3 channels."""
    if len(shape) != 3 or min(shape) < 1 or shape[2] not in (1, 3):
        raise UserError(
            f"The shape of an image is (height, width, channels), with 1 channel for grey or 3 for colour; got {shape}."
        )
    return shape[0], shape[1], shape[2]


def fit(image: Image.Image | np.ndarray, shape: Shape) -> np.ndarray:
    """One image of any size as uint8 [H, W, C] = `shape`.

    An array is uint8, [h, w] or [h, w, c] with 1 (grey), 3 (RGB) or 4 (RGBA) channels. In this order:

    1. 16-bit grey is rounded to 8 bits; a palette is looked up; transparency is laid over white.
    2. Channels: grey is the ITU-R 601 luma 0.299 R + 0.587 G + 0.114 B; RGB from grey repeats it.
    3. The largest centred rectangle of the target's aspect ratio is cut out, in whole pixels.
    4. It is resized by Pillow's Lanczos filter, which averages over the whole footprint of a target pixel when it
       shrinks (no aliasing), as StyleGAN's data tools do. An image that has the right size by now is left as it is.

    Raises `UserError` for an array of another shape or type.
    """
    height, width, channels = shape
    if isinstance(image, np.ndarray):
        if image.shape == shape and image.dtype == np.uint8:
            return image
        image = _from_array(image)
    picture = _to_channels(image, channels)
    picture = picture.crop(_centre(picture.size, (width, height)))  # not `resize(box=...)`: it would look past the cut
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture).reshape(shape)


def fit_all(images: np.ndarray, shape: Shape) -> np.ndarray:
    """uint8 [N, h, w, c] -> [N, H, W, C], each by `fit`; at once where sizes agree and no colour has to be mixed."""
    if images.shape[1:] == shape:
        return np.ascontiguousarray(images)
    if images.shape[1:] == (*shape[:2], 1):
        return np.repeat(images, shape[2], axis=3)
    out = np.empty((len(images), *shape), np.uint8)
    for i, image in enumerate(images):
        out[i] = fit(image, shape)
    return out


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise UserError(
            f"An image is uint8 [height, width] or [height, width, channels] with 1, 3 or 4 channels; "
            f"got {array.dtype} {list(array.shape)}."
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _to_channels(image: Image.Image, channels: int) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips at 255 in place of scaling
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode and image.mode not in ("L", "RGB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return image if image.mode == mode else image.convert(mode)


def _centre(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) of the largest centred rectangle with the aspect ratio of `target`."""
    (w, h), (target_w, target_h) = size, target
    crop_w = min(w, max(1, round(h * target_w / target_h)))
    crop_h = min(h, max(1, round(w * target_h / target_w)))
    left, top = (w - crop_w) // 2, (h - crop_h) // 2
    return left, top, left + crop_w, top + crop_h
