"""Texts that are numbers already: token sequences from one .npz file."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from jaxgen.errors import UserError


def read(data: str, split: str, length: int, vocabulary: int) -> np.ndarray:
    """int32 [N, length] of an .npz file that holds `train` and `test`, whole numbers from 0 to `vocabulary` - 1.

    Raises `UserError` for anything else, pickled content among it.
    """
    path = Path(data).expanduser()
    if not path.is_file():
        raise UserError(
            f"There is no file {data}. Token sequences come as an .npz with `train` and `test`, [N, length]."
        )
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            tokens = np.asarray(file["train" if split == "train" else "test"])
    # TypeError: a .npy file, which is an array and no file of them.
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"Cannot read {path} ({error}). It must be an .npz of plain arrays, `train` and `test`."
        ) from error
    if tokens.ndim != 2 or tokens.shape[1] != length or not np.issubdtype(tokens.dtype, np.integer) or not len(tokens):
        raise UserError(
            f"`{split}` in {path} is {tokens.dtype} {list(tokens.shape)}; it must be whole numbers, [N, {length}], as "
            "--shape says."
        )
    if tokens.min() < 0 or tokens.max() >= vocabulary:
        raise UserError(
            f"`{split}` in {path} has tokens from {tokens.min()} to {tokens.max()}; --model.vocabulary {vocabulary} "
            f"allows 0 to {vocabulary - 1}."
        )
    return tokens.astype(np.int32)
