"""Prepared TFDS sets, read into memory without TensorFlow."""

import contextlib
import io
import json
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from jaxgen.data.cache import cache_dir, lock
from jaxgen.data.heldout import split_indices
from jaxgen.data.transforms import Shape, fit
from jaxgen.errors import UserError, needed

_NAME = re.compile(r"(?P<name>[a-z][a-z0-9_]*)(/(?P<config>\w[\w.+-]*))?(:(?P<version>\d+\.\d+\.\d+))?")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_CHUNK = 1024  # examples read at once: one at a time is several times slower
_TEXTS = ("text", "sentence", "description")  # the features of these names, in this order

FEATURES = frozenset(
    "tensorflow_datasets.core.features." + name
    for name in (
        "bounding_boxes.BBoxFeature",
        "class_label_feature.ClassLabel",
        "features_dict.FeaturesDict",
        "image_feature.Image",
        "labeled_image.LabeledImage",
        "scalar.Scalar",
        "sequence_feature.Sequence",
        "tensor_feature.Tensor",
        "text_feature.Text",
    )
)
"""The classes that a set's features.json may name. TFDS imports any module that is named there
(`FeatureConnector.cls_from_name` in 4.9.10), so a stranger's set could run code; audio and video run other programs."""


class UnreadableError(UserError):
    """A prepared set whose files are missing, damaged or not to be trusted."""


def library() -> ModuleType:
    """The package tensorflow_datasets; `UserError` where it is missing."""
    with needed("tensorflow-datasets", "data sets by name", "data"):
        import tensorflow_datasets
    return tensorflow_datasets


def names() -> list[str]:
    """The data sets that TFDS knows how to prepare."""
    return library().list_builders(with_community_datasets=False)


def parse(data: str) -> tuple[str, str, str] | None:
    """`name[/config][:version]` as (name, config, version), "" where not given; nothing for another form."""
    match = _NAME.fullmatch(data)
    return (match["name"], match["config"] or "", match["version"] or "") if match else None


def roots(data_dir: str) -> list[Path]:
    """Where prepared sets are looked for: `tfds` in the cache, and `data_dir` itself, which may be TFDS's own."""
    cache = cache_dir(data_dir)
    return [cache / "tfds", cache] if data_dir else [cache / "tfds"]


def find(data: str, data_dir: str = "") -> Path | None:
    """The directory of a prepared set, of its newest version unless one is named; nothing where there is none.

    Without a config: the set's only one, or the one TFDS noted as its default. Raises `UserError` where that leaves
    several.
    """
    parsed = parse(data)
    if parsed is None:
        return None
    name, config, version = parsed
    for root in roots(data_dir):
        base = root / name / config if config else root / name
        versions = _versions(base)
        if not versions and not config:
            versions = _versions(_default_config(base))
        chosen = [v for v in versions if version in ("", v.name)]
        if chosen:
            return chosen[-1]
    return None


def download(data: str, data_dir: str = "") -> Path:
    """Lets TFDS download and prepare the set `data`; returns its directory. Raises `UserError` where that fails."""
    name, config, version = parse(data) or ("", "", "")
    tfds, root = library(), cache_dir(data_dir) / "tfds"
    with lock(root / f".{name}.lock"):
        if found := find(data, data_dir):  # another process was quicker
            return found
        try:
            builder = tfds.builder_cls(name)(data_dir=str(root), config=config or None, version=version or None)
            _check_online(builder)
            builder.download_and_prepare(file_format="array_record")
        except UserError:
            raise
        except Exception as error:  # TFDS, its 200 builders and the network may raise anything
            raise UserError(
                f"TFDS could not download and prepare {data!r}: {str(error).strip() or type(error).__name__}. Prepare "
                f'it elsewhere with download_and_prepare(file_format="array_record") and copy it to {root}.'
            ) from error
    return Path(builder.data_path)


def read(directory: Path, shape: Shape, split: str) -> dict[str, np.ndarray]:
    """{"image": uint8 [N, *shape], and "label": int32 [N] where there are labels}, in the set's order.

    `image` is the feature of that name, brought to `shape` by `transforms.fit`; `label` is the feature of that name if
    it is a whole number that is nowhere negative (TFDS writes -1 where labels are kept secret). "test" is the set's
    test split, else its validation split, else a fixed tenth of its training split (`heldout.split_indices`);
    "validation" is the set's validation split, else the same as "test". Any other split is the set's own of that name.

    Raises `UnreadableError` where the files are damaged or name a feature class outside `FEATURES`, and `UserError`
    where the set has no images, no such split or no random access.
    """
    with quiet():
        features, source, rows = opened(directory, split)
        if "image" not in features:
            raise UserError(
                f"{directory} has no feature `image`, only {', '.join(sorted(features))}; choose a set of images."
            )
        label = features.get("label")
        return _read(source, rows, shape, is_class(label), directory)


def read_text(directory: Path, split: str) -> tuple[list[str], np.ndarray | None, tuple[str, ...]]:
    """The N texts of a set, in its order; their labels int32 [N], or None; the names of the classes.

    A text is the feature `text`, else `sentence`, else `description`, else the set's first that is a text, with any
    white space in it as one space; an empty one is left out. `label` and the splits are as in `read`, and so are the
    errors, where the set has no texts.
    """
    with quiet():
        features, source, rows = opened(directory, split)
        name = _text_feature(features, directory)
        label = features.get("label")
        labelled = is_class(label)
        texts, labels = [], []
        for _, example in examples(source, rows, directory):
            value = example[name]
            text = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
            if text.strip():
                texts.append(" ".join(text.split()))
                labels.append(int(example["label"]) if labelled else -1)
    if not texts:
        raise UserError(f"The texts of {directory} are empty; choose another set.")
    if not labelled or min(labels) < 0:
        return texts, None, ()
    named = getattr(label, "names", None) or [str(i) for i in range(max(labels) + 1)]
    return texts, np.array(labels, np.int32), tuple(named)


def opened(directory: Path, split: str, described: Path | None = None) -> tuple[dict[str, Any], Any, np.ndarray]:
    """The features of a set, a source of its examples, and which of these belong to `split`.

    `described` is a copy of the set's directory with another features.json, by which it is read; then a set's only
    split serves as its training split, whatever its name. Raises as `read` does.
    """
    check_features(described or directory)
    tfds = library()
    try:
        builder = tfds.builder_from_directory(str(described or directory))
        features = dict(builder.info.features.items())
        sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
    except Exception as error:  # whatever TFDS may say of broken metadata
        raise _unreadable(directory, error) from error
    if described and len(sizes) == 1:
        (name,) = sizes
        rows = split_indices(sizes[name], split, str(directory))
    else:
        name, rows = _choose(sizes, split, directory)
    try:
        return features, builder.as_data_source(name), rows
    except NotImplementedError as error:  # what TFDS documents for a set in no format with random access
        raise UserError(
            f"{directory} is prepared as {builder.info.file_format.value}, which needs TensorFlow to be read. "
            'Remove it and pass --download, or prepare it with download_and_prepare(file_format="array_record").'
        ) from error
    except Exception as error:
        raise _unreadable(directory, error) from error


def _text_feature(features: dict[str, Any], directory: Path) -> str:
    texts = [name for name, feature in features.items() if type(feature).__name__ == "Text"]
    for name in (*_TEXTS, *texts):
        if name in texts:
            return name
    raise UserError(f"{directory} has no texts, only {', '.join(sorted(features))}; choose a set of texts.")


def is_class(label: Any) -> bool:
    """Whether a feature is a whole number, as the number of a class is."""
    return label is not None and label.shape == () and bool(np.issubdtype(label.np_dtype, np.integer))


def check_features(directory: Path) -> None:
    """Raises `UnreadableError` unless features.json names only classes in `FEATURES`, at any depth, in any dialect."""
    try:
        text = (directory / "features.json").read_text(encoding="utf-8")
        if len(text) > 2**20:
            raise ValueError("it is larger than 1 MiB")
        for name in _class_names(json.loads(text)):
            if not isinstance(name, str) or name not in FEATURES:
                raise UnreadableError(
                    f"{directory / 'features.json'} names the class {name!r}, which is not one of TFDS's features for "
                    "images, labels, texts or numbers. Reading it could run foreign code: use a set you can trust."
                )
    except UnreadableError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(directory, error) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps TFDS's bars, prints and hints off the terminal while the block runs."""
    from absl import logging

    tfds, verbosity = library(), logging.get_verbosity()
    tfds.display_progress_bar(False)
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        tfds.display_progress_bar(True)


def _class_names(tree: Any) -> Iterator[Any]:
    """Every class that TFDS could look up: in either spelling of a protobuf, the older `type`, and JSON within JSON."""
    if isinstance(tree, list):
        for item in tree:
            yield from _class_names(item)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if key in ("pythonClassName", "python_class_name") or (key == "type" and isinstance(value, str)):
                yield value
            else:
                yield from _class_names(value)
    elif isinstance(tree, str):  # TFDS parses some strings, depending on what stands beside them
        with contextlib.suppress(json.JSONDecodeError):
            yield from _class_names(json.loads(tree))


def _versions(base: Path | None) -> list[Path]:
    """The prepared versions below `base`, oldest first."""
    if base is None or not base.is_dir():
        return []
    found = [(m.groups(), path) for path in base.iterdir() if (m := _VERSION.fullmatch(path.name))]
    found = [(tuple(map(int, v)), path) for v, path in found if (path / "dataset_info.json").is_file()]
    return [path for _, path in sorted(found)]


def _default_config(base: Path) -> Path | None:
    configs = sorted(path for path in base.iterdir() if _versions(path)) if base.is_dir() else []
    if len(configs) < 2:
        return configs[0] if configs else None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        default = json.loads((base / ".config" / "metadata.json").read_text()).get("default_config_name")
        configs = [path for path in configs if path.name == default] or configs
    if len(configs) > 1:
        every = ", ".join(f"{base.name}/{path.name}" for path in configs)
        raise UserError(f"{base} holds several configurations; name one of them: {every}.")
    return configs[0]


def locate(data: str, data_dir: str, fetch: bool, but: Collection[str] = ()) -> Path | None:
    """The directory of the set named `data`; None where TFDS has none of that name, or it is one of `but`.

    One that is not prepared is fetched where `fetch` is true, else raises `UserError`.
    """
    if found := find(data, data_dir):
        return found
    parsed = parse(data)
    if parsed is None or parsed[0] not in set(names()) - set(but):
        return None
    if fetch:
        return download(data, data_dir)
    looked = " or ".join(str(root / parsed[0]) for root in roots(data_dir))
    raise UserError(
        f"The TFDS set {data!r} is not prepared (looked in {looked}). Pass --download to fetch it, or prepare it with "
        'TFDS\'s download_and_prepare(file_format="array_record").'
    )


def _choose(sizes: dict[str, int], split: str, directory: Path) -> tuple[str, np.ndarray]:
    """The name of the split to read, and which of its rows."""
    held_out = next((name for name in ("test", "validation") if name in sizes), None)
    if split != "train" and split in sizes:
        return split, np.arange(sizes[split])
    if split in ("test", "validation") and held_out:
        return held_out, np.arange(sizes[held_out])
    needed = "train" if split in ("test", "validation") else split
    if needed not in sizes:
        raise UserError(
            f"{directory} has no split `{needed}`; it has {', '.join(sizes) or 'none'}. Choose a set that has it."
        )
    if held_out:
        return "train", np.arange(sizes["train"])
    return "train", split_indices(sizes["train"], split, str(directory))


def _read(source: Any, rows: np.ndarray, shape: Shape, labelled: bool, directory: Path) -> dict[str, np.ndarray]:
    image, label = np.empty((len(rows), *shape), np.uint8), np.full(len(rows), -1, np.int32)
    for i, example in examples(source, rows, directory):
        image[i] = fit(example["image"], shape)
        if labelled:
            label[i] = example["label"]
    return {"image": image, "label": label} if labelled and label.min(initial=0) >= 0 else {"image": image}


def examples(source: Any, rows: np.ndarray, directory: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The place among `rows`, and the example, of each of them. Raises `UnreadableError` where one is damaged."""
    for start in range(0, len(rows), _CHUNK):
        try:
            found = source.__getitems__(rows[start : start + _CHUNK].tolist())
        except Exception as error:  # array_record and the decoders have no common error
            raise _unreadable(directory, error) from error
        yield from enumerate(found, start)


def _check_online(builder: Any) -> None:
    """Raises `UserError` where no host of the set can be found: TFDS itself would try for minutes."""
    hosts = {urllib.parse.urlparse(url).hostname for url in builder.url_infos or {}} - {None}
    if not hosts or urllib.request.getproxies():
        return
    for host in hosts:
        with contextlib.suppress(OSError):
            socket.getaddrinfo(host, 443)
            return
    raise UserError(
        f"{builder.name} has to be downloaded from {', '.join(sorted(map(str, hosts)))}, which cannot be reached. "
        f"Connect to the network, or copy a prepared set to {builder.data_path}."
    )


def _unreadable(directory: Path, error: Exception) -> UnreadableError:
    return UnreadableError(
        f"Cannot read the data set in {directory} ({str(error).strip() or type(error).__name__}). "
        "Remove that directory and prepare the set again."
    )
