"""Sound as the content of a WAV file."""

import io

import numpy as np

from jaxgen.errors import UserError


def to_wav(samples: np.ndarray, rate: int = 22050) -> bytes:
    """float [samples] in [-1, 1] -> the content of a WAV file: 16-bit PCM, one channel.

    Raises `UserError` for another shape, or values that are not finite or lie outside.
    """
    from scipy.io import wavfile  # slow to import

    samples = np.asarray(samples)
    if samples.ndim != 1 or not np.isfinite(samples).all() or np.abs(samples).max(initial=0) > 1:
        raise UserError(f"Sound must be [samples] from -1 to 1, all finite; this is {list(samples.shape)}.")
    buffer = io.BytesIO()
    wavfile.write(buffer, rate, np.rint(samples * 32767).astype(np.int16))
    return buffer.getvalue()
