"""From the name of a data set, a folder or a file to arrays of images."""

import difflib
import os
from pathlib import Path
from typing import Literal

import numpy as np

from jaxgen.data import embedded, folder, npz, tfds
from jaxgen.data.transforms import check_shape
from jaxgen.errors import UserError

_WAYS = (
    f"Give a set by name ({', '.join(embedded.NAMES)}, or one of TFDS such as fashion_mnist), "
    "a folder of images, or an .npz file"
)


def load(
    data: str,
    shape: tuple[int, ...],
    split: Literal["train", "validation", "test"],
    data_dir: str = "",
    download: bool = False,
) -> dict[str, np.ndarray]:
    """{"image": uint8 [N, H, W, C], and "label": int32 [N] where the data have classes}; (H, W, C) is `shape`.

    `data` is, tried in this order:

    - the name of an embedded set, one of `embedded.NAMES`;
    - a folder of images (`folder.read`), or the directory of a prepared TFDS set;
    - a path that ends in .npz (`npz.read`);
    - a TFDS set by name, as `name`, `name/config` or `name/config:1.0.0`: one that is prepared in `data_dir`, or, where
      `download` is true, any that TFDS can prepare. Nothing else touches the network.

    The order of the examples is fixed, and "train" and "test" never share one. A source without held-out data of its
    own gives up a fixed tenth (`heldout.split_indices`). "validation" holds unseen examples drawn like the training
    data, where the source has them beside its test data, which may come from elsewhere; where it has not, it is the
    same as "test". `data_dir` is as in `cache.cache_dir`. Raises `UserError`.
    """
    target = check_shape(shape)
    if split not in ("train", "validation", "test"):
        raise UserError(f"There is no split {split!r}; choose from train, validation, test.")
    if not data:
        raise UserError(f"No data given. {_WAYS}.")
    if data in embedded.NAMES:
        return embedded.read(data, target, split, data_dir)
    path = Path(data).expanduser()
    if path.is_dir():
        prepared = (path / "features.json").is_file() and (path / "dataset_info.json").is_file()
        return tfds.read(path, target, split) if prepared else folder.read(path, target, split)
    if path.suffix.lower() == ".npz" and path.is_file():
        return npz.read(path, target, split)
    if path.is_file():
        raise UserError(f"{data} is a file, but no .npz file. {_WAYS}.")
    if data.startswith((".", "~", os.sep)) or path.suffix.lower() == ".npz":
        raise UserError(f"{data} does not exist (looked at {path.absolute()}). {_WAYS}.")
    return tfds.read(_prepared(data, data_dir, download), target, split)


def _prepared(data: str, data_dir: str, download: bool) -> Path:
    """The directory of the TFDS set named `data`, or a `UserError` that says how to come by it."""
    # TFDS learns of an embedded set once it has been prepared.
    if found := tfds.locate(data, data_dir, download, but=embedded.BUILDERS):
        return found
    known = sorted(set(tfds.names()) - embedded.BUILDERS.keys())
    name = data.split("/")[0].split(":")[0]
    near = difflib.get_close_matches(name, [*embedded.NAMES, *known], n=1)
    hint = f"; did you mean {near[0]!r}?" if near and near[0] != data else "."
    path = f" nor is {Path(data).absolute()} a folder" if os.sep in data else ""
    raise UserError(f"There is no data set named {data!r}{path}{hint} {_WAYS}.")
