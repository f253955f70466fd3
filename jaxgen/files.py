"""Files that nobody ever sees half of."""

from etils import epath


def write(path: epath.PathLike, content: bytes) -> epath.Path:
    """The file `path` with this content, in one piece: it is written beside, then renamed. Its folder is made."""
    path = epath.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f".{path.name}.partial"
    partial.write_bytes(content)
    return partial.replace(path)
