"""Writing by category: which category is asked for, and that the run knows what they are called."""

import dataclasses
import shutil

import numpy as np
import pytest

from jaxgen import assemble, cli, trained
from jaxgen.config import AdversarialSequence, Config, Loop, Recurrent
from jaxgen.domains import _text, registers
from jaxgen.domains._text import KEPT
from jaxgen.errors import UserError
from jaxgen.types import Split

pytestmark = pytest.mark.usefixtures("compiled_quickly", "compiled_once")

MODEL = Recurrent(vocabulary=12, embedding=4, width=6, critic=(4, 4), critic_embedding=4)
GAME = AdversarialSequence(pretrain=2, critic_pretrain=2, mle=0.5, anneal=2, classes=2)
LOOP = Loop(steps=6, steps_per_call=2, log_every=2, sample_every=6, save_every=2)
CONFIG = Config("registers", MODEL, GAME, shape=(5,), batch=4, parallel="single", loop=LOOP)
WORDS = {"drama": ["thou", "art", "mad", "my", "lord"], "manual": ["the", "value", "is", "an", "int"]}


def lines(name, n, seed):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.permutation(WORDS[name])[: rng.integers(3, 6)]) for _ in range(n)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """30 and 20 texts to train on, 10 and 8 held out."""
    folder = tmp_path_factory.mktemp("registers")
    for split, sizes in (("train", (30, 20)), ("test", (10, 8))):
        (folder / split).mkdir()
        for name, n in zip(WORDS, sizes, strict=True):
            (folder / split / f"{name}.txt").write_text("\n".join(lines(name, n, n)))
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """Trained through all three phases by the command line."""
    root = tmp_path_factory.mktemp("run")
    head = '"""A test."""\n\nfrom jaxgen.config import *\n\n\ndef get_config():\n    return '
    (root / "tiny.py").write_text(f"{head}{dataclasses.replace(CONFIG, data=str(folder))!r}\n")
    assert cli.main(["train", str(root / "tiny.py"), "--workdir", str(root / "run")]) == 0
    return root / "run"


def sample(capsys, run, *words):
    """(exit code, lines, errors)."""
    capsys.readouterr()
    code = cli.main(["sample", str(run), *map(str, words)])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err


def test_texts_and_their_categories(folder):
    cfg = dataclasses.replace(CONFIG, data=str(folder))
    of, names = _text.read_kept(registers.kept(cfg)[KEPT])
    assert names == ["drama", "manual"]
    assert set(of.words) == {word for words in WORDS.values() for word in words}
    expected: dict[Split, tuple[int, int]] = {"train": (30, 20), "test": (10, 8)}
    for split, sizes in expected.items():
        raw = registers.load(cfg, split)
        assert raw["label"].dtype == np.int32
        texts = [lines(name, n, n) for name, n in zip(WORDS, sizes, strict=True)]
        expected_labels, expected_texts = np.repeat([0, 1], sizes), [text for of_one in texts for text in of_one]
        if split == "test":  # in turn, while there are some of each
            expected_labels = np.array([0, 1] * 8 + [0, 0])
            expected_texts = [text for pair in zip(texts[0], texts[1], strict=False) for text in pair] + texts[0][8:]
        np.testing.assert_array_equal(raw["label"], expected_labels)
        assert of.decode(raw["tokens"]) == expected_texts
    assert {name: a.shape for name, a in registers.raw(cfg).items()} == {"tokens": (1, 5), "label": (1,)}
    gen, critic = assemble.domain(cfg).networks(cfg, None)
    assert (gen.classes, critic.classes, gen.prompted) == (2, 2, False)


@pytest.mark.parametrize("classes", [0, 1, 3])
def test_as_many_classes_as_categories(folder, classes):
    cfg = dataclasses.replace(CONFIG, data=str(folder), game=dataclasses.replace(GAME, classes=classes))
    with pytest.raises(UserError, match=r"has 2 categories \(drama, manual\); use --game\.classes 2"):
        registers.load(cfg, "train")


def test_categories_in_turn_or_one(run, folder, tmp_path, capsys):
    """Of a run whose data are gone."""
    alone = shutil.copytree(run, tmp_path / "run")
    config = alone / "config.json"
    config.write_text(config.read_text().replace(str(folder), "/nowhere"))
    code, shown, err = sample(capsys, alone, "--num", 5)
    assert (code, err) == (0, "")
    assert [line.split("]")[0] for line in shown[:-1]] == ["[drama", "[manual", "[drama", "[manual", "[drama"]
    code, shown, _ = sample(
        capsys, alone, "--num", 30, "--seed", 4, "--category", "manual", "--out", tmp_path / "a.txt"
    )
    *shown, path = shown
    assert (code, path) == (0, str(tmp_path / "a.txt"))
    assert (tmp_path / "a.txt").read_text().splitlines() == shown
    of, _ = _text.read_kept((alone / KEPT).read_text())
    made = trained.load(alone).sequences(30, 4, {"label": np.ones(30, np.int32)})
    assert shown == [f"[manual] {line}" for line in of.decode(made)]
    assert not any("<unknown>" in line for line in shown)
    _, other, _ = sample(capsys, alone, "--num", 30, "--seed", 4, "--category", "drama")
    assert [line.split("]")[1] for line in other[:-1]] != [line.split("]")[1] for line in shown]


@pytest.mark.parametrize(
    ("category", "message"),
    [
        ("manuel", "There is no category 'manuel'; did you mean 'manual'?"),
        ("x", "There is no category 'x'; choose from drama, manual."),
    ],
)
def test_a_category_that_there_is_not(run, capsys, category, message):
    code, shown, err = sample(capsys, run, "--category", category)
    assert (code, shown) == (2, [])
    assert message in err


def test_categories_are_judged(run, capsys):
    capsys.readouterr()
    assert cli.main(["evaluate", str(run)]) == 0
    found = {name: float(value) for name, value in map(str.split, capsys.readouterr().out.splitlines())}
    assert {"nll", "bleu_2", "self_bleu_5", "copies", "memorisation_auc", "accuracy"} <= found.keys()
    assert found["heldout"] == 18
    assert found["accuracy_real"] == 1  # no word is in both
    assert 0 <= found["accuracy"] < 1
    preview = (run / "samples" / "6.txt").read_text().splitlines()
    assert [line.split("]")[0] for line in preview] == ["[drama", "[manual"] * 8


def test_only_what_the_critic_lets_pass(run, capsys):
    """Whatever is drawn beside it; of the category that was asked for, some other texts than without the critic."""
    words = ("--seed", 4, "--category", "manual")
    (code, judged, err), (_, plain, _) = (sample(capsys, run, "--num", 9, *words, *more) for more in (["--judged"], []))
    assert (code, err) == (0, "")
    assert all(line.startswith("[manual]") for line in judged[:-1])
    assert judged[:-1] != plain[:-1]
    _, fewer, _ = sample(capsys, run, "--num", 3, *words, "--judged")
    assert fewer[:-1] == judged[:3]
    of = trained.load(run)
    texts = of.judged(9, 4, {"label": np.ones(9, np.int32)})
    assert (of.passing(texts, {"label": np.ones(9, np.int32)}) <= 0).all()
