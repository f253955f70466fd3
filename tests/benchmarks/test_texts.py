from pathlib import Path

import pytest

from benchmarks import texts as benchmark
from jaxgen.data import texts

PLAY = "".join(f"P{i}:\nThis is the line {i}. And so it goes on.\n\n" for i in range(40))


@pytest.fixture
def shared(tmp_path):
    """A folder like the shared one, with small files."""
    coco, plays = tmp_path / "shared" / benchmark.CAPTIONS, tmp_path / "shared" / benchmark.SHAKESPEARE
    coco.mkdir(parents=True)
    plays.parent.mkdir(parents=True)
    (coco / "image_coco.txt").write_text("a cat.\na dog.\n")
    (coco / "test_coco.txt").write_text("a bird.\n")
    plays.write_text(PLAY)
    return tmp_path / "shared"


def test_captions(shared, tmp_path):
    made = str(benchmark.captions(shared, tmp_path / "captions"))
    assert texts.sentences(made, "train") == ["a cat.", "a dog."]
    assert texts.sentences(made, "test") == ["a bird."]


def test_captions_alike_are_the_ends_of_both_files(shared, tmp_path):
    for name, of in (("image_coco", "room"), ("test_coco", "field")):
        (shared / benchmark.CAPTIONS / f"{name}.txt").write_text("".join(f"a {of} {i}\n" for i in range(20)))
    made = str(benchmark.captions_alike(shared, tmp_path / "alike"))
    train, test = (texts.sentences(made, split) for split in ("train", "test"))
    assert test == ["a room 18", "a room 19", "a field 18", "a field 19"]
    assert (len(train), train[0], train[-1]) == (36, "a room 0", "a field 17")


def test_turns_are_cut_between_two(shared, tmp_path):
    made = benchmark.turns(shared, tmp_path / "turns")
    train, test = ((made / f"{split}.txt").read_text() for split in ("train", "test"))
    assert train + test == PLAY
    assert train.endswith("\n\n")
    assert 0.85 < len(train) / len(PLAY) <= 0.9
    assert texts.replies(f"turns:{made}", "train")[0] == ("And so it goes on.", "This is the line 1.")


def test_registers(shared, tmp_path):
    made = benchmark.registers(shared, tmp_path / "registers")
    train, labels, names = texts.registers(str(made), "train")
    test, _, _ = texts.registers(str(made), "test")
    assert names == ("captions", "drama", "manual")
    drama = [text for text, label in zip(train, labels, strict=True) if label == 1]
    assert drama[:3] == ["This is the line 0.", "And so it goes on.", "This is the line 1."]
    assert "This is the line 39." in test
    assert train[-1] == texts.sentences("pydoc_sentences", "train")[-1]


SHARED = Path("/work/shared/data")


@pytest.mark.skipif(not (SHARED / benchmark.SHAKESPEARE).is_file(), reason="the shared texts are not on this machine")
def test_the_real_ones(tmp_path):
    made = benchmark.registers(SHARED, tmp_path / "registers")
    counts = {p.stem: len(p.read_text().splitlines()) for p in (made / "train").iterdir()}
    assert (counts["captions"], counts["drama"]) == (18_000, 8_427)
