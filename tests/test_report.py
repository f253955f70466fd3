"""The files and lines of a run's progress."""

import contextlib
import glob
import io
import json
import math
import os
import struct
from typing import Any

import jax
import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from jaxgen.errors import UserError
from jaxgen.report import Report

PROTO: Any = event_pb2


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def events(workdir):
    """All events, by the TFRecord format: length u64, its CRC u32, data, its CRC u32."""
    out = []
    for path in sorted(glob.glob(str(workdir / "events.out.tfevents.*"))):
        with open(path, "rb") as file:
            while header := file.read(12):
                out.append(PROTO.Event.FromString(file.read(struct.unpack("<Q", header[:8])[0])))
                file.read(4)
    return out


def scalars(workdir):
    return [
        (e.step, v.tag, v.simple_value) for e in events(workdir) for v in e.summary.value if not v.HasField("image")
    ]


def start(workdir, first=0, **kwargs):
    return Report(workdir, total_steps=100, first_step=first, batch=8, **({"quiet": True} | kwargs))


def test_metrics_go_to_both_files(tmp_path):
    with start(tmp_path / "run") as report:
        report.advance(10)
        report.log(10, {"loss/disc": 1.5, "loss/gen": 0.25})
        first = lines(tmp_path / "run")  # at once, not at the end
        report.log(20, {"loss/disc": 0.5, "loss/gen": 0.125})
    assert [line["step"] for line in lines(tmp_path / "run")] == [10, 20]
    assert first[0] == lines(tmp_path / "run")[0]
    assert (first[0]["loss/disc"], first[0]["loss/gen"]) == (1.5, 0.25)
    assert set(first[0]) == {"step", "time", "loss/disc", "loss/gen", "examples_per_second"}
    found = [scalar for scalar in scalars(tmp_path / "run") if scalar[1] != "examples_per_second"]
    assert found == [(10, "loss/disc", 1.5), (10, "loss/gen", 0.25), (20, "loss/disc", 0.5), (20, "loss/gen", 0.125)]


def test_rate_is_examples_over_time(tmp_path, monkeypatch):
    clock = iter([100.0, 104.0, 106.0])
    monkeypatch.setattr("jaxgen.report.time.perf_counter", lambda: next(clock))
    with start(tmp_path, first=10) as report:
        report.log(20, {})
        report.log(30, {})
    assert [line["examples_per_second"] for line in lines(tmp_path)] == [10 * 8 / 4, 10 * 8 / 2]


def test_values_that_are_not_finite_stay_json(tmp_path):
    with start(tmp_path) as report:
        report.log(1, {"a": math.nan, "b": math.inf, "c": -math.inf})
    line = (tmp_path / "metrics.jsonl").read_text()
    read = json.loads(line, parse_constant=pytest.fail)
    assert (read["a"], read["b"], read["c"]) == ("nan", "inf", "-inf")


@pytest.mark.parametrize("torn", ["", '{"step": 20, "ti', '{"step": 20, "time": 1.0}'])
def test_resuming_drops_what_came_after(tmp_path, torn):
    with start(tmp_path) as report:
        for step in (10, 20, 30):
            report.log(step, {"loss": step / 2})
    before = lines(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(torn)
    with start(tmp_path, first=20) as report:
        report.log(30, {"loss": 7.0})
    after = lines(tmp_path)
    assert after[:2] == before[:2]
    assert [(line["step"], line["loss"]) for line in after] == [(10, 5.0), (20, 10.0), (30, 7.0)]
    restarts = [(e.step, e.session_log.status) for e in events(tmp_path) if e.HasField("session_log")]
    assert restarts == [(1, PROTO.SessionLog.START), (21, PROTO.SessionLog.START)]
    assert [s[2] for s in scalars(tmp_path) if s[1] == "loss"] == [5.0, 10.0, 15.0, 7.0]  # both starts' files are there
    assert not list(tmp_path.glob("*.tmp"))


def test_image(tmp_path):
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    with start(tmp_path) as report:
        report.image(5, "samples", image)
        with pytest.raises(ValueError, match=r"uint8 \[H, W, C\], not float64\[2, 3, 3\]"):
            report.image(5, "samples", image / 2)
    (event,) = [e for e in events(tmp_path) if e.summary.value]
    shown = event.summary.value[0]
    assert (event.step, shown.tag) == (5, "samples")
    from PIL import Image

    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(shown.image.encoded_image_string))), image)


def test_plain_lines_where_there_is_no_terminal(tmp_path, capsys, monkeypatch):
    clock = iter([100.0, 101.0])
    monkeypatch.setattr("jaxgen.report.time.perf_counter", lambda: next(clock))
    with start(tmp_path, quiet=False) as report:
        report.advance(40)
        report.log(40, {"loss/disc": 1.23456, "loss/gen": 2.0})
        report.say("saved")
    out, err = capsys.readouterr()
    assert err == "step 40/100  loss/disc 1.235  loss/gen 2  320 examples/s  00:01 left\nsaved\n"
    assert out == ""


def test_bar_on_a_terminal(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with start(tmp_path, first=20, quiet=False) as report:
        report.advance(40)
        report.log(60, {"loss/gen": 2.0})
    text = terminal.getvalue()
    assert "60/100" in text
    assert "loss/gen=2" in text
    assert "examples/s=" in text
    assert "examples/s  " not in text  # no plain lines beside the bar


def test_quiet(tmp_path, capsys):
    with start(tmp_path, quiet=True) as report:
        report.log(1, {"loss": 1.0})
        report.say("saved")
    assert capsys.readouterr() == ("", "")


def test_other_processes_do_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with start(tmp_path / "run", quiet=False) as report:
        report.advance(1)
        report.log(1, {"loss": 1.0})
        report.image(1, "samples", np.zeros((1, 1, 1), np.uint8))
        report.say("saved")
    assert os.listdir(tmp_path) == []
    assert capsys.readouterr() == ("", "")


def test_a_directory_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"could not be written to .* another --workdir"):
        start(tmp_path / "file")


@pytest.fixture
def full_disk(disk):
    """(directory, function that fills it) on a file system of 64 kB."""
    folder = disk("64k")

    def fill():
        with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    return folder, fill


def test_full_disk_is_an_error_and_not_a_hang(full_disk):
    disk, fill = full_disk

    def run():
        with start(disk) as report:
            report.log(1, {"loss": 1.0})
            fill()
            for step in range(2, 2000):  # what fits into the pages that the files already have still goes through
                report.log(step, {"loss": 1.0})

    with pytest.raises(UserError, match="disk is full"):
        run()
    (disk / "filler").unlink()
    with start(disk, first=1) as report:
        report.log(2, {"loss": 2.0})
    assert [line["loss"] for line in lines(disk)] == [1.0, 2.0]
