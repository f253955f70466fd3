"""Gate 1: the MLP GAN on all of MNIST, judged against the 10,000 test digits by a classifier trained on the others."""

from pathlib import Path

from benchmarks import gates, mnist
from benchmarks.gates import Part, Row, Verdict
from jaxgen import assemble
from jaxgen.data.cache import cache_dir
from jaxgen.metrics import sample_quality
from jaxgen.trained import load

DATA = "digits/mnist"
SAMPLES = 10_000


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains `digits_gan_mnist` with the seed; judges the last checkpoint."""
    cfg = gates.config("digits_gan_mnist", mnist.prepare(data), seed)
    steps, minutes = gates.trained(cfg, workdir)
    domain = assemble.domain(cfg)
    train, heldout = domain.load(cfg, "train"), domain.load(cfg, "test")
    reference = sample_quality.reference(train, heldout, cache_dir() / "classifiers")

    def row(step: int) -> Row:
        samples = domain.to_raw(load(workdir, step).draw(SAMPLES, seed=seed))
        return sample_quality.compare(samples, reference)

    rows = {step: row(step) for step in steps}
    best = min(rows, key=lambda step: float(rows[step]["frechet_classifier"]))
    ceiling = sample_quality.ceiling(reference)
    impostors = sample_quality.impostors(train, SAMPLES, seed)
    return Verdict(
        ours=rows[steps[-1]],
        parts=(
            Part("all ten classes present", "classes_present", low=10),
            Part("class histogram TV <= 0.05", "class_tv", high=0.05),
            Part("coverage >= 0.85 of the ceiling", "coverage", low=0.85 * float(ceiling["coverage"])),
            Part("density >= 0.8", "density", low=0.8),
            gates.memorisation(ceiling),
        ),
        impostors={name: sample_quality.compare(images, reference) for name, images in impostors.items()},
        others={"real vs real": ceiling, f"ours, best Fréchet (step {best})": rows[best]},
        facts=reference.describe()
        | {
            "real": "10,000 MNIST test images; features from a classifier trained on the 60,000 others",
            "resize": "none",
            "data_note": mnist.NOTE,
            "steps": steps[-1],
            "batch": cfg.batch,
            "training_minutes": minutes,
            "checkpoints": {str(step): rows[step] for step in steps},
        },
    )
