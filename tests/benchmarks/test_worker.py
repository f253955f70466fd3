import sys
import time
from pathlib import Path

import pytest

from benchmarks.worker import Command, Worker

PAPER = Command((sys.executable, str(Path(__file__).parent / "paper_worker.py")))


def script(text):
    return Command((sys.executable, "-c", text))


def test_a_process_is_built_timed_and_ended():
    with Worker(PAPER, {"step_s": 0.002}) as worker:
        assert worker.facts == {"device": "paper", "versions": {"paper": "1"}}
        assert worker.unit == 2
        assert worker.step_s >= 0.002
        assert 0.002 <= worker.turn(4) < 1.0
        time.sleep(0.15)
        worker.turn(2)
        assert 0.0 <= worker.idle_cpu < 0.5
        process = worker._process
    assert process.returncode == 0


def test_costs_are_told_after_the_turns():
    with Worker(PAPER, {"flops": 5.0}) as worker:
        worker.turn(2)
        costs = worker.costs()
    assert costs["flops_per_step"] == 5.0
    assert costs["peak_memory_source"] == "process"
    assert 1e6 < costs["peak_memory_bytes"] < 1e9


def test_losses_come_back():
    with Worker(PAPER, {"sgd": 0.01, "variant": "eager", "off": {"eager": 0.25}}) as worker:
        assert worker.losses(2, "unused") == [[1.0, 0.25], [0.9, 0.25]]


def test_a_failure_in_the_worker_carries_its_words():
    with pytest.raises(RuntimeError, match="no compiler"):
        Worker(PAPER, {"variant": "compile", "broken": ["compile"]})


def test_a_death_carries_what_the_worker_said_last():
    with pytest.raises(RuntimeError, match=r"(?s)died.*last words"):
        Worker(script("import sys; input(); sys.exit('last words')"), {})
    with Worker(PAPER, {"sgd": 0.01, "die": True}) as worker, pytest.raises(RuntimeError, match="died of 'time'"):
        worker.turn(1)


def test_silence_is_not_waited_for_for_ever():
    with pytest.raises(RuntimeError, match=r"no answer to 'build' in 0\.2 s"):
        Worker(script("input(); input()"), {}, timeout=0.2)
