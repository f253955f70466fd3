"""Levels as text: one character a tile, one line a row."""

from typing import NoReturn

import numpy as np

from jaxgen.errors import UserError
from jaxgen.levels.tiles import Tileset

_UNKNOWN = 255


def parse(text: str | bytes, tileset: Tileset, source: str) -> list[np.ndarray]:
    """Every level of `text`, each uint8 [H, W] of tile numbers, in order; H and W may differ from level to level.

    Empty lines, and lines that begin with `;` (the headers of Boxoban's files, "; 12"), stand between levels; a line of
    spaces is a row wherever a space is a tile. Bytes are read as UTF-8. `source` names the text in messages.

    Raises `UserError` that gives the line and the column for a character that is no tile of `tileset`, rows of
    different lengths, a header without a level, bytes that are not text, and text without any level.
    """
    rows: list[str] = []
    first = 0  # line number of rows[0], from 1
    headed = 0  # line number of a header that still waits for its level; 0 where none does
    table = _table(tileset)
    levels = []
    for number, line in enumerate([*_lines(text, source), ""], 1):
        if line and line[0] != ";":
            first = first if rows else number
            rows.append(line)
            continue
        if rows:
            levels.append(_level(rows, first, table, tileset, source))
            rows, headed = [], 0
        if line and headed:
            _empty(source, headed)
        headed = number if line else headed
    if headed:
        _empty(source, headed)
    if not levels:
        raise UserError(f"{source} holds no level: it has no line of tiles. The tiles are {tileset.legend()}.")
    return levels


def dump(level: np.ndarray, tileset: Tileset) -> str:
    """uint8 [H, W] -> H lines of W characters, each ended by a newline; `parse` gives the level back."""
    chars = np.array(list(tileset.chars))
    return "".join("".join(row) + "\n" for row in chars[level])


def _lines(text: str | bytes, source: str) -> list[str]:
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = text[: error.start]
            line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
            raise UserError(
                f"{source}, line {line}, column {column}: the byte 0x{text[error.start]:02x} is not text. A level is "
                "plain text (ASCII or UTF-8), one character a tile."
            ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _table(tileset: Tileset) -> np.ndarray:
    """uint8 [256]: the tile number of each Latin-1 character."""
    table = np.full(256, _UNKNOWN, np.uint8)
    table[np.frombuffer(tileset.chars.encode("latin-1"), np.uint8)] = np.arange(tileset.size)
    return table


def _level(rows: list[str], first: int, table: np.ndarray, tileset: Tileset, source: str) -> np.ndarray:
    width = len(rows[0])
    whole = "".join(rows)
    try:
        tiles = table[np.frombuffer(whole.encode("latin-1"), np.uint8)]
    except UnicodeEncodeError:
        _unknown(rows, first, tileset, source)
    if (tiles == _UNKNOWN).any():
        _unknown(rows, first, tileset, source)
    for i, row in enumerate(rows):
        if len(row) != width:
            raise UserError(
                f"{source}, line {first + i}, column {min(len(row), width) + 1}: row {i + 1} has {len(row)} tiles, "
                f"row 1 has {width}. All rows of a level are of one length; an empty line stands between levels."
            )
    return tiles.reshape(len(rows), width)


def _unknown(rows: list[str], first: int, tileset: Tileset, source: str) -> NoReturn:
    line, column, char = next(
        (first + i, j + 1, char)
        for i, row in enumerate(rows)
        for j, char in enumerate(row)
        if char not in tileset.chars
    )
    raise UserError(
        f"{source}, line {line}, column {column}: {char!r} is no tile of {tileset.name}. "
        f"The tiles are {tileset.legend()}."
    )


def _empty(source: str, line: int) -> NoReturn:
    raise UserError(f"{source}, line {line}: this header has no level below it.")
