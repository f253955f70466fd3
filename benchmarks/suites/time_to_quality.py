"""How long until training has reached a quality?

`benchmarks/time_to_quality.py` says how that is measured, and what the options are. The bars, of the shipped configs
with seed 0: the GAN has nine classes, a TV of 0.15 and a coverage of 0.25 after 1,000 to 1,200 steps (not yet ten after
2,800: of one digit in 2% of the samples the classifier is sure); the VAE is at 105 nats after 1,500 steps.
"""

from benchmarks.suites import Case
from benchmarks.time_to_quality import line, measure
from jaxgen.assemble import config_named

__all__ = ["CASES", "line", "measure"]

LOOKS = {"limit": 4000, "seeds": 3}

CASES = (
    Case(
        "digits_gan",
        config_named("digits_gan")[1],
        "train",
        {
            "metric": "sample_metrics",
            "bar": {"classes_present": {"low": 9}, "class_tv": {"high": 0.15}, "coverage": {"low": 0.25}},
            "turn": 100,
            **LOOKS,
        },
    ),
    Case(
        "image_vae",
        config_named("image_vae")[1],
        "train",
        {"metric": "negative_elbo", "bar": {"negative_elbo": {"high": 105.0}}, "turn": 50, **LOOKS},
    ),
)
