"""Sentences, sentences by register, and prompts with replies: from files, TFDS sets and installed packages."""

import difflib
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from jaxgen.data import prose, tfds
from jaxgen.data.heldout import split_indices
from jaxgen.errors import UserError

SENTENCES = {"pydoc_sentences": "manual", "reference_sentences": "reference", "scripture_sentences": "scripture"}
"""The sets of sentences that ship inside an installable package, by name: the register of `prose.REGISTERS`."""
REGISTERS = "package_texts"
"""The set of sentences by register that ships inside installable packages: all of `prose.REGISTERS`."""

_SPLITS = ("train", "validation", "test")
_HELD_OUT = {"validation": ("validation", "valid", "val", "test"), "test": ("test", "validation", "valid", "val")}
_TURNS, _HALVES = "turns:", "halves:"
_EVERY = 10  # one turn in so many is held out
_SENTENCES_WAYS = (
    f"Give {', '.join(SENTENCES)}, a .txt file with a text on each line, a folder with train.txt and test.txt, "
    "or a TFDS set of texts"
)
_REGISTERS_WAYS = (
    f"Give {REGISTERS}, a folder with a .txt file for each category (or with such folders train and test), "
    "or a TFDS set of labelled texts"
)
_REPLIES_WAYS = (
    "Give turns:PATH for a drama, a .tsv file with prompt, tab and reply on each line, a folder with train.tsv and "
    f"test.tsv, or what is split into halves: {_SENTENCES_WAYS[5:]}"
)

Pair = tuple[str, str]
_T = TypeVar("_T")


def sentences(data: str, split: str, data_dir: str = "", download: bool = False) -> list[str]:
    """The texts of `split`, "train", "validation" or "test", in a fixed order; each is one line without outer blanks.

    `data` is, tried in this order:

    - one of `SENTENCES`: an embedded set;
    - a .txt file (UTF-8), one text a line. Empty lines are left out, and a text that comes again is;
    - a folder with train.txt and test.txt, maybe validation.txt (or valid, val), as they are but for empty lines;
    - a TFDS set, as its directory or by name: `tfds.read_text`.

    Of the first two, a tenth is held out (`heldout.split_indices`). "validation" is the same as "test" where a set has
    no other, and the reverse. `data_dir` and `download` are as in `images.load`. Raises `UserError` for anything else,
    and for a file that is not UTF-8 or holds too little.
    """
    _check_split(split)
    if data in SENTENCES:
        return _divide(prose.REGISTERS[SENTENCES[data]](), split, data)
    path = _path(data, _SENTENCES_WAYS)
    if path is None or _is_tfds(path):
        return tfds.read_text(path or _prepared(data, data_dir, download, _SENTENCES_WAYS), split)[0]
    return _file_or_folder(path, split, ".txt", _lines, _SENTENCES_WAYS)


def registers(
    data: str, split: str, data_dir: str = "", download: bool = False
) -> tuple[list[str], np.ndarray, tuple[str, ...]]:
    """The N texts of `split`, category by category; their labels, int32 [N]; the names of the categories.

    `data` is, tried in this order:

    - "package_texts": the sentences of `prose.REGISTERS`;
    - a folder with a .txt file for each category, named for it, one text a line; or with the folders train and test,
      maybe validation (or valid, val), that hold such files, the same names in each. Names are in alphabetical order;
    - a TFDS set with texts and labels.

    A tenth of each category is held out where nothing else makes a split. Otherwise as `sentences`. Raises `UserError`,
    also where there are fewer than two categories.
    """
    _check_split(split)
    if data == REGISTERS:
        found = {name: _divide(read(), split, name) for name, read in prose.REGISTERS.items()}
    else:
        path = _path(data, _REGISTERS_WAYS)
        if path is None or _is_tfds(path):
            directory = path or _prepared(data, data_dir, download, _REGISTERS_WAYS)
            texts, labels, names = tfds.read_text(directory, split)
            if labels is None:
                raise UserError(f"{directory} has no labels. {_REGISTERS_WAYS}.")
            return texts, labels, names
        found = _categories(path, split)
    labels = np.repeat(np.arange(len(found), dtype=np.int32), [len(texts) for texts in found.values()])
    return [text for texts in found.values() for text in texts], labels, tuple(found)


def replies(data: str, split: str, data_dir: str = "", download: bool = False) -> list[Pair]:
    """The pairs (prompt, reply) of `split`, in a fixed order.

    `data` is

    - "turns:PATH" with a .txt file, or a folder with train.txt and test.txt: a drama (`turns`). Of a single file the
      last tenth of the turns is held out, so that no turn serves in both;
    - a .tsv file, or a folder with train.tsv and test.tsv: each line is prompt, tab, reply;
    - anything that `sentences` reads, which may follow "halves:": the first half of each text's words is the prompt,
      the rest, a word longer if need be, the reply. A text of a single word is left out.

    Otherwise as `sentences`. Raises `UserError`, also for a line without just one tab, and where a drama has no turns.
    """
    _check_split(split)
    if data.startswith(_TURNS):
        path = _path(data.removeprefix(_TURNS), _REPLIES_WAYS)
        if path is None:
            raise UserError(f"turns: needs a file or a folder, not {data!r}. {_REPLIES_WAYS}.")
        return _file_or_folder(path, split, ".txt", _turns, _REPLIES_WAYS, _last_tenth)
    path = None if data in SENTENCES or not data else Path(data).expanduser()
    if path is not None and (path.suffix.lower() == ".tsv" or (path / "train.tsv").is_file()):
        return _file_or_folder(path, split, ".tsv", _pairs, _REPLIES_WAYS)
    return halves(sentences(data.removeprefix(_HALVES), split, data_dir, download))


def halves(texts: list[str]) -> list[Pair]:
    """Each text of two words and more, parted after half of its words, rounded down."""
    words = [text.split() for text in texts]
    return [(" ".join(w[: len(w) // 2]), " ".join(w[len(w) // 2 :])) for w in words if len(w) > 1]


def turns(text: str) -> list[Pair]:
    """What one character of a drama says last, and what the next one answers first: a sentence each.

    A turn is a line "NAME:" and the lines of speech below it; an empty line ends it. Pairs are of neighbouring turns
    of different names.
    """
    spoken: list[Pair] = []  # name, speech
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = block.strip().split("\n")
        if len(lines) > 1 and lines[0].endswith(":"):
            spoken.append((lines[0][:-1], " ".join(" ".join(lines[1:]).split())))
    return [
        (prose.split(before)[-1], prose.split(after)[0])
        for (name, before), (other, after) in itertools.pairwise(spoken)
        if name != other and before and after
    ]


def _file_or_folder(
    path: Path,
    split: str,
    suffix: str,
    read: Callable[[Path], list[_T]],
    ways: str,
    divide: Callable[[list[_T], str, str], list[_T]] | None = None,
) -> list[_T]:
    """What `read` makes of a file, divided, or of the file in a folder that is named for `split`."""
    if path.is_file():
        if path.suffix.lower() != suffix:
            raise UserError(f"{path} is no {suffix} file. {ways}.")
        return (divide or _divide)(read(path), split, str(path))
    names = _HELD_OUT.get(split, (split,))
    for name in ("train", "test"):
        if not any((path / f"{other}{suffix}").is_file() for other in _HELD_OUT.get(name, (name,))):
            raise UserError(f"The folder {path} has no {name}{suffix}. {ways}.")
    return read(next(file for name in names if (file := path / f"{name}{suffix}").is_file()))


def _categories(path: Path, split: str) -> dict[str, list[str]]:
    if not path.is_dir():
        raise UserError(f"{path} is no folder. {_REGISTERS_WAYS}.")
    held_out = next((path / name for name in _HELD_OUT.get(split, _HELD_OUT["test"]) if (path / name).is_dir()), None)
    made = held_out is not None and (path / "train").is_dir()
    names = [file.stem for file in _texts_in(path / "train" if made else path)]
    if len(names) < 2 or {"train", "test"} <= set(names):
        raise UserError(f"{path} does not hold two categories or more. {_REGISTERS_WAYS}.")
    if not made or held_out is None:
        return {name: _divide(_lines(path / f"{name}.txt"), split, str(path / f"{name}.txt")) for name in names}
    for folder, other in ((path / "train", held_out), (held_out, path / "train")):
        for file in _texts_in(folder):
            if not (other / file.name).is_file():
                raise UserError(f"{other} has no {file.name}, and {folder} has. Both need the same categories.")
    return {name: _lines((path / "train" if split == "train" else held_out) / f"{name}.txt") for name in names}


def _texts_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.txt") if file.is_file() and not file.name.startswith("."))


def _lines(path: Path) -> list[str]:
    lines = [" ".join(line.split()) for line in _read(path).splitlines()]
    if texts := [line for line in lines if line]:
        return texts
    raise UserError(f"{path} holds no text. It needs one on each line.")


def _pairs(path: Path) -> list[Pair]:
    found = []
    for number, line in enumerate(_read(path).splitlines(), 1):
        if line.strip():
            prompt, *rest = (" ".join(part.split()) for part in line.split("\t"))
            if len(rest) != 1 or not prompt or not rest[0]:
                raise UserError(f"{path}, line {number}: a line is a prompt, one tab and its reply.")
            found.append((prompt, rest[0]))
    if not found:
        raise UserError(f"{path} holds no pair. It needs a prompt, one tab and its reply on each line.")
    return found


def _turns(path: Path) -> list[Pair]:
    if found := turns(_read(path)):
        return found
    raise UserError(
        f"{path} is no drama. A turn is a line with a name and a colon, then lines of speech, then an empty line."
    )


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"Cannot read {path} ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: the byte 0x{error.object[error.start]:02x} is not text. Save the file as UTF-8."
        ) from error


def _divide(items: list[_T], split: str, source: str) -> list[_T]:
    items = list(dict.fromkeys(items))  # or a text could be in both parts
    if len(items) < 2:
        raise UserError(
            f"{source} holds a single text, which cannot be split into training and held-out data; add some."
        )
    return [items[i] for i in split_indices(len(items), split, source)]


def _last_tenth(items: list[_T], split: str, source: str) -> list[_T]:
    if len(items) < 3:
        raise UserError(f"{source} is too short to be split into training and held-out turns; add some.")
    cut = len(items) - max(1, len(items) // _EVERY)
    return items[: cut - 1] if split == "train" else items[cut:]  # the one between shares a turn with both


def _check_split(split: str) -> None:
    if split not in _SPLITS:
        raise UserError(f"There is no split {split!r}; choose from {', '.join(_SPLITS)}.")


def _path(data: str, ways: str) -> Path | None:
    """The file or folder that `data` names; None where it can only be the name of a TFDS set."""
    if not data:
        raise UserError(f"No data given. {ways}.")
    path = Path(data).expanduser()
    if path.exists():
        return path
    if data.startswith((".", "~", os.sep)) or path.suffix.lower() in (".txt", ".tsv"):
        raise UserError(f"{data} does not exist (looked at {path.absolute()}). {ways}.")
    return None


def _is_tfds(path: Path) -> bool:
    return (path / "features.json").is_file() and (path / "dataset_info.json").is_file()


def _prepared(data: str, data_dir: str, download: bool, ways: str) -> Path:
    """The directory of the TFDS set named `data`, or a `UserError` that says how to come by it."""
    if found := tfds.locate(data, data_dir, download):
        return found
    near = difflib.get_close_matches(data, (*SENTENCES, REGISTERS), n=1)
    near = near or difflib.get_close_matches(data.split("/")[0], tfds.names(), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise UserError(
        f"There is no data set named {data!r} nor is {Path(data).absolute()} a file or folder{hint} {ways}."
    )
