"""A page of one run, made from its directory alone: what came of it, how it went, how to have it again.

It computes nothing: no data set, no checkpoint is read and no device touched, so that a run may go on beside it.
"""

import datetime
import io
import json
import math
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from jaxgen import assemble, charts, files, page, pcm, run_directory
from jaxgen.checkpoint import Checkpoints
from jaxgen.config import Config, differences, differing, flags, to_dict
from jaxgen.errors import UserError
from jaxgen.music import midi, sound
from jaxgen.page import Block, Section

POINTS = 400
"""Of a line of a chart."""
MANY = 20
"""Points beyond which a line has no marks."""
SPAN = 1000
"""How many times the largest value is the median where a chart's axis is logarithmic."""
STEPS = 12
"""Whose samples are shown."""
FILES = 24
"""Shown of one folder of samples."""
SMALL = 1 << 19
"""Bytes of a picture beyond which a smaller one stands among the samples over time."""
GRID = 4
"""Slices in a quarter note, where a run does not say."""
QUARTERS = 90
"""Of a MIDI file's beginning that its player has: a minute."""
EVALUATION = "evaluation.json"

_ORDER = (*page.IMAGES, *page.FILMS, *page.TEXTS, *page.SOUNDS, ".mid", ".tmj")
"""Endings of the files that are shown."""
_Row = Mapping[str, Any]


def write(workdir: epath.PathLike, out: epath.PathLike | None = None) -> epath.Path:
    """Makes the page of a run, in the file `out`, else `report.html` in the run. Raises `UserError` where there is no
    run, `out` is no name for a page, or what draws it is not installed."""
    config, environment = run_directory.read_config(workdir)
    path = epath.Path(os.path.expanduser(out)) if out else epath.Path(workdir) / "report.html"
    if path.suffix.lower() != ".html":
        raise UserError(f"--out {path} must end in .html.")
    if path.is_dir():
        raise UserError(f"--out {path} is a directory; give the name of a file.")
    run = _Run(epath.Path(workdir), config, environment)
    sections = [
        Section("What came of it", _outcome(run)),
        Section("Metrics over time", _metrics(run)),
        Section("Samples over time", _samples(run)),
        Section("Config", _config(run)),
        Section("How to reproduce it", _again(run)),
    ]
    kinds = type(config.model).__name__, type(config.game).__name__
    lead = f"A run of {config.domain}: {' under the rules of '.join(kinds)}, on {config.data}. Directory: {workdir}"
    text = page.render(_name(run.workdir), lead, sections)
    return files.write(path, text.encode(errors="replace"))


@dataclass(frozen=True)
class _Run:
    """What lies in the directory."""

    workdir: epath.Path
    config: Config
    environment: Mapping[str, Any]

    @cached_property
    def rows(self) -> list[_Row]:
        """The lines of the metrics by step, without one that is being written; of a step's lines the last."""
        try:
            lines = run_directory.metrics(self.workdir).read_bytes().decode(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        found: dict[int, _Row] = {}
        for line in lines:
            try:
                row = json.loads(line)
                found[int(row["step"])] = row
            except (ValueError, TypeError, KeyError, OverflowError):
                continue
        return [found[step] for step in sorted(found)]

    @cached_property
    def checkpoints(self) -> list[int]:
        return Checkpoints(run_directory.checkpoints(self.workdir)).steps()

    @cached_property
    def previews(self) -> dict[int, list[epath.Path]]:
        """The files of the training by step, in order."""
        found: dict[int, list[epath.Path]] = {}
        for path in self._samples:
            if step := re.match(r"\d+(?=[.-])", path.name):
                found.setdefault(int(step[0]), []).append(path)
        return dict(sorted(found.items()))

    @cached_property
    def others(self) -> list[epath.Path]:
        """Files and folders that `jaxgen sample` left."""
        return [path for path in self._samples if not re.match(r"\d+[.-]", path.name)]

    @cached_property
    def _samples(self) -> list[epath.Path]:
        return _listed(run_directory.samples(self.workdir))

    @property
    def step(self) -> int:
        logged = [int(row["step"]) for row in self.rows[-1:]]
        return max([*logged, *self.checkpoints[-1:], *list(self.previews)[-1:]], default=0)

    @property
    def seconds(self) -> float:
        """Spent on the steps, as their rates say."""
        total, before = 0.0, 0
        for row in self.rows:
            rate = _number(row.get("examples_per_second"))
            if math.isfinite(rate) and rate > 0:
                total += (int(row["step"]) - before) * self.config.batch / rate
            before = int(row["step"])
        return total

    @cached_property
    def grid(self) -> int:
        """Of its music."""
        from jaxgen.domains.music import KEPT

        try:
            return int(json.loads(run_directory.read_kept(self.workdir, KEPT))["grid"])
        except (UserError, ValueError, KeyError, TypeError):
            return GRID

    @cached_property
    def nearest(self) -> tuple[str, Config]:
        """The config that came with jaxgen, from which this one differs least, first of all in the mathematics."""
        known = [assemble.config_named(name) for name in assemble.configs()]

        def distance(one: tuple[str, Config]) -> tuple[int, int]:
            return len(differences(one[1], self.config)), len(differing(self.config, one[1]))

        return min(known, key=distance)


def _outcome(run: _Run) -> list[Block]:
    steps = run.config.loop.steps
    state = "finished" if run.step >= steps else "stopped before its end, or still going on"
    when = run.rows[-1].get("time") if run.rows else None
    facts = {
        "Steps": f"{run.step:,} of {steps:,}: {state}",
        "Examples seen": f"{run.step * run.config.batch:,}",
        "Minutes": f"{run.seconds / 60:.1f}, by the rates of the steps" if run.seconds else None,
        "Last metrics": None if when is None else _date(when),
        "Checkpoints kept": ", ".join(map(str, run.checkpoints)) or "none yet",
    }
    blocks = [page.facts(facts)]
    if run.rows:
        last = {name: value for name, value in run.rows[-1].items() if name not in ("step", "time")}
        blocks += [page.table((f"Step {run.rows[-1]['step']}", "Value"), last.items())]
    blocks += _evaluation(run)
    if run.previews:
        step, paths = list(run.previews.items())[-1]
        blocks += [page.heading(f"Samples of step {step:,}"), _gallery(run, _of(paths, _ORDER))]
    if run.others:
        loose = [path for path in run.others if not path.is_dir()]
        blocks += [page.heading("Written by jaxgen sample"), *([_gallery(run, loose)] if loose else [])]
        for folder in (path for path in run.others if path.is_dir()):
            blocks += [page.paragraph(f"{folder.name}/"), _gallery(run, _within(folder))]
    return blocks


def _evaluation(run: _Run) -> list[Block]:
    """What `jaxgen evaluate RUN --json RUN/evaluation.json` found."""
    path = run.workdir / EVALUATION
    if not path.exists():
        return []
    try:
        found = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        return [page.paragraph(f"{EVALUATION} cannot be read ({error}).")]
    of = found.pop("step", None)
    rows = [(name, value if isinstance(value, int | float) else _told(value)) for name, value in found.items()]
    title = "On held-out data" if of is None else f"On held-out data, step {of}"
    return [page.heading(title), page.table(("Measure", "Value"), rows)]


def _metrics(run: _Run) -> list[Block]:
    if not run.rows:
        return [page.paragraph("No metrics yet.")]
    names = dict.fromkeys(name for row in run.rows for name in row if name not in ("step", "time"))
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.partition("/")[0], []).append(name)
    return [page.side_by_side(_chart(run.rows, title, of) for title, of in groups.items())]


def _chart(rows: Sequence[_Row], title: str, names: Sequence[str]) -> Block:
    """The metrics that belong together; a note says what their lines leave out."""
    series, left_out, all_of_it = {}, 0, 0
    for name in names:
        points = [(int(row["step"]), _number(row[name])) for row in rows if name in row]
        finite = [(step, value) for step, value in points if math.isfinite(value)]
        left_out, all_of_it = left_out + len(points) - len(finite), all_of_it + len(finite)
        if finite:
            kept = _spread(finite, POINTS)
            series[name] = [step for step, _ in kept], [value for _, value in kept]
    notes = [title.replace("_", " ")]
    notes += [f"{left_out:,} not finite, left out"] if left_out else []
    if not series:
        return page.paragraph("; ".join(notes) + ".")
    shown = [value for _, values in series.values() for value in values]
    notes += [f"{len(shown):,} of {all_of_it:,} points"] if len(shown) < all_of_it else []
    # One early outlier would press all that follows onto the axis.
    log = min(shown) > 0 and max(shown) > SPAN * float(np.median(shown))
    return page.drawing(
        charts.lines(series, "step", "", log_y=log, marks=len(shown) / len(series) <= MANY), "; ".join(notes)
    )


def _samples(run: _Run) -> list[Block]:
    if not run.previews:
        return [page.paragraph("No samples yet.")]
    shown = []
    for step, paths in _spread(list(run.previews.items()), STEPS):
        pictures = _of(paths, page.IMAGES) or _of(paths, page.FILMS) or _of(paths, page.TEXTS)
        chosen = pictures[:1] + _of(paths, page.SOUNDS)[:1] or paths[:1]
        shown += [page.side_by_side(_shown(path, f"Step {step:,}", small=True) for path in chosen)]
    some = f"{STEPS} of {len(run.previews)} steps that left samples."
    return [*([page.paragraph(some)] if len(run.previews) > STEPS else []), page.side_by_side(shown)]


def _config(run: _Run) -> list[Block]:
    name, beside = run.nearest
    found = differing(run.config, beside)
    rows = [(field, _told(value), _told(other)) for field, (value, other) in found.items()]
    text = json.dumps(to_dict(run.config), indent=2)
    differs = f"Of the configs that came with jaxgen, {name} is the nearest; it differs in {len(rows)} fields."
    return [
        page.paragraph(differs if rows else f"The config {name}, as it came with jaxgen."),
        *([page.table(("Field", "This run", name), rows)] if rows else []),
        page.folded("The whole config", page.code(text)),
    ]


def _again(run: _Run) -> list[Block]:
    name, beside = run.nearest
    path = run.workdir / "config.json"
    words, of = flags(run.config, beside), run.environment
    before = [f"XLA_FLAGS={shlex.quote(str(of['xla_flags']))}"] if of.get("xla_flags") else []
    versions: Mapping[str, str | None] = of.get("versions") or {}
    pins = [f"{package}=={version}" for package, version in versions.items() if version]
    data, processes = run.config.data, of.get("processes", 1)
    blocks = [page.paragraph("The same run, in a new directory:")]
    blocks += [page.code(_command([*before, "jaxgen", "train", shlex.quote(str(path)), "--workdir", "again"]))]
    if words is not None:
        quoted = [shlex.quote(word) for word in words]
        blocks += [page.paragraph(f"Or without its directory, from {name}, as this version of jaxgen has it:")]
        blocks += [page.code(_command([*before, "jaxgen", "train", name, "--workdir", "again", *quoted]))]
    if ("/" in data or data.endswith((".npz", ".json", ".txt"))) and not os.path.isabs(data) and "://" not in data:
        blocks += [page.paragraph(f"From the directory in which the run was started: its data are in {data}.")]
    if processes != 1:
        blocks += [page.paragraph(f"It was {processes} processes; start as many, with --coordinator and --process.")]
    if pins:
        missing = "" if versions.get("jaxgen") else " jaxgen itself was run from a checkout, which has no version."
        blocks += [page.paragraph(f"With the versions that it had, under Python {of.get('python', '?')}:{missing}")]
        blocks += [page.code(_command(["python", "-m", "pip", "install", *map(shlex.quote, pins)]))]
    facts = {
        "Device": f"{of.get('devices', '?')} of {of.get('device', '?')} ({of.get('backend', '?')})",
        "Processes": str(processes),
        "Random numbers": of.get("prng"),
        "Products of matrices": of.get("matmul_precision") or run.config.matmul,
        "Data": data,
        "Fingerprint of the data": of.get("data_fingerprint"),
    }
    return [*blocks, page.facts(facts)]


def _gallery(run: _Run, paths: Sequence[epath.Path]) -> Block:
    """What can be shown of the files; the rest by name."""
    shown = [path for path in paths if path.suffix.lower() in _ORDER][:FILES]
    stems: dict[str, list[Block]] = {}  # a piece, its picture and its sound stand together
    for path in shown:
        found = stems.setdefault(str(path.with_suffix("")), [])
        found += [_shown(path, path.name)]
        if path.suffix.lower() == ".mid" and path.with_suffix(".wav") not in paths:
            found += [_player(run, path)]
    blocks = [page.side_by_side(found) for found in stems.values()]
    rest = [path.name for path in paths if path not in shown]
    if rest:
        names = ", ".join(rest[:4]) + (f" and {len(rest) - 4:,} more" if len(rest) > 4 else "")
        blocks += [page.paragraph(f"Not on this page: {names}")]
    return page.side_by_side(blocks or [page.paragraph("Nothing yet.")])


def _shown(path: epath.Path, note: str, small: bool = False) -> Block:
    """A file; in words where it is damaged, or gone since it was listed."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return page.paragraph(f"{path.name} cannot be read ({error.strerror or error}).")
    name, ending = path.name, path.suffix.lower()
    if ending == ".wav" and (content[:4], content[8:12]) != (b"RIFF", b"WAVE"):
        return page.paragraph(f"{name} is damaged: no WAV file.")
    if ending in page.IMAGES:
        try:
            with Image.open(io.BytesIO(content)) as image:
                image.load()
                if small and ending != ".gif" and len(content) > SMALL:
                    content, name = _smaller(image), path.with_suffix(".jpg").name
        except Exception:  # on damaged bytes Pillow raises whatever its parts do
            return page.paragraph(f"{name} is damaged: no picture.")
    return page.shown(content, name, note)


def _smaller(image: Image.Image) -> bytes:
    image = image.convert("RGB")
    image.thumbnail((720, 720))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _player(run: _Run, path: epath.Path) -> Block:
    """The sound of a MIDI file; in words why there is none."""
    try:
        roll = midi.read(path, run.grid)[: QUARTERS * run.grid]
        return page.playable(pcm.to_wav(sound.synthesise(roll, run.grid)), ".wav", f"{path.name}, played")
    except UserError as error:
        return page.paragraph(f"No player of {path.name}: {error}")


def _command(words: Sequence[str]) -> str:
    """Of words as a shell reads them; over several lines where it is long, an option each."""
    line = " ".join(words)
    return line if len(line) <= 100 else "".join(f" \\\n  {w}" if w[:2] == "--" else f" {w}" for w in words).lstrip()


def _spread(values: Sequence[Any], most: int) -> list[Any]:
    """At most so many, evenly, with the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[i] for i in np.linspace(0, len(values) - 1, most).round().astype(int)]


def _of(paths: Iterable[epath.Path], endings: Iterable[str]) -> list[epath.Path]:
    """The files with one of the endings, in their order; `100.png` before `100-reconstructions.png`."""
    order = {ending: i for i, ending in enumerate(endings)}
    found = [path for path in paths if path.suffix.lower() in order]
    return sorted(found, key=lambda path: (order[path.suffix.lower()], len(path.name)))


def _listed(folder: epath.Path) -> list[epath.Path]:
    """What lies in a folder, by name, without what is still being written."""
    found = folder.iterdir() if folder.exists() else ()
    return sorted(path for path in found if not path.name.startswith("."))


def _within(folder: epath.Path) -> list[epath.Path]:
    """The files of a folder and of those in it."""
    return [file for path in _listed(folder) for file in (_within(path) if path.is_dir() else [path])]


def _number(value: Any) -> float:
    """nan for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _told(value: Any) -> str:
    """A value of JSON as a cell."""
    return value or '""' if isinstance(value, str) else "" if value is None else json.dumps(value)


def _date(seconds: Any) -> str:
    return (
        str(seconds)
        if not math.isfinite(_number(seconds))
        else f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M} UTC"
    )


def _name(workdir: epath.Path) -> str:
    return workdir.name if "://" in str(workdir) else os.path.basename(os.path.abspath(workdir))
