"""Recordings of speech (`jaxgen.speech`), by what is said and who says it: whole, as spectrograms, and in segments."""

import dataclasses
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from jaxgen.data import spoken_characters, takes, tfds, tfds_speech
from jaxgen.errors import UserError
from jaxgen.speech import wav
from jaxgen.speech.mel import Mel

PEAK = 0.95
"""Of every recording, whatever its loudness was."""

SPLITS = ("train", "validation", "test")
BY = ("label", "label+voice")

_SILENT_DB = -40  # of a hundredth of a second, below the loudest one of the recording
_START = 2  # frames of silence before a recording in its spectrogram
_BATCH = 256  # spectrograms made at once
_EVERY = 10  # one recording of so many is held out
_LARGEST = 2**28  # bytes of a file in an archive
_POSSIBLE = (
    "spoken_characters (embedded), a folder or .zip file of .wav files, whose folders are the labels, or which are "
    "named digit_speaker_index.wav, or a TFDS set such as spoken_digit"
)


@dataclasses.dataclass(frozen=True)
class Recordings:
    """N recordings: `waves` float32 [T] each, `label` and `voice` int32 [N], and the names of labels and of voices."""

    waves: list[np.ndarray]
    label: np.ndarray
    voice: np.ndarray
    names: tuple[str, ...]
    voices: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Take:
    """One recording that can be read, and where it belongs."""

    name: str  # in messages
    read: Callable[[], bytes]
    label: str
    voice: str
    held_out: bool


def recordings(data: str, split: str, rate: int, data_dir: str = "", download: bool = False) -> Recordings:
    """The recordings of `split` ("train", "validation" or "test"), `rate` samples a second, in a fixed order.

    Silence at both ends, more than 40 dB below the loudest hundredth of a second, is cut off, and the peak brought to
    `PEAK`. Labels and voices are numbered in the order of their names, those of "train" and "test" alike. Held-out
    recordings serve as "validation" and as "test". `data` is one of

    - "spoken_characters": the embedded set, 36 labels, one voice (`spoken_characters.read`, which says what its
      held-out recordings are worth).
    - A .zip file or a folder whose .wav files are all named digit_speaker_index.wav: the Free Spoken Digit Dataset
      (Jackson et al.) or one like it. What comes first is the label; indices 0 to 4 are held out.
    - A .zip file or a folder of other .wav files, of one voice: the sub-folders are the labels; without, there is one
      label. Sub-folders `train` and `test` above them make the split; else every tenth recording of a label is held
      out, of two to nine the last.
    - A TFDS set of sounds, by the directory where it is prepared or by name (`tfds_speech.read`, which says what is
      held out; labels are numbered as the set does). `data_dir` and `download` are as in `images.load`.

    Raises `UserError` for anything else, and for a file that cannot be read or has no sound, which is named.
    """
    if split not in SPLITS:
        raise UserError(f"There is no split {split!r}; choose from {', '.join(SPLITS)}.")
    if data == "spoken_characters":
        waves, label = spoken_characters.read("train" if split == "train" else "test", rate)
        voice = np.zeros_like(label)
        return Recordings([_normal(w, rate) for w in waves], label, voice, spoken_characters.NAMES, ("captcha",))
    if directory := _prepared(data, data_dir, download):
        found = tfds_speech.read(directory, split, rate)
        return Recordings([_normal(w, rate) for w in found.waves], *found[1:])
    every = _takes(_files(data), data)
    names, voices = (tuple(sorted({getattr(take, which) for take in every})) for which in ("label", "voice"))
    chosen = [take for take in every if take.held_out == (split != "train")]
    if not chosen:
        part = "held out" if split != "train" else "to train on"
        raise UserError(f"{data} has no recordings {part}. Give two or more of a label.")
    return Recordings(
        [_normal(wav.from_bytes(take.read(), rate, take.name), rate) for take in chosen],
        np.array([names.index(take.label) for take in chosen], np.int32),
        np.array([voices.index(take.voice) for take in chosen], np.int32),
        names,
        voices,
    )


def spectrograms(
    data: str,
    split: str,
    mel: Mel,
    frames: int,
    by: str = "label",
    data_dir: str = "",
    download: bool = False,
) -> dict[str, np.ndarray]:
    """{"image": uint8 [N, frames, bands, 1], "label": int32 [N]}: `Mel.log_mel` of each recording, -1 as 0, 1 as 255.

    A recording begins after two frames of silence; what is beyond `frames` is cut off, what is missing is silence.
    `by` "label" tells what is said, "label+voice" that times the number of voices, plus who says it. Raises as
    `recordings` does, and for another `by` or too few frames.
    """
    if by not in BY:
        raise UserError(f"There are no classes by {by!r}; choose from {', '.join(BY)}.")
    if frames * mel.hop < max(mel.window, (_START + 1) * mel.hop):
        raise UserError(f"{frames} frames of {mel.hop} samples are too short for speech; take more.")
    found = recordings(data, split, mel.rate, data_dir, download)
    label = found.label * len(found.voices) + found.voice if by == "label+voice" else found.label
    return {"image": as_images(found.waves, mel, frames), "label": label.astype(np.int32)}


def as_images(waves: list[np.ndarray], mel: Mel, frames: int) -> np.ndarray:
    """Waveforms float32 [T] -> uint8 [N, frames, bands, 1], as `spectrograms` has them."""
    import jax

    start, samples = _START * mel.hop, frames * mel.hop
    log_mel, images = jax.jit(mel.log_mel), []
    for first in range(0, len(waves), _BATCH):
        batch = np.zeros((_BATCH, samples), np.float32)  # always as many: it is compiled once
        part = waves[first : first + _BATCH]
        for row, wave in zip(batch, part, strict=False):
            row[start : start + len(wave)] = wave[: samples - start]
        scaled = (np.clip(np.asarray(log_mel(batch))[: len(part)], -1, 1) + 1) * 127.5
        images.append(np.rint(scaled).astype(np.uint8)[..., None])
    return np.concatenate(images)


def segments(
    data: str, split: str, rate: int, length: int, hop: int = 0, data_dir: str = "", download: bool = False
) -> dict[str, np.ndarray]:
    """{"wave": int16 [N, length]}: segments of the recordings, 1 as 32767.

    To train on, they begin every `hop` samples (a quarter of `length` where it is 0); held-out ones do not overlap. A
    recording shorter than `length` is one segment, with silence behind it; of others the end is one more, if it fills
    half a segment. Segments more than 40 dB below full scale are left out. Raises as `recordings` does, and for a
    length below 1 or a negative hop.
    """
    if length < 1 or hop < 0:
        raise UserError(f"Segments of {length} samples, {hop} apart, cannot be cut; take 1 or more.")
    step = (hop or max(1, length // 4)) if split == "train" else length
    cut, least = [], 10 ** (_SILENT_DB / 20)
    for wave in recordings(data, split, rate, data_dir, download).waves:
        for start in range(0, max(1, len(wave) - length // 2), step):
            part = wave[start : start + length]
            if (start == 0 or 2 * len(part) >= length) and np.abs(part).max() >= least:
                cut.append(np.rint(np.pad(part, (0, length - len(part))) * 32767).astype(np.int16))
            if start + length >= len(wave):
                break
    if not cut:
        raise UserError(f"{data} has no sound for segments of {length} samples; take shorter ones.")
    return {"wave": np.stack(cut)}


def _normal(wave: np.ndarray, rate: int) -> np.ndarray:
    """Without silence at the ends, its peak at `PEAK`."""
    size = max(1, rate // 100)
    pieces = np.pad(wave, (0, -len(wave) % size)).reshape(-1, size)
    power = np.square(pieces, dtype=np.float64).mean(1)
    loud = np.flatnonzero(power >= power.max() * 10 ** (_SILENT_DB / 10))
    wave = wave[loud[0] * size : (loud[-1] + 1) * size]
    return (wave * (PEAK / np.abs(wave).max())).astype(np.float32)


def _prepared(data: str, data_dir: str, download: bool) -> Path | None:
    """The directory of the TFDS set that `data` is or names; nothing for other data. Raises as `tfds.locate` does."""
    path = Path(data).expanduser()
    if data and path.is_dir():
        return path if (path / "features.json").is_file() and (path / "dataset_info.json").is_file() else None
    return tfds.locate(data, data_dir, download)


def _files(data: str) -> dict[PurePosixPath, Callable[[], bytes]]:
    """The .wav files of a folder or an archive by their paths in it, in order; hidden ones are left out."""
    path = Path(data).expanduser()
    if data and path.is_dir():  # "" would be the working directory
        found = {PurePosixPath(file.relative_to(path)): file.read_bytes for file in path.rglob("*") if file.is_file()}
    elif path.suffix.lower() == ".zip" and path.is_file():
        found = _archive(path)
    elif path.suffix.lower() == ".wav":
        raise UserError(f"{path} is a single recording, too little to train on. Give a folder of several.")
    else:
        missing = "" if path.exists() else f" (there is no such file or folder: {path.absolute()})"
        raise UserError(f"Cannot read speech from {data!r}{missing}. Give {_POSSIBLE}.")
    found = {
        file: found[file]
        for file in sorted(found)
        if file.suffix.lower() == ".wav" and not any(part.startswith((".", "__MACOSX")) for part in file.parts)
    }
    if not found:
        raise UserError(f"{path} holds no .wav files. Give {_POSSIBLE}.")
    return found


def _archive(path: Path) -> dict[PurePosixPath, Callable[[], bytes]]:
    """What reads each file of a .zip file; it stays open as long as one of these lives."""
    try:
        opened = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"Cannot read {path} as a .zip file ({error}). Download it again.") from error

    def read(info: zipfile.ZipInfo) -> bytes:
        if info.file_size > _LARGEST:
            raise UserError(f"{info.filename} in {path} is larger than {_LARGEST >> 20} MiB; cut it into parts.")
        try:
            return opened.read(info)
        except Exception as error:  # damaged, encrypted, or packed in a way this Python cannot unpack
            raise UserError(f"Cannot read {info.filename} in {path} ({error}). Download it again.") from error

    return {
        PurePosixPath(info.filename): lambda info=info: read(info) for info in opened.infolist() if not info.is_dir()
    }


def _takes(files: Mapping[PurePosixPath, Callable[[], bytes]], data: str) -> list[_Take]:
    """What the files are, by their names where all have such names, else by their folders."""
    named = {file: takes.parse(file.name) for file in files}
    if all(named.values()):
        return [_Take(f"{data}: {file}", files[file], *take) for file, take in named.items() if take]
    made = {"train", "test"} <= {file.parts[0] for file in files}
    groups: dict[tuple[str, ...], list[PurePosixPath]] = {}  # by split, where it is made, and label
    for file in files:
        if not made or file.parts[0] in ("train", "test"):
            above = file.parts[:-1]  # with `made`, first the split
            groups.setdefault(above[: 1 + made], []).append(file)
    found = []
    for group, members in groups.items():
        label = group[-1] if len(group) > made else "speech"
        chosen = set(range(_EVERY - 1, len(members), _EVERY)) or {max(1, len(members) - 1)}  # none of a single one
        for i, file in enumerate(members):
            held_out = group[0] == "test" if made else i in chosen
            found.append(_Take(f"{data}: {file}", files[file], label, "one", held_out))
    return found
