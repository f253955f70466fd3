"""Music as piano rolls of 88 pitches: `music/slices`, `music/passages`, `music/accompaniment`.

Slices have a latent each: for the bound, and for whole pieces. Passages have one latent: for samples, reconstructions
and what lies between two pieces. Accompaniment is the other voices to a soprano.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath
from flax import linen as nn

from jaxgen import files, pcm, preview
from jaxgen.config import Config, PassageVAE, SliceVAE, VariationalSequence
from jaxgen.data import music
from jaxgen.domains import Domain, Found, Pictures, Raw, SampleOptions, Source
from jaxgen.errors import UserError
from jaxgen.latent import line
from jaxgen.metrics import music_quality
from jaxgen.models.passages import PassageModel
from jaxgen.models.slices import SliceModel
from jaxgen.music import midi, picture, sound
from jaxgen.music.roll import LOWEST, PITCHES, top_voice
from jaxgen.types import Array, Batch, Split

KEPT = "music.json"
HOPS = 4
"""Into so many parts a passage is shifted to make the next one of the training data."""
BPM = 90
COPIED_QUARTERS = 8
"""Quarter notes in a row that make a copy."""


@dataclass(frozen=True)
class MusicOptions(SampleOptions):
    """What `jaxgen sample` can be asked for of music."""

    num: int = 8  # how many pieces
    out: str = ""  # a folder: of each piece a MIDI file, a WAV and a picture; .npz the rolls as one array
    temperature: float = 1.0  # below 1: more typical, less varied
    bpm: float = BPM  # quarter notes a minute, of the sound


@dataclass(frozen=True)
class PassageOptions(MusicOptions):
    """What `jaxgen sample` can be asked for of passages."""

    start: str = ""  # a MIDI file: its first passage is made anew, or with --end is where a row of pieces begins
    end: str = ""  # a MIDI file: `num` pieces lead from the start to it


@dataclass(frozen=True)
class AccompanimentOptions(MusicOptions):
    """What `jaxgen sample` can be asked for of accompaniment."""

    melody: str = ""  # a MIDI file whose highest voice is accompanied; else held-out sopranos that the run keeps


def networks(cfg: Config, axis_name: str | None, kind: str) -> tuple[nn.Module]:
    """The model, in a tuple. Raises `UserError` where it does not suit the domain."""
    model, (length, pitches) = cfg.model, _shape(cfg)
    dtype = "bfloat16" if cfg.precision == "bf16" else None
    if not isinstance(cfg.game, VariationalSequence):
        raise UserError(f"Music is played by VariationalSequence, not {type(cfg.game).__name__}.")
    if kind == "passages":
        if not isinstance(model, PassageVAE):
            raise UserError(f"The domain 'music/passages' has no model {type(model).__name__}; choose PassageVAE.")
        if model.conductor and length % model.every:
            raise UserError(
                f"A passage of {length} slices can't be shared among segments of {model.every}; choose --shape with a "
                "multiple, or another --model.every."
            )
        passages = PassageModel(
            pitches,
            model.z_dim,
            model.encoder,
            model.decoder,
            model.conductor,
            model.every,
            model.dropout,
            model.blind,
            axis_name,
            dtype,
        )
        return (passages,)
    if not isinstance(model, SliceVAE):
        raise UserError(f"The domain 'music/{kind}' has no model {type(model).__name__}; choose SliceVAE.")
    given = pitches if kind == "accompaniment" else 0
    slices = SliceModel(pitches, model.z_dim, model.width, model.hidden, model.dropout, given, axis_name, dtype)
    return (slices,)


def load(cfg: Config, split: Split, kind: str) -> Raw:
    """`roll` uint8 [N, T, 88] and `length` int32 [N]: passages that overlap to train on; of held-out pieces passages
    that do not, or with a latent a slice the whole pieces."""
    length, _ = _shape(cfg)
    pieces = music.pieces(cfg.data, split, _grid(cfg), cfg.data_dir)
    if split == "train":
        roll, lengths = music.windows(pieces, length, max(1, length // HOPS))
    else:
        whole = length if kind == "passages" else max(length, *(len(piece) for piece in pieces))
        roll, lengths = music.windows(pieces, whole, whole)
    return {"roll": roll, "length": lengths}


def raw(cfg: Config) -> Raw:
    return {"roll": np.zeros((1, *_shape(cfg)), np.uint8), "length": np.full((1,), cfg.shape[0], np.int32)}


def to_batch(raw: Mapping[str, Any], kind: str) -> Batch:
    """`sequence` of 0 and 1, `length`; of accompaniment `given`, the soprano, and `sequence` without it."""
    roll = raw["roll"].astype("float32")
    if kind != "accompaniment":
        return {"sequence": roll, "length": raw["length"]}
    # The highest note: no note above it, which the reversed running sum counts.
    above = roll[..., ::-1].cumsum(-1)[..., ::-1]
    melody = roll * (above == 1)
    return {"sequence": roll - melody, "length": raw["length"], "given": melody}


def to_raw(x: Array | np.ndarray) -> np.ndarray:
    return (np.asarray(x) > 0.5).astype(np.uint8)


def kept(cfg: Config) -> dict[str, str]:
    """What whoever reads the rolls of a run needs to know."""
    return {KEPT: json.dumps({"grid": _grid(cfg), "lowest": LOWEST})}


def write(pictures: Pictures, stem: epath.Path, kept: Mapping[str, str]) -> list[epath.Path]:
    """A picture with a row for each piece (samples; originals beside reconstructions; interpolations), and the first
    sample as a MIDI file."""
    grid = json.loads(kept[KEPT])["grid"]
    made = to_raw(pictures["samples"])
    if "given" in pictures:
        made = np.maximum(made, to_raw(pictures["given"]))
    named = {"": list(made[:4])}
    if "reconstructions" in pictures:
        pairs = zip(to_raw(pictures["originals"]), to_raw(pictures["reconstructions"]), strict=True)
        named |= {"-reconstructions": [roll for pair in pairs for roll in pair]}
        named |= {"-interpolations": list(to_raw(pictures["interpolations"]))}
    paths = [
        preview.write_png(preview.named(stem, f"{name}.png"), stacked(rolls, grid)) for name, rolls in named.items()
    ]
    return [*paths, midi.write(preview.named(stem, ".mid"), made[0], grid)]


def stacked(rolls: list[np.ndarray], grid: int) -> np.ndarray:
    """Piano rolls [T, 88] one above the other, on one scale: uint8 [H, W, 3]."""
    span = picture.span(rolls)
    return preview.grid(np.stack([picture.drawn(roll, grid, span) for roll in rolls]), columns=1, border=4)


def measure(run: Source, train: Raw, heldout: Raw, kind: str) -> Found:
    """`bound` and `kl`, nats a slice of held-out music; of as many samples as there are held-out passages, but at most
    1,000, what `music_quality.compare` says of them and held-out music, and the share with a copied stretch.

    With a latent a slice also what its neighbour's latents cost; with one a passage the share of notes that a
    reconstruction has right (F1).
    """
    found = likelihood(run, heldout, kind)
    length = run.config.shape[0]
    real, lengths = music.windows(_pieces(heldout), length, max(1, length // HOPS))
    whole = real[lengths == length] if (lengths == length).any() else real
    if kind == "accompaniment":
        melodies = np.stack([top_voice(roll) for roll in whole])
        made = to_raw(run.sequences(len(whole), 0, {"given": melodies.astype(np.float32)}))
        made = np.maximum(made, melodies)
    else:
        made = to_raw(run.sequences(min(1000, max(64, len(whole))), 0))
    found |= music_quality.compare(made, whole)
    slices = COPIED_QUARTERS * _grid(run.config)
    pieces = _pieces(train)
    found["copied"] = music_quality.nearest_copy(made, pieces, slices)
    found["copied_real"] = music_quality.nearest_copy(whole, pieces, slices)
    if kind == "passages":
        x = whole.astype(np.float32)
        again = to_raw(run.sequences(len(x), 0, {"z": run.encode({"sequence": x})}, temperature=0.1))
        found["reconstruction_f1"] = float(2 * (again * x).sum() / (again.sum() + x.sum()))
    return found


def likelihood(run: Source, heldout: Raw, kind: str, draws: int = 4) -> Found:
    """`bound` and `kl` in nats a slice, means over all held-out slices and several draws of the latents; of a latent a
    slice `shuffled_cost`, what taking the latents of another piece costs, and `bound_of_prior`, the bound of a
    posterior that is the prior."""
    batch = {name: np.asarray(a) for name, a in to_batch(heldout, kind).items()}
    slices = float(heldout["length"].sum())
    each = [run.bounds(batch, seed) for seed in range(draws)]
    found: Found = {
        "bound": -float(np.mean([of["bound"].sum(dtype=np.float64) for of in each])) / slices,
        "kl": float(np.mean([of["kl"].sum(dtype=np.float64) for of in each])) / slices,
        "slices": int(slices),
    }
    if kind != "passages":
        of = run.shuffled(batch, 0)
        total = {name: float(a.sum(dtype=np.float64)) for name, a in of.items()}
        found["shuffled_cost"] = (total["own"] - total["other"]) / total["slices"]
        found["bound_of_prior"] = -total["prior"] / total["slices"]
    return found


def sample(run: Source, options: MusicOptions, folder: epath.Path, kind: str) -> list[epath.Path]:
    """Of each piece a MIDI file, its sound and its picture. Raises `UserError`."""
    path = epath.Path(options.out or folder / f"seed-{options.seed}")
    if path.suffix not in ("", ".npz"):
        raise UserError(f"--out {path} must end in .npz (arrays), or be a folder.")
    if not 0.05 <= options.temperature <= 5:
        raise UserError(f"--temperature must be 0.05 to 5, not {options.temperature}.")
    given = _given(run, options)
    if not path.suffix and options.out:
        preview.new_folder(path)  # refused before anything is computed
    n = len(next(iter(given.values()))) if given else options.num
    made = to_raw(run.sequences(n, options.seed, given, options.temperature))
    if "given" in given:
        made = np.maximum(made, to_raw(given["given"]))
    if path.suffix:
        return [preview.write_npz(path, roll=made)]
    grid = _grid(run.config)
    span = picture.span(made)
    for i, roll in enumerate(made):
        midi.write(path / f"{i:03}.mid", roll, grid, options.bpm)
        files.write(path / f"{i:03}.wav", pcm.to_wav(sound.synthesise(roll, grid, options.bpm)))
        preview.write_png(path / f"{i:03}.png", picture.drawn(roll, grid, span))
    return [path]


def _given(run: Source, options: MusicOptions) -> dict[str, np.ndarray]:
    """What the pieces go with: latents of the user's own files, or melodies."""
    length, n = run.config.shape[0], options.num
    if isinstance(options, PassageOptions):
        if options.end and not options.start:
            raise UserError("--end needs a --start, a MIDI file where the row of pieces begins.")
        if not options.start:
            return {}
        ends = np.stack([_passage(path, run.config) for path in (options.start, options.end) if path])
        mu = run.encode({"sequence": ends.astype(np.float32)})
        return {"z": np.asarray(line(mu[:1], mu[1:], n))[0] if options.end else np.repeat(mu, n, axis=0)}
    if isinstance(options, AccompanimentOptions):
        if options.melody:
            melodies = np.repeat(top_voice(_passage(options.melody, run.config))[None], n, axis=0)
        else:
            kept = run.examples()["roll"][:, :length]
            melodies = np.stack([top_voice(kept[i % len(kept)]) for i in range(n)])
        return {"given": melodies.astype(np.float32)}
    return {}


def _passage(path: str, cfg: Config) -> np.ndarray:
    """[T, 88] of a user's MIDI file: as much of its beginning as a passage holds, silence behind it."""
    roll = midi.read(Path(path).expanduser(), _grid(cfg))[: cfg.shape[0]]
    if not roll.any():
        raise UserError(f"{path} is silent for the {cfg.shape[0]} slices that a passage has; cut off the silence.")
    return np.pad(roll, ((0, cfg.shape[0] - len(roll)), (0, 0)))


def _pieces(raw: Raw) -> list[np.ndarray]:
    """Without what only fills up."""
    return [roll[:n] for roll, n in zip(raw["roll"], raw["length"], strict=True)]


def _shape(cfg: Config) -> tuple[int, int]:
    if len(cfg.shape) != 2 or cfg.shape[1] != PITCHES or cfg.shape[0] < 2:
        raise UserError(f"--shape of music is its slices, 2 or more, and {PITCHES} pitches, as 64 88; not {cfg.shape}.")
    return cfg.shape


def _grid(cfg: Config) -> int:
    assert isinstance(cfg.model, SliceVAE | PassageVAE)
    return cfg.model.grid


_OPTIONS: dict[str, type[MusicOptions]] = {
    "slices": MusicOptions,
    "passages": PassageOptions,
    "accompaniment": AccompanimentOptions,
}


def _domain(kind: str, options: type[MusicOptions]) -> Domain:
    bound: Callable[..., Any] = partial
    return Domain(
        bound(networks, kind=kind),
        bound(load, kind=kind),
        bound(to_batch, kind=kind),
        to_raw,
        write,
        bound(measure, kind=kind),
        options,
        bound(sample, kind=kind),
        raw=raw,
        kept=kept,
    )


DOMAINS = {kind: _domain(kind, options) for kind, options in _OPTIONS.items()}
