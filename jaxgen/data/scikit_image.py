"""The files that scikit-image carries, found without importing it."""

import hashlib
import importlib.util
from pathlib import Path

from jaxgen.errors import UserError


def file(name: str, sha256: str, data: str) -> bytes:
    """The content of `name` in scikit-image's data folder, which the data set `data` is made of.

    Raises `UserError` where the package or the file is missing, or the file is another than results were measured on.
    """
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f'The data set {data} comes with the package scikit-image. Install it: pip install "jaxgen[data]".'
        )
    path = Path(spec.submodule_search_locations[0], "data", name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"Cannot read {path} ({error}). Install it anew: pip install --force-reinstall scikit-image."
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(
            f"{path} is not the file that {data} is made of (its sha256 differs), so results would not compare. "
            "Install the release that has it: pip install scikit-image==0.26.0."
        )
    return content
