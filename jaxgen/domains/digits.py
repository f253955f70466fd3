"""Grey handwritten digits, 28x28: the article's GAN, and a DCGAN."""

from functools import partial

from jaxgen.config import MLP, Conv
from jaxgen.data.cache import cache_dir
from jaxgen.domains import Domain, Found, Raw, Source, _pixels
from jaxgen.metrics.sample_quality import sample_metrics

MOST_SAMPLES = 10_000


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """Of as many samples as there are held-out digits, at most 10,000."""
    samples = _pixels.to_raw(run.draw(min(len(heldout["image"]), MOST_SAMPLES), seed=0))
    return sample_metrics(samples, train, heldout, cache_dir(run.config.data_dir) / "classifiers")


DOMAIN = Domain(
    partial(_pixels.networks, models=(MLP, Conv)),
    _pixels.load,
    _pixels.to_batch,
    _pixels.to_raw,
    _pixels.write,
    measure,
)
