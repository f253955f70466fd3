"""What the gates of restoration share: photographs that ship in packages, judged on whole ones that were held out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks import gates
from benchmarks.gates import Part, Row, Verdict
from jaxgen import assemble
from jaxgen.degrade import degradation
from jaxgen.domains import Raw, restoration
from jaxgen.metrics.classifier import Classifier
from jaxgen.metrics.kernel import kid
from jaxgen.trained import load


def measure(configs: Mapping[str, str], to_beat: Sequence[str], seed: int, workdir: Path) -> Verdict:
    """Trains each of `configs`, by the ending that its numbers get, with the seed; judges their last checkpoints.

    What they have to beat is the best of the rules `to_beat` (of `restoration.classical`), in PSNR and in KID, on
    pictures never trained on.
    """
    parts: list[Part] = []
    ours: dict = {}
    rivals: dict[str, dict] = {}
    others: dict[str, Row] = {}
    halves: dict = {}
    facts: dict = {"extractor": "classifier of damage to 32x32 crops", "resize": "none"}
    for ending, name in configs.items():
        cfg = gates.config(name, None, seed)
        steps, minutes = gates.trained(cfg, workdir / name)
        domain = assemble.domain(cfg)
        train, heldout = domain.load(cfg, "train"), domain.load(cfg, "test")
        extractor = restoration.features(cfg)
        run = load(workdir / name)
        x = run.sources(domain.to_batch(heldout), restoration.SEED)

        def row(made: np.ndarray, ending=ending, heldout=heldout, extractor=extractor) -> Row:
            return _named(restoration.compared(made, heldout["image"], extractor), ending)

        rows = {step: row(domain.to_raw(run.at(step).translate(x, restoration.SEED))) for step in steps}
        ours |= rows[steps[-1]]
        others |= {f"ours, {name}, step {step}": one for step, one in rows.items()}
        halves |= _named(ceiling(heldout, extractor), ending)
        spoil = degradation(cfg.game.degrade)  # pyright: ignore[reportAttributeAccessIssue]
        made_by_rule = restoration.classical(x, spoil) | impostors(train, heldout, x, spoil.masked)
        for rival, made in made_by_rule.items():
            rivals.setdefault(rival, {}).update(row(made))
        best = {n: [float(rivals[rule][f"{n}{ending}"]) for rule in to_beat] for n in ("psnr", "kid")}
        rules = " and ".join(to_beat)
        parts += [
            Part(f"{name}: PSNR above {rules}", f"psnr{ending}", low=gates.above(max(best["psnr"]))),
            Part(f"{name}: KID below {rules}", f"kid{ending}", high=gates.below(min(best["kid"]))),
        ]
        facts |= {
            f"extractor_hash{ending}": extractor.hash,
            f"extractor_accuracy{ending}": extractor.heldout_accuracy,
            f"steps{ending}": steps[-1],
            f"batch{ending}": cfg.batch,
            f"training_minutes{ending}": minutes,
        }
        facts["real"] = (
            f"{len(heldout['image'])} patches of two whole photographs that were held out, chelsea and coffee"
        )
    return Verdict(
        ours=ours, parts=tuple(parts), impostors=rivals, others={"real vs real": halves} | others, facts=facts
    )


def ceiling(heldout: Raw, extractor: Classifier) -> Row:
    """True pictures against true ones: the halves that `restoration.compared` takes."""
    seen = [extractor.features(restoration.crops(heldout["image"][i::2])) for i in (0, 1)]
    return {"kid": kid(*seen)[0]}


def impostors(train: Raw, heldout: Raw, x: np.ndarray, masked: bool) -> dict[str, np.ndarray]:
    """What looks right and is not what was asked for, or the reverse: the training picture nearest to the truth, true
    pictures in another order, and one grey for each picture."""
    n = len(heldout["image"])
    flat, asked = (raw["image"].reshape(len(raw["image"]), -1).astype(np.float32) for raw in (train, heldout))
    nearest = ((asked**2).sum(1)[:, None] - 2 * asked @ flat.T + (flat**2).sum(1)).argmin(1)
    mean = heldout["image"].mean((1, 2, 3), keepdims=True).astype(np.uint8)
    made = {
        "memoriser": train["image"][nearest],
        "shuffled": np.roll(heldout["image"], n // 2, axis=0),
        "grey": np.broadcast_to(mean, heldout["image"].shape),
    }
    if not masked:
        return made
    hole = x[..., -1:] > 0  # what is known stays
    return {name: np.where(hole, picture, heldout["image"]) for name, picture in made.items()}


def _named(row: Row, ending: str) -> dict:
    return {f"{name}{ending}": value for name, value in row.items()}
