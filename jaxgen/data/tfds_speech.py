"""Recordings from prepared TFDS sets of sounds, read without TensorFlow.

TFDS stores a sound as its samples, or as the file it came in, but its feature class `Audio` needs TensorFlow even to be
named. So the set is opened by a description in which sounds are called what they are: numbers, or bytes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen.data import takes, tfds, tfds_described
from jaxgen.errors import UserError
from jaxgen.speech import wav

_AUDIO = "audio_feature.Audio"
_FIRST = ("audio", "speech")  # the features of these names, in this order
_FILE = "audio/filename"
_CHUNK = 64  # recordings read at once: some are half a minute long


class Found(NamedTuple):
    """N recordings: `waves` float32 [T] each, `label` and `voice` int32 [N], and the names of labels and of voices."""

    waves: list[np.ndarray]
    label: np.ndarray
    voice: np.ndarray
    names: tuple[str, ...]
    voices: tuple[str, ...]


def read(directory: Path, split: str, rate: int) -> Found:
    """The recordings of `split`, `rate` samples a second, as `wav.from_samples` has them, in the set's order.

    Of the sounds the feature `audio`, else `speech`, else the first. What is said is the feature `label`, if that is a
    class, numbered as the set does; else it is all "speech". Splits are as in `tfds.read`, but of a set with a single
    one a tenth is held out, whatever its name. If there each recording has an `audio/filename` of the form
    digit_speaker_index.wav, as in spoken_digit, that says whose voice it is and what is held out (`takes.parse`); else
    there is one voice. Raises `UserError` for a set without sounds, without their sample rate, with secret labels, or
    with nothing in `split`, and for a sound that is no use; and `tfds.UnreadableError` as `tfds.read` does.
    """
    with tfds.quiet(), tfds_described.described(directory, _AUDIO, _plain) as (copy, tree):
        features, source, rows = tfds.opened(directory, split, copy)
        name, own = _sound(features, tree, directory)
        speakers, voices = np.zeros(len(source), np.int32), ("one",)
        # Fewer rows than there are: the set does not say itself what is held out.
        if len(rows) < len(source) and (named := _named(features, source, directory)):
            rows = np.flatnonzero([take.held_out == (split != "train") for take in named])
            voices = tuple(sorted({take.voice for take in named}))
            speakers = np.array([voices.index(take.voice) for take in named], np.int32)
        label = features.get("label")
        names = tuple(getattr(label, "names", ("speech",)))  # a `ClassLabel` has some
        waves, said = [], []
        for i, example in _examples(source, rows, directory):
            waves.append(_wave(example[name], own, rate, f"Recording {i} of {directory}"))
            said.append(int(example["label"]) if len(names) > 1 else 0)
    if not waves:
        raise UserError(f"{directory} has no recordings for the split {split}; choose another set.")
    if min(said) < 0:
        raise UserError(f"{directory} keeps the labels of its split {split} secret; choose another set.")
    return Found(waves, np.array(said, np.int32), speakers[rows], names, voices)


def _plain(node: tfds_described.Node) -> tfds_described.Node:
    """An `Audio` as a `Text` where it is stored as a file, else as a `Tensor` of its samples."""
    audio = node["audio"]
    if audio.get("lazyDecode"):
        return {"pythonClassName": f"{tfds_described.FEATURES}text_feature.Text", "text": {}}
    tensor = {key: audio[key] for key in ("shape", "dtype", "encoding") if key in audio}
    return {"pythonClassName": f"{tfds_described.FEATURES}tensor_feature.Tensor", "tensor": tensor}


def _sound(features: dict[str, Any], tree: Any, directory: Path) -> tuple[str, int]:
    """The name of the feature to read, and its samples a second, 0 for files, which say it themselves."""
    described = tree.get("featuresDict", {}).get("features", {})
    audio = {
        name: node["audio"]
        for name, node in described.items()
        if node.get("pythonClassName") == tfds_described.FEATURES + _AUDIO
    }
    if not audio:
        raise UserError(
            f"{directory} has no sounds, only {', '.join(sorted(features))}; choose a set such as spoken_digit."
        )
    name = next((name for name in _FIRST if name in audio), next(iter(audio)))
    own = str(audio[name].get("sampleRate", 0))  # a number or, as protobufs write it, its digits
    if audio[name].get("lazyDecode"):
        return name, 0
    if not own.isdecimal() or not int(own):
        raise UserError(
            f"The features.json of {directory} does not tell the sample rate of {name!r}; write the samples a second "
            'there, as "sampleRate", beside "dtype".'
        )
    return name, int(own)


def _named(features: dict[str, Any], source: Any, directory: Path) -> list[takes.Take]:
    """What the files' names say of every recording; nothing where one has another name, or none."""
    if type(features.get(_FILE)).__name__ != "Text":
        return []
    found = []
    for _, example in _examples(source, np.arange(len(source)), directory):
        value = example[_FILE]
        take = takes.parse(value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value))
        if take is None:
            return []
        found.append(take)
    return found


def _examples(source: Any, rows: np.ndarray, directory: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number in the set, and the example, of each of `rows`."""
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        for i, example in tfds.examples(source, part, directory):
            yield int(part[i]), example


def _wave(value: Any, own: int, rate: int, name: str) -> np.ndarray:
    if not own:
        return wav.from_bytes(bytes(value), rate, name)
    samples = np.asarray(value)
    if not samples.size:
        raise UserError(f"{name} has no samples; prepare the set again, without it.")
    if np.issubdtype(samples.dtype, np.integer):
        # TFDS may store samples as wider numbers than the file had: they are of 16 bits, where these hold them.
        samples = samples / (2.0**15 if np.abs(samples.astype(np.float64)).max() <= 2**15 else 2.0**31)
    return wav.from_samples(samples, own, rate, name)
