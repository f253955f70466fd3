import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.levels import text
from jaxgen.levels.tiles import TILESETS

MARIO, SOKOBAN = TILESETS["mario"], TILESETS["sokoban"]
LEVEL = "---o\n-<>E\nX[]X\n"


def test_by_hand():
    (level,) = text.parse(LEVEL, MARIO, "a.txt")
    np.testing.assert_array_equal(level, [[0, 0, 0, 10], [0, 6, 7, 5], [1, 8, 9, 1]])
    assert level.dtype == np.uint8
    assert text.dump(level, MARIO) == LEVEL


@pytest.mark.parametrize("tileset", TILESETS.values(), ids=TILESETS)
def test_round_trip(tileset):
    level = np.random.default_rng(0).integers(0, tileset.size, (30, 17)).astype(np.uint8)
    level[3] = 1  # in Sokoban a row of spaces, which no empty line may be taken for
    (back,) = text.parse(text.dump(level, tileset), tileset, "")
    np.testing.assert_array_equal(back, level)


@pytest.mark.parametrize(
    "given",
    [
        LEVEL.rstrip("\n"),
        "\n\n" + LEVEL + "\n",
        LEVEL.replace("\n", "\r\n"),
        LEVEL.replace("\n", "\r"),
        LEVEL.encode(),
        b"\xef\xbb\xbf" + LEVEL.encode(),  # Windows' mark of UTF-8
    ],
)
def test_line_ends_and_bytes(given):
    (level,) = text.parse(given, MARIO, "")
    assert text.dump(level, MARIO) == LEVEL


def test_many_levels_in_one_text():
    levels = text.parse("; 0\n##\n#@\n\n; 1\n#$.\n\n ##\n", SOKOBAN, "")
    assert [level.tolist() for level in levels] == [[[0, 0], [0, 4]], [[0, 3, 2]], [[1, 0, 0]]]
    assert [len(level) for level in text.parse("##\n; a\n##\n##\n;b\n##", SOKOBAN, "")] == [1, 2, 1]


BAD = {
    "unknown": (
        "--\n\n-X-\nX-z\n",
        r"b\.txt, line 4, column 3: 'z' is no tile of mario\. The tiles are '-' empty, 'X'",
    ),
    "not ascii": ("--\n-é\n", r"line 2, column 2: 'é' is no tile"),
    "not latin": ("-\n\N{SNOWMAN}\n", r"line 2, column 1: '☃' is no tile"),
    "space": ("-- \n", "column 3: ' ' is no tile of mario"),
    "tab": ("-\t\n", r"column 2: '\\t' is no tile"),
    "short row": ("; 0\n---\n---\n--\n", r"line 4, column 3: row 3 has 2 tiles, row 1 has 3\."),
    "long row": ("--\n---\n", "line 2, column 3: row 2 has 3 tiles, row 1 has 2"),
    "nothing": ("", r"b\.txt holds no level"),
    "empty lines": ("\n\n\r\n", "holds no level"),
    "last header": ("; 0\n--\n\n; 1\n", "line 4: this header has no level below it"),
    "header twice": ("; 0\n\n; 1\n--\n", "line 1: this header has no level below it"),
    "bytes": (b"--\n-\xff\n", "line 2, column 2: the byte 0xff is not text"),
}


@pytest.mark.parametrize(("given", "said"), BAD.values(), ids=BAD)
def test_bad_text_is_refused(given, said):
    with pytest.raises(UserError, match=said):
        text.parse(given, MARIO, "b.txt")


def test_a_number_that_is_no_tile():
    with pytest.raises(IndexError):
        text.dump(np.full((2, 2), 13, np.uint8), MARIO)
