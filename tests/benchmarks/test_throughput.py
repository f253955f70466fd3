import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import suites, table, throughput
from benchmarks.peers import Peer
from benchmarks.suites import Case
from benchmarks.throughput import Plan, compare
from benchmarks.worker import Command, Worker
from jaxgen.config import MLP, Adversarial, Config

PAPER = Command((sys.executable, str(Path(__file__).parent / "paper_worker.py")))
CASE = Case("paper", Config(domain="digits", model=MLP(), game=Adversarial(), batch=32))
PLAN = Plan(pairs=3, seconds=0.004)

PEAK = {"matmul_flops_per_s": {"fp32": 1e10, "bf16": 2e10}, "copy_bytes_per_s": 1e10}

MEASURED = {"step_ms", "compile_s", "idle_cpu", "device", "versions"}
MEASURED |= {"flops_per_step", "peak_memory_bytes", "peak_memory_source", *PEAK}  # the paper worker tells PEAK always
ROW = MEASURED | {"name", "batch", "items", "examples_per_s", "examples_per_s_per_device", "against"}
ROW |= {"fraction_of_matmul_peak"}
AGAINST = MEASURED | {"key", "ratio", "ratios", "variant", "variants", "failed"}
RUN = {"suite", "hardware", "peak", "commit", "load_average", "date"}


class PaperPeer(Peer):
    def command(self):
        return PAPER


@pytest.fixture(autouse=True)
def paper(monkeypatch):
    """Both sides are processes that sleep 1 ms a step."""
    monkeypatch.setattr(suites, "ours", lambda python: PAPER)
    monkeypatch.setattr(throughput, "PEERS", {"torch": PaperPeer("torch", lambda case, device: ("eager", "compile"))})


def given(monkeypatch, **job):
    """Every job goes out with the paper worker's own fields."""
    monkeypatch.setattr(Case, "job", lambda self, check=False: {"sgd": 0.01 * check, **job})


def test_a_row_alone():
    row = compare(CASE, [], PLAN, PEAK)
    assert row.keys() == ROW
    assert row["against"] == {}
    assert row["step_ms"]["n"] == 3
    assert row["step_ms"]["min"] >= 1.0
    assert row["examples_per_s"] == pytest.approx(32e3 / row["step_ms"]["median"])


def test_the_share_of_the_peak_by_hand(monkeypatch):
    given(monkeypatch, flops=2e6)
    row = compare(CASE, [], PLAN, PEAK)
    per_second = 2e6 / (row["step_ms"]["median"] / 1e3)
    assert row["fraction_of_matmul_peak"] == pytest.approx(per_second / 1e10)
    assert f"{per_second / 1e10:.0%}" in table.table_line(row)
    half = Case("paper", replace(CASE.config, precision="bf16"))
    row = compare(half, [], PLAN, PEAK)
    assert row["fraction_of_matmul_peak"] == pytest.approx(2e6 / (row["step_ms"]["median"] / 1e3) / 2e10)
    given(monkeypatch, flops=None)
    row = compare(CASE, [], PLAN, PEAK)
    assert row["fraction_of_matmul_peak"] is None
    assert "  -  " in table.table_line(row)


def test_a_row_of_several_devices_and_of_other_things_than_examples(monkeypatch):
    given(monkeypatch, facts={"devices": 4, "items": "compilations"})
    row = compare(CASE, [], PLAN, PEAK)
    assert row["examples_per_s_per_device"] == pytest.approx(row["examples_per_s"] / 4)
    assert row["items"] == "compilations"


def test_the_peak_is_measured_by_a_worker_of_its_own():
    assert throughput.measure_peak(sys.executable) == ("paper", PEAK)


def test_a_row_with_a_rival_and_a_peer():
    case = Case("paper", CASE.config, rivals={"call_1": {"options": {"steps_per_call": 1}}}, pairs=2)
    row = compare(case, list(throughput.PEERS.values()), PLAN, PEAK)
    assert row.keys() == ROW | {"ratio_to_call_1", "ratio_to_best_torch"}
    assert row["step_ms"]["n"] == 4  # two pairs with each opponent
    for name, key in {"call_1": "ratio_to_call_1", "torch": "ratio_to_best_torch"}.items():
        theirs = row["against"][name]
        assert theirs.keys() == AGAINST
        assert len(theirs["ratios"]) == 2
        assert row[key] == pytest.approx(sum(theirs["ratios"]) / 2)
    assert row["against"]["torch"]["variants"].keys() == {"eager", "compile"}
    json.dumps(row)


def test_on_a_card_all_sides_start_at_once(monkeypatch):
    case = Case("paper", CASE.config, rivals={"call_1": {"options": {"steps_per_call": 1}}}, pairs=2)
    alive = []

    class Counted(Worker):
        def __init__(self, *args):
            alive.append(len(alive))
            super().__init__(*args)

        def turn(self, steps):
            assert len(alive) == 4  # ours, the rival, and two variants
            return super().turn(steps)

    monkeypatch.setattr(throughput, "Worker", Counted)
    row = compare(case, list(throughput.PEERS.values()), replace(PLAN, device="card"), PEAK)
    assert row.keys() == ROW | {"ratio_to_call_1", "ratio_to_best_torch"}


def test_rivals_can_be_left_out():
    case = Case("paper", CASE.config, rivals={"call_1": {"options": {"steps_per_call": 1}}})
    assert compare(case, [], replace(PLAN, rivals=False), PEAK)["against"] == {}


def test_a_peer_that_has_no_such_thing_leaves_no_trace():
    nothing = PaperPeer("torch", lambda case, device: ())
    assert compare(CASE, [nothing], PLAN, PEAK)["against"] == {}
    unasked = Case("paper", CASE.config, peers=("artifex",))
    assert compare(unasked, list(throughput.PEERS.values()), PLAN, PEAK)["against"] == {}


def test_a_variant_that_does_not_start_is_reported(monkeypatch):
    given(monkeypatch, broken=["compile"])
    row = compare(CASE, list(throughput.PEERS.values()), PLAN, PEAK)
    assert row["against"]["torch"]["variant"] == "eager"
    assert table.notes(row) == ["torch compile did not run: OSError: no compiler"]
    given(monkeypatch, broken=["compile", "eager"])
    with pytest.raises(RuntimeError, match="no compiler"):
        compare(CASE, list(throughput.PEERS.values()), PLAN, PEAK)


def test_a_process_that_spins_is_noted():
    row = {"idle_cpu": 0.0, "against": {"torch": {"idle_cpu": 0.4, "failed": {}}}}
    assert table.notes(row) == ["torch burnt 40% of a core while it waited: the ratios suffer from it"]


def test_the_command_prints_a_table_and_writes_rows(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(suites, "load", lambda name: (CASE, Case("other", CASE.config)))
    monkeypatch.setattr(throughput.machine, "load_average", lambda: 0.7)
    path = tmp_path / "new" / "out.json"
    argv = ["--peers", "torch", "--pairs", "1", "--seconds", "0.004", "--json", str(path), "--only", "paper"]
    assert throughput.main(argv) == 0
    (row,) = json.loads(path.read_text())["rows"]
    assert row.keys() == ROW | RUN | {"ratio_to_best_torch"}
    assert row["load_average"] == 0.7
    assert row["hardware"]["cores"] >= 1
    out = capsys.readouterr().out
    assert "warning: load average 0.70" in out
    assert f"{row['ratio_to_best_torch']:.2f} to torch" in out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--suite", "stop"], "did you mean 'step'"),
        (["--peers", "touch"], "did you mean 'torch'"),
        (["--peer-python", "touch=python3"], "did you mean 'torch'"),
        (["--peer-python", "torch=no/such/python"], "there is no such program"),
        (["--only", "nothing"], "No case is named nothing"),
        (["--check"], "add --peers torch"),
    ],
)
def test_a_mistake_on_the_command_line_exits_2(argv, words, capsys):
    assert throughput.main(argv) == 2
    assert words in capsys.readouterr().err


def test_the_check_tells_same_from_different(monkeypatch, capsys):
    monkeypatch.setattr(suites, "load", lambda name: (CASE,))
    assert throughput.main(["--check", "--peers", "torch"]) == 0
    assert "same" in capsys.readouterr().out
    given(monkeypatch, off={"compile": 0.01})
    assert throughput.main(["--check", "--peers", "torch"]) == 1
    eager, compiled = capsys.readouterr().out.splitlines()
    assert "eager" in eager
    assert "same" in eager
    assert "compile" in compiled
    assert "DIFFERENT" in compiled
    given(monkeypatch, still=True)
    assert throughput.main(["--check", "--peers", "torch"]) == 1
    assert "BLIND" in capsys.readouterr().out


def test_a_check_of_nothing_is_a_mistake(monkeypatch, capsys):
    monkeypatch.setattr(suites, "load", lambda name: (CASE,))
    monkeypatch.setattr(throughput, "PEERS", {"torch": PaperPeer("torch", lambda case, device: ())})
    assert throughput.main(["--check", "--peers", "torch"]) == 2
    assert "nothing was checked" in capsys.readouterr().err


def test_a_peer_that_computes_something_else_is_no_pass_and_no_failure(monkeypatch, capsys):
    monkeypatch.setattr(suites, "load", lambda name: (CASE,))
    given(monkeypatch, other=["compile"])
    assert throughput.main(["--check", "--peers", "torch"]) == 0
    eager, compiled = capsys.readouterr().out.splitlines()
    assert "same" in eager
    assert compiled.endswith("no check: it computes something else")
    given(monkeypatch, broken=["compile"])
    with pytest.raises(RuntimeError, match="no compiler"):
        throughput.main(["--check", "--peers", "torch"])
