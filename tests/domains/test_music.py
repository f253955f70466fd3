"""Music: what configs it takes, its arrays, and small runs from a folder of MIDI files to files that can be played."""

import dataclasses
import json
import re
import wave
from typing import Any

import jax
import numpy as np
import pytest
from etils import epath
from PIL import Image

from jaxgen import cli, run_directory
from jaxgen.config import MLP, Adversarial, Config, Loop, PassageVAE, SliceVAE, VariationalSequence
from jaxgen.domains import music
from jaxgen.domains.music import DOMAINS
from jaxgen.errors import UserError
from jaxgen.models.passages import PassageModel
from jaxgen.models.slices import SliceModel
from jaxgen.music import midi
from jaxgen.music.roll import from_pitches, top_voice

pytest.importorskip("mido")
pytestmark = pytest.mark.usefixtures("compiled_quickly")

LENGTH = 8
SLICES = Config(
    "music/slices",
    SliceVAE(z_dim=3, width=4, hidden=5),
    VariationalSequence(),
    shape=(LENGTH, 88),
    batch=4,
    loop=Loop(steps=3, steps_per_call=1, log_every=1, sample_every=3, save_every=3),
)
ACCOMPANIMENT = dataclasses.replace(SLICES, domain="music/accompaniment")
PASSAGES = dataclasses.replace(
    SLICES, domain="music/passages", model=PassageVAE(z_dim=3, encoder=4, decoder=5, conductor=4, every=4)
)
CONFIGS = {"slices": SLICES, "passages": PASSAGES, "accompaniment": ACCOMPANIMENT}
FILE = '''"""A small run."""

from jaxgen.config import *


def get_config():
    return {}
'''


def chords(number, slices):
    """A piece [T, 88] of three voices that move."""
    rng = np.random.default_rng(number)
    return from_pitches([sorted({50 + i % 3, 60 + int(rng.integers(5)), 70 + i % 5}) for i in range(slices)])


def test_networks_have_the_configs_sizes():
    assert DOMAINS["slices"].networks(SLICES, "data") == (SliceModel(88, 3, 4, 5, 0.2, 0, "data"),)
    assert DOMAINS["accompaniment"].networks(ACCOMPANIMENT, None) == (SliceModel(88, 3, 4, 5, 0.2, 88),)
    half = dataclasses.replace(PASSAGES, precision="bf16")
    expected = PassageModel(88, 3, 4, 5, 4, 4, 0.2, 0.0, None, "bfloat16")
    assert DOMAINS["passages"].networks(half, None) == (expected,)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dataclasses.replace(SLICES, shape=(8, 87)), r"--shape of music .* 88 pitches, as 64 88; not \(8, 87\)"),
        (dataclasses.replace(SLICES, shape=(8, 88, 1)), "--shape of music"),
        (dataclasses.replace(SLICES, shape=(1, 88)), "2 or more"),
        (dataclasses.replace(SLICES, model=PASSAGES.model), "'music/slices' has no model PassageVAE; choose SliceVAE"),
        (
            dataclasses.replace(PASSAGES, model=SLICES.model),
            "'music/passages' has no model SliceVAE; choose PassageVAE",
        ),
        (dataclasses.replace(ACCOMPANIMENT, model=MLP()), "'music/accompaniment' has no model MLP; choose SliceVAE"),
        (dataclasses.replace(SLICES, game=Adversarial()), "played by VariationalSequence, not Adversarial"),
        (dataclasses.replace(PASSAGES, shape=(10, 88)), "10 slices can't be shared among segments of 4"),
    ],
)
def test_configs_that_do_not_fit_are_refused(config, message):
    with pytest.raises(UserError, match=message):
        DOMAINS[config.domain.partition("/")[2]].networks(config, None)


def test_the_soprano_and_the_others():
    roll = np.zeros((2, 3, 88), np.uint8)
    roll[0, 0, [3, 50, 87]] = 1
    roll[0, 1, 0] = 1
    roll[1] = chords(0, 3)
    raw = {"roll": roll, "length": np.array([2, 3], np.int32)}
    for arrays in (raw, jax.tree.map(jax.numpy.asarray, raw)):
        batch = DOMAINS["accompaniment"].to_batch(arrays)
        np.testing.assert_array_equal(batch["given"], [top_voice(piece) for piece in roll])
        np.testing.assert_array_equal(batch["given"] + batch["sequence"], roll)
        assert set(np.unique(batch["sequence"])) == {0, 1}
        np.testing.assert_array_equal(batch["length"], [2, 3])
    whole = DOMAINS["slices"].to_batch(raw)
    assert whole.keys() == {"sequence", "length"}
    np.testing.assert_array_equal(whole["sequence"], roll)
    assert whole["sequence"].dtype == np.float32


def test_model_outputs_are_rolls():
    np.testing.assert_array_equal(music.to_raw(np.array([0.0, 0.4, 0.6, 1.0], np.float32)), [0, 0, 1, 1])
    assert music.to_raw(np.zeros(3)).dtype == np.uint8


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder `midi` of six pieces, the last of which is held out: 12 slices, at one a quarter note."""
    home = tmp_path_factory.mktemp("home")
    for i in range(6):
        midi.write(home / "midi" / f"{i}.mid", chords(i, 20 if i < 5 else 12), 1)
    midi.write(home / "short.mid", chords(9, 5), 1)
    (home / "broken.mid").write_bytes(b"no MIDI")
    midi.write(home / "late.mid", np.pad(chords(9, 5), ((LENGTH, 0), (0, 0))), 1)
    return home


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_folder_of_midi_files(home, kind):
    config = dataclasses.replace(CONFIGS[kind], data=str(home / "midi"))
    if kind == "passages":
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, grid=1))
    train, test = (DOMAINS[kind].load(config, split) for split in ("train", "test"))
    assert train["roll"].shape == (5 * 7, LENGTH, 88)  # from every second slice of 20
    np.testing.assert_array_equal(train["roll"][1], chords(0, 20)[2:10])
    piece = chords(5, 12)
    if kind == "passages":
        np.testing.assert_array_equal(test["roll"], [piece[:8], np.pad(piece[8:], ((0, 4), (0, 0)))])
        assert test["length"].tolist() == [8, 4]
    else:
        np.testing.assert_array_equal(test["roll"], [piece])
        assert test["length"].tolist() == [12]
    zeros = DOMAINS[kind].raw(config)
    assert {k: (a.shape[1:], a.dtype) for k, a in zeros.items()} == {
        k: (a.shape[1:], a.dtype) for k, a in train.items()
    }


@pytest.fixture(scope="module")
def runs(home):
    """`runs(kind, ...)`: (directory, what was printed) of a run of three steps by the command line."""
    known = {}
    settings: Any = jax.config  # its attributes appear only when it runs
    before = settings.jax_compilation_cache_dir

    def run(kind, monkeypatch, capsys):
        if kind not in known:
            monkeypatch.setenv("JAXGEN_CACHE", str(home / "cache"))
            config = dataclasses.replace(CONFIGS[kind], data=str(home / "midi"), parallel="single")
            config = dataclasses.replace(config, model=dataclasses.replace(config.model, grid=1))
            (home / f"{kind}.py").write_text(FILE.format(repr(config)))
            code = cli.main(["train", str(home / f"{kind}.py"), "--workdir", str(home / kind), "--loop.keep", "2"])
            said = capsys.readouterr()
            assert code == 0, said.err
            known[kind] = epath.Path(home / kind), said.out
        return known[kind]

    yield run
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture
def trained(runs, monkeypatch, capsys):
    return lambda kind: runs(kind, monkeypatch, capsys)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_run_trains_evaluates_and_samples(trained, kind, tmp_path, capsys):
    run, said = trained(kind)
    assert "No metrics" not in said
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert lines[0]["bound"] == pytest.approx(88 * np.log(2), rel=0.3)  # nats a slice: nothing is known yet
    extra = {"3-reconstructions.png", "3-interpolations.png"} if kind == "passages" else set()
    assert {path.name for path in (run / "samples").iterdir()} == {"3.png", "3.mid"} | extra
    np.testing.assert_array_equal(run_directory.read_examples(run)["roll"][0][:8], chords(5, 12)[:8])
    assert cli.main(["evaluate", str(run), "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["slices"] == 12
    assert 20 < found["bound"] < 90
    assert ("reconstruction_f1" in found) == (kind == "passages")
    assert ("shuffled_cost" in found) == (kind != "passages")
    capsys.readouterr()
    assert cli.main(["sample", str(run), "--num", "2", "--seed", "5", "--bpm", "120"]) == 0
    folder = run / "samples" / "seed-5"
    assert capsys.readouterr().out.split() == [str(folder)]
    names = {f"{i:03}.{ending}" for i in range(2) for ending in ("mid", "wav", "png")}
    assert {path.name for path in folder.iterdir()} == names
    assert cli.main(["sample", str(run), "--num", "3", "--seed", "5", "--out", str(tmp_path / "rolls.npz")]) == 0
    rolls = np.load(tmp_path / "rolls.npz")["roll"]
    assert rolls.shape == (3, LENGTH, 88)
    for i in range(2):  # the same seed, the same pieces
        read = midi.read(folder / f"{i:03}.mid", 1)
        np.testing.assert_array_equal(read, rolls[i][: len(read)])
        assert not rolls[i][len(read) :].any()
        with wave.open(str(folder / f"{i:03}.wav")) as sound:
            assert sound.getnframes() / sound.getframerate() > LENGTH * 60 / 120 * 0.9
        with Image.open(folder / f"{i:03}.png") as image:
            assert image.width > LENGTH * 4


def rolls_of(run, tmp_path, *words):
    out = tmp_path / "made.npz"
    out.unlink(missing_ok=True)
    assert cli.main(["sample", str(run), *map(str, words), "--out", str(out)]) == 0
    return np.load(out)["roll"]


def test_accompaniment_goes_with_its_melody(trained, home, tmp_path):
    run, _ = trained("accompaniment")
    made = rolls_of(run, tmp_path, "--num", 2)
    assert (made >= top_voice(chords(5, 12)[:LENGTH])).all()
    assert (made.sum((1, 2)) > LENGTH).all()
    made = rolls_of(run, tmp_path, "--num", 2, "--melody", home / "short.mid")
    melody = np.pad(top_voice(chords(9, 5)), ((0, 3), (0, 0)))
    assert (made >= melody).all()
    assert (made[0] != made[1]).any()


def test_passages_between_two_of_the_users_files(trained, home, tmp_path):
    run, _ = trained("passages")
    start, end = home / "midi" / "0.mid", home / "midi" / "1.mid"
    calm = ("--temperature", 0.05)
    again = rolls_of(run, tmp_path, "--num", 3, "--start", start, *calm)
    between = rolls_of(run, tmp_path, "--num", 3, "--start", start, "--end", end, *calm)
    assert again.shape == between.shape == (3, LENGTH, 88)
    np.testing.assert_array_equal(between[0], again[0])  # the same key, the same latent
    np.testing.assert_array_equal(rolls_of(run, tmp_path, "--num", 3, "--start", end, *calm)[2], between[2])
    warm = rolls_of(run, tmp_path, "--num", 3, "--start", start)
    assert (warm[0] != warm[1]).any()


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("passages", ["--end", "{home}/short.mid"], "--end needs a --start"),
        ("passages", ["--start", "{home}/broken.mid"], "Cannot read .*broken.mid as a MIDI file"),
        ("passages", ["--start", "{home}/gone.mid"], "Cannot read .*gone.mid"),
        ("passages", ["--start", "{home}/late.mid"], "late.mid is silent for the 8 slices"),
        ("accompaniment", ["--melody", "{home}/broken.mid"], "Cannot read .*broken.mid as a MIDI file"),
        ("slices", ["--out", "{home}/a.wav"], r"a\.wav must end in \.npz \(arrays\), or be a folder"),
        ("slices", ["--out", "{home}/midi"], "midi"),
        ("slices", ["--temperature", "0"], r"--temperature must be 0\.05 to 5, not 0"),
        ("slices", ["--num", "0"], "--num must be 1 or more"),
        ("slices", ["--bpm", "1", "--out", "{home}/slow"], "tempo"),
    ],
)
def test_what_cannot_be_sampled_is_said(trained, home, kind, words, message, capsys):
    run, _ = trained(kind)
    capsys.readouterr()
    assert cli.main(["sample", str(run), "--num", "2", *(word.format(home=home) for word in words)]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "Traceback" not in error
    assert re.search(message, error), error


def test_what_a_game_shows_is_drawn_and_can_be_played(tmp_path):
    """The first sample, with what was given, on the run's own grid."""
    kept = DOMAINS["slices"].kept(SLICES)
    made, given = chords(1, 8)[None].astype(np.float32), np.zeros((1, 8, 88), np.float32)
    given[0, :, 80] = 1
    paths = music.write({"samples": made, "given": given}, epath.Path(tmp_path) / "7", kept=kept)
    assert [path.name for path in paths] == ["7.png", "7.mid"]
    np.testing.assert_array_equal(midi.read(paths[1], 1), np.maximum(made, given)[0])
    shown = dict.fromkeys(("samples", "originals", "reconstructions", "interpolations"), made)
    paths = music.write(shown, epath.Path(tmp_path) / "8", kept=kept)
    assert [path.name for path in paths] == ["8.png", "8-reconstructions.png", "8-interpolations.png", "8.mid"]
    assert all(path.exists() for path in paths)
