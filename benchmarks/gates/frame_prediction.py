"""Frame prediction, beside gate 6: the next frame of a moving digit from four before it, against copying the last."""

from pathlib import Path

import numpy as np

from benchmarks import gates
from benchmarks.gates import Part, Row, Verdict
from jaxgen import assemble
from jaxgen.domains import video
from jaxgen.trained import load

DATA = None
SHARE = 0.5
"""Of the copy's errors: a network that begins as a copy is a little better than one after two steps."""


def measure(seed: int, data: Path | None, workdir: Path) -> Verdict:
    """Trains `frame_prediction` with the seed; judges the last checkpoint on held-out clips."""
    cfg = gates.config("frame_prediction", data, seed)
    steps, minutes = gates.trained(cfg, workdir)
    domain = assemble.domain(cfg)
    train, heldout = domain.load(cfg, "train"), domain.load(cfg, "test")
    real = video.reference(cfg, train, heldout)
    clips = heldout["image"]
    given = clips[:, :-1]

    def judged(last: np.ndarray) -> Row:
        return video.ended(np.concatenate([given, last], axis=1), clips, real)

    rows = {step: judged(video.predicted(load(workdir, step), given, 1)) for step in steps}
    best = min(rows, key=lambda step: float(rows[step]["mse"]))
    impostors = {name: judged(last) for name, last in rules(given).items()}
    copy = impostors["copy_last"]
    return Verdict(
        ours=rows[steps[-1]],
        parts=(
            Part("mean squared error <= half of the last frame's copied", "mse", high=SHARE * float(copy["mse"])),
            Part(
                "distance in learned features <= half of the copy's",
                "feature_distance",
                high=SHARE * float(copy["feature_distance"]),
            ),
        ),
        impostors=impostors,
        others={"real": judged(clips[:, -1:]), f"ours, best (step {best})": rows[best]},
        facts=real.describe()
        | {
            "real": f"the last frames of {len(clips)} held-out clips, of digits that are in no training clip",
            "steps": steps[-1],
            "batch": cfg.batch,
            "training_minutes": minutes,
            "checkpoints": {str(step): rows[step] for step in steps},
        },
    )


def rules(given: np.ndarray) -> dict[str, np.ndarray]:
    """What takes no learning, uint8 [N, 1, H, W, C], of the frames before [N, T, H, W, C]: the last frame, the mean of
    all, the last two gone on with pixel by pixel, and the last frame of another clip."""
    last = given[:, -1:].astype(np.float64)
    onward = np.clip(2 * last - given[:, -2:-1], 0, 255)
    mean = given.mean(1, keepdims=True)
    return {
        "copy_last": given[:, -1:],
        "mean": np.rint(mean).astype(np.uint8),
        "extrapolated": np.rint(onward).astype(np.uint8),
        "another_clip": np.roll(given[:, -1:], 1, axis=0),
    }
