"""From log-mel spectrograms to waveforms: the domain `speech/vocoder`. Found by `speech`."""

import dataclasses
import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from jaxgen import preview
from jaxgen.config import Config, Paired, Vocoder
from jaxgen.data import speech
from jaxgen.domains import Domain, Found, Pictures, Raw, SampleOptions, Source, _speech
from jaxgen.errors import UserError
from jaxgen.metrics import speech as metrics
from jaxgen.models import vocoder
from jaxgen.speech import wav
from jaxgen.speech.compare import Spectra, ToMel
from jaxgen.speech.mel import Mel
from jaxgen.types import Array, Batch, Split

SEED = 0
"""Of Griffin-Lim's first phases."""
BLOCK = 64
"""Frames: recordings are made longer to a multiple of so many, as each length takes a compile."""
AT_ONCE = 8
"""Pieces of held-out recordings that pass at a time."""
TIMED = 5
"""Runs of which the real-time factor is the median."""


@dataclass(frozen=True)
class VocoderOptions(SampleOptions):
    """What `jaxgen sample` can be asked for of a vocoder."""

    num: int = 4  # how many of the held-out recordings that the run keeps
    out: str = ""  # .wav: one after another, and a picture beside it, input above output; .npz; else a folder
    input: str = ""  # a WAV file of your own, of any rate and number of channels, in the place of those


def networks(cfg: Config, axis_name: str | None):
    """Generator and critics. Raises `UserError` where model, game and shape do not fit."""
    _speech.check_model(cfg, Vocoder, Paired)
    model, game, mel = cfg.model, cfg.game, _speech.mel_of(cfg)
    assert isinstance(model, Vocoder)
    assert isinstance(game, Paired)
    if mel.hop % 4:
        raise UserError(f"--model.hop must be a multiple of 4, not {mel.hop}: spectra are compared at half of it too.")
    if len(cfg.shape) != 1 or cfg.shape[0] % mel.hop or cfg.shape[0] < 2 * mel.window:
        raise UserError(
            f"--shape of a vocoder is the samples of a training segment, a multiple of --model.hop {mel.hop} and "
            f"{2 * mel.window} or more, as {max(64 * mel.hop, 2 * mel.window)}; not {cfg.shape}."
        )
    if game.matching <= 0:
        raise UserError("A vocoder's critics are asked for their features; use --game.matching above 0, as 2.")
    if game.degrade or game.augment:
        raise UserError("A vocoder makes its own inputs; leave out --game.degrade and --game.augment.")
    dtype = "bfloat16" if cfg.precision == "bf16" else None
    gen = vocoder.Generator(mel, model.width, model.blocks, model.iterations, dtype)
    return gen, vocoder.Critics(model.periods, model.scales, model.critic, dtype)


def rules(cfg: Config) -> dict[str, Any]:
    mel = _speech.mel_of(cfg)
    return {"degrade": ToMel(mel), "compare": Spectra(mel)}


def load(cfg: Config, split: Split) -> Raw:
    """`image` int16 [N, T]: segments to train on; of held-out recordings pieces of three seconds and more."""
    mel = _speech.mel_of(cfg)
    if split == "train":
        cut = speech.segments(cfg.data, split, mel.rate, cfg.shape[0], data_dir=cfg.data_dir, download=cfg.download)
        return {"image": cut["wave"]}
    found = speech.recordings(cfg.data, split, mel.rate, cfg.data_dir, cfg.download)
    return {"image": _speech.to_int16(pieces(found, mel))}


def pieces(found: speech.Recordings, mel: Mel) -> np.ndarray:
    """float32 [N, T]: recordings one after another, voice by voice, cut into pieces of a whole number of `BLOCK`s that
    last for `metrics.SECONDS` or a little more. What is left over is left out; a lone piece is filled up with silence.

    PESQ and STOI are not asked about single words.
    """
    block = BLOCK * mel.hop
    size = -(-round(metrics.SECONDS * mel.rate) // block) * block
    all_of_it = np.concatenate([found.waves[i] for i in np.argsort(found.voice, kind="stable")])
    if len(all_of_it) < size:
        all_of_it = np.pad(all_of_it, (0, size - len(all_of_it)))
    return all_of_it[: len(all_of_it) // size * size].reshape(-1, size)


def raw(cfg: Config) -> Raw:
    return {"image": np.zeros((1, *cfg.shape), np.int16)}


def to_batch(raw: Mapping[str, Any]) -> Batch:
    """`image` [B, T] in [-1, 1]."""
    return {"image": raw["image"].astype("float32") / _speech.FULL}


def kept(cfg: Config) -> dict[str, str]:
    return {_speech.KEPT: json.dumps({"mel": dataclasses.asdict(_speech.mel_of(cfg))})}


def write(pictures: Pictures, stem: epath.Path, kept: Mapping[str, str]) -> list[epath.Path]:
    """Of four examples: spectrograms of recording and resynthesis, one above the other, and a WAV of both in turn."""
    mel = _speech.kept_mel(kept)
    true, made = (np.asarray(pictures[name][:4]) for name in ("targets", "samples"))
    return _pairs(true, made, mel, stem, both=True)


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """What `compared` says of the resynthesised held-out recordings, and of Griffin-Lim's; `real_time_factor`, seconds
    of computing for a second of speech, one recording at a time."""
    mel = _speech.mel_of(run.config)
    batch = to_batch(heldout)
    x, true = run.sources(batch, SEED), np.asarray(batch["image"])
    found = compared(run.translate(x, SEED, chunk=AT_ONCE), true, mel)
    found |= {f"{name}_griffin_lim": v for name, v in compared(_speech.by_griffin_lim(x, mel, SEED), true, mel).items()}
    return found | {"real_time_factor": real_time_factor(run, x[:1])}


def compared(made: np.ndarray, true: np.ndarray, mel: Mel) -> Found:
    """Of waveforms [N, T] against the recordings that they should be: `mr_stft`, `mcd` in dB, and where their packages
    are installed and find speech, `pesq` and `stoi`. Means over the recordings."""
    pairs = list(zip(true, _speech.limited(made), strict=True))
    found: Found = {
        "mr_stft": float(np.mean([metrics.multi_resolution_stft(a, b, mel.rate) for a, b in pairs])),
        "mcd": float(np.mean([metrics.mel_cepstral_distortion(a, b, mel) for a, b in pairs])),
    }
    for name, of in (("pesq", metrics.pesq_of), ("stoi", metrics.stoi_of)):
        try:
            found[name] = float(np.mean([of(a, b, mel.rate) for a, b in pairs]))
        except UserError:  # it says what is missing; the other numbers are no worse for it
            continue
    return found


def real_time_factor(run: Source, x: np.ndarray) -> float:
    """The median of `TIMED` runs, in which x [1, F, bands] is made into a waveform on this machine."""
    seconds = run.translate(x, SEED, chunk=1).shape[1] / _speech.mel_of(run.config).rate  # and it is compiled
    times = []
    for _ in range(TIMED):
        start = time.perf_counter()
        run.translate(x, SEED, chunk=1)
        times.append(time.perf_counter() - start)
    return statistics.median(times) / seconds


def sample(run: Source, options: VocoderOptions, folder: epath.Path) -> list[epath.Path]:
    """Recordings that the run keeps, or one of the user's own, made into spectrograms and back. Raises `UserError`."""
    mel = _speech.mel_of(run.config)
    name = f"{Path(options.input).stem}-again" if options.input else "kept-again"
    path = epath.Path(options.out or folder / f"{name}.wav")
    if path.suffix not in (".wav", ".npz", ""):
        raise UserError(f"--out {path} must end in .wav (and a picture beside it) or .npz (arrays), or be a folder.")
    true = wav.read(options.input, mel.rate)[None] if options.input else _examples(run, options.num)
    if not path.suffix:
        preview.new_folder(path)  # refused before anything is computed
    made = again(run, true, options.seed)
    if path.suffix == ".npz":
        return [preview.write_npz(path, source=_speech.to_int16(true), image=_speech.to_int16(made))]
    if path.suffix == ".wav":
        return _pairs(true, made, mel, path.with_suffix(""))
    for i in range(len(made)):
        _pairs(true[i : i + 1], made[i : i + 1], mel, path / f"{i:03}")
    return [path]


def again(run: Source, waves: np.ndarray, seed: int = SEED) -> np.ndarray:
    """float32 [N, T] of any T -> the same, of their log-mel spectrograms alone.

    The network has seen recordings of one loudness only, so they are brought to it and back.
    """
    mel = _speech.mel_of(run.config)
    size = -(-waves.shape[1] // (BLOCK * mel.hop)) * BLOCK * mel.hop
    gain = speech.PEAK / np.maximum(np.abs(waves).max(1, keepdims=True), wav.SILENT)
    padded = np.pad(waves * gain, ((0, 0), (0, size - waves.shape[1]))).astype(np.float32)
    made = [run.translate(run.sources({"image": one[None]}, seed), seed, chunk=1)[0] for one in padded]
    return _speech.limited(np.stack(made)[:, : waves.shape[1]] / gain).astype(np.float32)


def _examples(run: Source, num: int) -> np.ndarray:
    found = np.asarray(to_batch(run.examples())["image"])
    if num > len(found):
        raise UserError(f"The run keeps {len(found)} recordings; use --num {len(found)} or less.")
    return found[:num]


def _pairs(true: np.ndarray, made: np.ndarray, mel: Mel, stem: epath.Path, both: bool = False) -> list[epath.Path]:
    """A WAV of what is made, or of `both`, and the spectrograms of recordings above those of what is made of them."""
    made, least = _speech.limited(made), mel.window // 2
    short = ((0, 0), (0, max(0, least - made.shape[1])))  # shorter ones have no spectrum
    columns = [_speech.log_mels(np.pad(waves, short), mel) for waves in (true, made)]
    sounds = [wave for pair in zip(true, made, strict=True) for wave in pair] if both else list(made)
    return [
        _speech.write_wav(preview.named(stem, ".wav"), sounds, mel.rate),
        _speech.write_sheet(preview.named(stem, ".png"), columns),
    ]


def to_raw(x: Array | np.ndarray) -> np.ndarray:
    return _speech.to_int16(x)


DOMAIN = Domain(
    networks,
    load,
    to_batch,
    to_raw,
    write,
    measure,
    VocoderOptions,
    sample,
    raw=raw,
    rules=rules,
    kept=kept,
)
