"""The text benchmarks' folders, made from the shared sets: what `jaxgen.data.texts` reads."""

import re
import shutil
from pathlib import Path

import numpy as np

from jaxgen.data import prose, texts

CAPTIONS = Path("text", "coco-captions-texygen")
FILES = {"train": "image_coco.txt", "test": "test_coco.txt"}  # Texygen's split
SHAKESPEARE = Path("text", "tinyshakespeare", "input.txt")
_SHORTEST, _LONGEST = 4, 40  # words of a sentence of a register


def captions(shared: Path, target: Path) -> Path:
    """A folder `target`, with the 10,000 captions of Texygen's training file as train.txt, its test file as test.txt.

    The two are about different things: a zebra is in 21 captions of the first and in 882 of the second, a bathroom in
    1,557 and in 5. `shared` is the folder that holds `text`. Returns `target`.
    """
    target.mkdir(parents=True, exist_ok=True)
    for split, name in FILES.items():
        shutil.copyfile(shared / CAPTIONS / name, target / f"{split}.txt")
    return target


def captions_alike(shared: Path, target: Path) -> Path:
    """A folder `target` whose train.txt and test.txt are about the same things: of each of Texygen's two files, the
    first nine tenths and the last. Neighbours in a file may be of one picture, so no single lines are held out. Returns
    `target`."""
    files = [(shared / CAPTIONS / name).read_text(encoding="utf-8").splitlines() for name in FILES.values()]
    cuts = [len(lines) * 9 // 10 for lines in files]
    train = [line for lines, cut in zip(files, cuts, strict=True) for line in lines[:cut]]
    test = [line for lines, cut in zip(files, cuts, strict=True) for line in lines[cut:]]
    target.mkdir(parents=True, exist_ok=True)
    for split, lines in (("train", train), ("test", test)):
        (target / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return target


def turns(shared: Path, target: Path) -> Path:
    """A folder `target` with tinyshakespeare's first 90% of characters as train.txt and the rest as test.txt, each cut
    at the nearest turn before. Returns `target`; "turns:" before it makes it data of replies."""
    text = (shared / SHAKESPEARE).read_text(encoding="utf-8")
    cut = text.rindex("\n\n", 0, int(0.9 * len(text))) + 2
    target.mkdir(parents=True, exist_ok=True)
    for split, part in (("train", text[:cut]), ("test", text[cut:])):
        (target / f"{split}.txt").write_text(part, encoding="utf-8")
    return target


def registers(shared: Path, target: Path) -> Path:
    """A folder `target` with train and test, in each captions.txt, drama.txt and manual.txt, one sentence a line.

    Captions are those of `captions_alike`; drama the sentences of tinyshakespeare's speeches, of 4 to 40 words, split
    as in `turns`; the manual pydoc's with its fixed tenth. Returns `target`.
    """
    coco, plays = captions_alike(shared, target / "source" / "captions"), turns(shared, target / "source" / "turns")
    for split in ("train", "test"):
        made = {
            "captions": texts.sentences(str(coco), split),
            "drama": _spoken((plays / f"{split}.txt").read_text(encoding="utf-8")),
            "manual": texts.sentences("pydoc_sentences", split),
        }
        (target / split).mkdir(exist_ok=True)
        for name, lines in made.items():
            (target / split / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    shutil.rmtree(target / "source")
    return target


def by_frequency(tokens: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n texts of words drawn by their frequency in texts [N, T] alone, as long as some of those: an impostor."""
    drawn = rng.choice(tokens[tokens > 0], (n, tokens.shape[1]))
    lengths = (tokens > 0).sum(1)[rng.integers(len(tokens), size=n)]
    return np.where(np.arange(tokens.shape[1]) < lengths[:, None], drawn, 0)


def _spoken(text: str) -> list[str]:
    """The sentences of a drama without the names of who speaks, each once."""
    speeches = re.sub(r"^[^\n]+:\n", "", text, flags=re.MULTILINE).split("\n\n")
    sentences = [s for speech in speeches for s in prose.split(" ".join(speech.split()))]
    return list(dict.fromkeys(s for s in sentences if _SHORTEST <= len(s.split()) <= _LONGEST))
