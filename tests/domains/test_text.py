"""Texts without a prompt: what is refused, what a run keeps, and the way from a folder to files, as a user goes it."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from etils import epath

from jaxgen import assemble, cli, run_directory, trained
from jaxgen.config import MLP, Adversarial, AdversarialSequence, Config, Loop, Recurrent
from jaxgen.domains import _text, text
from jaxgen.domains._text import KEPT, TextOptions
from jaxgen.errors import UserError
from jaxgen.text.vocabulary import UNKNOWN, Vocabulary

pytestmark = pytest.mark.usefixtures("compiled_quickly", "compiled_once")

MODEL = Recurrent(vocabulary=13, embedding=4, width=6, critic=(4, 4), critic_embedding=4)
GAME = AdversarialSequence(pretrain=2, critic_pretrain=2, mle=0.5, anneal=2)
LOOP = Loop(steps=6, steps_per_call=2, log_every=2, sample_every=6, save_every=2)
CONFIG = Config("text/sentences", MODEL, GAME, shape=(8,), batch=4, parallel="single", loop=LOOP)
OF = Vocabulary(("the", "a", "cat", "dog", "sees", "hears", "red", "small", ".", "now"))


def lines(n, seed):
    """Sentences of the ten words of `OF`, all of which come in any twenty."""
    rng = np.random.default_rng(seed)
    draw = [rng.permuted(np.resize(words, n)) for words in (["the", "a"], ["red", "small"], ["cat", "dog"])]
    verbs = rng.permuted(np.resize(["sees", "hears"], n))
    return [f"{a} {b} {c} {v} {a} {c} now." for a, b, c, v in zip(*draw, verbs, strict=True)]


def config_file(cfg):
    """The text of a file with the config."""
    return f'"""A test."""\n\nfrom jaxgen.config import *\n\n\ndef get_config():\n    return {cfg!r}\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Texts of 11 different words, held-out ones with one that is not among them; tokens below 13."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "train.txt").write_text("\n".join([*lines(40, 0), "the zebra sees."]))
    (folder / "test.txt").write_text("\n".join([*lines(20, 1), "the yak hears."]))
    np.savez(folder / "tokens.npz", train=np.arange(240).reshape(30, 8) % 13, test=np.arange(80).reshape(10, 8) % 12)
    return folder


@pytest.fixture(scope="module")
def runs(folder, tmp_path_factory):
    """`runs(name)`: the directory of a run by the command line, trained once through all three phases."""
    root, made = tmp_path_factory.mktemp("runs"), {}
    character = dataclasses.replace(MODEL, level="character")  # of the same sizes: compiled already
    configs = {
        "words": CONFIG,
        "characters": dataclasses.replace(CONFIG, model=character),
        "tokens": dataclasses.replace(CONFIG, domain="text/tokens", data=str(folder / "tokens.npz")),
    }

    def run(name):
        if name not in made:
            data = configs[name].data if name == "tokens" else str(folder)
            (root / f"{name}.py").write_text(config_file(dataclasses.replace(configs[name], data=data)))
            assert cli.main(["train", str(root / f"{name}.py"), "--workdir", str(root / name)]) == 0
            made[name] = root / name
        return made[name]

    return run


def refused(capsys, *words):
    """What is said of a command that exits 2."""
    assert cli.main([*map(str, words)]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": MLP()}, "'text/sentences' has no model MLP; choose Recurrent"),
        ({"game": Adversarial()}, "played by AdversarialSequence, not Adversarial"),
        ({"shape": (28, 28, 1)}, r"is its tokens, and perhaps those of a prompt, as 20 or 20 12; not \(28, 28, 1\)"),
        ({"shape": (1,)}, "--shape of text is its tokens"),
        ({"shape": ()}, "--shape of text is its tokens"),
        ({"shape": (2,)}, r"--shape 2 is too short for a critic of spans of 2 to 3 tokens"),
        ({"model": dataclasses.replace(MODEL, critic=())}, "--model.critic takes channels for one span and more"),
        (
            {"model": dataclasses.replace(MODEL, core="memory", heads=4)},
            "--model.width 6 can't be shared among 4 heads",
        ),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        assemble.build(dataclasses.replace(CONFIG, **change))


def test_networks_are_the_configs():
    gen, critic = _text.networks(dataclasses.replace(CONFIG, precision="bf16"), "data", prompted=True, ends=False)
    assert (gen.vocabulary, gen.width, gen.prompted, gen.ends) == (13, 6, True, False)
    assert (gen.axis_name, gen.dtype) == ("data", "bfloat16")
    assert (critic.channels, critic.prompted, critic.classes) == ((4, 4), True, 0)
    # Only of a prompt do its tokens have to hold the critic's spans.
    beside = dataclasses.replace(CONFIG, shape=(8, 2))
    assert _text.networks(beside, None)[0].prompted is False
    with pytest.raises(UserError, match="--shape 2 is too short"):
        _text.networks(beside, None, prompted=True)


def test_a_game_of_words_never_writes_the_unknown_one():
    assert assemble.build(CONFIG).game.never == UNKNOWN
    assert assemble.build(dataclasses.replace(CONFIG, domain="text/tokens")).game.never == -1


def test_texts_as_tokens(folder):
    """By a vocabulary of the training texts alone."""
    cfg = dataclasses.replace(CONFIG, data=str(folder), model=dataclasses.replace(MODEL, vocabulary=12))
    (found, names) = _text.read_kept(text.kept(cfg)[KEPT])
    assert names == []
    assert set(found.words) == set(OF.words)
    train, test = (text.load(cfg, split)["tokens"] for split in ("train", "test"))
    assert (train.shape, train.dtype, test.shape) == ((41, 8), np.int32, (21, 8))
    assert found.decode(train[:40]) == lines(40, 0)
    assert found.decode(train[40:]) == ["the <unknown> sees."]
    assert found.decode(test) == [*lines(20, 1), "the <unknown> hears."]
    assert text.load(dataclasses.replace(cfg, shape=(3,)), "test")["tokens"].tolist() == test[:, :3].tolist()


def test_a_vocabulary_larger_than_the_texts_is_refused(folder):
    """Its numbers would stand for no word."""
    cfg = dataclasses.replace(CONFIG, data=str(folder), model=dataclasses.replace(MODEL, vocabulary=14))
    with pytest.raises(UserError, match=r"have 11 different words, .* 13; use --model\.vocabulary 13, or less"):
        text.load(cfg, "train")
    assert text.load(dataclasses.replace(cfg, model=MODEL), "train")["tokens"].max() == 12


def test_nats_are_of_tokens_with_their_ends():
    """Also of those that the model is certain of."""

    class Certain(trained.Trained):
        def __init__(self):
            """Nothing of a run."""

        def log_likelihood(self, batch, temperature=1.0):
            return np.array([[-1.0, 0.0, -2.0, 0.0], [-3.0, -1.0, 0.0, 0.0], [-1, -1, -1, -1]], np.float32)

    tokens = np.array([[2, 3, 0, 0], [2, 0, 0, 0], [2, 3, 4, 5]])
    assert _text.counted(tokens) == 3 + 2 + 4
    assert _text.nll(Certain(), {"tokens": tokens}) == pytest.approx(11 / 9)
    assert _text.nll(Certain(), {"tokens": tokens}, ends=False) == pytest.approx(11 / 12)


def test_files_of_previews(tmp_path):
    kept = _text.kept(OF, ["animals", "others"])
    rows = OF.encode(["the cat sees.", "a dog"], 6)
    pictures = {"samples": rows.astype(np.float32)}

    def written(**more):
        (path,) = _text.write(pictures | more, epath.Path(tmp_path / "v1.5"), kept)
        assert path.name == "v1.5.txt"
        return path.read_text().splitlines()

    assert written() == ["the cat sees.", "a dog"]
    assert written(label=np.array([1, 0])) == ["[others] the cat sees.", "[animals] a dog"]
    assert written(prompt=OF.encode(["now", "the red"], 3), originals=rows[::-1]) == [
        "now | the cat sees. (in the data: a dog)",
        "the red | a dog (in the data: the cat sees.)",
    ]
    (path,) = text.write_tokens({"samples": np.array([[3, 0, 1], [0, 0, 2]])}, epath.Path(tmp_path / "7"))
    assert path.read_text() == "3 0 1\n0 0 2\n"


@pytest.mark.parametrize("damaged", ["", "[1]", "{}", '{"vocabulary": {}, "names": []}', '{"vocabulary": 3}'])
def test_a_damaged_vocabulary(damaged):
    with pytest.raises(UserError, match=rf"The run's {KEPT} is damaged .* Go on with the run, which writes it anew"):
        _text.read_kept(damaged)
    words, names = _text.read_kept(_text.kept(OF, ["één"])[KEPT])
    assert (words, names) == (OF, ["één"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "texts.csv"}, r"texts\.csv must be a file that ends in \.txt .* or \.npz"),
        ({"out": "texts"}, "must be a file that ends in"),
        ({"temperature": 0.0}, "--temperature must be 0.05 to 5, not 0"),
        ({"temperature": 6.0}, "--temperature must be"),
        ({"temperature": float("nan")}, "--temperature must be"),
    ],
)
def test_options_that_make_no_sense(options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        _text.check_out(TextOptions(**options), epath.Path(tmp_path))


def test_where_texts_go(tmp_path):
    folder = epath.Path(tmp_path)
    assert _text.check_out(TextOptions(seed=3), folder) == folder / "seed-3.txt"
    assert _text.check_out(TextOptions(out=str(folder / "a.npz")), folder / "b") == folder / "a.npz"
    (folder / "folder.txt").mkdir()
    with pytest.raises(UserError, match=r"folder\.txt must be a file"):
        _text.check_out(TextOptions(out=str(folder / "folder.txt")), folder)


def test_a_run_of_words(runs, folder, tmp_path, capsys):
    run = runs("words")
    phases = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in phases] == [2, 4, 6]
    plays = [[entry[name] != 0 for name in ("nll", "loss/disc", "loss/gen")] for entry in phases]
    assert plays == [[True, False, False], [False, True, False], [True, True, True]]
    of, _ = _text.read_kept((run / KEPT).read_text())
    assert of == _text.read_kept(text.kept(run_directory.read_config(run)[0])[KEPT])[0]
    preview = (run / "samples" / "6.txt").read_text().splitlines()
    assert len(preview) == 16
    capsys.readouterr()
    assert cli.main(["evaluate", str(run), "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    expected = [f"{kind}_{n}" for kind in ("bleu", "self_bleu") for n in (2, 3, 4, 5)]
    assert {"nll", "distinct_2", "copies", "memorisation_auc", *expected} <= found.keys()
    assert (found["step"], found["heldout"]) == (6, 21)
    assert 0 < found["nll"] < 2 * np.log(13)
    assert all(0 <= found[name] <= 1 for name in (*expected, "distinct_2", "copies", "memorisation_auc"))


def test_words_of_a_run_whose_data_are_gone(runs, tmp_path, capsys):
    run = shutil.copytree(runs("words"), tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["config"]["data"] = "/nowhere"
    (run / "config.json").write_text(json.dumps(config))
    capsys.readouterr()
    assert cli.main(["sample", str(run), "--num", "70", "--seed", "3"]) == 0
    *shown, path = capsys.readouterr().out.splitlines()
    assert path == str(run / "samples" / "seed-3.txt")
    assert (run / "samples" / "seed-3.txt").read_text().splitlines() == shown
    assert len(shown) == 70
    assert len(set(shown)) > 20
    assert not any("<unknown>" in line for line in shown)
    out = tmp_path / "deep" / "few.npz"
    assert cli.main(["sample", str(run), "--num", "5", "--seed", "3", "--out", str(out)]) == 0
    *again, path = capsys.readouterr().out.splitlines()
    assert (again, path) == (shown[:5], str(out))
    with np.load(out) as file:
        tokens = file["tokens"]
    assert tokens.shape == (5, 8)
    of, _ = _text.read_kept((run / KEPT).read_text())
    assert of.decode(tokens) == again
    assert cli.main(["sample", str(run), "--num", "70", "--seed", "3", "--temperature", "0.05"]) == 0
    cold = capsys.readouterr().out.splitlines()[:-1]
    assert len({line.split()[0] for line in cold if line}) < len({line.split()[0] for line in shown if line})
    assert "must be a file that ends in" in refused(capsys, "sample", run, "--out", tmp_path / "a.csv")
    assert "--num must be 1 or more" in refused(capsys, "sample", run, "--num", "0")
    (run / KEPT).write_text("{")
    assert f"The run's {KEPT} is damaged" in refused(capsys, "sample", run)
    (run / KEPT).unlink()
    assert f"{KEPT} cannot be read" in refused(capsys, "sample", run)
    assert "/nowhere does not exist" in refused(capsys, "evaluate", run)


def test_a_run_of_words_goes_on_and_keeps_its_vocabulary_anew(runs, tmp_path, capsys):
    run = shutil.copytree(runs("words"), tmp_path / "run")
    before = (run / KEPT).read_text()
    (run / KEPT).write_text("{")
    config = run.parent / "again.py"
    config.write_text(config_file(run_directory.read_config(run)[0]))
    assert cli.main(["train", str(config), "--workdir", str(run)]) == 0
    assert "was finished at step 6" in capsys.readouterr().out
    assert (run / KEPT).read_text() == before


def test_what_is_wrong_is_said_before_anything_is_compiled(folder, tmp_path, capsys):
    compiled = []
    heard = lambda event, duration_secs, **_: compiled.extend([event] * event.endswith("backend_compile_duration"))  # noqa: E731
    (tmp_path / "tiny.py").write_text(config_file(dataclasses.replace(CONFIG, data=str(folder))))
    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        for words, message in (
            (["--model.vocabulary", "30"], "use --model.vocabulary 13, or less"),
            (["--game.classes", "2"], "the data have no labels; use --game.classes 0"),
            (["--shape", "2"], "--shape 2 is too short"),
            (["--data", str(folder / "train.csv")], "train.csv does not exist"),
            (["--data", "pydoc_sentence"], "did you mean 'pydoc_sentences'?"),
            (["--domain", "text/tokens"], "There is no file"),
            (["--domain", "text/tokens", "--data", str(folder / "tokens.npz"), "--shape", "9"], "as --shape says"),
            (["--domain", "text/token"], "did you mean 'tokens'?"),
        ):
            assert message in refused(capsys, "train", tmp_path / "tiny.py", "--workdir", tmp_path / "run", *words)
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)
    assert compiled == []


def test_a_run_of_characters(runs, capsys):
    run = runs("characters")
    of, _ = _text.read_kept((run / KEPT).read_text())
    assert of.level == "character"
    assert of.words[0] == " "
    assert len(of.words) == 11  # the most frequent
    capsys.readouterr()
    assert cli.main(["sample", str(run), "--num", "9"]) == 0
    *shown, _ = capsys.readouterr().out.split("\n")[:-1]
    assert all(set(line) <= set(of.words) for line in shown)
    assert max(map(len, shown)) <= 8


def test_a_run_of_tokens(runs, folder, tmp_path, capsys):
    run = runs("tokens")
    assert not (run / KEPT).exists()
    preview = np.loadtxt(run / "samples" / "6.txt", int)
    assert preview.shape == (16, 8)
    capsys.readouterr()
    assert cli.main(["sample", str(run), "--num", "3", "--out", str(tmp_path / "a.npz")]) == 0
    *shown, _ = capsys.readouterr().out.splitlines()
    with np.load(tmp_path / "a.npz") as file:
        tokens = file["tokens"]
    assert [line.split() for line in shown] == [[str(n) for n in row] for row in tokens.tolist()]
    assert (tokens.shape, tokens.min() >= 0, tokens.max() < 13) == ((3, 8), True, True)
    # No text ends, so that 0 and 1 are tokens like all others.
    many = trained.load(run).sequences(200, seed=0)
    assert (many[:, :-1] == 0).any()
    assert (many[(many[:, :-1] == 0).any(1), -1] != 0).any()
    assert (many == UNKNOWN).any()
    assert cli.main(["evaluate", str(run)]) == 0
    found = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert set(found) == {"step", "heldout", "nll"}
    assert 0 < float(found["nll"]) < 2 * np.log(13)
