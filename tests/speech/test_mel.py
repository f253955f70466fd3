import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
from scipy import signal

from jaxgen.errors import UserError
from jaxgen.speech.mel import CEILING, FLOOR, Mel, from_log, to_log

MEL = Mel()
stft, log_mel = jax.jit(MEL.stft), jax.jit(MEL.log_mel)


def noise(*shape, seed=0):
    return (0.3 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("rate", "window", "bands"), [(8000, 256, 40), (22050, 1024, 80), (16000, 512, 23), (1600, 256, 8), (2000, 64, 4)]
)
def test_filters_are_those_of_librosa(rate, window, bands):
    found = Mel(rate, window, window // 4, bands).filters()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, librosa.filters.mel(sr=rate, n_fft=window, n_mels=bands).T, atol=1e-7)


def test_the_stft_is_that_of_librosa():
    wave = noise(2, 640)
    padded = np.pad(wave, ((0, 0), (96, 96)), mode="reflect")
    expected = librosa.stft(padded, n_fft=256, hop_length=64, center=False).transpose(0, 2, 1)
    found = stft(jnp.asarray(wave))
    assert found.shape == (2, 10, 129)
    assert found.dtype == jnp.complex64
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("mel", [MEL, Mel(window=256, hop=128), Mel(window=384, hop=64), Mel(16000, 1024, 256, 80)])
@pytest.mark.parametrize("more", [0, 1, 50])
def test_there_and_back(mel, more):
    wave = noise(2, 10 * mel.hop + 256 + more)
    spectrum = jax.jit(mel.stft)(wave)
    assert spectrum.shape == (2, wave.shape[1] // mel.hop, mel.bins)
    found = jax.jit(mel.istft, static_argnums=1)(spectrum, wave.shape[1])
    np.testing.assert_allclose(found, wave, atol=1e-5)


def test_the_inverse_is_the_nearest_waveform():
    """The gradient of |STFT(x) - S|^2 is 0 there, away from the ends, where reflection counts samples twice."""
    spectrum = jnp.asarray(noise(1, 12, 129) + 1j * noise(1, 12, 129, seed=1)).at[:, :, (0, -1)].set(0)
    wave = MEL.istft(spectrum, 768)

    counted = np.full((1, 1, 129), 2.0)  # frequencies between 0 and the last stand for two of the whole transform
    counted[..., (0, -1)] = 1

    def distance(x):
        return jnp.sum(jnp.abs(stft(x) - spectrum) ** 2 * counted)

    grad = jax.jit(jax.grad(distance))

    inside = np.abs(grad(wave))[0, 256:-256]
    assert inside.max() < 1e-3 * np.abs(grad(wave + 0.1 * noise(1, 768)))[0, 256:-256].max()


def test_a_frame_is_about_its_own_samples():
    wave = np.zeros((1, 1280), np.float32)
    wave[0, 64 * 7 + 32] = 1  # the middle of frame 7
    energy = np.asarray(log_mel(wave))[0].mean(1)
    assert energy.argmax() == 7
    np.testing.assert_allclose(energy[6], energy[8], atol=1e-4)
    np.testing.assert_allclose(energy[[3, 11]], -1, atol=1e-6)


def test_log_mel_by_hand():
    """A tone in the middle of a frequency has the magnitude: amplitude x sum of the window / 2 = 0.5 x 128 / 2."""
    wave = (0.5 * np.sin(2 * np.pi * 40 / 256 * np.arange(1280)))[None].astype(np.float32)
    magnitude = np.zeros(129)
    magnitude[[39, 40, 41]] = 16, 32, 16  # a Hann window's transform: 1/2, 1, 1/2
    expected = np.log10(np.maximum(magnitude @ MEL.filters(), 1e-4))
    found = np.asarray(log_mel(wave))[0, 10]
    loud = expected > -2  # elsewhere rounding is heard
    assert loud.sum() >= 2
    np.testing.assert_allclose(found[loud], 2 * (expected[loud] - FLOOR) / (CEILING - FLOOR) - 1, atol=1e-3)


def test_the_range():
    np.testing.assert_allclose(log_mel(np.zeros((1, 1024), np.float32)), -1, atol=1e-6)
    for hertz in range(100, 4000, 370):
        tone = 0.95 * np.sin(2 * np.pi * hertz / 8000 * np.arange(1024))
        assert 0.5 < np.asarray(log_mel(tone[None].astype(np.float32))).max() < 1
    amplitude = jnp.array([1e-9, 1e-4, 1e-2, 1.0, 10**0.5])
    np.testing.assert_allclose(to_log(amplitude), [-1, -1, -1 / 9, 7 / 9, 1], atol=1e-5)
    np.testing.assert_allclose(from_log(to_log(amplitude)), [1e-4, *amplitude[1:]], rtol=1e-5)


def test_gradients_are_finite_on_silence_and_right_elsewhere():
    def total(x):
        return jnp.abs(log_mel(x)).sum()

    both = jax.jit(jax.value_and_grad(total))
    assert np.isfinite(both(np.zeros((1, 512), np.float32))[1]).all()
    wave, direction = noise(1, 512), noise(1, 512, seed=1)
    slope = (both(wave + 1e-3 * direction)[0] - both(wave - 1e-3 * direction)[0]) / 2e-3
    np.testing.assert_allclose(np.vdot(both(wave)[1], direction), slope, rtol=2e-2)


def test_it_jits_with_mel_as_a_static_argument():
    found = jax.jit(Mel.log_mel, static_argnums=0)(Mel(), noise(1, 512))
    np.testing.assert_allclose(found, log_mel(noise(1, 512)), atol=1e-5)
    assert hash(Mel()) == hash(Mel(8000, 256, 64, 40))


def test_it_is_what_scipy_has_with_the_same_padding():
    wave = noise(1, 1024)
    padded = np.pad(wave[0], 96, mode="reflect")
    theirs = signal.ShortTimeFFT(signal.get_window("hann", 256), 64, 8000, mfft=256)
    expected = theirs.stft(padded, p0=2, p1=18, k_offset=0).T  # frames whose middles are 128, 192, ...
    np.testing.assert_allclose(np.abs(stft(wave)[0]), np.abs(expected), atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rate": 10}, "A rate of 10 is not 1,000"),
        ({"hop": 60}, "do not fit"),
        ({"hop": 256}, "do not fit"),
        ({"hop": 0}, "do not fit"),
        ({"window": 2**15}, "do not fit"),
        ({"window": 189, "hop": 63}, "do not fit"),
        ({"bands": 0}, "0 mel bands cannot be told apart"),
        ({"bands": 200}, "Take fewer bands"),
    ],
)
def test_settings_that_cannot_be(wrong, message):
    with pytest.raises(UserError, match=message):
        Mel(**wrong)


def test_shapes_that_cannot_be():
    for shape in ((512,), (1, 127), (1, 512, 1)):
        with pytest.raises(UserError, match="T 128 or more"):
            MEL.stft(jnp.zeros(shape))
    with pytest.raises(UserError, match="up to 319 samples, not 320"):
        MEL.istft(jnp.zeros((1, 4, 129), jnp.complex64), 320)
