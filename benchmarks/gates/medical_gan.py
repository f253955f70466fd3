"""Gate 9: class-conditional chest X-rays (PneumoniaMNIST) with the audit.

Classifiers are tested on the 624 test images. Samples are compared with the 524 validation images: test images differ
from all others so much that the training images themselves come no nearer to them than Gaussians do: the columns of
the table that end in `_test`.
"""

from pathlib import Path

import numpy as np

from benchmarks import gates
from benchmarks.gates import Part, Row, Verdict
from jaxgen import assemble
from jaxgen.data import images
from jaxgen.domains import medical
from jaxgen.errors import UserError
from jaxgen.metrics import audit, sample_quality
from jaxgen.trained import load

DATA = "medical/pneumoniamnist"
FILE = "pneumoniamnist-recovered.npz"
NOTE = "union of two public copies; 1,214 normal and 3,494 pneumonia to train on; 8 validation images are copies"


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains `medical_gan_xray` with the seed; judges the last checkpoint."""
    if not (data / FILE).is_file():
        raise UserError(f"The benchmark needs PneumoniaMNIST; {data / FILE} is missing. Give its folder with --data.")
    cfg = gates.config("medical_gan_xray", data / FILE, seed)
    steps, minutes = gates.trained(cfg, workdir)
    domain = assemble.domain(cfg)
    train, heldout = domain.load(cfg, "train"), domain.load(cfg, "test")
    alike = images.load(cfg.data, cfg.shape, "validation")
    reference = sample_quality.reference(train, alike, medical.classifiers(cfg))
    tests = sample_quality.reference(train, heldout, medical.classifiers(cfg))
    counts = np.bincount(train["label"])

    def of_tests(made) -> Row:
        row = sample_quality.compare(medical.balanced_like(made, heldout), tests)
        return {f"{name}_test": row[name] for name in ("kid", "coverage")}

    def judged(made) -> Row:
        return {**medical.audited(made, train, heldout, alike, reference, cfg), **of_tests(made)}

    def compared(step: int) -> Row:
        made = medical.synthetic(load(workdir, step), counts)
        return {**sample_quality.compare(medical.balanced_like(made, alike), reference), **of_tests(made)}

    rows = {step: compared(step) for step in steps}
    ours = {**rows[steps[-1]], **medical.measure(load(workdir), train, heldout)}
    best = min(rows, key=lambda step: float(rows[step]["kid"]))
    ceiling = sample_quality.ceiling(reference)
    impostors = {name: judged(made) for name, made in _impostors(train, counts, seed).items()}
    gaussians = impostors["class_gaussians"]
    return Verdict(
        ours=ours,
        parts=(
            Part("KID <= 25% of the class-conditional PCA-Gaussians'", "kid", high=0.25 * float(gaussians["kid"])),
            Part("train on synthetic >= 0.9 of train on real (AUC)", "tstr_ratio", low=0.9),
            Part("real + synthetic >= real - 0.005 at 10% of the data (AUC)", "augmentation_gain", low=-0.005),
            Part("membership inference AUC <= 0.55", "mia_auc", high=0.55),
            gates.memorisation(ceiling),
        ),
        impostors=impostors,
        doubted=(
            (
                Part("KID to test images <= 25% of theirs", "kid_test", high=0.25 * float(gaussians["kid_test"])),
                impostors["memoriser"],  # the training images
            ),
        ),
        others={"real vs real": ceiling, f"ours, best KID (step {best})": rows[best]},
        facts=reference.describe()
        | {
            "real": "524 validation images (KID, density, coverage, memorisation), 624 test images (AUC and *_test); "
            "features from a classifier trained on the 4,708 training images",
            "resize": "none",
            "data_note": NOTE,
            "steps": steps[-1],
            "batch": cfg.batch,
            "training_minutes": minutes,
            "checkpoints": {str(step): rows[step] for step in steps},
        },
    )


def _impostors(train, counts: np.ndarray, seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Labelled sets of the training set's size: Gaussians by class, one image a class repeated, and the set itself."""
    label = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    firsts = [np.flatnonzero(train["label"] == c)[:5] for c in range(len(counts))]
    few = np.concatenate([np.resize(rows, n) for rows, n in zip(firsts, counts, strict=True)])
    return {
        "class_gaussians": audit.class_gaussians(train, counts.tolist(), seed),
        "collapsed": {"image": train["image"][few], "label": label},
        "memoriser": {"image": train["image"], "label": train["label"]},
    }
