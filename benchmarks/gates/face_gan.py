"""Gate 4: the residual GAN on 280 Olivetti faces of 64x64, judged against the 120 held-out pictures of the same persons
by a classifier of persons."""

from pathlib import Path

from benchmarks import gates, olivetti
from benchmarks.gates import Part, Row, Verdict
from jaxgen import assemble
from jaxgen.data.cache import cache_dir
from jaxgen.metrics import sample_quality
from jaxgen.trained import load

DATA = "faces/olivetti"
SAMPLES = 1_000


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains `face_gan_olivetti` with the seed; judges the last checkpoint."""
    cfg = gates.config("face_gan_olivetti", olivetti.prepare(data), seed)
    steps, minutes = gates.trained(cfg, workdir)
    domain = assemble.domain(cfg)
    train, heldout = domain.load(cfg, "train"), domain.load(cfg, "test")
    reference = sample_quality.reference(train, heldout, cache_dir() / "classifiers")

    def row(step: int) -> Row:
        return sample_quality.compare(domain.to_raw(load(workdir, step).draw(SAMPLES, seed=seed)), reference)

    rows = {step: row(step) for step in steps}
    best = min(rows, key=lambda step: float(rows[step]["kid"]))
    ceiling = sample_quality.ceiling(reference)
    impostors = {
        name: sample_quality.compare(images, reference)
        for name, images in sample_quality.impostors(train, SAMPLES, seed).items()
    }
    return Verdict(
        ours=rows[steps[-1]],
        parts=(
            Part(
                "KID <= 25% of the PCA-Gaussian sampler's", "kid", high=0.25 * float(impostors["pca_gaussian"]["kid"])
            ),
            Part("coverage >= 0.7 of the ceiling", "coverage", low=0.7 * float(ceiling["coverage"])),
            gates.memorisation(ceiling),
        ),
        impostors=impostors,
        others={"real vs real": ceiling, f"ours, best KID (step {best})": rows[best]},
        facts=reference.describe()
        | {
            "real": "120 held-out Olivetti faces; features from a classifier of the 40 persons, trained on the others",
            "resize": "none",
            "data_note": olivetti.NOTE,
            "steps": steps[-1],
            "batch": cfg.batch,
            "training_minutes": minutes,
            "checkpoints": {str(step): rows[step] for step in steps},
        },
    )
