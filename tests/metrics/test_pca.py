import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics.pca import pca


@pytest.fixture
def images():
    """[300, 6, 5, 3]: five factors of falling strength, and a little noise."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(300, 5)) * [40, 25, 15, 8, 4]
    basis = np.linalg.qr(rng.normal(size=(90, 5)))[0].T
    return np.clip(128 + factors @ basis + rng.normal(size=(300, 90)), 0, 255).astype(np.uint8).reshape(300, 6, 5, 3)


def test_equals_the_exact_decomposition(images):
    flat = images.reshape(300, -1).astype(np.float64)
    _, singular, rows = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    found = pca(images, components=5)
    np.testing.assert_allclose(found.deviations, singular[:5] / np.sqrt(299), rtol=1e-3)
    np.testing.assert_allclose(np.abs((found.basis * rows[:5]).sum(1)), 1, atol=1e-3)
    unit = np.sqrt(np.mean(found.deviations**2))
    expected = np.abs((flat - flat.mean(0)) @ rows[:5].T) / unit
    np.testing.assert_allclose(np.abs(found.features(images)), expected, atol=0.2 / unit)


def test_features_are_about_one(images):
    assert abs(np.square(pca(images, components=5).features(images)).mean() - 1) < 0.01
    assert not pca(np.full_like(images, 7)).features(images[:2] * 0 + 7).any()


def test_samples_have_the_mean_and_covariance_of_the_images(images):
    found = pca(images, components=5)
    samples = found.sample(4000, seed=1)
    assert samples.shape == (4000, 6, 5, 3)
    assert samples.dtype == np.uint8
    np.testing.assert_allclose(samples.mean(0), images.mean(0), atol=2)
    unit = np.sqrt(np.mean(found.deviations**2))
    np.testing.assert_allclose(unit * found.features(samples).std(0), found.deviations, rtol=0.1)
    np.testing.assert_array_equal(samples, found.sample(4000, seed=1))
    assert (samples != found.sample(4000, seed=2)).any()


def test_no_more_components_than_the_data_have(images):
    assert pca(images[:4], components=64).features(images).shape == (300, 3)
    assert pca(images[:, :2, :2, :1]).features(images[:9, :2, :2, :1]).shape == (9, 4)


def test_hash_tells_fits_apart(images):
    assert pca(images).hash == pca(images.copy()).hash
    assert pca(images).hash != pca(images[1:]).hash


def test_refuses(images):
    with pytest.raises(UserError, match="at least two"):
        pca(images[:1])
    with pytest.raises(UserError, match="uint8"):
        pca(images / 255)
    with pytest.raises(UserError, match="expected"):
        pca(images).features(images[:, :3])
