import io

import numpy as np
import pytest
from scipy.io import wavfile

from jaxgen.errors import UserError
from jaxgen.pcm import to_wav


def test_wav_files():
    sound = np.sin(np.arange(500) / 7).astype(np.float32)
    rate, found = wavfile.read(io.BytesIO(to_wav(sound)))
    assert (rate, found.dtype, found.shape) == (22050, np.int16, sound.shape)
    np.testing.assert_allclose(found / 32767, sound, atol=1 / 32767)
    assert wavfile.read(io.BytesIO(to_wav(np.array([-1.0, 1.0]), 8000)))[1].tolist() == [-32767, 32767]
    for wrong in (np.array([2.0]), np.array([np.nan]), np.zeros((2, 2))):
        with pytest.raises(UserError, match=r"Sound must be \[samples\] from -1 to 1"):
            to_wav(wrong)
