"""Replies to prompts: what a run reads of a prompt, and what `jaxgen sample --prompt` says of it."""

import dataclasses
import shutil

import numpy as np
import pytest

from jaxgen import assemble, cli, trained
from jaxgen.config import AdversarialSequence, Config, Loop, Recurrent
from jaxgen.domains import _text, replies
from jaxgen.domains._text import KEPT
from jaxgen.errors import UserError
from jaxgen.text.vocabulary import UNKNOWN, Vocabulary

pytestmark = pytest.mark.usefixtures("compiled_quickly", "compiled_once")

MODEL = Recurrent(vocabulary=14, embedding=4, width=6, critic=(4, 4), critic_embedding=4)
GAME = AdversarialSequence(pretrain=2, critic_pretrain=2, mle=0.5, anneal=2)
LOOP = Loop(steps=6, steps_per_call=2, log_every=2, sample_every=6, save_every=2)
CONFIG = Config("replies", MODEL, GAME, shape=(5, 4), batch=4, parallel="single", loop=LOOP)
OF = Vocabulary(tuple("abcdefgh"))


def pairs(n, seed):
    """Prompts of three words in a fixed order, replies of two or three: 12 different words in all."""
    rng = np.random.default_rng(seed)
    rows = [rng.choice(words, n) for words in (["the", "a"], ["cat", "dog"], ["of", "in"])]
    more = [rng.choice(words, n) for words in (["my", "our"], ["hat", "box"], ["now", "."])]
    return [(" ".join(row[:3]), " ".join(row[3:])) for row in zip(*rows, *more, strict=True)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replies")
    for name, n, seed in (("train", 40, 0), ("test", 24, 1)):
        (folder / f"{name}.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs(n, seed)))
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """Trained through all three phases by the command line."""
    root = tmp_path_factory.mktemp("run")
    config = dataclasses.replace(CONFIG, data=str(folder))
    head = '"""A test."""\n\nfrom jaxgen.config import *\n\n\ndef get_config():\n    return '
    (root / "tiny.py").write_text(f"{head}{config!r}\n")
    assert cli.main(["train", str(root / "tiny.py"), "--workdir", str(root / "run")]) == 0
    return root / "run"


@pytest.fixture
def alone(run, folder, tmp_path):
    """The run, whose data are gone."""
    alone = shutil.copytree(run, tmp_path / "run")
    config = alone / "config.json"
    config.write_text(config.read_text().replace(str(folder), "/nowhere"))
    return alone


@pytest.fixture
def told(alone, capsys):
    """`told("a cat", "--num", 2)`: (exit code, lines, errors) of the run with that prompt."""

    def told(prompt, *words):
        capsys.readouterr()
        asked = [] if prompt is None else ["--prompt", prompt]
        code = cli.main(["sample", str(alone), *asked, *map(str, words)])
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return told


def test_a_prompt_has_room_for_the_critics_spans():
    gen, critic = assemble.domain(CONFIG).networks(CONFIG, None)
    assert (gen.prompted, critic.prompted) == (True, True)
    with pytest.raises(UserError, match=r"--shape 2 is too short for a critic of spans of 2 to 3 tokens"):
        assemble.build(dataclasses.replace(CONFIG, shape=(5, 2)))
    with pytest.raises(UserError, match=r"--shape 2 is too short"):
        assemble.build(dataclasses.replace(CONFIG, shape=(2, 5)))
    assert {name: a.shape for name, a in replies.raw(CONFIG).items()} == {"prompt": (1, 4), "tokens": (1, 5)}


@pytest.mark.parametrize("words", [0, 1, 3, 4, 5, 9, 4 * 4 + 1, 70])
def test_the_end_of_a_prompt_is_what_is_read(words):
    """In its order, however long it is, filled up behind."""
    prompt = [*"abcdefgh"[: words % 8], *("x" if i % 3 else "bdfh"[i % 4] for i in range(words - words % 8))]
    by_hand = [2 + "abcdefgh".index(word) if word != "x" else UNKNOWN for word in prompt][-4:]
    (found,) = replies._last(OF, [" ".join(prompt)], 4)
    assert found.dtype == np.int32
    assert found.tolist() == by_hand + [0] * (4 - len(by_hand))


def test_prompts_and_replies_as_tokens(tmp_path):
    (tmp_path / "train.tsv").write_text("a b c d e f\tg h\nb a\tc d e f g h\n")
    (tmp_path / "test.tsv").write_text("c yak\td\n")
    cfg = dataclasses.replace(CONFIG, data=str(tmp_path), model=dataclasses.replace(MODEL, vocabulary=10))
    of, names = _text.read_kept(replies.kept(cfg)[KEPT])
    assert (set(of.words), names) == (set("abcdefgh"), [])
    train, test = (replies.load(cfg, split) for split in ("train", "test"))
    assert (of.decode(train["prompt"]), of.decode(train["tokens"])) == (["c d e f", "b a"], ["g h", "c d e f g"])
    assert (of.decode(test["prompt"]), of.decode(test["tokens"])) == (["c <unknown>"], ["d"])
    assert train["prompt"].shape == (2, 4)
    assert train["tokens"].shape == (2, 5)
    with pytest.raises(UserError, match=r"have 8 different words.* use --model\.vocabulary 10, or less"):
        replies.load(dataclasses.replace(cfg, model=MODEL), "train")


def test_without_a_prompt_the_runs_own_are_replied_to(told, alone):
    code, shown, err = told(None, "--num", 30, "--seed", 2)
    assert (code, err) == (0, "")
    *shown, path = shown
    assert path == str(alone / "samples" / "seed-2.txt")
    prompts, made = zip(*(line.split(" | ") for line in shown), strict=True)
    held = [prompt for prompt, _ in pairs(24, 1)]
    assert list(prompts) == held + held[:6]
    assert len(set(made)) > 15
    assert not any("<unknown>" in reply for reply in made)
    assert (alone / "samples" / "seed-2.txt").read_text().splitlines() == shown


def test_a_prompt_of_ones_own(told, alone, tmp_path):
    """Replies are the model's to that prompt, and other prompts get others."""
    code, shown, err = told("The DOG in", "--num", 20, "--out", tmp_path / "a.npz")
    assert (code, err) == (0, "")
    *shown, path = shown
    assert path == str(tmp_path / "a.npz")
    assert {line.split(" | ")[0] for line in shown} == {"the dog in"}
    of, _ = _text.read_kept((alone / KEPT).read_text())
    prompt = np.repeat(of.encode(["the dog in"], 4), 20, axis=0)
    made = trained.load(alone).sequences(20, 0, {"prompt": prompt})
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_array_equal(file["tokens"], made)
    assert [line.split(" | ")[1] for line in shown] == of.decode(made)
    assert len(set(shown)) > 10


def test_a_prompt_needs_nothing_but_the_vocabulary(told, alone):
    (alone / "examples.npz").unlink()
    assert told("the dog in", "--num", 2)[0] == 0
    code, _, err = told(None)
    assert code == 2
    assert "examples.npz cannot be read" in err


def test_what_is_not_read_of_a_prompt_is_said(told):
    _, (said, *shown, _), _ = told("the zebra in zanzibar, zebra", "--num", 2)
    assert said == "Not in the vocabulary, read as unknown: zebra, zanzibar, ,."
    _, (first, second, *shown, _), _ = told("zebra " + "my box " * 40 + "of a cat", "--num", 1)
    assert first == "Not in the vocabulary, read as unknown: zebra."
    assert second == "The prompt is longer than 4 words; its end is read."
    assert shown[0].split(" | ")[0] == "box of a cat"
    _, shown, _ = told("box of a cat", "--num", 1)
    assert len(shown) == 2  # as long as it may be, and nothing is said


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", '--prompt is empty; give some words, as --prompt "a man on a"'),
        (" \t\n", "--prompt is empty"),
        ("zebras zoom", "No word of the prompt 'zebras zoom' is in the run's vocabulary; choose others."),
        ("<unknown>", "No word of the prompt '<unknown>'"),
    ],
)
def test_prompts_that_cannot_be_read(told, prompt, message):
    code, _, err = told(prompt)
    assert code == 2
    assert message in err


def test_replies_are_judged(run, capsys):
    assert cli.main(["evaluate", str(run)]) == 0
    found = {name: float(value) for name, value in map(str.split, capsys.readouterr().out.splitlines())}
    fits = {"matcher_auc", "generated_auc", "score_share", "own_auc", "matcher_auc_inside", "generated_auc_inside"}
    assert {"nll", "bleu_2", "self_bleu_5", "distinct_2", "distinct_2_real", "copies", *fits} <= found.keys()
    assert found["score_share"] == pytest.approx(found["generated_auc"] / found["matcher_auc"], abs=1e-3)
    assert 0 < found["nll"] < 2 * np.log(14)
    assert found["heldout"] == 24
    preview = (run / "samples" / "6.txt").read_text().splitlines()
    truth = [(line.split(" | ")[0], line.partition("(in the data: ")[2][:-1]) for line in preview]
    assert truth == [(a, b.replace(" .", ".")) for a, b in pairs(24, 1)[:16]]
