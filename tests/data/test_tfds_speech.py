"""Tiny sets of sounds, described as TFDS describes spoken_digit and ljspeech: by a class that needs TensorFlow."""

import io
import json

import numpy as np
import pytest
from scipy.io import wavfile

from jaxgen.data import speech, tfds, tfds_speech
from jaxgen.data.heldout import split_indices
from jaxgen.errors import UserError

AUDIO = "tensorflow_datasets.core.features.audio_feature.Audio"
SPOKEN_DIGIT = {"shape": {"dimensions": ["-1"]}, "dtype": "int64", "fileFormat": "wav", "sampleRate": "8000"}
FILES = [f"{digit}_{voice}_{take}.wav" for digit in (0, 7) for voice in ("theo", "george") for take in (0, 4, 5, 49)]


def tone(i, rate=8000):
    """int16, 0.15 s of 100 + 10 i Hz."""
    return np.rint(9000 * np.sin(2 * np.pi * (100 + 10 * i) / rate * np.arange(rate * 3 // 20))).astype(np.int16)


def heard(wave, rate=8000):
    """Which tone it is."""
    return round((np.abs(np.fft.rfft(wave, 8 * rate)).argmax() / 8 - 100) / 10)


def as_file(wave, rate=8000):
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, wave)
    return buffer.getvalue()


@pytest.fixture
def prepare(cache):
    """`prepare({"train": 16})` prepares such sets and returns the directory: as spoken_digit, if no more is said.

    Sound i is tone i, or what `sounds` has; `told` adds to what features.json says of them.
    """

    def make(splits, files=FILES, sounds=None, dtype=np.int64, lazy=False, key="audio", names=None, label=None, **told):
        library = tfds.library()
        f, core = library.features, library.core
        features = {
            key: f.Text() if lazy else f.Tensor(shape=(None,), dtype=dtype),
            "label": f.ClassLabel(names=names) if names else f.ClassLabel(num_classes=10),
        }
        features |= {"audio/filename": f.Text()} if files else {}

        class Words(library.core.GeneratorBasedBuilder, skip_registration=True):
            name = "words"
            VERSION = core.Version("1.0.9")

            def _info(self):
                return core.DatasetInfo(builder=self, features=f.FeaturesDict(features), disable_shuffling=True)

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(n) for split, n in splits.items()}

            def _generate_examples(self, n):
                for i in range(n):
                    sound = (sounds or {}).get(i, tone(i))
                    stored = (sound if isinstance(sound, bytes) else as_file(sound)) if lazy else sound.astype(dtype)
                    said = i % len(names) if names else int(files[i][0]) if files else i % 10
                    yield (
                        i,
                        {key: stored, "label": said if label is None else label}
                        | ({"audio/filename": files[i]} if files else {}),
                    )

        with tfds.quiet():
            Words(data_dir=str(cache / "tfds")).download_and_prepare(file_format="array_record")
        directory = cache / "tfds" / "words" / "1.0.9"
        tree = json.loads((directory / "features.json").read_text())
        described = SPOKEN_DIGIT | {"dtype": np.dtype(dtype).name, "encoding": "NONE"} | told
        described |= {"lazyDecode": True} if lazy else {}
        audio = {name: value for name, value in described.items() if value is not None}
        tree["featuresDict"]["features"][key] = {"pythonClassName": AUDIO, "audio": audio}
        (directory / "features.json").write_text(json.dumps(tree))
        return directory

    return make


@pytest.mark.parametrize("named", [True, False])
def test_spoken_digit(prepare, named):
    """End to end: files' names tell voices and what is held out, labels are those of the set."""
    directory = prepare({"train": 16})
    train, validation, test = (
        speech.recordings("words" if named else str(directory), split, 8000) for split in speech.SPLITS
    )
    taken = [i for i in range(16) if i % 4 < 2]
    assert [heard(wave) for wave in test.waves] == [heard(wave) for wave in validation.waves] == taken
    assert [heard(wave) for wave in train.waves] == [i for i in range(16) if i not in taken]
    assert train.names == test.names == tuple("0123456789")
    assert train.voices == test.voices == ("george", "theo")
    assert test.label.tolist() == train.label.tolist() == [0] * 4 + [7] * 4
    assert test.voice.tolist() == train.voice.tolist() == [1, 1, 0, 0] * 2
    assert test.label.dtype == test.voice.dtype == np.int32
    for wave in train.waves:
        assert wave.dtype == np.float32
        assert np.abs(wave).max() == pytest.approx(speech.PEAK)


def test_the_samples_are_those_of_a_wav_file(prepare, tmp_path):
    """What TFDS stores of a WAV file is read as the file itself is, at another rate too."""
    (tmp_path / "files").mkdir()
    for i, name in enumerate(FILES):
        (tmp_path / "files" / name).write_bytes(as_file(tone(i)))
    prepare({"train": 16})
    stored, files = (speech.recordings(data, "test", 11025) for data in ("words", str(tmp_path / "files")))
    for name, wave in zip(sorted(name for name in FILES if name[-5] in "04"), files.waves, strict=True):
        i = [name for name in FILES if name[-5] in "04"].index(name)
        np.testing.assert_array_equal(stored.waves[i], wave)


def test_ljspeech(prepare):
    """int16 samples of a feature `speech`, one voice, a single split of which a tenth is held out."""
    directory = prepare({"train": 20}, files=None, dtype=np.int16, key="speech", names=["a"])
    for split in ("train", "test"):
        found = tfds_speech.read(directory, split, 8000)
        assert [heard(wave) for wave in found.waves] == split_indices(20, split, "").tolist()
        assert (found.names, found.voices) == (("a",), ("one",))
        assert not found.voice.any()
    assert speech.segments("words", "test", 8000, 800)["wave"].shape == (2, 800)
    assert speech.spectrograms("words", "test", speech.Mel(), 16)["image"].shape == (2, 16, 40, 1)


def test_a_set_without_labels(prepare):
    directory = prepare({"train": 10}, files=None)
    tree = json.loads((directory / "features.json").read_text())
    del tree["featuresDict"]["features"]["label"]
    (directory / "features.json").write_text(json.dumps(tree))
    found = tfds_speech.read(directory, "train", 8000)
    assert found.names == ("speech",)
    assert found.label.tolist() == [0] * 9


def test_splits_of_its_own_and_names_of_classes(prepare):
    """As speech_commands."""
    directory = prepare({"train": 4, "test": 2}, names=["yes", "no", "up"])
    train, test = (tfds_speech.read(directory, split, 8000) for split in ("train", "test"))
    assert (len(train.waves), len(test.waves)) == (4, 2)
    assert train.names == ("yes", "no", "up")
    assert train.label.tolist() == [0, 1, 2, 0]
    assert train.voices == ("one",)


def test_another_name_leaves_one_voice(prepare):
    directory = prepare({"train": 16}, files=[*FILES[:-1], "7george.wav"])
    found = tfds_speech.read(directory, "test", 8000)
    assert [heard(wave) for wave in found.waves] == split_indices(16, "test", "").tolist()
    assert found.voices == ("one",)


def test_sounds_stored_as_files(prepare):
    """The file's own sample rate counts, and its last bytes may be zeros."""
    silent_end = np.concatenate([tone(0), np.zeros(800, np.int16)])
    directory = prepare({"train": 2}, FILES[:1] + FILES[2:3], lazy=True, sounds={0: silent_end}, sampleRate=None)
    (wave,) = tfds_speech.read(directory, "test", 8000).waves
    np.testing.assert_array_equal(wave, silent_end.astype(np.float32) / 32768)


def test_files_of_another_kind(prepare):
    directory = prepare({"train": 2}, FILES[:1] + FILES[2:3], lazy=True, sounds={1: b"fLaC"}, fileFormat="flac")
    with pytest.raises(UserError, match=r"Cannot read Recording 1 of .* as a WAV file"):
        tfds_speech.read(directory, "train", 8000)


@pytest.mark.parametrize(
    ("dtype", "sound", "expected"),
    [
        (np.int64, [-32768, 16384], [-1, 0.5]),
        (np.int64, [-(2**31), 2**30], [-1, 0.5]),
        (np.int32, [2**15 + 1, -(2**20)], [2**-16 + 2**-31, -(2**-11)]),
        (np.float32, [-0.5, 0.25], [-0.5, 0.25]),
        (np.float32, [-200, 100], [-1, 0.5]),
    ],
)
def test_scales_of_samples(prepare, dtype, sound, expected):
    directory = prepare({"train": 2}, FILES[:1] + FILES[2:3], dtype=dtype, sounds={0: np.tile(sound, 600)})
    np.testing.assert_allclose(tfds_speech.read(directory, "test", 8000).waves[0], np.tile(expected, 600))


@pytest.mark.parametrize(("samples", "message"), [(0, "has no samples"), (9, "is silent")])
def test_sounds_that_are_no_use(prepare, samples, message):
    directory = prepare({"train": 3}, FILES[:3], sounds={1: np.zeros(samples)})
    with pytest.raises(UserError, match=f"Recording 1 of .* {message}"):
        tfds_speech.read(directory, "test", 8000)


def test_nothing_held_out(prepare):
    with pytest.raises(UserError, match="no recordings for the split test"):
        tfds_speech.read(prepare({"train": 2}, FILES[2:4]), "test", 8000)


@pytest.mark.parametrize("rate", [None, 0, "fast"])
def test_no_sample_rate(prepare, rate):
    with pytest.raises(UserError, match="does not tell the sample rate of 'audio'"):
        tfds_speech.read(prepare({"train": 16}, sampleRate=rate), "train", 8000)


def test_secret_labels(prepare):
    with pytest.raises(UserError, match="keeps the labels of its split train secret"):
        tfds_speech.read(prepare({"train": 2, "test": 2}, label=-1), "train", 8000)


def test_a_set_of_images_has_no_sounds(prepare_tiny):
    with pytest.raises(UserError, match="has no sounds, only image, label"):
        speech.recordings(str(prepare_tiny({"train": 2, "test": 2})), "train", 8000)


def test_a_set_that_is_not_prepared():
    with pytest.raises(UserError, match="TFDS set 'spoken_digit' is not prepared"):
        speech.recordings("spoken_digit", "train", 8000)


def test_fetched_where_that_is_allowed(prepare, monkeypatch):
    directory, asked = prepare({"train": 16}), []
    monkeypatch.setattr(tfds, "download", lambda *args: asked.append(args) or directory)
    found = speech.recordings("spoken_digit", "test", 8000, "", True)
    assert asked == [("spoken_digit", "")]
    assert len(found.waves) == 8


def test_damaged_or_not_to_be_trusted(prepare):
    directory = prepare({"train": 16})
    text = (directory / "features.json").read_text()
    hostile = {"pythonClassName": AUDIO, "audio": {**SPOKEN_DIGIT, "shape": {"pythonClassName": "antigravity.Shape"}}}
    inside = json.loads(text)
    inside["featuresDict"]["features"]["audio"] = hostile
    for broken in (
        text.replace(AUDIO, "antigravity.Audio"),
        text.replace(AUDIO, AUDIO + "s"),
        text.replace("pythonClassName", "python_class_name"),  # not rewritten: `Audio` itself is refused
        json.dumps(inside),
    ):
        (directory / "features.json").write_text(broken)
        with pytest.raises(tfds.UnreadableError, match="could run foreign code"):
            tfds_speech.read(directory, "train", 8000)
    for broken in (
        "{",
        text.replace('"audio": {"shape"', '"audio": {"form"'),
        text.replace('"audio": {"shape', '"a": {"'),
    ):
        assert broken != text
        (directory / "features.json").write_text(broken)
        with pytest.raises(tfds.UnreadableError, match="prepare the set again"):
            tfds_speech.read(directory, "train", 8000)
