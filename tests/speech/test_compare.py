import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.speech.compare import QUIET, Spectra, ToMel, log_magnitude
from jaxgen.speech.mel import Mel

MEL = Mel(8000, 64, 16, 8)


def test_a_quarter_of_the_logarithm_of_a_magnitude():
    spectrum = jnp.array([10 + 0j, 3 - 4j, 0.001j, 0j])
    expected = 0.25 * np.log10([10, 5, 0.001, QUIET])
    np.testing.assert_allclose(log_magnitude(spectrum), expected, atol=1e-6)


def test_three_resolutions_of_which_silence_has_a_gradient():
    wave = np.random.default_rng(0).normal(size=(2, 512)).astype(np.float32)
    seen = Spectra(MEL)(wave)
    assert [x.shape for x in seen] == [(2, 32, 8), (2, 16, 65), (2, 64, 17)]
    np.testing.assert_array_equal(seen[0], ToMel(MEL)(wave, None))
    silent = jnp.zeros((1, 512))
    gradient = jax.grad(lambda wave: sum(x.sum() for x in Spectra(MEL)(wave)))(silent)
    assert np.isfinite(gradient).all()


def test_both_are_equal_by_value():
    again = Mel(8000, 64, 16, 8)
    for kind in (ToMel, Spectra):
        assert kind(MEL) == kind(again)
        assert hash(kind(MEL)) == hash(kind(again))
    with pytest.raises(UserError, match="the second must be even"):
        Spectra(Mel(8000, 60, 10, 4))(jnp.zeros((1, 600)))
