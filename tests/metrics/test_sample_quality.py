import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics import sample_quality
from jaxgen.metrics.kernel import kid
from jaxgen.metrics.sample_quality import ceiling, compare, impostors, reference, sample_metrics


def blobs(n, seed):
    """Images [n, 10, 10, 1] of a soft spot; its quarter of the picture is the class, its place and width are free."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 4, n)
    centre = rng.uniform(1.5, 3.5, (n, 2)) + 5 * np.stack([label // 2, label % 2], 1) - 0.5
    grid = np.stack(np.meshgrid(np.arange(10), np.arange(10), indexing="ij"), -1)
    squared = ((grid - centre[:, None, None]) ** 2).sum(-1)
    image = 255 * np.exp(-squared / rng.uniform(1.5, 4, (n, 1, 1)))
    return {"image": image.astype(np.uint8)[..., None], "label": label}


TRAIN, HELDOUT = blobs(400, 0), blobs(200, 1)


@pytest.fixture(scope="module")
def real():
    with pytest.MonkeyPatch.context() as patch:
        short = sample_quality.classifier
        patch.setattr(sample_quality, "classifier", lambda *args: short(*args, steps=60))
        yield reference(TRAIN, HELDOUT, None)


@pytest.fixture(scope="module")
def table(real):
    rows = {name: compare(images, real) for name, images in impostors(TRAIN, 200).items()}
    return rows | {"honest": compare(blobs(200, 2)["image"], real)}


def test_describes_the_extractor(real):
    row = real.describe()
    assert row["extractor"] == "classifier"
    assert len(row["extractor_hash"]) == 64
    assert row["extractor_accuracy"] > 0.9


def test_honest_samples_score_as_real_ones(table, real):
    row, best = table["honest"], ceiling(real)
    assert row["classes_present"] == row["classes"] == 4
    assert row["class_tv"] < 0.1
    assert row["coverage"] > 0.9 * best["coverage"]
    assert best["memorisation_low"] - 0.1 < row["memorisation_auc"] < best["memorisation_high"] + 0.1
    assert abs(row["kid"]) < 3 * row["kid_error"]


def test_each_impostor_fails_where_it_should(table):
    honest = table["honest"]
    assert table["memoriser"]["memorisation_auc"] == 1
    assert table["collapsed"]["coverage"] < 0.3 * honest["coverage"]
    assert table["collapsed"]["classes_present"] == 4
    for name in ("marginal", "collapsed"):
        assert table[name]["frechet_classifier"] > 5 * honest["frechet_classifier"]
    assert table["marginal"]["kid"] > 5 * honest["kid_error"]
    assert table["pca_gaussian"]["frechet_classifier"] > 1.5 * honest["frechet_classifier"]


def test_ceiling_compares_halves(real):
    row = ceiling(real)
    assert row["n_real"] == row["n_fake"] == 100
    assert row["coverage"] > 0.9
    assert row["memorisation_low"] == pytest.approx(1 - row["memorisation_high"])
    assert 0.3 < row["memorisation_low"] <= 0.5


def test_more_samples_than_real_ones(real):
    samples = blobs(600, 3)["image"]
    row = compare(samples, real)
    assert (row["n_samples"], row["n_fake"], row["n_real"]) == (600, 200, 200)
    assert row["coverage"] < 1  # 600 samples would cover all but 2^-10 or so of the balls
    assert row["kid"] == kid(real.real, real.extractor.features(samples))[0]  # unbiased: it takes them all


def test_without_labels_principal_components():
    train, heldout = {"image": TRAIN["image"]}, {"image": HELDOUT["image"]}
    row = sample_metrics(blobs(100, 2)["image"], train, heldout, None)
    assert row["extractor"] == "pca"
    assert {"frechet_pca", "kid", "density", "coverage", "memorisation_auc"} < row.keys()
    assert not {"classes_present", "class_tv", "extractor_accuracy"} & row.keys()
    memorised = sample_metrics(impostors(train, 100)["memoriser"], train, heldout, None)
    assert memorised["memorisation_auc"] == 1


def test_what_the_impostors_are():
    made = impostors(TRAIN, 500, seed=3)
    train = {image.tobytes() for image in TRAIN["image"]}
    assert {name: (x.shape, x.dtype) for name, x in made.items()} == dict.fromkeys(
        ("marginal", "pca_gaussian", "collapsed", "memoriser"), ((500, 10, 10, 1), np.dtype(np.uint8))
    )
    assert {x.tobytes() for x in made["memoriser"]} == train  # 500 of 400: each at least once
    assert len({x.tobytes() for x in made["collapsed"]}) == 4
    assert {x.tobytes() for x in made["collapsed"]} < train
    np.testing.assert_allclose(made["marginal"].mean(0), TRAIN["image"].mean(0), atol=15)
    for pixel in ((0, 0), (4, 7)):
        assert set(made["marginal"][(slice(None), *pixel, 0)]) <= set(TRAIN["image"][(slice(None), *pixel, 0)])
    neighbours = [np.corrcoef(x[:, 2, 2, 0], x[:, 2, 3, 0])[0, 1] for x in (TRAIN["image"], made["marginal"])]
    assert neighbours[0] > 0.5
    assert abs(neighbours[1]) < 0.2


def test_refuses_too_few(real):
    with pytest.raises(UserError, match="samples has 5 images"):
        compare(TRAIN["image"][:5], real)
    with pytest.raises(UserError, match="heldout has 3 images"):
        reference(TRAIN, {"image": HELDOUT["image"][:3]}, None)
