"""Speech: what configs it takes, its arrays, and small runs from a folder of WAV files to files that can be heard."""

import dataclasses
import io
import json
import re
from typing import Any

import jax
import numpy as np
import pytest
from etils import epath
from PIL import Image
from scipy.io import wavfile

from jaxgen import cli, pcm
from jaxgen.config import MLP, Adversarial, Config, Loop, Paired, Residual, Spectrogram, Vocoder, Wave
from jaxgen.data import speech as data
from jaxgen.domains import _speech, _vocoder, speech
from jaxgen.domains.speech import DOMAINS
from jaxgen.errors import UserError
from jaxgen.models import residual, vocoder, wave
from jaxgen.speech.compare import Spectra, ToMel
from jaxgen.speech.mel import Mel

pytestmark = pytest.mark.usefixtures("compiled_quickly")

RATE = 8000
MEL = Mel(RATE, 64, 16, 8)
LOOP = Loop(steps=2, steps_per_call=1, log_every=1, sample_every=2, save_every=2)
SPECTROGRAMS = Config(
    "speech/spectrograms",
    Spectrogram(z_dim=3, gen=(8, 4), disc=(8, 4), patch=2, window=64, hop=16),
    Adversarial(classes=4),
    shape=(64, 8, 1),
    batch=4,
    loop=LOOP,
)
WAVES = dataclasses.replace(
    SPECTROGRAMS, domain="speech/waves", model=Wave(z_dim=3, width=2, layers=3), shape=(1024, 1)
)
VOCODER = dataclasses.replace(
    SPECTROGRAMS,
    domain="speech/vocoder",
    model=Vocoder(8, 2, 2, (2, 3), 1, (4, 8), window=64, hop=16, mels=8),
    game=Paired(loss="least_squares", l1=45.0, matching=2.0),
    shape=(512,),
)
CONFIGS = {"spectrograms": SPECTROGRAMS, "waves": WAVES, "vocoder": VOCODER}
FILE = '''"""A small run."""

from jaxgen.config import *


def get_config():
    return {}
'''


def tone(number, samples, rate=RATE):
    """A sound [samples] that is loud all the way."""
    t = np.arange(samples) / rate
    noise = np.random.default_rng(number).normal(size=samples)
    return (0.5 * np.sin(2 * np.pi * (300 + 200 * number) * t) + 0.05 * noise).clip(-1, 1)


def changed(config, part="", **fields):
    if part:
        fields = {part: dataclasses.replace(getattr(config, part), **fields)}
    return dataclasses.replace(config, **fields)


def test_networks_have_the_configs_sizes():
    gen, disc = DOMAINS["spectrograms"].networks(SPECTROGRAMS, None)
    assert gen == residual.Generator((64, 8, 1), (8, 4), (1,), "batch", patch=2, classes=4)
    assert disc == residual.Critic((8, 4), (1,), 2, classes=4)
    half = changed(WAVES, precision="bf16")
    assert DOMAINS["waves"].networks(half, "data") == (
        wave.Generator(1024, 2, 3, 4, "bfloat16"),
        wave.Critic(2, 3, 2, 4, "data", "bfloat16"),
    )
    gen, disc = DOMAINS["vocoder"].networks(VOCODER, None)
    assert gen == vocoder.Generator(MEL, 8, 2, 2)
    assert disc == vocoder.Critics((2, 3), 1, (4, 8))
    assert DOMAINS["vocoder"].rules(VOCODER) == {"degrade": ToMel(MEL), "compare": Spectra(MEL)}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (changed(SPECTROGRAMS, model=Residual()), "'speech/spectrograms' has no model Residual; choose Spectrogram"),
        (changed(SPECTROGRAMS, game=Paired()), "'speech/spectrograms' is played by Adversarial, not Paired"),
        (changed(SPECTROGRAMS, shape=(64, 8, 3)), r"frames, mel bands and 1, as 128 40 1; not \(64, 8, 3\)"),
        (changed(SPECTROGRAMS, shape=(64, 10, 1)), "can't be halved 1 times"),
        (changed(SPECTROGRAMS, "model", hop=15), "the second must be even"),
        (changed(SPECTROGRAMS, "game", classes=0), "Spectrograms are made by class; use --game.classes"),
        (changed(WAVES, model=MLP()), "'speech/waves' has no model MLP; choose Wave"),
        (changed(WAVES, shape=(1000, 1)), r"a multiple of 4\^3 = 64"),
        (changed(WAVES, shape=(1024,)), "samples and 1"),
        (changed(WAVES, "model", shuffle=64), "--model.shuffle 64 is more"),
        (changed(WAVES, "game", augment="flip"), "leave out --game.augment"),
        (changed(VOCODER, game=Adversarial()), "'speech/vocoder' is played by Paired, not Adversarial"),
        (changed(VOCODER, shape=(520,)), r"a multiple of --model.hop 16 and 128 or more, as 1024; not \(520,\)"),
        (changed(VOCODER, shape=(64,)), "128 or more"),
        (changed(VOCODER, "model", hop=2, window=64), "--model.hop must be a multiple of 4, not 2"),
        (changed(VOCODER, "game", matching=0.0), "use --game.matching above 0"),
        (changed(VOCODER, "game", degrade="noise-25"), "leave out --game.degrade"),
    ],
)
def test_configs_that_do_not_fit_are_refused(config, message):
    with pytest.raises(UserError, match=message):
        DOMAINS[config.domain.partition("/")[2]].networks(config, None)


def test_words_and_voices_by_name_or_number():
    assert [_speech.numbered(text, ["0", "3", "A"], "word") for text in ("three", "3", "a", "2")] == [1, 1, 2, 2]
    with pytest.raises(UserError, match="knows no voice 'teo'; did you mean 'theo'"):
        _speech.numbered("teo", ["george", "theo"], "voice")
    with pytest.raises(UserError, match="knows no word '7'; choose from no, yes"):
        _speech.numbered("7", ["no", "yes"], "word")


def test_sounds_are_16_bit():
    np.testing.assert_array_equal(_speech.to_int16(np.array([-2, -1, 0, 0.5, 1])), [-32767, -32767, 0, 16384, 32767])
    for kind, x in (("waves", np.full((1, 64, 1), 32767, np.int16)), ("vocoder", np.full((1, 64), 32767, np.int16))):
        batch = DOMAINS[kind].to_batch({"image": x})
        assert batch["image"].dtype == np.float32
        np.testing.assert_array_equal(DOMAINS[kind].to_raw(batch["image"]), x)


def test_samples_by_griffin_lim_do_not_depend_on_their_number():
    x = np.random.default_rng(0).uniform(-1, 1, (9, 20, 8)).astype(np.float32)
    many, few = _speech.by_griffin_lim(x, MEL, 3), _speech.by_griffin_lim(x[:2], MEL, 3)
    assert many.shape == (9, 320)
    np.testing.assert_array_equal(many[:2], few)
    assert np.abs(_speech.limited(100 * many)).max() <= 1


def test_held_out_recordings_are_joined_voice_by_voice():
    waves = [np.full(n, i, np.float32) for i, n in enumerate((9000, 20000, 9000, 20000))]
    voice = np.array([1, 0, 1, 0], np.int32)
    found = data.Recordings(waves, voice, voice, ("a", "b"), ("x", "y"))
    made = _vocoder.pieces(found, MEL)
    assert made.shape == (2, 24576)  # 3 s, and the next multiple of 64 frames
    np.testing.assert_array_equal(made[0, ::20000], [1, 3])
    np.testing.assert_array_equal(made[1, [0, -1]], [3, 2])
    alone = dataclasses.replace(found, waves=[np.ones(100, np.float32)], voice=voice[:1])
    assert _vocoder.pieces(alone, MEL).sum() == 100


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two digits by two voices, eight takes each, as the Free Spoken Digit Dataset names them: five are held out."""
    home = tmp_path_factory.mktemp("home")
    for i, (digit, voice) in enumerate((d, v) for d in "01" for v in ("ann", "bob")):
        for take in range(8):
            epath.Path(home / "words").mkdir(exist_ok=True)
            (home / "words" / f"{digit}_{voice}_{take}.wav").write_bytes(pcm.to_wav(tone(i, 800 + 40 * take), RATE))
    stereo = np.stack([tone(1, 3000, 11025), tone(2, 3000, 11025)], axis=1)
    wavfile.write(home / "mine.wav", 11025, (stereo * 30000).astype(np.int16))
    wavfile.write(home / "silent.wav", RATE, np.zeros(900, np.int16))
    wavfile.write(home / "empty.wav", RATE, np.zeros(0, np.int16))
    wavfile.write(home / "click.wav", RATE, np.array([0, 9000], np.int16))
    return home


@pytest.mark.parametrize("kind", CONFIGS)
def test_arrays_have_the_shapes_that_are_promised(home, kind):
    config = changed(CONFIGS[kind], data=str(home / "words"))
    train, test = (DOMAINS[kind].load(config, split) for split in ("train", "test"))
    if kind == "vocoder":
        assert (train["image"].dtype, train["image"].shape[1:]) == (np.int16, (512,))
        assert test["image"].shape == (1, 24576)
    else:
        assert np.bincount(train["label"]).tolist() == [3] * 4
        assert np.bincount(test["label"]).tolist() == [5] * 4
        assert train["image"].shape[1:] == config.shape
    if kind == "waves":
        assert not train["image"][:, : speech.START * 64].any()
        assert np.abs(train["image"][:, speech.START * 64 :]).max() > 30000
    if DOMAINS[kind].raw:
        zeros = DOMAINS[kind].raw(config)
        assert {k: (a.shape[1:], a.dtype) for k, a in zeros.items()} == {
            k: (a.shape[1:], a.dtype) for k, a in train.items()
        }


@pytest.mark.parametrize("kind", ["spectrograms", "waves"])
def test_classes_are_those_of_the_data(home, kind):
    config = changed(CONFIGS[kind], "game", classes=5)
    with pytest.raises(UserError, match=r"2 different words and 2 different voices; use --game\.classes 4"):
        DOMAINS[kind].load(changed(config, data=str(home / "words")), "train")


@pytest.fixture(scope="module")
def runs(home):
    """`runs(kind, ...)`: (directory, what was printed) of a run of two steps by the command line."""
    known = {}
    settings: Any = jax.config  # its attributes appear only when it runs
    before = settings.jax_compilation_cache_dir

    def run(kind, monkeypatch, capsys):
        if kind not in known:
            monkeypatch.setenv("JAXGEN_CACHE", str(home / "cache"))
            config = changed(CONFIGS[kind], data=str(home / "words"), parallel="single")
            (home / f"{kind}.py").write_text(FILE.format(repr(config)))
            code = cli.main(["train", str(home / f"{kind}.py"), "--workdir", str(home / kind)])
            said = capsys.readouterr()
            assert code == 0, said.err
            known[kind] = epath.Path(home / kind), said.out
        return known[kind]

    yield run
    jax.config.update("jax_compilation_cache_dir", before)


def without_package(*of):
    raise UserError("This needs a package.")


@pytest.fixture
def trained(runs, monkeypatch, capsys):
    monkeypatch.setattr(_speech, "_BANDS", 8)
    monkeypatch.setattr("jaxgen.metrics.speech_quality.STEPS", 2)
    monkeypatch.setattr("jaxgen.metrics.speech.COEFFICIENTS", 5)
    monkeypatch.setattr("jaxgen.metrics.speech.SECONDS", 0.5)
    monkeypatch.setattr("jaxgen.metrics.speech.pesq_of", without_package)
    monkeypatch.setattr("jaxgen.metrics.speech.stoi_of", without_package)
    return lambda kind: runs(kind, monkeypatch, capsys)


def heard(path):
    """(rate, samples) of a WAV file."""
    rate, samples = wavfile.read(io.BytesIO(path.read_bytes()))
    assert samples.dtype == np.int16
    return rate, samples


@pytest.mark.parametrize("kind", ["spectrograms", "waves"])
def test_words_train_are_measured_and_sampled(trained, kind, tmp_path, capsys):
    run, said = trained(kind)
    assert "No metrics" not in said, said
    for name in ("word_accuracy", "voice_accuracy", "words_covered", "voices_covered", "voice_judge_accuracy", "kid"):
        assert name in said
    assert {path.name for path in (run / "samples").iterdir()} >= {"2.png", "2.wav"}
    kept = json.loads((run / "speech.json").read_text())
    assert (kept["words"], kept["voices"]) == (["0", "1"], ["ann", "bob"])
    assert cli.main(["sample", str(run), "--num", "3", "--seed", "5"]) == 0
    assert [path.rpartition("/")[2] for path in capsys.readouterr().out.split()] == ["seed-5.wav", "seed-5.png"]
    length = 1024  # of either kind
    rate, samples = heard(run / "samples" / "seed-5.wav")
    assert (rate, len(samples)) == (RATE, 3 * length + 2 * RATE // 4)
    out = tmp_path / "words"
    words = ["--num", "3", "--seed", "5", "--label", "one", "--out"]
    assert cli.main(["sample", str(run), *words, str(out)]) == 0
    names = ["000-1-ann", "001-1-bob", "002-1-ann"]
    assert sorted(path.name for path in out.iterdir()) == [f"{n}.{e}" for n in names for e in ("png", "wav")]
    assert len(heard(out / "000-1-ann.wav")[1]) == length
    with Image.open(out / "000-1-ann.png") as image:
        assert image.height == 3 * 8
    assert cli.main(["sample", str(run), *words, str(tmp_path / "words.npz"), "--voice", "bob"]) == 0
    found = np.load(tmp_path / "words.npz")
    assert found["label"].tolist() == [3, 3, 3]
    assert (found["image"].shape[1:], found["image"].dtype) == (
        CONFIGS[kind].shape,
        np.int16 if kind == "waves" else np.uint8,
    )


def test_a_vocoder_trains_is_measured_and_resynthesises(trained, home, tmp_path, capsys):
    run, said = trained("vocoder")
    assert "No metrics" not in said, said
    for name in ("mr_stft", "mcd", "mr_stft_griffin_lim", "real_time_factor"):
        assert name in said
    assert "pesq" not in said  # for which no package is found here
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    assert line["l1"] > 0
    assert line["matching"] > 0
    assert {path.name for path in (run / "samples").iterdir()} >= {"2.png", "2.wav"}
    capsys.readouterr()
    assert cli.main(["sample", str(run), "--input", str(home / "mine.wav")]) == 0
    assert [path.rpartition("/")[2] for path in capsys.readouterr().out.split()] == ["mine-again.wav", "mine-again.png"]
    rate, samples = heard(run / "samples" / "mine-again.wav")
    assert (rate, len(samples)) == (RATE, -(-3000 * RATE // 11025))
    out = tmp_path / "kept"
    assert cli.main(["sample", str(run), "--num", "1", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["000.png", "000.wav"]
    assert cli.main(["sample", str(run), "--input", str(home / "click.wav"), "--out", str(out / "click.wav")]) == 0
    assert len(heard(out / "click.wav")[1]) == 2


def test_a_vocoder_makes_spectrograms_audible(trained, home, tmp_path, capsys):
    run, other = trained("spectrograms")[0], trained("vocoder")[0]
    words = ["sample", str(run), "--num", "2"]
    assert cli.main([*words, "--out", str(tmp_path / "plain.wav")]) == 0
    assert cli.main([*words, "--out", str(tmp_path / "made.wav"), "--vocoder", str(other)]) == 0
    plain, made = (heard(tmp_path / f"{name}.wav")[1] for name in ("plain", "made"))
    assert plain.shape == made.shape
    assert (plain != made).any()
    capsys.readouterr()
    assert cli.main([*words, "--vocoder", str(run)]) == 2
    assert "is a run of speech/spectrograms; give one of speech/vocoder" in " ".join(capsys.readouterr().err.split())
    tree = json.loads((other / "config.json").read_text())
    tree["config"]["model"]["rate"] = 16000
    monkeyed = tmp_path / "other"
    monkeyed.mkdir()
    (monkeyed / "config.json").write_text(json.dumps(tree))
    (monkeyed / "checkpoints").symlink_to(other / "checkpoints")
    assert cli.main([*words, "--vocoder", str(monkeyed)]) == 2
    assert "takes other spectrograms (Mel(rate=16000" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("spectrograms", ["--label", "seven"], "knows no word 'seven'; choose from 0, 1"),
        ("spectrograms", ["--voice", "bobb"], "knows no voice 'bobb'; did you mean 'bob'"),
        ("spectrograms", ["--out", "{home}/a.mp3"], r"must end in \.wav, \.png or \.npz"),
        ("spectrograms", ["--out", "{home}/words"], "is not empty"),
        ("spectrograms", ["--vocoder", "{home}/words"], "is not a run"),
        ("spectrograms", ["--num", "0"], "--num must be 1 or more"),
        ("vocoder", ["--input", "{home}/silent.wav"], "silent.wav is silent"),
        ("vocoder", ["--input", "{home}/empty.wav"], "empty.wav is a WAV file without sound"),
        ("vocoder", ["--input", "{home}/gone.wav"], "There is no file .*gone.wav"),
        ("vocoder", ["--input", "{home}/vocoder.py"], "vocoder.py as a WAV file"),
        ("vocoder", ["--num", "9"], "keeps 4 recordings; use --num 4"),
        ("vocoder", ["--out", "{home}/a.png"], r"must end in \.wav .* or \.npz"),
    ],
)
def test_what_cannot_be_sampled_is_said(trained, home, kind, words, message, capsys):
    run, _ = trained(kind)
    capsys.readouterr()
    assert cli.main(["sample", str(run), *(word.format(home=home) for word in words)]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "Traceback" not in error
    assert re.search(message, error), error


def test_waves_without_classes_have_no_words_to_ask_for():
    class Run:
        config, classes = WAVES, 0

    assert speech.asked(Run(), speech.WaveOptions(num=2)) == (None, ["", ""])
    with pytest.raises(UserError, match="leave out --label and --voice"):
        speech.asked(Run(), speech.WaveOptions(label="3"))
