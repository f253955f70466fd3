"""Pages that need nothing beside themselves: what is escaped, what cells show, what a file becomes."""

import base64
import html

import pytest

from jaxgen import page
from jaxgen.errors import UserError

EVIL = "<script>alert('&')</script>"


def rendered(*blocks):
    return page.render("Title", "Lead", [page.Section("Part", blocks)])


@pytest.mark.parametrize(
    "block",
    [
        page.paragraph(EVIL),
        page.heading(EVIL),
        page.code(EVIL),
        page.folded(EVIL, EVIL),
        page.side_by_side([EVIL]),
        page.table([EVIL], [[EVIL]], EVIL),
        page.facts({EVIL: EVIL}),
        page.figure(page.code(EVIL), EVIL),
        page.playable(b"", ".png", EVIL),
        page.playable(b"", ".mid", EVIL, EVIL),
        EVIL,
    ],
    ids=["paragraph", "heading", "code", "folded", "grid", "table", "facts", "figure", "picture", "link", "plain"],
)
def test_text_is_escaped_once(block):
    text = rendered(block)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "&amp;lt;" not in text


def test_blocks_are_kept_as_they_are():
    text = rendered(page.side_by_side([page.figure(page.code("x"), "note")]), page.drawing("<svg><g/></svg>", "chart"))
    assert "<figure><pre><code>x</code></pre><figcaption>note</figcaption></figure>" in text
    assert "<svg><g/></svg>" in text


def test_title_lead_and_sections():
    text = page.render(EVIL, EVIL, [page.Section(EVIL, ["kept"]), page.Section("Empty", [])])
    assert "<script" not in text
    assert "Empty" not in text
    assert '<a href="#part-1">' in text
    assert '<section id="part-1">' in text


def test_cells_by_hand():
    row = ["text", None, True, False, 12, 12345, -12345, 0.123456, 1234567.0, float("nan"), page.code("x")]
    text = str(page.table([str(i) for i in range(len(row))], [row], "Said below"))
    cells = ["<td>text</td>", "<td></td>", "<td>yes</td>", "<td>no</td>", '<td class="number">12</td>']
    cells += ['<td class="number">12,345</td>', '<td class="number">-12,345</td>', '<td class="number">0.1235</td>']
    cells += ['<td class="number">1.235e+06</td>', '<td class="number">nan</td>']
    cells += ["<td><pre><code>x</code></pre></td>"]
    assert "".join(cells) in text
    assert text.count('<th class="number">') == 6
    assert '<p class="note">Said below</p>' in text


def test_facts_leave_out_what_is_not_known():
    text = str(page.facts({"a": 0, "b": None, "c": "", "d": "here"}))
    assert "<dt>a</dt><dd>0</dd>" in text
    assert "<dt>d</dt><dd>here</dd>" in text
    assert "<dt>b" not in text
    assert "<dt>c" not in text


@pytest.mark.parametrize(
    ("ending", "element", "kind"),
    [
        (".png", '<img src="', "image/png"),
        (".GIF", '<img src="', "image/gif"),
        (".wav", '<audio controls src="', "audio/wav"),
        (".mp4", '<video controls loop src="', "video/mp4"),
        (".mid", '<a download="a.mid" href="', "application/octet-stream"),
    ],
)
def test_media_by_ending(ending, element, kind, tmp_path):
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"\x00\xff content")
    text = str(page.media(path))
    assert f"{element}data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}" in text
    assert f"<figcaption>a{ending}</figcaption>" in text
    assert "<figcaption>Said</figcaption>" in str(page.media(path, "Said"))


def test_texts_are_shown_and_cut(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(EVIL.encode() + b"\xff" + b"x" * page.SHOWN_CHARACTERS)
    text = str(page.media(path))
    assert "<script" not in text
    assert html.unescape(text).count("x") <= page.SHOWN_CHARACTERS
    assert " [...]</code>" in text
    path.write_text("short")
    assert "<code>short</code>" in str(page.media(path))


def test_a_large_file_is_named_only(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "LARGEST", 3 << 20)
    path = tmp_path / "a.png"
    path.write_bytes(bytes((3 << 20) + 1))
    assert str(page.media(path)) == "<p>a.png: a.png is 3 MiB large and was left out of this page.</p>"
    path.write_bytes(bytes(3 << 20))
    assert "<img" in str(page.media(path))


def test_without_jinja2(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(page.importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"^Jinja2 is needed for a report .*pip install \"jaxgen\[data\]\""):
        page.paragraph("x")
