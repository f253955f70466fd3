import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from jaxgen.data import speech, spoken_characters
from jaxgen.errors import UserError
from jaxgen.speech.mel import Mel

DIGITS = Path("/work/shared/data/speech/fsdd/recordings.zip")
MEL = Mel()


def tone(hertz, samples=1200, rate=8000, amplitude=0.3):
    return (amplitude * np.sin(2 * np.pi * hertz / rate * np.arange(samples))).astype(np.float32)


def content(wave, rate=8000):
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, wave)
    return buffer.getvalue()


def heard(wave, rate=8000):
    """The frequency of a tone, to 10 Hz."""
    spectrum = np.abs(np.fft.rfft(wave, 8 * rate))
    return round(spectrum.argmax() / 80) * 10


def write(root, names, rate=8000):
    """Tones of 100, 110, ... Hz in files of these names."""
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content(tone(100 + 10 * i, rate=rate), rate))
    return str(root)


def archive(path, names):
    with zipfile.ZipFile(path, "w") as file:
        for i, name in enumerate(names):
            file.writestr(name, content(tone(100 + 10 * i)))
    return str(path)


NAMED = [f"recordings/{d}_{s}_{i}.wav" for d in (0, 1) for s in ("ann", "bob") for i in (0, 4, 5, 49)]


@pytest.mark.parametrize("zipped", [False, True])
def test_names_of_the_free_spoken_digit_dataset(tmp_path, zipped):
    data = archive(tmp_path / "a.ZIP", NAMED) if zipped else write(tmp_path, NAMED)
    train, validation, test = (speech.recordings(data, split, 8000) for split in speech.SPLITS)
    assert train.names == test.names == ("0", "1")
    assert train.voices == test.voices == ("ann", "bob")
    order = sorted(range(16), key=lambda i: NAMED[i])
    takes = [i for i in order if NAMED[i][:-4].split("_")[-1] in ("0", "4")]
    assert [heard(w) for w in test.waves] == [100 + 10 * i for i in takes]
    assert [heard(w) for w in train.waves] == [100 + 10 * i for i in order if i not in takes]
    assert test.label.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert test.voice.tolist() == [0, 0, 1, 1] * 2
    assert test.label.dtype == test.voice.dtype == np.int32
    assert [heard(w) for w in validation.waves] == [heard(w) for w in test.waves]


def test_folders_are_labels_and_every_tenth_is_held_out(tmp_path):
    names = (
        [f"yes/{i:02}.wav" for i in range(12)] + [f"no/{i}.wav" for i in range(3)] + ["maybe/1.wav", ".hidden/1.wav"]
    )
    data = write(tmp_path, names)
    train, test = (speech.recordings(data, split, 8000) for split in ("train", "test"))
    assert train.names == test.names == ("maybe", "no", "yes")
    assert train.voices == ("one",)
    assert [heard(w) for w in test.waves] == [240, 190]  # the last of no, the tenth of yes
    assert test.label.tolist() == [1, 2]
    assert np.bincount(train.label).tolist() == [1, 2, 11]
    assert not train.voice.any()


def test_folders_train_and_test_make_the_split(tmp_path):
    data = write(tmp_path, ["train/a/1.wav", "train/b/1.wav", "test/b/1.WAV", "more/1.wav", "train/2.wav"])
    train, test = (speech.recordings(data, split, 8000) for split in ("train", "test"))
    assert train.names == test.names == ("a", "b", "speech")
    assert train.label.tolist() == [2, 0, 1]
    assert [heard(w) for w in train.waves] == [140, 100, 110]
    assert test.label.tolist() == [1]
    assert [heard(w) for w in test.waves] == [120]


def test_files_without_folders_have_one_label(tmp_path):
    found = speech.recordings(write(tmp_path, ["a.wav", "b.wav"]), "test", 8000)
    assert found.names == ("speech",)
    assert [heard(w) for w in found.waves] == [110]


def test_recordings_are_brought_to_one_rate_and_loudness_without_silence(tmp_path):
    wave = np.concatenate([np.zeros(4410), tone(200, 22050, 44100, 0.02), 1e-6 * np.ones(8820)]).astype(np.float32)
    for name in "ab":
        (tmp_path / f"{name}.wav").write_bytes(content(wave, 44100))
    for rate in (8000, 16000):
        (found,) = speech.recordings(str(tmp_path), "train", rate).waves
        assert found.dtype == np.float32
        assert np.abs(found).max() == pytest.approx(0.95)
        assert rate / 2 <= len(found) <= rate / 2 + 0.03 * rate
        assert heard(found, rate) == 200


def test_the_spoken_characters():
    train, test = (speech.recordings("spoken_characters", split, 8000) for split in ("train", "validation"))
    assert train.names == test.names == tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert np.bincount(train.label).tolist() == [40] * 36
    assert np.bincount(test.label).tolist() == [10] * 36
    assert not train.voice.any()
    assert all(np.abs(w).max() == pytest.approx(0.95) and 0.1 < len(w) / 8000 < 1 for w in train.waves + test.waves)
    contents = {w.tobytes() for w in train.waves + test.waves}
    assert len(contents) == 36 * 50  # none twice, none in both splits
    again = spoken_characters.read("test", 8000)[0]
    for first, second in zip(again, spoken_characters.read("test", 8000)[0], strict=True):
        np.testing.assert_array_equal(first, second)
    faster = spoken_characters.read("test", 16000)[0]
    assert len(faster[7]) == pytest.approx(2 * len(again[7]), abs=2)


def test_the_spoken_characters_need_captcha(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "jaxgen\[data\]"'):
        speech.recordings("spoken_characters", "train", 8000)
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(UserError, match="captcha anew"):
        speech.recordings("spoken_characters", "train", 8000)


def test_spectrograms(tmp_path):
    data = write(tmp_path, NAMED)
    found = speech.spectrograms(data, "test", MEL, 32)
    assert found["image"].shape == (8, 32, 40, 1)
    assert found["image"].dtype == np.uint8
    assert found["label"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert found["label"].dtype == np.int32
    wave = speech.recordings(data, "test", 8000).waves[0]
    padded = np.concatenate([np.zeros(128), wave, np.zeros(2048 - 128 - len(wave))]).astype(np.float32)
    expected = (np.asarray(MEL.log_mel(padded[None]))[0] + 1) * 127.5
    np.testing.assert_allclose(found["image"][0, ..., 0], expected, atol=0.51)
    assert found["image"][0, 4:18].max() > 150
    assert not found["image"][0, 24:].any()


def test_a_recording_too_long_for_its_spectrogram_is_cut(tmp_path):
    data = write(tmp_path, ["a.wav", "b.wav"])
    short, long = (speech.spectrograms(data, "test", MEL, frames)["image"] for frames in (8, 32))
    assert short.shape == (1, 8, 40, 1)
    np.testing.assert_array_equal(short[:, :6], long[:, :6])  # later frames see the end


def test_classes_by_label_and_voice(tmp_path):
    found = speech.spectrograms(write(tmp_path, NAMED), "train", MEL, 8, "label+voice")
    assert found["label"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert found["label"].dtype == np.int32


def test_more_recordings_than_are_made_at_once(monkeypatch):
    waves = [tone(100 + 10 * i, 600 + i) for i in range(5)]
    monkeypatch.setattr(speech, "_BATCH", 2)
    several = speech.as_images(waves, MEL, 16)
    monkeypatch.setattr(speech, "_BATCH", 8)
    np.testing.assert_allclose(several, speech.as_images(waves, MEL, 16), atol=1)


def test_segments(tmp_path):
    data = write(tmp_path, ["a.wav", "b.wav"])  # 1200 samples each
    wave = speech.recordings(data, "train", 8000).waves[0]
    found = speech.segments(data, "train", 8000, 400, 200)["wave"]
    assert found.dtype == np.int16
    starts = (0, 200, 400, 600, 800)
    np.testing.assert_array_equal(found, np.rint([wave[s : s + 400] * 32767 for s in starts]).astype(np.int16))
    held_out = speech.recordings(data, "test", 8000).waves[0]
    found = speech.segments(data, "test", 8000, 500, 200)["wave"]  # 0, 500; the last 200 are less than half
    np.testing.assert_array_equal(found, np.rint([held_out[s : s + 500] * 32767 for s in (0, 500)]).astype(np.int16))
    padded = speech.segments(data, "test", 8000, 700)["wave"]  # the last 500 are more than half
    assert padded.shape == (2, 700)
    assert padded[1, 499:].astype(bool).sum() <= 1
    whole = speech.segments(data, "train", 8000, 5000)["wave"]
    assert whole.shape == (1, 5000)
    assert not whole[0, 1200:].any()
    assert len(speech.segments(data, "train", 8000, 400)["wave"]) == 9  # by default a quarter apart


def test_silent_segments_are_left_out(tmp_path):
    wave = np.concatenate([tone(200, 800), np.zeros(1600), tone(300, 800)]).astype(np.float32)
    for name in "ab":
        (tmp_path / f"{name}.wav").write_bytes(content(wave))
    found = speech.segments(str(tmp_path), "test", 8000, 800)["wave"]
    assert [heard(w / 32767.0) for w in found] == [200, 300]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "Cannot read speech from ''"),
        ("nowhere", "no such file or folder"),
        ("nowhere.zip", "no such file or folder"),
        ("text.txt", "Give spoken_characters"),
        ("text.zip", "as a .zip file"),
        ("single.wav", "single recording"),
        ("empty", "holds no .wav files"),
        ("alone", "no recordings held out"),
        ("all_test", "no recordings to train on"),
        ("silent", r"0_ann_9\.wav is silent"),
    ],
)
def test_data_that_are_no_use(data, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("text.txt", "text.zip"):
        Path(name).write_text("speech")
    Path("empty").mkdir()
    write(tmp_path, ["single.wav", "alone/a.wav", "all_test/0_ann_1.wav", "silent/0_ann_0.wav"])
    Path("silent/0_ann_9.wav").write_bytes(content(np.zeros(100, np.int16)))
    with pytest.raises(UserError, match=message):
        speech.recordings(data, "test" if data == "alone" else "train", 8000)


def test_a_damaged_archive(tmp_path):
    path = tmp_path / "a.zip"
    archive(path, ["a.wav", "b.wav"])
    whole = bytearray(path.read_bytes())
    whole[200:400] = bytes(200)
    path.write_bytes(whole)
    with pytest.raises(UserError, match=r"Cannot read a\.wav in .*Download it again"):
        speech.recordings(str(path), "train", 8000)


def test_bad_calls(tmp_path):
    data = write(tmp_path, ["a.wav", "b.wav"])
    with pytest.raises(UserError, match="no split 'valid'"):
        speech.recordings(data, "valid", 8000)
    with pytest.raises(UserError, match="no classes by 'voice'"):
        speech.spectrograms(data, "train", MEL, 32, "voice")
    with pytest.raises(UserError, match="too short for speech"):
        speech.spectrograms(data, "train", MEL, 3)
    for length, hop in ((0, 1), (100, -1)):
        with pytest.raises(UserError, match="cannot be cut"):
            speech.segments(data, "train", 8000, length, hop)


@pytest.mark.skipif(not DIGITS.exists(), reason=f"needs {DIGITS}")
def test_the_free_spoken_digit_dataset():
    found = speech.recordings(str(DIGITS), "test", 8000)
    assert found.names == tuple("0123456789")
    assert found.voices == ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
    assert np.bincount(found.label * 6 + found.voice).tolist() == [5] * 60
