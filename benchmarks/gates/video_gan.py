"""Gate 6: clips of moving digits, made from real MNIST digits by the rule of Moving MNIST, so that motion is known."""

from pathlib import Path

from benchmarks import gates
from benchmarks.gates import Part, Row, Verdict
from jaxgen import assemble
from jaxgen.domains import video
from jaxgen.metrics import clip_comparison
from jaxgen.trained import load

DATA = None


def measure(seed: int, data: Path | None, workdir: Path) -> Verdict:
    """Trains `video_gan` with the seed; judges the last checkpoint."""
    cfg = gates.config("video_gan", data, seed)
    steps, minutes = gates.trained(cfg, workdir)
    domain = assemble.domain(cfg)
    train, heldout = domain.load(cfg, "train"), domain.load(cfg, "test")
    real = video.reference(cfg, train, heldout)
    n = len(heldout["image"])

    def row(step: int) -> Row:
        return clip_comparison.compare(video.drawn(load(workdir, step), heldout, seed), real)

    rows = {step: row(step) for step in steps}
    best = min(rows, key=lambda step: float(rows[step]["frechet_clips"]))
    fakes = clip_comparison.impostors(train, n, seed)
    impostors = {name: clip_comparison.compare(made, real) for name, made in fakes.items()}
    ceiling = clip_comparison.ceiling(real)
    bar = 0.25 * float(impostors["pca_gaussian"]["frechet_clips"])
    return Verdict(
        ours=rows[steps[-1]],
        parts=(
            Part("clip Fréchet distance <= 25% of the PCA-Gaussian clips'", "frechet_clips", high=bar),
            Part("speed histogram TV <= 0.2", "speed_tv", high=0.2),
            Part("digit the same in all frames of >= 90% of clips", "class_constant", low=0.9),
            gates.memorisation(ceiling),
        ),
        impostors=impostors,
        others={"real vs real": ceiling, f"ours, best (step {best})": rows[best]},
        facts=real.describe()
        | {
            "real": f"{n} held-out clips, of digits that are in no training clip",
            "resize": "digits of 28x28 to 16x16, by area",
            "steps": steps[-1],
            "batch": cfg.batch,
            "training_minutes": minutes,
            "checkpoints": {str(step): rows[step] for step in steps},
        },
    )
