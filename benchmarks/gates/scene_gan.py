"""Gate 10: Crafter's scenes from maps, and Dungeon Crawl's sprites by class.

Scenes are judged on the maps of held-out worlds: a network that reads maps from real scenes reads them from made ones,
and scenes of one map must differ. Sprites are judged by a classifier of their classes.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks import dcss, gates
from benchmarks.gates import Part, Row, Verdict
from jaxgen import assemble
from jaxgen.data import crafter_views
from jaxgen.data.cache import cache_dir
from jaxgen.domains import Raw, _pixels, scenes, sprites
from jaxgen.metrics import audit, sample_quality, segmentation
from jaxgen.trained import load

DATA = "games/dcss-tiles"
LIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of which the same views are drawn, to say how much real scenes of one map differ."""


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains `scene_gan` and `scene_gan_sprites` with the seed; judges their last checkpoints."""
    of_scenes = gates.config("scene_gan", None, seed)
    of_sprites = gates.config("scene_gan_sprites", dcss.sprites(data), seed)
    done = {
        "scene": gates.trained(of_scenes, workdir / "scenes"),
        "sprite": gates.trained(of_sprites, workdir / "sprites"),
    }
    scene_rows, scene_impostors, scene_facts, scene_real = _scenes(
        seed, of_scenes, workdir / "scenes", done["scene"][0]
    )
    sprite_rows, sprite_impostors, reference = _sprites(seed, of_sprites, workdir / "sprites", done["sprite"][0])
    ceiling = sample_quality.ceiling(reference)
    ours = scene_rows[max(scene_rows)] | _named(sprite_rows[max(sprite_rows)])
    memorisation = gates.memorisation(ceiling)
    return Verdict(
        ours=ours,
        parts=(
            Part("re-segmentation mIoU >= 0.8", "miou", low=0.8),
            Part(
                "scenes of one map differ, by a quarter of what light does",
                "diversity",
                low=0.25 * scene_real["diversity"],
            ),
            Part("KID <= 25% of painted scenes'", "kid", high=0.25 * scene_impostors["painted"]["kid"]),
            Part("sprites: accuracy >= 0.7 of real ones'", "sprite_class_accuracy_ratio", low=0.7),
            Part(
                "sprites: KID <= 25% of class Gaussians'",
                "sprite_kid",
                high=0.25 * sprite_impostors["class_gaussians"]["kid"],
            ),
            Part("sprites: coverage >= 0.7 of the ceiling", "sprite_coverage", low=0.7 * float(ceiling["coverage"])),
            Part(
                f"sprites: {memorisation.name}",
                "sprite_memorisation_auc",
                low=memorisation.low,
                high=memorisation.high,
            ),
        ),
        impostors=_joined(scene_impostors, sprite_impostors),
        others={"real vs real": scene_real | _named(ceiling)}
        | {f"ours, scenes, step {step}": row for step, row in scene_rows.items()}
        | {f"ours, sprites, step {step}": _named(row) for step, row in sprite_rows.items()},
        facts=scene_facts
        | {f"sprite_{name}": value for name, value in reference.describe().items()}
        | {
            "sprite_data_note": dcss.NOTE,
            "resize": "none",
            "steps": {kind: max(steps) for kind, (steps, _) in done.items()},
            "batch": {"scene": of_scenes.batch, "sprite": of_sprites.batch},
            "training_minutes": {kind: minutes for kind, (_, minutes) in done.items()},
        },
    )


def _scenes(seed: int, cfg, workdir: Path, steps: list[int]) -> tuple[dict[int, dict], dict[str, dict], dict, dict]:
    """(our rows by step, impostors, facts, real scenes) of the first half of the gate."""
    domain = assemble.domain(cfg)
    train, heldout = domain.load(cfg, "train"), domain.load(cfg, "test")
    reader = scenes.segmenter(train, heldout)
    pictures = [{"image": raw["image"]} for raw in (train, heldout)]
    reference = sample_quality.reference(pictures[0], pictures[1], None)
    x = np.asarray(scenes.one_hot(heldout["source"]))

    def row(made: np.ndarray, spread: float) -> dict:
        found = {**scenes.judged(made, heldout, reader), **sample_quality.compare(made, reference)}
        return {n: v for n, v in found.items() if isinstance(v, int | float)} | {"diversity": spread}

    rows, last = {}, load(workdir)
    for step in steps:
        run = last.at(step)
        rows[step] = row(_pixels.to_raw(run.translate(x, seed)), scenes.diversity(run, heldout))
    real = row(heldout["image"], _real_diversity()) | {"kid": sample_quality.ceiling(reference)["kid"]}
    unlearnt = _unlearnt(train, heldout)
    impostors = {name: row(made, 0.0) for name, made in unlearnt.items()}
    one = _lit(unlearnt["painted"][:1].repeat(scenes.PER_MAP, axis=0), seed)
    spread = segmentation.diversity(one, np.zeros(len(one)))
    impostors["painted, lit"] = row(_lit(unlearnt["painted"], seed), spread)
    facts = {
        "real": f"{len(x)} views of the worlds of held-out seeds; KID in principal components of pixels",
        "segmenter_hash": reader.hash,
        "segmenter_miou": reader.heldout_miou,
        "diversity_lights": LIGHTS,
    }
    return rows, impostors, facts, real


def _real_diversity(seed: int = 1000, count: int = 10) -> float:
    """Of the same real views in several lights, creatures as they are: less than there is, and known."""
    drawn = [crafter_views.draw(seed, count, daylight=light)["image"] for light in LIGHTS]
    return segmentation.diversity(np.concatenate(drawn), np.tile(np.arange(count), len(LIGHTS)))


def _unlearnt(train: Raw, heldout: Raw) -> Mapping[str, np.ndarray]:
    """Cells painted with the mean of their kind; the training view whose map is most like; true views in another order;
    one view for all maps."""
    cell, maps = scenes.CELL, heldout["source"]
    n, height, width = train["source"].shape
    cells = train["image"].reshape(n, height, cell, width, cell, 3).swapaxes(2, 3)
    means = np.stack([cells[train["source"] == kind].mean(0) for kind in range(scenes.KINDS)]).astype(np.uint8)
    painted = means[maps].swapaxes(2, 3).reshape(heldout["image"].shape)
    alike = (train["source"][None] == maps[:, None]).mean((2, 3)).argmax(1)
    return {
        "painted": painted,
        "memoriser": train["image"][alike],
        "shuffled": np.roll(heldout["image"], len(maps) // 2, axis=0),
        "collapsed": np.repeat(train["image"][:1], len(maps), axis=0),
    }


def _lit(pictures: np.ndarray, seed: int) -> np.ndarray:
    """Each in a light of its own: what differs is not learnt either."""
    light = np.random.default_rng(seed).uniform(0.4, 1.2, (len(pictures), 1, 1, 1))
    return np.clip(np.round(pictures * light), 0, 255).astype(np.uint8)


def _sprites(seed: int, cfg, workdir: Path, steps: list[int]):
    """(our rows by step, impostors, reference) of the second half."""
    domain = assemble.domain(cfg)
    train, heldout = domain.load(cfg, "train"), domain.load(cfg, "test")
    reference = sample_quality.reference(train, heldout, cache_dir() / "classifiers")
    label = sprites.labels(heldout)
    rows, last = {}, load(workdir)
    for step in steps:
        made = _pixels.to_raw(last.at(step).draw(len(label), seed, label))
        rows[step] = sprites.compared(made, label, reference)
    counts = np.bincount(label, minlength=cfg.game.classes).tolist()
    known = [train["image"][train["label"] == c] for c in range(len(counts))]
    sets = {
        "class_gaussians": audit.class_gaussians(train, counts, seed)["image"],
        "collapsed": np.concatenate([np.repeat(some[:1], n, axis=0) for some, n in zip(known, counts, strict=True)]),
        "memoriser": np.concatenate([some[np.arange(n) % len(some)] for some, n in zip(known, counts, strict=True)]),
    }
    return rows, {name: sprites.compared(made, label, reference) for name, made in sets.items()}, reference


def _named(row: Row) -> dict:
    return {f"sprite_{name}": value for name, value in row.items()}


def _joined(scene: Mapping[str, dict], sprite: Mapping[str, dict]) -> dict[str, Row]:
    """Each cheats at one half of the gate; in the other it is given what meets every part, so that it must be caught
    where it cheats."""
    best_scene = {"miou": 1.0, "diversity": 255.0, "kid": -1.0}
    best_sprite = _named({"class_accuracy_ratio": 1.0, "kid": -1.0, "coverage": 1.0, "memorisation_auc": 0.5})
    out: dict[str, Row] = {f"scenes {name}": row | best_sprite for name, row in scene.items()}
    return out | {f"sprites {name}": best_scene | _named(row) for name, row in sprite.items()}
