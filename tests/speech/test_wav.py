import io
import wave as standard

import numpy as np
import pytest
from scipy.io import wavfile

from jaxgen.errors import UserError
from jaxgen.pcm import to_wav
from jaxgen.speech import wav


def tone(rate, seconds=0.25, hertz=300.0, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * hertz / rate * np.arange(round(rate * seconds)))


def content(samples, rate):
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, samples)
    return buffer.getvalue()


KINDS = {
    "uint8": lambda x: np.rint(x * 128 + 128).astype(np.uint8),
    "int16": lambda x: np.rint(x * 2**15).astype(np.int16),
    "int32": lambda x: np.rint(x * 2**31).astype(np.int32),
    "float32": lambda x: x.astype(np.float32),
    "float64": lambda x: x,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_sample(kind):
    found = wav.from_bytes(content(KINDS[kind](tone(8000)), 8000), 8000)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, tone(8000), atol=1 / 256 if kind == "uint8" else 1e-4)


def test_24_bits(tmp_path):
    whole = np.rint(tone(8000) * 2**23).astype("<i4")
    with standard.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(8000)
        file.writeframes(whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
    np.testing.assert_allclose(wav.read(tmp_path / "a.wav", 8000), tone(8000), atol=1e-6)


def test_channels_are_averaged():
    both = np.stack([tone(8000), 0.5 * tone(8000), np.zeros(2000)], axis=1)
    np.testing.assert_allclose(wav.from_bytes(content(both, 8000), 8000), tone(8000) * 1.5 / 3, atol=1e-6)


@pytest.mark.parametrize("own", [4000, 8000, 11025, 16000, 22050, 44100, 48000, 96000])
def test_any_rate(own):
    found = wav.from_bytes(content(tone(own), own), 8000)
    assert abs(len(found) - 2000) <= 1
    np.testing.assert_allclose(found[200:1800], tone(8000)[200:1800], atol=2e-3)


def test_frequencies_that_a_rate_cannot_have_are_removed():
    high = tone(44100, hertz=6000.0) + tone(44100)
    np.testing.assert_allclose(wav.from_bytes(content(high, 44100), 8000)[200:1800], tone(8000)[200:1800], atol=5e-3)


def test_what_is_louder_than_full_scale_is_made_quieter():
    found = wav.from_bytes(content(4 * tone(8000), 8000), 8000)
    np.testing.assert_allclose(found, tone(8000, amplitude=1) / np.abs(tone(8000, amplitude=1)).max(), atol=1e-6)


def test_what_to_wav_writes_is_read():
    np.testing.assert_allclose(wav.from_bytes(to_wav(tone(8000), 8000), 8000), tone(8000), atol=1e-4)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"", "as a WAV file"),
        (b"not a wav file at all", "as a WAV file"),
        (content(KINDS["int16"](tone(8000)), 8000)[:30], "as a WAV file"),
        (content(np.zeros(0, np.int16), 8000), "no samples"),
        (content(np.zeros(100, np.int16), 8000), "is silent"),
        (content(np.full(100, 128, np.uint8), 8000), "is silent"),
        (content(np.full(100, 5e-5), 8000), "is silent"),
        (content(np.array([0.1, np.nan]), 8000), "not numbers"),
        (content(np.array([0.1, np.inf]), 8000), "infinite"),
        (content(tone(8000), 500), "500 samples a second"),
        (content(tone(8000), 10**6), "1000000 samples a second"),
    ],
)
def test_files_that_are_no_use(bad, message, tmp_path):
    (tmp_path / "bad.wav").write_bytes(bad)
    with pytest.raises(UserError, match=rf"bad\.wav.*{message}"):
        wav.read(tmp_path / "bad.wav", 8000)


def test_files_cut_off_or_with_other_parts_are_read():
    whole = content(KINDS["int16"](tone(8000)), 8000)
    assert len(wav.from_bytes(whole[:-1000], 8000)) == 1500
    np.testing.assert_allclose(wav.from_bytes(whole + b"LIST\x04\x00\x00\x00abcd", 8000), tone(8000), atol=1e-4)


def test_paths_that_are_no_file(tmp_path):
    with pytest.raises(UserError, match=r"There is no file .*none\.wav"):
        wav.read(tmp_path / "none.wav", 8000)
    with pytest.raises(UserError, match="is a folder"):
        wav.read(tmp_path, 8000)
