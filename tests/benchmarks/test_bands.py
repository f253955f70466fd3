"""PyTorch's resampling by matrices is ours. (PyTorch itself is not needed here.)"""

import numpy as np
import pytest

from benchmarks.peers.torch.bands import bilinear_matrix, blur_matrix
from jaxgen.models.resample import bilinear_up, blur

SIZES = [(3, 4), (8, 5), (14, 28)]


def by_matrices(x, matrix):
    return np.einsum("ih,bhwc,jw->bijc", matrix(x.shape[1]), x, matrix(x.shape[2]))


@pytest.mark.parametrize("size", SIZES)
def test_the_blur_is_the_antialiased_downsampling(size):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    np.testing.assert_allclose(by_matrices(x, blur_matrix), blur(x, 4, stride=2), atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_the_upsampling_is_bilinear(size):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    np.testing.assert_allclose(by_matrices(x, bilinear_matrix), bilinear_up(x), atol=1e-6)


def test_constants_stay_as_they_are():
    for n in (3, 4, 7, 8):
        np.testing.assert_allclose(blur_matrix(n).sum(1), 1)
        np.testing.assert_allclose(bilinear_matrix(n).sum(1), 1)
