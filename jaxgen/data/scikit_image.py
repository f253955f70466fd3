"""The files that scikit-image carries, found without importing it."""

from jaxgen.data import packaged


def file(name: str, sha256: str, data: str) -> bytes:
    """The content of `name` in scikit-image's data folder, for the data set `data`; raises as `packaged.file` does."""
    return packaged.file("scikit-image", f"data/{name}", sha256, data)
