"""The page of a run: from directories written by hand, in any state a run may be in, and of a real one."""

import base64
import dataclasses
import html.parser
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tyro
from PIL import Image

from jaxgen import assemble, cli, pcm, run_directory, run_report
from jaxgen.config import MLP, Adversarial, Config, Conv, Loop, flags
from jaxgen.data import synthetic
from jaxgen.errors import UserError
from jaxgen.music import midi

ROOT = Path(__file__).parent.parent
SECTIONS = ["What came of it", "Metrics over time", "Samples over time", "Config", "How to reproduce it"]
DIGITS = assemble.config_named("digits_gan")[1]
CONFIG = dataclasses.replace(DIGITS, batch=8, loop=dataclasses.replace(DIGITS.loop, steps=40))


class Page(html.parser.HTMLParser):
    """What stands in a page: its texts, the tags with their attributes, headings, figures' captions, code."""

    EMPTY = ("meta", "img", "path", "use", "rect", "br")

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts = [], {}
        self._open = []
        self.feed(Path(path).read_text())
        assert self._open == []  # all that was opened was closed

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self._open.pop() == tag

    def handle_data(self, data):
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def of(self, tag):
        return [text.strip() for text in self.texts.get(tag, [])]

    @property
    def text(self):
        return self.of("main")[0]

    def sources(self, tag):
        return [attrs["src"] for name, attrs in self.tags if name == tag]


def check_whole(page):
    """All sections, and nothing that a browser would have to fetch."""
    assert page.of("h2") == SECTIONS
    assert not {"script", "link", "iframe"} & {name for name, _ in page.tags}
    for _, attrs in page.tags:
        for name in ("src", "href", "xlink:href"):
            if name in attrs:
                assert attrs[name].startswith("data:" if name == "src" else ("data:", "#"))


def rows(n, first=1, **more):
    return [
        {"step": i, "time": 1.7e9 + i, "loss/disc": 1 / i, "loss/gen": 2.0, "examples_per_second": 4.0} | more
        for i in range(first, first + n)
    ]


def written(workdir, lines=(), config=CONFIG, **samples):
    """A run's directory, by hand: `samples` are the contents of its files, `at` in the place of the dot."""
    run_directory.write_config(workdir, config, data_fingerprint="0123abcd")
    if lines:
        (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, content in samples.items():
        path = workdir / "samples" / name.removeprefix("_").replace("_at_", ".").replace("_in_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return workdir


def made(workdir):
    path = run_report.write(workdir)
    assert path == workdir / "report.html"
    page = Page(path)
    check_whole(page)
    return page


def picture(side=8, kind="PNG"):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


def test_a_run_that_has_only_begun(tmp_path):
    page = made(written(tmp_path / "run"))
    assert page.of("h1") == ["run"]
    assert "0 of 40: stopped before its end, or still going on" in page.of("dd")
    assert "none yet" in page.of("dd")
    assert "No metrics yet." in page.of("p")
    assert "No samples yet." in page.of("p")


def test_what_came_of_it(tmp_path):
    """Ten steps of 8 examples at 4 a second take 20 s."""
    samples = {"_20_at_png": picture(), "_40_at_png": picture(), "_40-walk_at_gif": picture(kind="GIF")}
    page = made(written(tmp_path / "run", rows(9) + rows(1, 40), **samples))
    said = page.of("dd")
    assert {"40 of 40: finished", "320", "2023-11-14 22:14 UTC"} <= set(said)
    assert "1.3 minutes" not in said
    assert f"{40 * 8 / 4 / 60:.1f}, by the rates of the steps" in said
    assert re.search(r"Step 40\s*Value\s*loss/disc0\.025\s*loss/gen2\s*examples_per_second4", page.text)
    assert "Samples of step 40" in page.of("h3")
    assert [c for c in page.of("figcaption") if "40." in c or "40-" in c] == ["40.png", "40-walk.gif"]
    assert [c for c in page.of("figcaption") if c.startswith("Step")] == ["Step 20", "Step 40"]
    assert page.sources("img")[0] == f"data:image/png;base64,{base64.b64encode(samples['_40_at_png']).decode()}"


def test_lines_of_the_metrics(tmp_path):
    """One cut short, one that is none, values that are not finite, steps that were taken twice."""
    lines = [*rows(4), *rows(3, 3, **{"loss/gen": "nan"}), *rows(1, 6, only="inf")]
    workdir = written(tmp_path / "run", lines)
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('[1, 2]\n{"step": Infinity}\n{"step": 7, "time": 17000')
    run = run_report._Run(workdir, CONFIG, {})
    assert [row["step"] for row in run.rows] == [1, 2, 3, 4, 5, 6]
    assert [row["loss/gen"] for row in run.rows] == [2.0, 2.0, "nan", "nan", "nan", 2.0]
    assert run.seconds == pytest.approx(6 * 8 / 4)
    page = made(workdir)
    assert "6 of 40: stopped before its end, or still going on" in page.of("dd")
    assert page.of("figcaption") == ["loss; 3 not finite, left out", "examples per second"]
    assert "only; 1 not finite, left out." in page.of("p")
    assert len(page.of("svg")) == 2
    assert {"loss/disc", "loss/gen"} <= set(page.of("text"))


def test_many_points_are_thinned(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(run_report.charts, "lines", lambda series, *_, **more: drawn.update(series) or "<svg></svg>")
    page = made(written(tmp_path / "run", rows(3000)))
    for steps, values in drawn.values():
        assert len(steps) == len(values) == 400
        assert (steps[0], steps[-1]) == (1, 3000)
        assert set(np.diff(steps)) <= {7, 8}
    assert "loss; 800 of 6,000 points" in page.of("figcaption")


def test_samples_over_time_are_spread(tmp_path):
    page = made(written(tmp_path / "run", **{f"_{10 * i}_at_png": picture() for i in range(1, 101)}))
    steps = [int(c.removeprefix("Step ").replace(",", "")) for c in page.of("figcaption") if c.startswith("Step")]
    assert steps == [10, 100, 190, 280, 370, 460, 550, 640, 730, 820, 910, 1000]
    assert "12 of 100 steps that left samples." in page.of("p")


def test_large_pictures_are_made_smaller_where_there_are_many(tmp_path):
    large = picture(800)
    assert len(large) > run_report.SMALL
    last, small = made(written(tmp_path / "run", _10_at_png=large)).sources("img")
    assert base64.b64decode(last.partition(",")[2]) == large
    with Image.open(io.BytesIO(base64.b64decode(small.partition(",")[2]))) as image:
        assert (image.format, image.size) == ("JPEG", (720, 720))


def test_text_is_escaped_wherever_it_stands(tmp_path):
    evil = "<script>alert(1)</script>"
    config = dataclasses.replace(CONFIG, data=evil)
    page = made(written(tmp_path / "<b>run", rows(1, **{evil: 1.0}), config, _1_at_txt=evil, seed_at_txt=evil))
    assert page.of("code").count(evil) == 3
    assert page.of("h1") == ["<b>run"]


def test_damaged_files_are_named(tmp_path):
    samples = {"_1_at_png": picture(64)[:500], "_1_at_wav": b"RIFF", "_1-b_at_mid": b"MThd", "_1_at_gif": ""}
    workdir = written(tmp_path / "run", **samples)
    (workdir / "samples" / "1.txt").mkdir()
    (workdir / "samples" / ".1.png.partial").write_bytes(b"half")
    said = made(workdir).of("p")
    assert {"1.png is damaged: no picture.", "1.gif is damaged: no picture.", "1.wav is damaged: no WAV file."} < {
        *said
    }
    assert "1.txt cannot be read (Is a directory)." in said
    assert any(p.startswith("No player of 1-b.mid: Cannot read") for p in said)
    assert not any("partial" in p for p in said)


def test_sounds_have_players(tmp_path):
    roll = np.zeros((8, 88), np.uint8)
    roll[:, 40] = 1
    song = midi.to_bytes(roll, grid=2)
    wav = pcm.to_wav(np.zeros(100, np.float32))
    samples = {"_1_at_mid": song, "_2_at_wav": wav, "_2_at_png": picture(), "seed-0_in_000_at_mid": song}
    workdir = written(tmp_path / "run", **samples, **{"seed-0_in_000_at_wav": wav, "seed-1_in_a_in_1_at_mid": song})
    run_directory.write_kept(workdir, {"music.json": '{"grid": 2}'})
    page = made(workdir)
    players = page.sources("audio")
    assert len(players) == 4  # 2.wav twice, 000.wav, and the one that was made of 1.mid
    whole = f"data:audio/wav;base64,{base64.b64encode(wav).decode()}"
    assert players.count(whole) == 3
    (song_played,) = {p for p in players if p != whole}
    seconds = 8 * 60 / (90 * 2) + 0.06
    assert len(base64.b64decode(song_played.partition(",")[2])) == pytest.approx(44 + 2 * 22050 * seconds, abs=8)
    # Of step 1 there is nothing else to show.
    assert [a["download"] for _, a in page.tags if "download" in a] == ["000.mid", "1.mid", "1.mid"]
    assert {"seed-0/", "seed-1/"} <= set(page.of("p"))


def test_without_mido_there_is_no_player(tmp_path, monkeypatch):
    def missing():
        raise UserError("MIDI files need the package mido")

    monkeypatch.setattr(midi, "_library", missing)
    page = made(written(tmp_path / "run", _1_at_mid=b"MThd"))
    assert "No player of 1.mid: MIDI files need the package mido" in page.of("p")


def test_what_sampling_left(tmp_path):
    many = {f"seed-3_in_{i:03}_at_png": picture() for i in range(30)}
    page = made(written(tmp_path / "run", **many, **{"seed-1_at_npz": b"", "seed-2_at_gif": picture(kind="GIF")}))
    assert "Written by jaxgen sample" in page.of("h3")
    assert "Not on this page: seed-1.npz" in page.of("p")
    assert "Not on this page: 024.png, 025.png, 026.png, 027.png and 2 more" in page.of("p")
    assert len(page.sources("img")) == 25


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"step": 40, "kid": 0.5, "of": {"a": 1}}', r"On held-out data, step 40.*kid0.5.*of\{\"a\": 1\}"),
        ("[1", "evaluation.json cannot be read"),
        ("[1]", "evaluation.json cannot be read"),
    ],
)
def test_the_evaluation(text, said, tmp_path):
    workdir = written(tmp_path / "run")
    (workdir / "evaluation.json").write_text(text)
    assert re.search(said, " ".join(made(workdir).text.split()).replace("kid 0", "kid0"), re.DOTALL)


def commands(page):
    """The command lines of the page, in words."""
    return [shlex.split(code.replace("\\\n", " ")) for code in page.of("code") if code.startswith(("jaxgen", "XLA"))]


def parsed(name, words):
    """The config that `jaxgen train NAME WORDS` trains."""
    default = cli.Train(assemble.config_named(name)[1], "runs")
    options = (tyro.conf.AvoidSubcommands,)
    return tyro.cli(cli.Train, default=default, args=words, config=options).config


SEVERAL = dataclasses.replace(
    DIGITS,
    data="-some dir/it's.npz",
    data_dir="",
    download=True,
    shape=(8, 8, 1),
    model=MLP(z_dim=4, gen=(16,), disc=(), spectral_norm=True),
    game=dataclasses.replace(
        DIGITS.game, gen=dataclasses.replace(DIGITS.game.gen, lr=1e-05, nesterov=True), penalty=""
    ),
    precision="bf16",
    loop=dataclasses.replace(DIGITS.loop, steps=7, nonfinite="skip"),
)


@pytest.mark.parametrize("config", [CONFIG, SEVERAL, DIGITS], ids=["few", "several", "none"])
def test_both_commands_make_the_same_config(config, tmp_path):
    workdir = written(tmp_path / "run", config=config)
    page = made(workdir)
    exact, short = commands(page)
    assert exact == ["jaxgen", "train", f"{workdir}/config.json", "--workdir", "again"]
    assert assemble.config_named(exact[2]) == ("run", config)
    assert short[:5] == ["jaxgen", "train", "digits_gan", "--workdir", "again"]
    assert parsed("digits_gan", short[5:]) == config


@pytest.mark.parametrize("name", assemble.configs())
def test_flags_between_configs_of_one_kind(name):
    """From every config that came with jaxgen to the last with the same types, which may differ in any field."""
    config = assemble.config_named(name)[1]
    kinds = type(config.model), type(config.game)
    known = {other: assemble.config_named(other)[1] for other in assemble.configs()}
    other = [n for n, c in known.items() if (type(c.model), type(c.game)) == kinds][-1]
    words = flags(config, known[other])
    assert words is not None
    assert parsed(other, words) == config


def test_a_switch_that_is_off_again():
    on = dataclasses.replace(DIGITS, download=True, model=dataclasses.replace(DIGITS.model, spectral_norm=True))
    assert flags(DIGITS, on) == ["--model.no-spectral-norm", "--no-download"]
    assert flags(on, DIGITS) == ["--model.spectral-norm", "--download"]


def test_another_type_of_model_has_no_flags(tmp_path):
    config = Config(domain="digits", model=Conv(), game=Adversarial(), loop=Loop(steps=1))
    assert flags(config, DIGITS) is None


def test_the_config_beside_the_nearest(tmp_path):
    page = made(written(tmp_path / "run", config=CONFIG))
    assert "Of the configs that came with jaxgen, digits_gan is the nearest; it differs in 2 fields." in page.of("p")
    assert re.search(r"batch\s*8\s*128", " ".join(page.of("td")))
    (whole,) = [code for code in page.of("code") if code.startswith("{")]
    assert json.loads(whole)["batch"] == 8
    assert "The config digits_gan, as it came with jaxgen." in made(written(tmp_path / "b", config=DIGITS)).of("p")


def test_how_it_was_run(tmp_path):
    workdir = written(tmp_path / "run", config=dataclasses.replace(CONFIG, data="some/where.npz"))
    tree = json.loads((workdir / "config.json").read_text())
    of = {"versions": {"jaxgen": None, "jax": "1.2.3"}, "xla_flags": "--a --b", "processes": 2, "device": "TPU v9"}
    tree["environment"] |= of | {"devices": 8, "backend": "tpu"}
    (workdir / "config.json").write_text(json.dumps(tree))
    page = made(workdir)
    assert "python -m pip install jax==1.2.3" in page.of("code")
    assert {"8 of TPU v9 (tpu)", "0123abcd", "some/where.npz"} <= set(page.of("dd"))
    assert all(words[0] == "XLA_FLAGS=--a --b" for words in commands(page))
    said = " ".join(page.of("p"))
    for part in ("It was 2 processes", "jaxgen itself was run from a checkout", "its data are in some/where.npz"):
        assert part in said
    tree["environment"] = {}
    (workdir / "config.json").write_text(json.dumps(tree))
    made(workdir)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["NOWHERE"], "There is no run at "),
        (["EMPTY"], "is not a run: it holds no config.json."),
        (["RUN", "--out", "page.htm"], "--out page.htm must end in .html."),
        (["RUN", "--out", "FOLDER"], "is a directory; give the name of a file."),
        (["RUN", "--out", "FILE"], "can't be made: a file is in its way."),
        (["RUN", "--oot", "x.html"], "Perhaps you meant"),
        ([], "Missing from jaxgen report"),
    ],
)
def test_mistakes(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    written(tmp_path / "run")
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("")
    names = {"NOWHERE": "nowhere", "EMPTY": ".", "RUN": "run", "FOLDER": "folder.html", "FILE": "file/a.html"}
    words = [str(tmp_path / names[word]) if word in names else word for word in words]
    try:
        code = cli.main(["report", *words])
    except SystemExit as left:  # tyro leaves so
        code = left.code
    out, err = capsys.readouterr()
    assert code == 2
    assert said in out + err


def test_configs_of_runs_by_their_file(tmp_path, monkeypatch):
    workdir = written(tmp_path / "run")
    monkeypatch.chdir(workdir)
    assert assemble.config_named("config.json") == ("run", CONFIG)
    (workdir / "config.json").rename(tmp_path / "mine.json")
    assert assemble.config_named("../mine.json") == ("mine", CONFIG)
    with pytest.raises(UserError, match=r"There is no file config\.json\."):
        assemble.config_named("config.json")
    (tmp_path / "none.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match=r"none\.json cannot be read \(KeyError: 'config'\)"):
        assemble.config_named(str(tmp_path / "none.json"))


def test_a_real_run_from_the_command_line(tmp_path):
    """Trained, reported on, trained again by the command that the page gives. The report touches no device."""
    known = {"JAX_PLATFORMS": "cpu", "JAXGEN_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    known["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

    def jaxgen(*words, **env):
        command = [sys.executable, "-m", "jaxgen.cli", *map(str, words)]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | known | env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    np.savez(tmp_path / "images.npz", image=synthetic.images((8, 8, 1), 20)["image"])
    words = ["--data", tmp_path / "images.npz", "--shape", 8, 8, 1, "--batch", 8, "--workdir", "run"]
    words += ["--model.z-dim", 4, "--model.gen", 16, "--model.disc", 16, "--loop.steps", 4]
    words += [f"--loop.{name}=2" for name in ("steps-per-call", "log-every", "sample-every", "save-every")]
    jaxgen("train", "digits_gan", *words)
    assert jaxgen("report", "run", "--out", "pages/run.html", JAX_PLATFORMS="none") == "pages/run.html\n"
    page = Page(tmp_path / "pages" / "run.html")
    check_whole(page)
    assert {"4 of 4: finished", "32", "2, 4"} <= set(page.of("dd"))
    assert [c for c in page.of("figcaption") if c.startswith("Step")] == ["Step 2", "Step 4"]
    assert len(page.of("svg")) == 3
    exact, _ = commands(page)
    jaxgen(*exact[1:])
    first, again = (run_directory.read_config(tmp_path / name) for name in ("run", "again"))
    assert first == again
    pictures = [tmp_path / name / "samples" / "4.png" for name in ("run", "again")]
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
