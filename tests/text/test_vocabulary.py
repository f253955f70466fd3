import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.text import vocabulary
from jaxgen.text.vocabulary import Vocabulary, build, from_json, split

TEXTS = ["The cat sat.", "the cat, the dog", "A dog sat"]


def test_the_most_frequent_come_first_and_ties_go_by_spelling():
    assert build(TEXTS, 100).words == ("the", "cat", "dog", "sat", ",", ".", "a")
    cut = build(TEXTS, 5)
    assert (cut.words, cut.size) == (("the", "cat", "dog"), 5)


def test_characters_keep_their_case():
    made = build(["aAa  b\n"], 100, "character")
    assert made.words == ("a", " ", "A", "b")
    tokens = made.encode([" Ab\ta", "ab?"], 6)
    assert tokens.tolist() == [[4, 5, 3, 2, 0, 0], [2, 5, 1, 0, 0, 0]]
    assert made.decode(tokens) == ["Ab a", "ab\N{REPLACEMENT CHARACTER}"]


def test_encode_by_hand():
    tokens = Vocabulary(("the", "cat", ".")).encode(["The cat.", "", "the dog the cat ."], 4)
    assert tokens.tolist() == [[2, 3, 4, 0], [0, 0, 0, 0], [2, 1, 2, 3]]
    assert tokens.dtype == np.int32


def test_decode_stops_at_the_first_end():
    assert Vocabulary(("a", "b")).decode(np.array([[2, 0, 3], [0, 2, 2], [3, 1, 2]])) == ["a", "", "b <unknown> a"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't STOP.", ["don't", "stop", "."]),
        ("3.8, left-hand (e.g.)", ["3.8", ",", "left-hand", "(", "e.g", ".", ")"]),
        ("so -- what...", ["so", "--", "what", "..."]),
        ("\u201cit\u2019s\u201d a<unknown>", ['"', "it's", '"', "a", "<unknown>"]),
        ("__init__ 'tis", ["__init__", "'", "tis"]),
    ],
)
def test_split_by_hand(text, words):
    assert split(text) == words


@pytest.mark.parametrize(
    "text",
    [
        'he said: "wait, what?" and left (at 5.30).',
        "don't -- no, never... 'tis a \"test\" of a-b.",
        "50% of $3 [or {so}]; and/or x = y!",
        "one <unknown> word",
    ],
)
def test_what_is_well_set_comes_back(text):
    made = build([text], 100)
    assert made.decode(made.encode([text], 60)) == [text]


def test_numbers_come_back_whatever_the_words():
    """Set as in print, a row of any words is split into the same words again."""
    words = ["a", "b.c", "it's", *".,;:!?()[]{}%$'\"-/", "...", "--", "---", "5", "_", "\u00e9"]
    made = Vocabulary(tuple(words))
    tokens = np.random.default_rng(0).integers(1, made.size, (3000, 9)).astype(np.int32)
    shown = made.decode(tokens)
    different = [
        text for text, row, again in zip(shown, tokens, made.encode(shown, 9), strict=True) if (row != again).any()
    ]
    assert not different


def test_words_it_does_not_know():
    made = build(TEXTS, 5)
    assert made.unknown("The bird, the CAT and a bird") == ["bird", ",", "and", "a"]
    assert made.unknown("the dog") == []
    assert made.coverage(["the bird", "a dog"]) == 0.5
    assert made.coverage([""]) == 0


@pytest.mark.parametrize("level", ["word", "character"])
def test_json_comes_back(level):
    made = build(['Caf\u00e9 "x" don\'t'], 100, level)
    assert from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no vocabulary"),
        ('{"level": "letter", "words": ["a"]}', "no vocabulary"),
        ('{"level": "word", "words": "ab"}', "no list"),
        ('{"level": "word", "words": []}', "no list"),
        ('{"level": "word", "words": ["a", 2]}', "no list"),
        ('{"level": "word", "words": ["a b"]}', "'a b' is no word"),
        ('{"level": "word", "words": ["A"]}', "'A' is no word"),
        ('{"level": "word", "words": ["<unknown>"]}', "is no word"),
        ('{"level": "character", "words": ["ab"]}', "'ab' is no word"),
        ('{"level": "word", "words": ["a", "b", "a"]}', "'a' twice"),
    ],
)
def test_what_is_no_vocabulary(text, message):
    with pytest.raises(UserError, match=message):
        from_json(text)


def test_refuses():
    made = build(TEXTS, 5)
    with pytest.raises(UserError, match="at least 3"):
        build(TEXTS, 2)
    with pytest.raises(UserError, match="no word"):
        build(["", " "], 10)
    with pytest.raises(UserError, match="at least 1"):
        made.encode(TEXTS, 0)
    with pytest.raises(UserError, match="from 0 to 4"):
        made.decode(np.array([[5]]))
    with pytest.raises(UserError, match="from 0 to 4"):
        made.decode(np.array([[-1]]))
    with pytest.raises(UserError, match=r"\[N, T\]"):
        made.decode(np.array([1]))
    assert vocabulary.END == 0
