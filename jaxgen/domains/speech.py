"""Speech: `speech/spectrograms`, `speech/waves`, `speech/vocoder`.

The first two make words by what is said and who says it, as log-mel spectrograms and as raw waveforms; the last makes
spectrograms audible (`_vocoder`).
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from etils import epath

from jaxgen import preview
from jaxgen.config import Adversarial, Config, Residual, Spectrogram, Vocoder, Wave
from jaxgen.data import speech
from jaxgen.data.cache import cache_dir
from jaxgen.domains import Domain, Found, Pictures, Raw, SampleOptions, Source, _pixels, _speech, _vocoder
from jaxgen.errors import UserError
from jaxgen.metrics import speech_quality
from jaxgen.models import wave
from jaxgen.types import Array, Batch, Split

SEED = 0
PER_CLASS = 20
"""Samples of each class that are measured."""
UNNAMED = 600
"""Samples that are measured where there are no classes."""
START = 2
"""Frames of silence before a word in a raw waveform, as in a spectrogram."""


@dataclass(frozen=True)
class WaveOptions(SampleOptions):
    """What `jaxgen sample` can be asked for of spoken words."""

    num: int = 8  # how many
    out: str = ""  # .wav: one after another, and a picture beside it; .png; .npz; else a folder: of each a WAV, a PNG
    label: str = ""  # what is said, by name or number; nothing: all in turn
    voice: str = ""  # who says it, by name or number; nothing: all in turn


@dataclass(frozen=True)
class SpectrogramOptions(WaveOptions):
    """What `jaxgen sample` can be asked for of spectrograms."""

    vocoder: str = ""  # the directory of a run of speech/vocoder, which makes them audible; nothing: Griffin-Lim


def spectrogram_networks(cfg: Config, axis_name: str | None):
    """The residual pair of images. Raises `UserError` where model, game and shape do not fit."""
    _speech.check_model(cfg, Spectrogram, Adversarial)
    model = cfg.model
    assert isinstance(model, Spectrogram)
    if len(cfg.shape) != 3 or cfg.shape[2] != 1:
        raise UserError(f"--shape of spectrograms is frames, mel bands and 1, as 128 40 1; not {cfg.shape}.")
    _speech.mel_of(cfg)
    _pixels.check_conditional(cfg, "Spectrograms")
    pair = Residual(model.z_dim, model.gen, model.disc, model.blocks, model.patch, model.norm)
    return _pixels.networks(dataclasses.replace(cfg, model=pair), axis_name, (Residual,))


def wave_networks(cfg: Config, axis_name: str | None):
    """WaveGAN's pair. Raises `UserError` where model, game and shape do not fit."""
    _speech.check_model(cfg, Wave, Adversarial)
    model, mel = cfg.model, _speech.mel_of(cfg)
    assert isinstance(model, Wave)
    assert isinstance(cfg.game, Adversarial)
    if len(cfg.shape) != 2 or cfg.shape[1] != 1 or cfg.shape[0] % 4**model.layers or cfg.shape[0] < mel.window:
        raise UserError(
            f"--shape of waveforms is samples and 1, samples a multiple of 4^{model.layers} = {4**model.layers}, and "
            f"{mel.window} or more; not {cfg.shape}."
        )
    if model.shuffle >= cfg.shape[0] // 4 ** (model.layers - 1):
        raise UserError(f"--model.shuffle {model.shuffle} is more than the critic's features are long; take less.")
    if cfg.game.augment:
        raise UserError("Waveforms are not augmented as images are; leave out --game.augment.")
    classes, dtype = cfg.game.classes, "bfloat16" if cfg.precision == "bf16" else None
    gen = wave.Generator(cfg.shape[0], model.width, model.layers, classes, dtype)
    return gen, wave.Critic(model.width, model.layers, model.shuffle, classes, axis_name, dtype)


def load_spectrograms(cfg: Config, split: Split) -> Raw:
    """`image` uint8 [N, F, M, 1], `label` int32 [N]: the word's number times the number of voices, plus the voice's."""
    if split == "train":
        _speech.names(cfg)  # the right number of classes
    return speech.spectrograms(
        cfg.data,
        split,
        _speech.mel_of(cfg),
        cfg.shape[0],
        by="label+voice",
        data_dir=cfg.data_dir,
        download=cfg.download,
    )


def load_waves(cfg: Config, split: Split) -> Raw:
    """`image` int16 [N, T, 1], what is beyond T cut off, what is missing silence; `label` as of spectrograms."""
    if split == "train":
        _speech.names(cfg)
    mel = _speech.mel_of(cfg)
    found = speech.recordings(cfg.data, split, mel.rate, cfg.data_dir, cfg.download)
    start, waves = START * mel.hop, np.zeros((len(found.waves), cfg.shape[0]), np.float32)
    for row, one in zip(waves, found.waves, strict=True):
        row[start : start + len(one)] = one[: len(row) - start]
    label = found.label * len(found.voices) + found.voice
    return {"image": _speech.to_int16(waves)[..., None], "label": label.astype(np.int32)}


def raw_waves(cfg: Config) -> Raw:
    return {"image": np.zeros((1, *cfg.shape), np.int16), "label": np.zeros((1,), np.int32)}


def waves_to_batch(raw: Mapping[str, Any]) -> Batch:
    """`image` [B, T, 1] in [-1, 1]."""
    return {name: a.astype("float32") / _speech.FULL if name == "image" else a for name, a in raw.items()}


def audible(x: np.ndarray, mel: Any, kind: str, seed: int = SEED, vocoder: Source | None = None):
    """Model outputs [N, ...] -> (waveforms [N, T] in [-1, 1], log-mel spectrograms [N, F, M])."""
    x = np.asarray(x)[..., 0]
    if kind == "waves":
        return np.clip(x, -1, 1), _speech.log_mels(np.clip(x, -1, 1), mel)
    waves = vocoder.translate(x, seed, chunk=_vocoder.AT_ONCE) if vocoder else _speech.by_griffin_lim(x, mel, seed)
    return _speech.limited(waves), x


def write(pictures: Pictures, stem: epath.Path, kept: Mapping[str, str], kind: str) -> list[epath.Path]:
    """Spectrograms of some samples, and a WAV of the first ones, one after another."""
    mel = _speech.kept_mel(kept)
    waves, shown = audible(pictures["samples"][: _speech.SHOWN], mel, kind)
    rest = pictures["samples"][_speech.SHOWN : 4 * _speech.SHOWN]
    if len(rest):
        rest = rest[..., 0] if kind == "spectrograms" else audible(rest, mel, kind)[1]
        shown = np.concatenate([shown, rest])
    return [
        _speech.write_wav(preview.named(stem, ".wav"), list(waves), mel.rate),
        _speech.write_sheet(preview.named(stem, ".png"), _speech.in_rows(shown)),
    ]


def as_images(raw: Mapping[str, np.ndarray], cfg: Config) -> dict[str, np.ndarray]:
    """Raw arrays with their waveforms as uint8 spectrograms [N, F, M, 1]: what both kinds are judged by."""
    if isinstance(cfg.model, Spectrogram):
        return dict(raw)
    x = _speech.log_mels(np.asarray(waves_to_batch(raw)["image"])[..., 0], _speech.mel_of(cfg))
    return {**raw, "image": _pixels.to_raw(x)[..., None]}


def judges(cfg: Config, train: Raw, heldout: Raw, voices: int) -> speech_quality.Judges:
    """Of raw arrays of the config's data; the classifiers are kept beside the data."""
    folder = cache_dir(cfg.data_dir) / "classifiers"
    steps = speech_quality.STEPS
    return speech_quality.judges(as_images(train, cfg), as_images(heldout, cfg), voices, folder, steps=steps)


def drawn(run: Source, kind: str, seed: int = SEED) -> tuple[np.ndarray, np.ndarray | None]:
    """(uint8 spectrograms [N, F, M, 1], their classes [N]): as many of each class, or of a run without any."""
    label = np.arange(PER_CLASS * run.classes, dtype=np.int32) % run.classes if run.classes else None
    made = run.draw(UNNAMED if label is None else len(label), seed, label)
    return as_images({"image": _DOMAIN[kind].to_raw(made)}, run.config)["image"], label


def measure(run: Source, train: Raw, heldout: Raw, kind: str) -> Found:
    """What `speech_quality` says of samples, and how well its classifiers do on held-out recordings."""
    heard = judges(run.config, train, heldout, len(_speech.read_kept(run)["voices"]))
    return heard.describe() | speech_quality.compare(*drawn(run, kind), heard)


def sample(run: Source, options: WaveOptions, folder: epath.Path, kind: str) -> list[epath.Path]:
    """Words as sounds and pictures. Raises `UserError`."""
    path, mel = epath.Path(options.out or folder / f"seed-{options.seed}.wav"), _speech.mel_of(run.config)
    if path.suffix not in (".wav", ".png", ".npz", ""):
        raise UserError(f"--out {path} must end in .wav, .png or .npz (arrays), or be a folder.")
    label, named = asked(run, options)
    vocoder = _vocoder_of(run, getattr(options, "vocoder", ""))
    if not path.suffix:
        preview.new_folder(path)  # refused before anything is computed
    made = run.draw(options.num, options.seed, label)
    if path.suffix == ".npz":
        arrays = {} if label is None else {"label": label}
        return [preview.write_npz(path, image=_DOMAIN[kind].to_raw(made), **arrays)]
    waves, shown = audible(made, mel, kind, options.seed, vocoder)
    stem = path.with_suffix("")
    if path.suffix:
        paths = [_speech.write_wav(path, list(waves), mel.rate)] if path.suffix == ".wav" else []
        return [*paths, _speech.write_sheet(preview.named(stem, ".png"), _speech.in_rows(shown))]
    for i, name in enumerate(named):
        _speech.write_wav(path / f"{i:03}{name}.wav", [waves[i]], mel.rate)
        _speech.write_sheet(path / f"{i:03}{name}.png", [[shown[i]]])
    return [path]


def asked(run: Source, options: WaveOptions) -> tuple[np.ndarray | None, list[str]]:
    """(classes [num] of a run that has any, what each sample's file is called after its number)."""
    if not run.classes:
        if options.label or options.voice:
            raise UserError(
                "The run does not know what it says, nor whose voice it has; leave out --label and --voice."
            )
        return None, [""] * options.num
    known = _speech.read_kept(run)
    words, voices = known["words"], known["voices"]
    word = [_speech.numbered(options.label, words, "word")] if options.label else range(len(words))
    voice = [_speech.numbered(options.voice, voices, "voice")] if options.voice else range(len(voices))
    i = np.arange(options.num)
    # Neighbours differ in both, and each word meets each voice in the end.
    word, voice = np.resize(word, len(i)), np.asarray(voice)[(i % len(word) + i // len(word)) % len(voice)]
    several = len(voices) > 1
    named = [f"-{words[w]}" + (f"-{voices[v]}" if several else "") for w, v in zip(word, voice, strict=True)]
    return (word * len(voices) + voice).astype(np.int32), named


def _vocoder_of(run: Source, workdir: str) -> Source | None:
    """The run of a vocoder that takes this one's spectrograms. Raises `UserError` where it is none."""
    if not workdir:
        return None
    other = run.other(workdir)
    if not isinstance(other.config.model, Vocoder):
        raise UserError(f"--vocoder {workdir} is a run of {other.config.domain}; give one of speech/vocoder.")
    theirs, own = _speech.mel_of(other.config), _speech.mel_of(run.config)
    if theirs != own:
        raise UserError(f"--vocoder {workdir} takes other spectrograms ({theirs}) than this run makes ({own}).")
    return other


def _domain(kind: str, *of: Any, **more: Any) -> Domain:
    networks, load, to_batch, to_raw, options = of
    bound: Callable[..., Any] = partial
    return Domain(
        networks,
        load,
        to_batch,
        to_raw,
        bound(write, kind=kind),
        bound(measure, kind=kind),
        options,
        bound(sample, kind=kind),
        walks=False,
        kept=_speech.kept,
        **more,
    )


def waves_to_raw(x: Array | np.ndarray) -> np.ndarray:
    return _speech.to_int16(x)


_DOMAIN = {
    "spectrograms": _domain(
        "spectrograms",
        spectrogram_networks,
        load_spectrograms,
        _pixels.to_batch,
        _pixels.to_raw,
        SpectrogramOptions,
    ),
    "waves": _domain("waves", wave_networks, load_waves, waves_to_batch, waves_to_raw, WaveOptions, raw=raw_waves),
}
DOMAINS = {**_DOMAIN, "vocoder": _vocoder.DOMAIN}
