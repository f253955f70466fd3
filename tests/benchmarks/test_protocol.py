import io
import json

import pytest

from benchmarks.protocol import Kinds, serve


class Counter:
    """A contestant that counts; `unit` 4."""

    unit = 4
    facts = {"device": "paper", "versions": {"paper": "1"}}  # noqa: RUF012

    def __init__(self, job):
        self.calls = job.setdefault("calls", [])

    def run(self, steps):
        self.calls.append(steps)

    def losses(self, steps, path):
        return [[float(i), 0.5] for i in range(steps)]


def talk(*requests, build=Counter):
    replies = io.StringIO()
    serve(build, io.StringIO("".join(json.dumps(r) + "\n" for r in requests)), replies)
    return [json.loads(line) for line in replies.getvalue().splitlines()]


def test_builds_warms_up_by_whole_units_and_times():
    seen = []

    def build(job):
        contestant = Counter(job)
        contestant.calls = seen
        return contestant

    built, timed = talk({"do": "build", "job": {}}, {"do": "time", "steps": 8}, build=build)
    assert seen == [4, 4, 8]
    assert built["unit"] == 4
    assert built["facts"]["device"] == "paper"
    assert built["compile_s"] >= 0 < built["step_s"]
    assert timed["steps"] == 8
    assert timed["seconds"] > 0
    assert timed["idle_s"] > 0 <= timed["idle_cpu_s"]


def test_a_check_is_not_warmed_up():
    built, given = talk({"do": "build", "job": {"sgd": 0.01}}, {"do": "losses", "steps": 2, "path": "x"})
    assert "compile_s" not in built
    assert given["losses"] == [[0.0, 0.5], [1.0, 0.5]]


def test_costs_are_the_process_s_unless_the_contestant_knows_better():
    class Card(Counter):
        def costs(self):
            return {"flops_per_step": 7.0, "peak_memory_bytes": 3, "peak_memory_source": "device"}

    _, plain = talk({"do": "build", "job": {}}, {"do": "costs"})
    assert plain["costs"]["flops_per_step"] is None
    assert plain["costs"]["peak_memory_source"] == "process"
    assert plain["costs"]["peak_memory_bytes"] > 1e6
    _, card = talk({"do": "build", "job": {}}, {"do": "costs"}, build=Card)
    assert card["costs"] == {"flops_per_step": 7.0, "peak_memory_bytes": 3, "peak_memory_source": "device"}


def test_a_failure_is_an_answer_and_not_the_end():
    early, unknown, built = talk({"do": "time", "steps": 1}, {"do": "sing"}, {"do": "build", "job": {}})
    assert "first request" in early["error"]
    assert "first request" in unknown["error"]
    assert built["unit"] == 4
    _, unknown = talk({"do": "build", "job": {}}, {"do": "sing"})
    assert "'sing'" in unknown["error"]


def test_a_job_names_the_module_that_builds_it(tmp_path, monkeypatch):
    (tmp_path / "kinds_here").mkdir()
    (tmp_path / "kinds_here" / "__init__.py").write_text("")
    (tmp_path / "kinds_here" / "first.py").write_text("build = lambda job: job['options']")
    (tmp_path / "kinds_here" / "helper.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    build = Kinds("kinds_here")
    assert build({"kind": "first", "options": {"a": 1}}) == {"a": 1}
    for kind in ("second", "helper"):
        with pytest.raises(ValueError, match=f"kinds_here has no kind '{kind}'"):
            build({"kind": kind})
