"""Gate 6 on its benchmark: characters of the Liberated Pixel Cup that walk, cast spells and slash."""

from pathlib import Path

import numpy as np

from benchmarks import gates
from benchmarks.gates import Part, Row, Verdict
from jaxgen.data import videos
from jaxgen.data.cache import cache_dir
from jaxgen.data.sprite_clips import ATTRIBUTES
from jaxgen.domains import video
from jaxgen.errors import UserError
from jaxgen.metrics import clip_comparison
from jaxgen.metrics.classifier import Classifier
from jaxgen.metrics.clip_quality import frame_classifier, frame_probabilities
from jaxgen.metrics.motion import identity_constant
from jaxgen.trained import load

DATA = "video/lpc-sprites"
FILE = "lpc-sprite-layers.zip"


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains `video_gan_sprites` with the seed; judges the last checkpoint."""
    if not (data / FILE).is_file():
        raise UserError(f"The benchmark needs the LPC sprites; {data / FILE} is missing. Give its folder with --data.")
    cfg = gates.config("video_gan_sprites", data / FILE, seed)
    steps, minutes = gates.trained(cfg, workdir)
    train, heldout = (videos.load(cfg.data, cfg.shape, split, cfg.data_dir) for split in ("train", "test"))
    real = video.reference(cfg, train, heldout)
    networks = attribute_networks(train, heldout)
    n = len(heldout["image"])

    def judged(clips: np.ndarray) -> Row:
        return {**clip_comparison.compare(clips, real), **kept(networks, clips)}

    rows = {step: judged(video.drawn(load(workdir, step), heldout, seed)) for step in steps}
    best = min(rows, key=lambda step: float(rows[step]["frechet_clips"]))
    impostors = {name: judged(clips) for name, clips in clip_comparison.impostors(train, n, seed).items()}
    ceiling: Row = {**clip_comparison.ceiling(real), **kept(networks, heldout["image"])}
    bar = 0.25 * float(impostors["pca_gaussian"]["frechet_clips"])
    return Verdict(
        ours=rows[steps[-1]],
        parts=(
            Part("clip Fréchet distance <= 25% of the PCA-Gaussian clips'", "frechet_clips", high=bar),
            Part("motion energy TV <= 0.2", "energy_tv", high=0.2),
            Part("skin, trousers, top and hair the same in all frames of >= 90% of clips", "character_constant", 0.9),
            gates.memorisation(ceiling),
        ),
        impostors=impostors,
        others={"real vs real": ceiling, f"ours, best (step {best})": rows[best]},
        facts=real.describe()
        | {
            "real": f"{n} clips of characters that are in no training clip",
            "resize": "64x64 to 32x32, antialiased",
            "attribute_accuracy": {name: network.heldout_accuracy for name, network in networks.items()},
            "steps": steps[-1],
            "batch": cfg.batch,
            "training_minutes": minutes,
            "checkpoints": {str(step): rows[step] for step in steps},
        },
    )


def attribute_networks(train, heldout) -> dict[str, Classifier]:
    """For each attribute of a character the network that tells its kinds in single frames."""
    folder, out = cache_dir() / "classifiers", {}
    for i, name in enumerate(ATTRIBUTES):
        sets = train["image"], train["character"][:, i], heldout["image"], heldout["character"][:, i]
        out[name] = frame_classifier(*sets, folder, steps=1500, per_clip=2)
    return out


def kept(networks: dict[str, Classifier], clips: np.ndarray) -> Row:
    """`character_constant`: the share of clips in all of whose frames every attribute is the same, where the networks
    are sure; and of each attribute by itself."""
    seen = {name: frame_probabilities(network, clips) for name, network in networks.items()}
    alone = {f"{name}_constant": identity_constant(p, clip_comparison.SURE) for name, p in seen.items()}
    each = [
        [identity_constant(p[i : i + 1], clip_comparison.SURE) == 1 for p in seen.values()] for i in range(len(clips))
    ]
    return {"character_constant": float(np.all(each, axis=1).mean()), **alone}
