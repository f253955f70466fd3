"""The page's part on what the runs make: pictures, players, texts, each with what `pictures/README.md` says of it."""

import re
from pathlib import Path

from jaxgen import page
from jaxgen.page import Block, Section

PICTURES = (".png", ".gif")
PLAYED = (".wav", ".mp4")


def sections(folder: Path) -> list[Section]:
    """Of `folder`, which holds `pictures` with a README.md and `samples`."""
    said = notes(folder / "pictures" / "README.md")
    pictures = [
        page.media(path, f"{path.stem}: {said.get(path.name, 'no note')}")
        for path in sorted((folder / "pictures").glob("*"))
        if path.suffix in PICTURES
    ]
    played = sorted(path for path in (folder / "samples").rglob("*") if path.suffix in PLAYED)
    texts = sorted((folder / "samples").glob("*.txt"))
    blocks: list[Block] = []
    if played:
        sounds = [page.media(path, f"{path.parent.name}: {path.name}") for path in played]
        blocks += [page.heading("To listen to"), page.side_by_side(sounds)]
    if texts:
        blocks += [page.heading("To read"), page.side_by_side([page.media(path, path.stem) for path in texts])]
    return [Section("Samples", [page.side_by_side(pictures), *blocks] if pictures or blocks else [])]


def notes(path: Path) -> dict[str, str]:
    """What is said of each file: items of a list that begin with names in backticks, up to the colon."""
    if not path.exists():
        return {}
    items = re.findall(r"^- ((?:`[^`]+`(?:, )?)+)([^:]*): (.*?)(?=^- |\Z)", path.read_text(), re.DOTALL | re.MULTILINE)
    return {
        name: " ".join((more.strip(" ,") + (": " if more.strip(" ,") else "") + text).replace("`", "").split())
        for names, more, text in items
        for name in re.findall(r"`([^`]+)`", names)
    }
