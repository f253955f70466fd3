"""Video: `video/clips` from latents, and `video/prediction`, the next frame from those before it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from etils import epath

from jaxgen import clips, preview
from jaxgen.config import Adversarial, Clip, Config, Paired, UNet
from jaxgen.data import moving_digits, video_files, videos
from jaxgen.data.cache import cache_dir
from jaxgen.data.frames import check_clip_shape
from jaxgen.domains import Domain, Found, Pictures, Raw, SampleOptions, Source, _pixels, check_halvings
from jaxgen.errors import UserError
from jaxgen.metrics import clip_comparison
from jaxgen.models import unet, video
from jaxgen.types import Batch, Split

FPS = 10
SHOWN = 16  # clips of a preview
SEED = 0
LEAST = 24
"""Fewest held-out clips that a run is measured with."""


@dataclass(frozen=True)
class ClipOptions(SampleOptions):
    """What `jaxgen sample` can be asked for of clips."""

    num: int = 16  # how many clips
    out: str = ""  # .gif or .mp4 all clips side by side, .png a row of frames each, .npz arrays, else a folder
    label: int = -1  # the class that all clips have, from 0; -1: all classes in turn
    same: Literal["", "content", "motion"] = ""  # all clips have the first one's content and class, or its motion
    fps: int = FPS  # frames a second, of .gif and .mp4


@dataclass(frozen=True)
class PredictionOptions(SampleOptions):
    """What `jaxgen sample` can be asked for of frame prediction."""

    num: int = 8  # how many of the held-out clips that the run keeps
    out: str = ""  # .png rows of frames, given, then made, then true; .gif or .mp4; .npz arrays
    input: str = ""  # a video of your own, of any size, whose last frames are gone on from
    frames: int = 1  # how many frames to go on for, each made from those before it
    fps: int = FPS


def networks(cfg: Config, axis_name: str | None):
    """Generator of clips, and the critics of frames and of clips."""
    model, shape = cfg.model, check_clip_shape(cfg.shape)
    if not isinstance(model, Clip):
        raise UserError(f"The domain {cfg.domain!r} has no model {type(model).__name__}; choose Clip.")
    if not isinstance(cfg.game, Adversarial) or cfg.game.augment:
        raise UserError("Clips are played by Adversarial, without --game.augment.")
    if model.still and model.moves == "place":
        raise UserError("What moves from place to place is drawn once a clip anyway; leave out --model.still.")
    if not 1 <= model.frames <= shape[0]:
        raise UserError(f"--model.frames must be 1 to {shape[0]}, the frames of a clip, not {model.frames}.")
    if shape[1] % (2 * model.patch) or shape[2] % (2 * model.patch):
        raise UserError(f"--model.patch {model.patch} needs sides that are multiples of {2 * model.patch}: {shape}.")
    placed, dtype = model.moves == "place", "bfloat16" if cfg.precision == "bf16" else None
    # A thing has half the sides of a frame, and twice as many places for its pixels.
    whole, patch = (2, max(1, model.patch // 2)) if placed else (1, model.patch)
    if (shape[1] // whole) % patch or (shape[2] // whole) % patch:
        raise UserError(f"--model.patch {model.patch} does not divide what is drawn of {shape}; choose 1, 2 or 4.")
    drawn = (shape[1] // whole // patch, shape[2] // whole // patch, shape[3])
    check_halvings(drawn, max(len(model.gen), len(model.disc)) - 1, least=2)
    classes, of = cfg.game.classes, (model.content, model.motion, model.hidden, model.gen)
    gen = video.Generator(shape, *of, placed, patch, model.norm, model.still, classes, axis_name, dtype)
    critics = model.disc, model.clip, model.frames, model.patch
    return gen, video.Critics(*critics, placed, classes, axis_name, dtype)


def load(cfg: Config, split: Split) -> Raw:
    """`image` uint8 [N, T, H, W, C], and `label` where the data have classes."""
    found = videos.load(cfg.data, cfg.shape, split, cfg.data_dir)
    return {name: a for name, a in found.items() if name in ("image", "label")}


def write(pictures: Pictures, stem: epath.Path) -> list[epath.Path]:
    """Of `samples` [N, T, H, W, C] rows of frames, and a GIF of all side by side."""
    made = _pixels.to_raw(pictures["samples"][:SHOWN])
    return [
        preview.write_png(preview.named(stem, ".png"), clips.strip(made[: SHOWN // 2]), scale=2),
        clips.write_gif(preview.named(stem, ".gif"), made, FPS),
    ]


def sample(run: Source, options: ClipOptions, folder: epath.Path) -> list[epath.Path]:
    """Clips in the form that `out` asks for. Raises `UserError`."""
    path = epath.Path(options.out or folder / f"seed-{options.seed}.gif")
    _check_out(path, options.fps, (".gif", ".mp4", ".png", ".npz", ""))
    label = labels(run, options)
    if not path.suffix:
        preview.new_folder(path)  # refused before anything is computed
    made = _pixels.to_raw(run.decode(latents(run, options.num, options.seed, options.same), label))
    if path.suffix == ".npz":
        return [preview.write_npz(path, image=made, **({} if label is None else {"label": label}))]
    if path.suffix == ".png":
        return [preview.write_png(path, clips.strip(made), scale=2)]
    if path.suffix:
        return [_film(path, made, options.fps)]
    for i in range(len(made)):
        for ending in (".gif", ".mp4"):
            _film(path / f"{i:06}{ending}", made[i : i + 1], options.fps)
    return [path]


def _film(path: epath.Path, made: np.ndarray, fps: int) -> epath.Path:
    """uint8 clips [N, T, H, W, C] beside each other, as the ending of the path says."""
    if path.suffix == ".mp4":
        return clips.write_mp4(path, clips.tiled(made), fps)
    return clips.write_gif(path, made, fps)


def labels(run: Source, options: ClipOptions) -> np.ndarray | None:
    """int32 [num], the class of each clip, of a run that has any. Raises `UserError` for a class it has not."""
    if not run.classes:
        if options.label != -1:
            raise UserError("The run does not know of classes; leave out --label.")
        return None
    if not -1 <= options.label < run.classes:
        raise UserError(f"--label must be 0 to {run.classes - 1}, the run's classes, not {options.label}.")
    label = np.arange(options.num, dtype=np.int32) % run.classes
    if options.label != -1 or options.same == "content":
        label[:] = max(options.label, 0)
    return label


def latents(run: Source, n: int, seed: int, same: str = "") -> np.ndarray:
    """[n, Z], those of a seed; with the first one's content, or motion, in all."""
    model = run.config.model
    assert isinstance(model, Clip)
    z = np.array(run.latents(n, seed))  # a copy, as what JAX gives can't be written to
    if same == "content":
        z[:, : model.content] = z[0, : model.content]
    elif same == "motion":
        z[:, model.content :] = z[0, model.content :]
    return z


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """What `clip_comparison` says of `drawn` clips."""
    check_enough(heldout)
    real = reference(run.config, train, heldout)
    return real.describe() | clip_comparison.compare(drawn(run, heldout, SEED), real)


def drawn(run: Source, heldout: Raw, seed: int) -> np.ndarray:
    """As many clips as are held out, uint8 [N, T, H, W, C], and of their classes where the run knows of any."""
    label = heldout["label"] if run.classes else None
    return _pixels.to_raw(run.draw(len(heldout["image"]), seed, label))


def reference(cfg: Config, train: Raw, heldout: Raw) -> clip_comparison.Reference:
    """Real clips as networks see them that were trained on the training clips. What a digit is does not depend on where
    it is, so it is looked for around its centre."""
    side = cfg.shape[1] * 5 // 8 if cfg.data == moving_digits.NAME else 0
    return clip_comparison.reference(train, heldout, cache_dir(cfg.data_dir) / "classifiers", side)


def check_enough(heldout: Raw) -> None:
    """Raises `UserError` where so few clips are held out that nothing can be said."""
    if len(heldout["image"]) < LEAST:
        raise UserError(f"{len(heldout['image'])} held-out clips are too few to be measured by; hold out {LEAST}.")


def _check_out(path: epath.Path, fps: int, endings: tuple[str, ...]) -> None:
    if path.suffix not in endings:
        known = ", ".join(ending for ending in endings if ending)
        raise UserError(f"--out {path} must end in {known}" + (", or be a folder." if "" in endings else "."))
    if not 1 <= fps <= 100:
        raise UserError(f"--fps must be 1 to 100, not {fps}.")


def prediction_networks(cfg: Config, axis_name: str | None):
    """U-Net from the frames before, and a critic of patches that sees them too."""
    model, (length, height, width, channels) = cfg.model, check_clip_shape(cfg.shape)
    if not isinstance(model, UNet):
        raise UserError(f"The domain {cfg.domain!r} has no model {type(model).__name__}; choose UNet.")
    if not isinstance(cfg.game, Paired) or cfg.game.degrade or cfg.game.augment:
        raise UserError("Frames are predicted by Paired, without --game.degrade and --game.augment.")
    if length < 3:
        raise UserError(f"A shape of {length} frames shows no motion to go on with; choose --shape with 3 or more.")
    if height % model.patch or width % model.patch:
        raise UserError(f"--model.patch {model.patch} does not divide {height} x {width} pixels.")
    halvings = max(len(model.gen), len(model.disc)) - 1
    check_halvings((height // model.patch, width // model.patch, channels), halvings, least=2)
    dtype = "bfloat16" if cfg.precision == "bf16" else None
    gen = unet.UNet(channels, model.gen, model.blocks, model.patch, 1, model.residual, False, dtype)
    return gen, unet.PatchCritic(model.disc, model.blocks, model.patch, dtype)


def to_pairs(raw: Mapping[str, Any]) -> Batch:
    """Clips to `source`, the frames but the last, as channels, the latest first [B, H, W, (T - 1) C], and `image`, the
    last [B, H, W, C], in [-1, 1]."""
    x = raw["image"].astype("float32") / 127.5 - 1
    return {"source": before(x), "image": x[:, -1]}


def before(x: Any) -> Any:
    """Clips [B, T, H, W, C] -> [B, H, W, (T - 1) C]: all frames but the last, the latest first."""
    past = x[:, -2::-1]
    b, t, height, width, channels = past.shape
    return past.transpose(0, 2, 3, 1, 4).reshape(b, height, width, t * channels)


def past_of(source: np.ndarray, channels: int) -> np.ndarray:
    """The inverse of `before`: [B, H, W, (T - 1) C] -> [B, T - 1, H, W, C], the earliest first."""
    b, height, width, wide = source.shape
    return source.reshape(b, height, width, wide // channels, channels).transpose(0, 3, 1, 2, 4)[:, ::-1]


def write_prediction(pictures: Pictures, stem: epath.Path) -> list[epath.Path]:
    """Rows of the frames given, the one made, and the true one."""
    if not pictures:
        return []
    made = np.asarray(pictures["samples"])[:, None]
    parts = [past_of(np.asarray(pictures["sources"]), made.shape[-1]), made]
    if "targets" in pictures:
        parts.append(np.asarray(pictures["targets"])[:, None])
    rows = _pixels.to_raw(np.concatenate(parts, axis=1))
    return [preview.write_png(preview.named(stem, ".png"), clips.strip(rows), scale=2)]


def predicted(run: Source, given: np.ndarray, frames: int) -> np.ndarray:
    """uint8 clips [N, T - 1, H, W, C] -> the next `frames` [N, frames, H, W, C], each from the T - 1 before it."""
    known = given.astype(np.float32) / 127.5 - 1
    for _ in range(frames):
        latest = known[:, -given.shape[1] :]
        x = before(np.concatenate([latest, latest[:, -1:]], axis=1))
        known = np.concatenate([known, np.clip(run.translate(x, SEED), -1, 1)[:, None]], axis=1)
    return _pixels.to_raw(known[:, given.shape[1] :])


def sample_prediction(run: Source, options: PredictionOptions, folder: epath.Path) -> list[epath.Path]:
    """Held-out clips that the run keeps, or the user's own, gone on with. Raises `UserError`."""
    name = Path(options.input).stem + "-continued" if options.input else f"seed-{options.seed}"
    path = epath.Path(options.out or folder / f"{name}.png")
    _check_out(path, options.fps, (".png", ".gif", ".mp4", ".npz"))
    if options.frames < 1:
        raise UserError(f"--frames must be 1 or more, not {options.frames}.")
    length = run.config.shape[0]
    if options.input:
        shape = check_clip_shape((length - 1, *run.config.shape[1:]))
        clip = video_files.last_frames(Path(options.input).expanduser(), shape)[None]
    else:
        clip = run.examples()["image"][: options.num]
        if options.num > len(clip):
            raise UserError(f"The run keeps {len(clip)} clips; use --num {len(clip)} or less.")
    given, true = clip[:, : length - 1], clip[:, length - 1 :]
    made = predicted(run, given, options.frames)
    if path.suffix == ".npz":
        return [preview.write_npz(path, source=given, image=made)]
    if path.suffix == ".png":
        return [preview.write_png(path, clips.strip(np.concatenate([given, made, true], axis=1)), scale=2)]
    return [_film(path, np.concatenate([given, made], axis=1), options.fps)]


def measure_prediction(run: Source, train: Raw, heldout: Raw) -> Found:
    """Of the held-out clips' last frames, as made and as copied from the frame before: the mean squared error of grey
    levels in [0, 1], and the distance between the learned features of the clip that ends so and of the true one."""
    check_enough(heldout)
    real = reference(run.config, train, heldout)
    given = heldout["image"][:, :-1]
    found: Found = real.describe()
    for name, last in {"": predicted(run, given, 1), "_copy": given[:, -1:]}.items():
        ends = np.concatenate([given, last], axis=1)
        found |= {f"{key}{name}": value for key, value in ended(ends, heldout["image"], real).items()}
    return found


def ended(made: np.ndarray, true: np.ndarray, real: clip_comparison.Reference) -> Found:
    """How far clips uint8 [N, T, H, W, C] that end otherwise are from the true ones."""
    error = (made[:, -1].astype(np.float64) - true[:, -1]) / 255
    away = np.linalg.norm(real.features(made) - real.features(true), axis=1)
    return {"mse": float((error**2).mean()), "feature_distance": float(away.mean(dtype=np.float64))}


DOMAINS = {
    "clips": Domain(networks, load, _pixels.to_batch, _pixels.to_raw, write, measure, ClipOptions, sample, walks=False),
    "prediction": Domain(
        prediction_networks,
        load,
        to_pairs,
        _pixels.to_raw,
        write_prediction,
        measure_prediction,
        PredictionOptions,
        sample_prediction,
    ),
}
