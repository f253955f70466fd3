"""Texts as rows of whole numbers, and back."""

import functools
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jaxgen.errors import UserError

Level = Literal["word", "character"]

END = 0
"""The id of the end of a text, of the padding behind it, and of what a generator is fed first."""
UNKNOWN = 1
"""The id of every word that a vocabulary does not hold."""
FIRST = 2
"""The id of a vocabulary's first word."""
UNKNOWN_WORD = {"word": "<unknown>", "character": "\N{REPLACEMENT CHARACTER}"}
"""How `UNKNOWN` is written in a text, by level."""

_WORD = re.compile(r"<unknown>|\w+(?:['.-]\w+)*|\.\.\.|-{2,}|[^\w\s]")
_STRAIGHT = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
_CLOSING = frozenset([".", ",", ";", ":", "!", "?", ")", "]", "}", "%", "...", "/"])
_OPENING = frozenset(["(", "[", "{", "$", "'", "/"])
_FORM = '{"level": "word" or "character", "words": [...]}'


@dataclass(frozen=True)
class Vocabulary:
    """The words that have numbers of their own: `words[i]` is number i + 2, behind `END` and `UNKNOWN`.

    A word is what `split` gives at this `level`: of a text's words and punctuation marks, or of its characters.
    """

    words: tuple[str, ...]
    level: Level = "word"

    @property
    def size(self) -> int:
        """How many different numbers there are, `END` and `UNKNOWN` among them."""
        return FIRST + len(self.words)

    def encode(self, texts: Sequence[str], length: int) -> np.ndarray:
        """int32 [N, length]: the numbers of each text's words, `END` behind the last.

        Of a text with more than `length` words the first `length` are kept; one with `length` words or more has no
        `END` in its row. Raises `UserError` where `length` is below 1.
        """
        if length < 1:
            raise UserError(f"A text's length must be at least 1, not {length}.")
        tokens = np.full((len(texts), length), END, np.int32)
        for row, text in zip(tokens, texts, strict=True):
            ids = [self._ids.get(word, UNKNOWN) for word in split(text, self.level)[:length]]
            row[: len(ids)] = ids
        return tokens

    def decode(self, tokens: np.ndarray) -> list[str]:
        """The N texts of `tokens`, int [N, T], each up to its first `END`.

        Words are parted by spaces but for punctuation, which stands as in print; `encode` gives the numbers back.
        `UNKNOWN` is written as in `UNKNOWN_WORD`. Raises `UserError` for another shape, or a number that is no word's.
        """
        tokens = np.asarray(tokens)
        if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer):
            raise UserError(f"tokens is {tokens.dtype} {tokens.shape}; pass whole numbers as [N, T].")
        if tokens.size and not (tokens.min() >= 0 and tokens.max() < self.size):
            raise UserError(
                f"tokens has numbers from {tokens.min()} to {tokens.max()}, and this vocabulary those from 0 to "
                f"{self.size - 1}. Decode with the vocabulary that the texts were encoded with."
            )
        join = "".join if self.level == "character" else _join
        spelled = ["", UNKNOWN_WORD[self.level], *self.words]
        return [join([spelled[i] for i in row[: _length(row)]]) for row in tokens.tolist()]

    def unknown(self, text: str) -> list[str]:
        """The words of `text` that have no number of their own, each once, in order of appearance."""
        return [word for word in dict.fromkeys(split(text, self.level)) if word not in self._ids]

    def coverage(self, texts: Iterable[str]) -> float:
        """The share of the words of `texts`, counted with repetition, that have numbers of their own; 0 without any."""
        words = [word for text in texts for word in split(text, self.level)]
        return sum(word in self._ids for word in words) / max(1, len(words))

    def to_json(self) -> str:
        """One line of JSON; `from_json` reads it."""
        return json.dumps({"level": self.level, "words": self.words}, ensure_ascii=False)

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words, FIRST)}


def build(texts: Iterable[str], size: int, level: Level = "word") -> Vocabulary:
    """The `size` - 2 most frequent words of `texts`, or all if there are fewer: the most frequent first, ties by
    spelling.

    Raises `UserError` where `size` is below 3 or `texts` hold no word.
    """
    if size <= FIRST:
        raise UserError(f"A vocabulary needs a size of at least {FIRST + 1} (two numbers are taken), not {size}.")
    counts = Counter(word for text in texts for word in split(text, level))
    del counts[UNKNOWN_WORD[level]]
    if not counts:
        raise UserError("The texts hold no word to make a vocabulary of; check that they are not empty.")
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return Vocabulary(tuple(ranked[: size - FIRST]), level)


def split(text: str, level: Level = "word") -> list[str]:
    """The words of `text`.

    Of "word": lower-cased; letters, digits and underscores in a row, and such rows linked by a single apostrophe,
    full stop or hyphen ("don't", "3.8", "left-hand"). Any other sign is a word by itself, but for "..." and dashes of
    two hyphens and more. Curly quotation marks become straight ones. Of "character": each one, case kept, where any
    white space is one space and that at either end is left out.
    """
    if level == "character":
        return list(" ".join(text.split()))
    return _WORD.findall(text.translate(_STRAIGHT).lower())


def from_json(text: str) -> Vocabulary:
    """What `Vocabulary.to_json` wrote. Raises `UserError` for anything else."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"This vocabulary is no JSON ({error}). It has to be of the form {_FORM}.") from error
    if not isinstance(read, dict) or read.keys() != {"level", "words"} or read["level"] not in ("word", "character"):
        raise UserError(f"This is no vocabulary. One is of the form {_FORM}.")
    words, level = read["words"], read["level"]
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise UserError(f"The words of this vocabulary are no list of texts. It has to be of the form {_FORM}.")
    for word in words:
        if word == UNKNOWN_WORD[level] or (word != " " and split(word, level) != [word]):
            raise UserError(f"{word!r} is no word that a text of {level}s could hold. Remove it.")
    if len(set(words)) < len(words):
        twice = next(word for word, count in Counter(words).items() if count > 1)
        raise UserError(f"This vocabulary holds {twice!r} twice. Remove one.")
    return Vocabulary(tuple(words), level)


def _length(row: list[int]) -> int:
    return row.index(END) if END in row else len(row)


def _join(words: list[str]) -> str:
    text, glued, quoted = "", True, False
    for word in words:
        opens = word in _OPENING or (word == '"' and not quoted)
        closes = word in _CLOSING or (word == '"' and quoted)
        closes &= not (word[0] == "." and text.endswith("."))  # dots in a row would be read as another word
        text += word if glued or closes else " " + word
        glued, quoted = opens, quoted ^ (word == '"')
    return text
