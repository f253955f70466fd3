"""A page of HTML that needs nothing beside itself: tables, charts, pictures and players in one file.

What stands in a page is `Block`s, HTML that is safe to show: plain strings are escaped wherever they end up in one.
Needs Jinja2, which comes with the extra `data`.
"""

import base64
import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from etils import epath

from jaxgen.errors import needed

Block: TypeAlias = str
"""HTML; a plain `str` among them is text."""

IMAGES = {".png": "image/png", ".gif": "image/gif", ".jpg": "image/jpeg", ".webp": "image/webp"}
SOUNDS = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".flac": "audio/flac"}
FILMS = {".mp4": "video/mp4", ".webm": "video/webm"}
TEXTS = (".txt", ".csv", ".json")
LARGEST = 8 << 20
"""Bytes of a file beyond which a page names it only: a browser takes a page whole."""
SHOWN_CHARACTERS = 4000
LONG = 48
"""Characters of a table's cell beyond which it is broken into lines."""


@dataclass(frozen=True)
class Section:
    """A heading that the page's list of contents leads to, and what stands below it."""

    title: str
    blocks: Sequence[Block]


def render(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The page. Sections without blocks are left out. Raises `UserError` where Jinja2 is missing."""
    kept = [section for section in sections if section.blocks]
    return _template("page").render(title=title, lead=lead, sections=kept)


def paragraph(text: str) -> Block:
    return _made("<p>{}</p>", text)


def heading(text: str) -> Block:
    """Within a section."""
    return _made("<h3>{}</h3>", text)


def code(text: str) -> Block:
    """As it is, to be copied."""
    return _made("<pre><code>{}</code></pre>", text)


def folded(summary: str, *blocks: Block) -> Block:
    """Behind a line that unfolds it."""
    return _made("<details><summary>{}</summary>{}</details>", summary, _joined(blocks))


def side_by_side(blocks: Iterable[Block]) -> Block:
    """As many in a row as there is room for; below each other on a phone."""
    return _made('<div class="grid">{}</div>', _joined(blocks))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], note: str = "") -> Block:
    """Cells are text, numbers (to the right, four digits) or blocks; None is an empty cell. Wide ones scroll by
    themselves."""
    cells = [[_cell(value) for value in row] for row in rows]
    kinds = ["number" if any(row[i][0] == "number" for row in cells) else "" for i in range(len(head))]
    heads = list(zip(kinds, head, strict=True))
    return _library("markupsafe").Markup(_template("table").render(head=heads, rows=cells, note=note))


def drawing(svg: str, note: str) -> Block:
    """A chart of `charts.to_svg`, above what it shows."""
    return figure(_library("markupsafe").Markup(svg), note)


def figure(block: Block, note: str) -> Block:
    """A block above what it shows."""
    return _made("<figure>{}<figcaption>{}</figcaption></figure>", block, note)


def facts(values: Mapping[str, Any]) -> Block:
    """Names and what they are, in two columns."""
    told = {name: value for name, value in values.items() if value not in ("", None)}
    return _library("markupsafe").Markup(_template("facts").render(values=told))


def media(path: epath.PathLike, note: str = "") -> Block:
    """A picture, a player, a text, or a link that saves the file: by its ending. A file of over 8 MiB is named only."""
    path = epath.Path(path)
    return shown(path.read_bytes(), path.name, note)


def shown(content: bytes, name: str, note: str = "") -> Block:
    """What `media` makes of a file's bytes."""
    ending, note = epath.Path(name).suffix.lower(), note or name
    if len(content) > LARGEST:
        return paragraph(f"{note}: {name} is {len(content) >> 20} MiB large and was left out of this page.")
    if ending in TEXTS:
        text = content.decode(errors="replace")
        return figure(code(text[:SHOWN_CHARACTERS] + " [...]" * (len(text) > SHOWN_CHARACTERS)), note)
    return playable(content, ending, note, name)


def playable(content: bytes, ending: str, note: str, name: str = "") -> Block:
    """What `shown` makes of a file that is no text, of any size."""
    if ending in IMAGES:
        return figure(
            _made('<div class="frame"><img src="{}" alt="{}"></div>', _uri(content, IMAGES[ending]), note), note
        )
    if ending in SOUNDS:
        return figure(_made('<audio controls src="{}"></audio>', _uri(content, SOUNDS[ending])), note)
    if ending in FILMS:
        return figure(_made('<video controls loop src="{}"></video>', _uri(content, FILMS[ending])), note)
    link = _made('<a download="{}" href="{}">{}</a>', name, _uri(content, "application/octet-stream"), name)
    return figure(link, note)


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _cell(value: Any) -> tuple[str, str]:
    """(the class of the cell, what stands in it)."""
    if value is None:
        return "", ""
    if isinstance(value, bool):
        return "", "yes" if value else "no"
    if isinstance(value, int):
        return "number", f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return "number", f"{value:.4g}"
    return "long" if len(value) > LONG else "", value


def _made(form: str, *values: Any) -> Block:
    return _library("markupsafe").Markup(form).format(*values)


def _joined(blocks: Iterable[Block]) -> Block:
    return _library("markupsafe").Markup("\n").join(blocks)


@cache
def _template(name: str) -> Any:
    jinja2 = _library("jinja2")
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(f"{name}.html")


def _library(name: str) -> Any:
    """Jinja2, or what comes with it: imported when a page is made, since the rest of jaxgen does without."""
    with needed("Jinja2", "a report", "data"):
        return importlib.import_module(name)
