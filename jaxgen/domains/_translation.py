"""What domains that make images of images share: their networks, strips of pictures, and a user's own. Not a domain."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from etils import epath
from PIL import Image, ImageOps

from jaxgen import preview, tiling
from jaxgen.config import Config, Paired, UNet, Unpaired
from jaxgen.data import images
from jaxgen.degrade import Degrade, degradation
from jaxgen.domains import Pictures, SampleOptions, Source, _pixels, check_halvings
from jaxgen.errors import UserError
from jaxgen.models import unet


@dataclass(frozen=True)
class TranslateOptions(SampleOptions):
    """What `jaxgen sample` can be asked for where images are made of images."""

    num: int = 16  # how many of the held-out pictures that the run keeps
    out: str = ""  # .png, .npz arrays (`source`, `image`), else a folder of PNG files
    input: str = ""  # a picture of your own, of any size, in the place of those
    mask: str = ""  # of a run that fills holes: a picture of the input's size, white where something is missing
    back: bool = False  # of a run from unpaired sets: the other way


def degrade(cfg: Config) -> Degrade | None:
    """How the config's game makes inputs from targets, if it does."""
    name = getattr(cfg.game, "degrade", "")
    return degradation(name) if name else None


def networks(cfg: Config, axis_name: str | None):
    """U-Net and critic of patches."""
    model, shape, spoil = cfg.model, images.check_shape(cfg.shape), degrade(cfg)
    dtype = "bfloat16" if cfg.precision == "bf16" else None
    if not isinstance(model, UNet):
        raise UserError(f"The domain {cfg.domain!r} has no model {type(model).__name__}; choose UNet.")
    if not isinstance(cfg.game, Paired | Unpaired):
        raise UserError(f"The domain {cfg.domain!r} is played by Paired or Unpaired, not {type(cfg.game).__name__}.")
    if shape[0] % model.patch or shape[1] % model.patch:
        raise UserError(f"--model.patch {model.patch} does not divide {shape[0]} x {shape[1]} pixels.")
    halvings = max(len(model.gen), len(model.disc)) - 1
    check_halvings((shape[0] // model.patch, shape[1] // model.patch, shape[2]), halvings, least=2)
    scale = spoil.scale if spoil else 1
    if shape[0] % scale or shape[1] % scale:
        raise UserError(f"Images of {shape[0]}x{shape[1]} can't be made {scale} times smaller; choose another --shape.")
    masked = bool(spoil and spoil.masked)
    gen = unet.UNet(shape[2], model.gen, model.blocks, model.patch, scale, model.residual, masked, dtype)
    return gen, unet.PatchCritic(model.disc, model.blocks, model.patch, dtype)


def write(pictures: Pictures, stem: epath.Path) -> list[epath.Path]:
    """Strips of inputs, what is made of them and, where there are any, targets; of unpaired sets both ways."""
    parts = []
    for sources, made in (("sources", "samples"), ("sources_back", "samples_back")):
        if sources in pictures:
            columns = [shown(pictures[sources], pictures[made].shape[1:3]), _pixels.to_raw(pictures[made])]
            if "targets" in pictures and made == "samples":
                columns.append(_pixels.to_raw(pictures["targets"]))
            parts.append(strips(columns))
    return [preview.write_png(preview.named(stem, ".png"), preview.rows(parts, 4), scale=2)] if parts else []


def shown(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Sources as pictures uint8 of a size, by repetition; the channel that says what is missing is left out."""
    x = np.asarray(x)
    channels = 1 if x.shape[3] < 3 else 3
    factor = size[0] // x.shape[1], size[1] // x.shape[2]
    return _pixels.to_raw(x[..., :channels]).repeat(factor[0], axis=1).repeat(factor[1], axis=2)


def strips(columns: list[np.ndarray]) -> np.ndarray:
    """Several sets of images [N, H, W, C] side by side: [N, H, (W + 2) len - 2, C]."""
    gap = np.full((*columns[0].shape[:2], 2, columns[0].shape[3]), 255, np.uint8)
    parts = [part for column in columns for part in (column, gap)]
    return np.concatenate(parts[:-1], axis=2)


def sample(run: Source, options: TranslateOptions, folder: epath.Path) -> list[epath.Path]:
    """Held-out pictures that the run keeps, or one of the user's own, translated. Raises `UserError`."""
    if options.back and not isinstance(run.config.game, Unpaired):
        raise UserError("Only a run from unpaired sets goes both ways; leave out --back.")
    spoil = degrade(run.config)
    if options.mask and not (options.input and spoil and spoil.masked):
        raise UserError("--mask goes with --input, of a run that fills holes; leave it out.")
    path = epath.Path(options.out or folder / _name(options))
    if options.input:
        if path.suffix != ".png":
            raise UserError(f"--out {path} must end in .png.")
        return [preview.write_png(path, own(run, options))]
    if path.suffix not in (".png", ".npz", ""):
        raise UserError(f"--out {path} must end in .png (strips) or .npz (arrays), or be a folder.")
    if not path.suffix:
        preview.new_folder(path)  # refused before anything is computed
    x, target = held_out(run, options)
    made = run.translate(x, options.seed, options.back)
    pictures = {"sources": x, "samples": made} | ({} if target is None else {"targets": target})
    if path.suffix == ".png":
        return write(pictures, path.with_suffix(""))
    if path.suffix == ".npz":
        return [preview.write_npz(path, source=x, image=_pixels.to_raw(made))]
    return _folder(shown(x, made.shape[1:3]), _pixels.to_raw(made), path)


def held_out(run: Source, options: TranslateOptions) -> tuple[np.ndarray, np.ndarray | None]:
    """(sources, targets if there are any) of the first `num` pictures that the run keeps."""
    kept = run.examples()
    if options.num > len(kept["image"]):
        raise UserError(f"The run keeps {len(kept['image'])} pictures; use --num {len(kept['image'])} or less.")
    batch = _pixels.to_batch({name: a[: options.num] for name, a in kept.items()})
    if options.back:
        return np.asarray(batch["image"]), None
    x = run.sources(batch, options.seed)
    return x, None if isinstance(run.config.game, Unpaired) else np.asarray(batch["image"])


def own(run: Source, options: TranslateOptions) -> np.ndarray:
    """The user's picture, translated: uint8 [H, W, C]."""
    spoil, channels = degrade(run.config), run.config.shape[2]
    x, hole = read(Path(options.input).expanduser(), channels)
    if spoil and spoil.masked:
        if options.mask:
            hole = read(Path(options.mask).expanduser(), 1, whatever=True)[0][..., 0] >= 128
        x = with_hole(x, hole, options.input)
    elif hole is not None and hole.any():
        raise UserError(f"{options.input} has transparent pixels, and this run fills no holes. Save it without them.")
    else:
        x = x.astype(np.float32) / 127.5 - 1
    gen, _ = networks(run.config, None)
    made = tiling.translate(
        x, lambda one: run.translate(one, options.seed, options.back, chunk=1), gen.stride, gen.reach, gen.scale
    )
    return _pixels.to_raw(made)


def read(path: Path, channels: int, whatever: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
    """(uint8 [H, W, channels], bool [H, W] of transparent pixels if it has any) of a file, turned as its EXIF data say.

    Raises `UserError` where it can't be read, or is in colour where grey is wanted, unless `whatever`.
    """
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            picture.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"Cannot read the picture {path} ({error}). Give a PNG or JPEG file.") from error
    hole = None
    if picture.has_transparency_data:
        kind = "L" if picture.mode in ("1", "L", "LA") else "RGB"
        picture = picture.convert("RGBA")
        hole = np.asarray(picture)[..., 3] < 128
        picture = picture.convert(kind)
    if picture.mode in ("1", "P"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    if picture.mode not in ("L", "RGB"):
        raise UserError(f"{path} has the mode {picture.mode}; save it as 8-bit RGB or grey.")
    if picture.mode == "RGB" and channels == 1 and not whatever:
        raise UserError(f"{path} is in colour, and the run knows grey pictures only. Save it in grey.")
    return np.asarray(picture.convert("L" if channels == 1 else "RGB")).reshape(*picture.size[::-1], channels), hole


def with_hole(x: np.ndarray, hole: np.ndarray | None, name: str) -> np.ndarray:
    """uint8 [H, W, C] -> float32 [H, W, C + 1] as `degrade.Degrade` makes it. Raises `UserError` where nothing, or
    everything, is missing, or the two have other sizes."""
    if hole is None or not hole.any():
        raise UserError(f"Nothing is missing in {name}. Give --mask, white where it is, or transparent pixels.")
    if hole.shape != x.shape[:2]:
        raise UserError(
            f"The mask has {hole.shape[1]}x{hole.shape[0]} pixels, {name} {x.shape[1]}x{x.shape[0]}; make them alike."
        )
    if hole.all():
        raise UserError(f"The mask covers all of {name}: there is nothing left to fill it from. Leave some pixels.")
    missing = hole[..., None].astype(np.float32)
    return np.concatenate([(x.astype(np.float32) / 127.5 - 1) * (1 - missing), missing], axis=-1)


def _name(options: TranslateOptions) -> str:
    return (f"{Path(options.input).stem}-translated" if options.input else f"seed-{options.seed}") + ".png"


def _folder(sources: np.ndarray, made: np.ndarray, path: epath.Path) -> list[epath.Path]:
    for i, (before, after) in enumerate(zip(sources, made, strict=True)):
        preview.write_png(path / "input" / f"{i:06}.png", before)
        preview.write_png(path / "output" / f"{i:06}.png", after)
    return [path]
