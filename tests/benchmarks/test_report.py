"""The page and the tables that are made of the results: of small made-up ones by hand, and of the committed ones."""

import json
import re
from html.parser import HTMLParser

import pytest

from benchmarks.report import __main__ as report
from benchmarks.report import costs, gallery, markdown, quality, results, speed

HARDWARE = {"cpu": "AMD EPYC", "cores": 2, "system": "Linux"}
VERSIONS = {"jax": "0.10.2", "jaxlib": "0.10.2"}
LOOK = {"step": 250, "seconds": 3.5, "class_tv": 0.1}
PEAK = {"matmul_flops_per_s": {"fp32": 1e9, "bf16": 4e9}, "copy_bytes_per_s": 1e9}


def times(ms):
    return {"median": ms, "min": ms, "spread": 0.1, "n": 5, "turns": [ms] * 5}


def row(name="digits_gan", ms=10.0, suite="step", **more):
    made = {
        "suite": suite,
        "name": name,
        "batch": 128,
        "items": "examples",
        "examples_per_s": 128e3 / ms,
        "step_ms": times(ms),
        "compile_s": 2.0,
        "idle_cpu": 0.0,
        "against": {},
        "device": "cpu",
        "versions": VERSIONS,
        "peak_memory_bytes": 5e8,
        "flops_per_step": 5e6,
        "state_bytes": 2_000_000,
        "fraction_of_matmul_peak": 0.5,
        "hardware": HARDWARE,
        "peak": PEAK,
        "commit": "abcdef0123",
        "load_average": 0.0,
        "date": "2026-11-28T10:00:00+00:00",
    }
    return made | more


def opponent(ratio, ms, variant="eager"):
    return {
        "ratio": ratio,
        "ratios": [ratio - 0.1, ratio, ratio + 0.2],
        "step_ms": times(ms),
        "variant": variant,
        "compile_s": 1.0,
        "versions": {"torch": "2.13.0"},
    }


def verdict(gate="digits_gan", seed=0, coverage=0.9, missed=()):
    return {
        "gate": gate,
        "seed": seed,
        "passed": not missed,
        "missed": list(missed),
        "parts": [
            {"name": "coverage >= 0.85 of the ceiling", "column": "coverage", "low": 0.82},
            {"name": "copies <= 10%", "column": "copies", "high": 0.1},
        ],
        "ours": {"coverage": coverage, "copies": 0.0},
        "impostors": {"collapsed": {"coverage": 0.01, "copies": 0.0}},
        "others": {"real vs real": {"coverage": 0.965}},
        "training_minutes": {"first": 3.0, "second": 4.0},
        "steps": 100,
        "commit": "abcdef0123-dirty",
        "hardware": HARDWARE,
        "date": "2026-11-28T10:00:00+00:00",
    }


@pytest.fixture
def folder(tmp_path):
    """Results of every kind."""
    card = {"device": "NVIDIA H100", "suite": "accelerator"}
    rows = [
        row(against={"torch": opponent(1.94, 19.4), "artifex": opponent(0.99, 9.9, "own")}),
        row("image_vae", ms=5.0, against={"torch": opponent(0.8, 4.0, "compile")}),
        row("digits_gan_fp32_call", ms=0.3, against={"torch": opponent(7.8, 2.3, "compile_graphs")}, **card),
        row("dcgan_28_bf16_call", ms=0.8, **card),
        *(row(f"digits_gan_batch_{n}", ms=n / 10, suite="batch", batch=n) for n in (32, 128)),
        *(row(f"digits_gan_call_{n}", ms=10 - n / 100, suite="dispatch") for n in (1, 100)),
        row("digits_gan_compile", suite="compile", batch=1),
        row("digits_gan_strong_1", suite="scaling", devices=1),
        row("digits_gan_strong_4", suite="scaling", devices=4, ms=20.0, against={"jit": opponent(2.0, 40.0, "jit")}),
        row("blur_forward", suite="layers", against={"flax": opponent(8.0, 80.0, "flax")}, flops_per_step=None),
    ]
    curve = [{"batch": n, "peak_bytes": 4e8 + n * 1e6, "base_bytes": 3e8} for n in (32, 128)]
    held = {"largest_batch": 900, "curve": curve, "variant": "eager"}
    rows.append(row(suite="memory", measures="memory", limit_bytes=1e9, **held | {"against": {"torch": held}}))
    side = {"seconds": 3.5, "steps": 250, "reached": True, "compile_s": 1.0, "variant": "eager"}
    side |= {"runs": [{"seconds": 3.5}, {"seconds": None}], "curve": [LOOK, LOOK | {"class_tv": None}]}
    asked = {"measures": "time_to_quality", "metric": "class TV <= 0.15", "bar": {"class_tv": {"high": 0.15}}}
    rows.append(row(suite="time_to_quality", **asked, **side | {"against": {"torch": side}}, ratio_to_torch=1.5))
    (tmp_path / "throughput-epyc.json").write_text(json.dumps({"rows": rows}))
    (tmp_path / "quality").mkdir()
    for seed, coverage in enumerate((0.86, 0.88, 0.9)):
        (tmp_path / f"quality/digits_gan-seed{seed}.json").write_text(json.dumps(verdict("digits_gan", seed, coverage)))
    missed = verdict("video_gan", missed=["copies <= 10%"])
    (tmp_path / "quality/video_gan-seed0.json").write_text(json.dumps(missed))
    run = {
        "config": "image_vae",
        "steps": 9,
        "batch": 8,
        "training_minutes": 1.25,
        "metrics": {"elbo": -101.7, "x": []},
    }
    run |= {name: row()[name] for name in ("hardware", "versions", "commit", "load_average", "date")}
    (tmp_path / "defaults").mkdir()
    (tmp_path / "defaults/image_vae.json").write_text(json.dumps(run))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.gif").write_bytes(b"GIF89a")
    (tmp_path / "pictures/README.md").write_text(
        "# What\n\n- `a.gif`, `b.gif` (seed 2): digits <move>\n  on.\n- `c/`: no.\n"
    )
    (tmp_path / "samples/music").mkdir(parents=True)
    (tmp_path / "samples/music/000.wav").write_bytes(b"RIFF")
    (tmp_path / "samples/text.txt").write_text("a line & another\n")
    return tmp_path


class Parsed(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.sources, self.links, self.headings, self.tags, self._in = [], [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs, self._in = dict(attrs), tag
        self.tags.append(tag)
        self.sources += [attrs["src"]] if "src" in attrs else []
        self.links += [attrs["href"]] if "href" in attrs else []

    def handle_data(self, data):
        if self._in == "h2" and data.strip():
            self.headings.append(data.strip())


def test_the_page_needs_nothing_beside_itself(folder, tmp_path):
    assert report.main(["--results", str(folder), "--out", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text()
    page = Parsed(text)
    assert page.sources
    assert all(source.startswith("data:") for source in page.sources)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert "audio" in page.tags
    assert "script" not in page.tags
    for wanted in (
        "Throughput",
        "Against the batch",
        "Roofline",
        "Scaling",
        "Steps per call",
        "Compile time",
        "Memory",
    ):
        assert wanted in page.headings
    for wanted in ("Layers", "Time to quality", "Quality", "Configs as they stand", "Samples"):
        assert wanted in page.headings
    assert "What a run adds" not in page.headings  # nothing was measured of it
    assert "digits &lt;move&gt; on." in text
    assert "a line &amp; another" in text
    assert "-101.7" in text
    assert (tmp_path / "page.md").read_text().startswith("# jaxgen")


def test_the_page_ends_with_what_makes_it(folder):
    said = report.commands(results.read(folder))
    card = said[said.index("# on NVIDIA H100") + 1]
    assert card == "python -m benchmarks.throughput --suite accelerator --peers torch --json " + report.NEW
    cpu = said[said.index("# on 2 cores, AMD EPYC") + 1]
    assert "--suite step batch" in cpu
    assert "--peers torch,artifex --json" in cpu
    quality_json = "benchmarks/results/quality/video_gan-seed0.json"
    assert f"python -m benchmarks.quality video_gan --seed 0 --json {quality_json}" in said
    assert "python -m benchmarks.defaults image_vae --json benchmarks/results/defaults/image_vae.json" in said
    assert said[-1] == "python -m benchmarks.report --readme --out page.html"
    (folder / "throughput-epyc.json").write_text(json.dumps({"rows": [row()]}))
    alone = report.commands(results.read(folder))[2]
    assert alone == f"python -m benchmarks.throughput --suite step --json {report.NEW}"


def test_every_table_says_where_it_is_from(folder):
    found = results.read(folder)
    for section in [*speed.sections(found), *costs.sections(found)]:
        told = "".join(section.blocks)
        assert not section.blocks or ("abcdef0" in told and "jax 0.10.2" in told), section.title
    assert "torch: torch 2.13.0" in "".join(speed.throughput(found))
    assert "abcdef0 with changes" in "".join(quality.sections(found)[1].blocks)


def test_of_a_case_on_a_machine_the_newest_row_counts(folder):
    newer = row(ms=8.0, date="2026-11-29T10:00:00+00:00", commit="fedcba9")
    (folder / "another.json").write_text(json.dumps({"rows": [newer]}))  # read before the older one
    (digits,) = [r for r in results.read(folder).of("step") if r["name"] == "digits_gan"]
    assert results.measured(digits) == "2026-11-29, fedcba9"


def test_the_throughput_table_by_hand(folder):
    table = markdown.throughput(results.read(folder).of("step", "accelerator")).splitlines()
    digits = [cell.strip() for cell in table[2].strip("|").split("|")]
    cpu = ["128: 10", "1.94 (eager)", "0.99 artifex", "abcdef0"]
    assert digits[1:] == [*cpu, "128: 0.3", "7.80 (compile graphs)", "", "abcdef0"]
    assert "128: 0.8 bf16" in next(line for line in table if "28x28" in line or "dcgan_28" in line)
    assert "2 cores, AMD EPYC" in table[0]


def test_a_gate_over_its_seeds_by_hand(folder):
    seeds = results.read(folder).gates["digits_gan"]
    assert quality.over_seeds(seeds, "coverage") == "0.880 ± 0.020"
    assert quality.asked(seeds, "coverage") == "coverage >= 0.85 of the ceiling (>= 0.82)"
    assert quality.asked(seeds, "copies") == "copies <= 10%"
    assert quality.over_seeds(seeds, "copies") == "0"
    lines = markdown.quality_table(results.read(folder)).splitlines()
    assert lines[2].startswith(
        "| 1 digits GAN | coverage >= 0.85 of the ceiling (>= 0.82); copies <= 10% | 0.880 ± 0.020; 0 |"
    )
    assert lines[3].endswith("| 0.9; 0 **(0 of 1)** | 0 of 1 |")
    assert quality._minutes(seeds) == "7"


def test_a_part_that_nothing_could_meet_counts_as_missed():
    """An infinite bound is not written; that the part was missed is."""
    seed = verdict(missed=["better than the deviation"])
    seed["parts"] = [{"name": "better than the deviation", "column": "gain"}]
    assert not quality.met(seed, "gain")
    assert quality.over_seeds([seed], "gain") == "-"


def test_the_roof_by_hand():
    found = speed.floor_ms(row())
    assert found["arithmetic"] == pytest.approx(5.0)  # 5e6 operations at 1e9 a second
    assert found["memory"] == pytest.approx(4.0)  # 2 MB read and written at 1 GB/s
    assert speed.floor_ms(row("x_bf16_call"))["arithmetic"] == pytest.approx(1.25)
    assert speed.floor_ms(row(state_bytes=None))["memory"] is None


def test_scaling_of_the_other_form_is_read_off_its_ratio(folder):
    rows = results.read(folder).of("scaling")
    assert speed._scaled(rows, "strong", "pmap") == ([1, 4], [12800.0, 6400.0])
    assert speed._scaled(rows, "strong", "jit") == ([1, 4], [12800.0, 3200.0])


def test_rates_by_batch_are_ours_and_pytorchs():
    rows = [
        row(f"{name}_batch_{n}", ms=n / 10, suite="batch", batch=n, against=against)
        for name, n, against in [
            ("here", 128, {"torch": opponent(2.0, 25.6)}),
            ("here", 32, {"torch": opponent(0.5, 1.6)}),
            ("there", 8, {}),
        ]
    ]
    assert speed.rates_by_batch(rows) == {
        "here": {"jaxgen": ([32, 128], [40000.0, 10000.0]), "PyTorch": ([32, 128], [80000.0, 5000.0])},
        "there": {"jaxgen": ([8], [160000.0])},
    }


def test_notes_are_of_every_file_that_an_item_names(folder):
    said = gallery.notes(folder / "pictures" / "README.md")
    assert said == {"a.gif": "(seed 2): digits <move> on.", "b.gif": "(seed 2): digits <move> on.", "c/": "no."}


def test_readme_is_filled_between_its_marks():
    text = "before\n<!-- speed: x -->\nold\n<!-- end of speed -->\nafter\n"
    filled = markdown.filled(text, {"speed": "| new |"})
    assert filled == "before\n<!-- speed: x -->\n\n| new |\n\n<!-- end of speed -->\nafter\n"
    assert markdown.filled(filled, {"speed": "| new |"}) == filled


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "page.pdf"], "must end in .html"),
        (["--out", "page.html", "--results", "nowhere"], "has no results"),
    ],
)
def test_mistakes_are_told(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert report.main(words) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_no_result_is_named(folder, capsys):
    (folder / "bad.json").write_text('{"row": 1}')
    assert report.main(["--out", "x.html", "--results", str(folder)]) == 2
    assert "bad.json can't be read" in capsys.readouterr().err


def test_the_readme_says_what_the_committed_results_say():
    """`python -m benchmarks.report --readme` was run after the results changed."""
    text = report.README.read_text()
    assert markdown.filled(text, markdown.tables(results.read(report.RESULTS))) == text
    assert report.PLOT.exists()
    assert str(report.PLOT.relative_to(report.README.parent)) in text


def test_the_committed_results_make_a_page():
    found = results.read(report.RESULTS)
    text = report.html(found)
    assert len(re.findall("<svg", text)) >= 3
    for name in found.gates:
        assert quality.title(name) in text
