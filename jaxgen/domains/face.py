"""Aligned faces, grey or colour: a residual GAN for few images."""

from functools import partial

from jaxgen.config import Conv, Residual
from jaxgen.data.cache import cache_dir
from jaxgen.domains import Domain, Found, Raw, Source, _pixels
from jaxgen.metrics.sample_quality import sample_metrics

LEAST_SAMPLES, MOST_SAMPLES = 500, 10_000


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """Of as many samples as there are held-out faces, at least 500 and at most 10,000."""
    n = min(max(len(heldout["image"]), LEAST_SAMPLES), MOST_SAMPLES)
    samples = _pixels.to_raw(run.draw(n, seed=0))
    return sample_metrics(samples, train, heldout, cache_dir(run.config.data_dir) / "classifiers")


DOMAIN = Domain(
    partial(_pixels.networks, models=(Residual, Conv)),
    _pixels.load,
    _pixels.to_batch,
    _pixels.to_raw,
    _pixels.write,
    measure,
)
