"""Prepared TFDS sets whose features have classes that need TensorFlow, or run other programs, even to be named.

What such a class stores can be read as simpler ones. So the set is opened by a copy of its description that names
these.
"""

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxgen.data import tfds

Node = dict[str, Any]
"""A feature as features.json has it: its `pythonClassName`, and what that class takes."""

FEATURES = "tensorflow_datasets.core.features."
"""What the full name of a class of TFDS's own begins with."""


@contextlib.contextmanager
def described(directory: Path, name: str, plain: Callable[[Node], Node]) -> Iterator[tuple[Path, Any]]:
    """A folder with links to the files of a set, for `tfds.opened`, and the set's own features.json, parsed.

    In the features.json of the folder, which lasts as long as the block, each feature of the class `name` (without
    `FEATURES`) is what `plain` makes of it. Raises `tfds.UnreadableError` where that cannot be.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy, description = Path(folder), "features.json"
        try:
            tree = json.loads((directory / description).read_text(encoding="utf-8"))
            (copy / description).write_text(json.dumps(_replaced(tree, FEATURES + name, plain)))
            for file in directory.iterdir():
                if file.name != description:
                    (copy / file.name).symlink_to(file.absolute())
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise tfds.UnreadableError(
                f"Cannot read the data set in {directory} ({str(error).strip() or type(error).__name__}). "
                "Remove that directory and prepare the set again."
            ) from error
        yield copy, tree


def _replaced(tree: Any, name: str, plain: Callable[[Node], Node]) -> Any:
    if isinstance(tree, list):
        return [_replaced(item, name, plain) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if tree.get("pythonClassName") == name:
        return plain(tree)
    return {key: _replaced(value, name, plain) for key, value in tree.items()}
