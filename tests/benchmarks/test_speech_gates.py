"""Gate 11 on a few sounds of the same form: of models that know nothing, which miss it, as each impostor does."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest

from benchmarks import gates, quality
from benchmarks.gates import speech_gan, vocoder
from jaxgen import pcm
from jaxgen.config import Adam, Loop, Spectrogram, Vocoder
from jaxgen.errors import UserError
from jaxgen.speech.mel import Mel

pytestmark = pytest.mark.usefixtures("compiled_quickly")

RATE = 8000
LOOP = Loop(steps=4, steps_per_call=2, log_every=2, sample_every=4, save_every=2)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """`recordings.zip`: two digits by two speakers, twelve takes each; runs and classifiers are tiny."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / speech_gan.FILE, "w") as archive:
        for i, (digit, voice) in enumerate((d, v) for d in "01" for v in ("ann", "bob")):
            for take in range(12):
                t = np.arange(2600 + 100 * take) / RATE
                wave = 0.4 * np.sin(2 * np.pi * (300 + 250 * i + 5 * take) * t) + 0.05 * rng.normal(size=len(t))
                wave *= 0.6 + 0.4 * np.sin(2 * np.pi * 4 * t)  # as loud as speech is: by syllables
                archive.writestr(f"recordings/{digit}_{voice}_{take}.wav", pcm.to_wav(wave, RATE))
    shipped = gates.config

    def tiny(name, data, seed):
        cfg = dataclasses.replace(shipped(name, data, seed), batch=4, loop=LOOP, parallel="single")
        if isinstance(cfg.model, Vocoder):
            model = Vocoder(8, 2, 2, (2,), 1, (4, 8), mels=16)
            return dataclasses.replace(cfg, model=model, shape=(512,))
        game = dataclasses.replace(cfg.game, classes=4, gen=Adam(), disc=Adam())
        return dataclasses.replace(cfg, model=Spectrogram(2, (8, 4), (8, 4)), game=game, shape=(32, 16, 1))

    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(gates, "config", tiny)
    monkeypatch.setattr(quality, "RESULTS", tmp_path)
    monkeypatch.setattr("jaxgen.domains.speech.PER_CLASS", 5)
    monkeypatch.setattr("jaxgen.metrics.speech_quality.STEPS", 100)
    return tmp_path


def judged(name, folder):
    """(exit code, the record) of a gate."""
    out = folder / f"{name}-seed3.json"
    words = [name, "--seed", "3", "--data", str(folder), "--workdir", str(folder / name), "--json", str(out)]
    return quality.main(words), json.loads(out.read_text())


def test_a_verdict_of_spectrograms(folder):
    code, record = judged("speech_gan", folder)
    assert (code, record["seed"], record["steps"]) == (1, 3, 4)
    assert "the digit asked for is heard in >= 80% of samples" in record["missed"] or "KID" in str(record["missed"])
    impostors = record["impostors"]
    assert impostors.keys() == {"class_gaussians", "collapsed", "memoriser", "marginal"}
    assert impostors["memoriser"]["memorisation_auc"] > 0.9 or impostors["memoriser"]["memorisation_auc"] < 0.1
    assert impostors["memoriser"]["word_accuracy"] > 0.9
    assert {part["column"] for part in record["parts"]} == {
        "word_accuracy",
        "voices_covered",
        "kid",
        "memorisation_auc",
    }
    assert record["others"].keys() >= {"real vs real", "held-out recordings"}
    assert record["others"]["held-out recordings"]["word_accuracy"] == record["word_judge_accuracy"]


def test_a_verdict_of_a_vocoder(folder):
    pytest.importorskip("pesq", reason="PESQ is compiled when it is installed: see pyproject.toml")
    code, record = judged("vocoder", folder)
    assert (code, record["seed"], record["steps"]) == (1, 3, 4)
    impostors, bar = record["impostors"], record["impostors"]["griffin_lim"]
    assert impostors.keys() == {"griffin_lim", "another recording", "random phases"}
    assert [part["column"] for part in record["parts"]] == ["mr_stft", "mcd", "pesq", "stoi"]
    for part in record["parts"]:  # a tie is no victory
        value = bar[part["column"]]
        assert not part.get("low", -np.inf) <= value <= part.get("high", np.inf), part
    true = record["others"]["the recordings themselves"]
    assert (true["mr_stft"], true["mcd"]) == (0, 0)
    assert true["stoi"] == pytest.approx(1)
    assert impostors["another recording"]["mr_stft"] > bar["mr_stft"]
    assert record["ours"]["real_time_factor"] > 0


def test_noise_has_the_magnitudes_but_no_phases():
    mel = Mel()
    wave = np.random.default_rng(0).normal(size=(1, 4096)).astype(np.float32) * 0.1
    x = np.asarray(mel.log_mel(wave))
    made = vocoder.random_phases(x, mel, 0)
    assert made.shape == wave.shape
    np.testing.assert_allclose(np.asarray(mel.log_mel(made)).mean(), x.mean(), atol=0.05)
    assert np.abs(np.corrcoef(made[0], wave[0])[0, 1]) < 0.2


def test_the_archive_is_asked_for(tmp_path):
    with pytest.raises(UserError, match=r"recordings\.zip is missing\. Give its folder with --data"):
        speech_gan.measure(0, tmp_path, tmp_path)


def test_the_collapsed_repeat_a_few_recordings_and_memorisers_all():
    rng = np.random.default_rng(0)
    train = {"image": rng.integers(0, 255, (40, 6, 6, 1), np.uint8), "label": np.repeat([0, 1], [10, 30])}
    made = speech_gan._impostors(train, np.array([10, 10]), 0)
    for name, (images, label) in made.items():
        assert images.shape == (20, 6, 6, 1), name
        assert np.bincount(label).tolist() == [10, 10]
    known = {image.tobytes(): label for image, label in zip(train["image"], train["label"], strict=True)}
    for name, different in (("collapsed", 2 * speech_gan.FEW), ("memoriser", 20)):
        images, label = made[name]
        assert len(np.unique(images.reshape(20, -1), axis=0)) == different
        assert all(known[image.tobytes()] == of for image, of in zip(images, label, strict=True))
