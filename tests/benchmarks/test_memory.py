import io
import json
import subprocess
import sys

import pytest

from benchmarks import memory, protocol, suites
from benchmarks.memory import Search, line, measure, ratio
from benchmarks.peers import Peer
from benchmarks.suites import Case
from benchmarks.worker import Command, OutOfMemory, Worker
from jaxgen.config import MLP, Adversarial, Config

MB = 1 << 20
LINEAR = """
import os, signal, sys
from benchmarks import protocol
from benchmarks.protocol import serve_standard_streams

class Linear:
    unit = 2
    facts = {"device": "cpu", "versions": {"paper": "1"}}

    def __init__(self, job):
        self.batch = job["config"]["batch"]
        if self.batch > DIES:
            HOW
        each = {"jit": 2, "eager": 3, "channels_last": 1}[job["variant"]] << 20
        # What the kernel tells is made up: 10 MB and `each` per example beyond what there is before the build.
        protocol._resident_bytes = lambda: 1000
        protocol._peak_bytes = lambda: 1000 + (10 << 20) + each * self.batch

    def run(self, steps):
        assert steps == 2

    def costs(self):
        raise ValueError("takes long")

protocol._resident_bytes = lambda: 1000
serve_standard_streams(Linear)
"""


def linear(dies=10**9, how="pass"):
    return Command((sys.executable, "-c", LINEAR.replace("DIES", str(dies)).replace("HOW", how)))


class PaperPeer(Peer):
    def command(self):
        return linear()


TORCH = PaperPeer("torch", lambda case, device: ("eager", "channels_last", "compile"))
CASE = Case(
    "paper",
    Config(domain="digits", model=MLP(), game=Adversarial()),
    options={"batches": [4, 8], "limit_bytes": 50 * MB},  # 20 of ours fit, 40 of theirs
)


@pytest.fixture
def ours(monkeypatch):
    def use(*how):
        monkeypatch.setattr(suites, "ours", lambda python: linear(*how))

    use()
    return use


def test_a_row_by_hand(ours):
    row = measure(CASE, [TORCH], "cpu")
    # 4, 8, 16 fit, 32 does not; then 24, 20, 22, where the gap is 2, an eighth of 16 or more.
    assert [p["batch"] for p in row["curve"]] == [4, 8, 16, 20, 22, 24, 32]
    assert row["batch"] == row["largest_batch"] == 20
    assert (row["limit_bytes"], row["variant"], row["measures"]) == (50 * MB, "jit", "memory")
    assert row["bytes_per_example"] == 2 * MB
    assert row["device"] == "cpu"
    first = row["curve"][0]
    assert first.pop("step_s") >= 0
    assert first == {
        "batch": 4,
        "peak_bytes": 1000 + 18 * MB,
        "base_bytes": 1000,
        "before_bytes": 1000,
        "source": "process",  # the made-up peak is never reset
    }
    theirs = row["against"]["torch"]
    assert theirs["variant"] == "channels_last"
    assert 36 <= theirs["largest_batch"] <= 40
    assert theirs["versions"] == {"paper": "1"}
    assert row["ratio_to_torch"] == pytest.approx((10 + 32) / (10 + 64))  # at batch 32
    assert json.loads(json.dumps(row)) == row
    shown = line(row)
    assert "0.57 to torch channels_last" in shown
    assert "4: 19, 8: 27" in shown
    assert "limit MB" in line(None)


def test_a_worker_that_is_killed_or_says_so_had_no_memory(ours):
    for how in ("os.kill(os.getpid(), signal.SIGKILL)", "raise MemoryError", "sys.exit('std::bad_alloc')"):
        ours(12, how)
        row = measure(CASE, [], "cpu")
        assert row["largest_batch"] == 12
        assert row["refused"] == [13, 14, 16]


def test_another_failure_is_an_error(ours):
    for how in ("raise ValueError('no such layer')", "sys.exit('no such layer')"):
        ours(4, how)
        with pytest.raises(RuntimeError, match="no such layer") as raised:
            measure(CASE, [], "cpu")
        assert not isinstance(raised.value, OutOfMemory)


def test_a_peer_that_is_not_asked_for_or_has_no_such_thing_leaves_no_trace(ours):
    nothing = PaperPeer("torch", lambda case, device: ())
    row = measure(CASE, [nothing], "cpu")
    assert row["against"] == {}
    assert "ratio_to_torch" not in row
    elsewhere = Case("paper", CASE.config, options=CASE.options, peers=("artifex",))
    assert measure(elsewhere, [TORCH], "cpu")["against"] == {}


def search(bytes_of, limit, **how):
    """With a made-up step; the batches that were tried, in their order, beside it."""
    tried = []

    def attempt(batch):
        tried.append(batch)
        peak = bytes_of(batch)
        return None if peak is None else {"batch": batch, "peak_bytes": peak + 7, "base_bytes": 7}

    return Search(attempt, limit, **how), tried


@pytest.mark.parametrize("limit", [1000, 1777, 30000])
def test_the_largest_batch_to_an_eighth(limit):
    found, tried = search(lambda n: 100 + 3 * n, limit)
    largest = found.largest([8, 32, 128])
    exact = (limit - 100) // 3
    assert largest <= exact <= largest + largest // 8 + 1
    assert len(tried) == len(set(tried))


def test_what_needs_far_more_than_the_limit_is_not_tried():
    found, tried = search(lambda n: n * n, 50_000)  # 223
    assert 196 <= found.largest([16, 64, 4096]) <= 223
    assert 4096 in found.refused
    assert 4096 not in tried


def test_nothing_fits():
    found, tried = search(lambda n: 100 * n, 50)
    assert found.largest([1, 2, 4]) == 0
    assert tried == [1]


def test_on_a_card_what_runs_fits():
    for limit in (None, 1000):
        found, _ = search(lambda n: 20 * n if n <= 70 else None, limit, enforced=True)
        assert 63 <= found.largest([16, 32]) <= 70


def test_the_ratio_is_at_the_largest_common_batch():
    def curve(**peaks):
        return [{"batch": int(n[1:]), "peak_bytes": peak, "base_bytes": 10} for n, peak in peaks.items()]

    assert ratio(curve(b1=20, b2=30, b8=90), curve(b1=15, b2=50, b4=99)) == 2.0
    assert ratio(curve(b1=20), curve(b2=20)) is None


def test_the_memory_of_a_card(monkeypatch):
    done = subprocess.CompletedProcess([], 0, stdout="143771\n143771\n")
    monkeypatch.setattr(memory.subprocess, "run", lambda *_, **__: done)
    assert memory.card_bytes() == 143771 * MB

    def absent(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(memory.subprocess, "run", absent)
    assert memory.card_bytes() is None


HUNGRY = """
from benchmarks.protocol import serve_standard_streams

class Hungry:
    unit = 1
    facts = {"device": "DEVICE", "versions": {}}

    def __init__(self, job):
        bytearray(256 << 20)  # as a compiler takes, and gives back
        self.kept = bytearray(32 << 20)

    def run(self, steps):
        bytearray(64 << 20)

    def costs(self):
        return COSTS

serve_standard_streams(Hungry)
"""


def hungry(device, costs):
    return Command((sys.executable, "-c", HUNGRY.replace("DEVICE", device).replace("COSTS", costs)))


def test_what_the_steps_take_and_not_what_building_took():
    with Worker(hungry("cpu", "1 / 0"), {}) as worker:
        found = worker.memory(2)
    if found["source"] == "process":
        pytest.skip("this kernel doesn't reset a process's peak")
    assert found["source"] == "steps"
    assert found["peak_bytes"] - found["before_bytes"] == pytest.approx(64 * MB, rel=0.1)
    assert found["before_bytes"] - found["base_bytes"] == pytest.approx(32 * MB, rel=0.2)


def test_the_base_is_what_the_imports_left(tmp_path, monkeypatch):
    (tmp_path / "kinds_of_memory").mkdir()
    (tmp_path / "kinds_of_memory" / "__init__.py").write_text("")
    text = "class build:\n unit = 1\n facts = {'device': 'cpu'}\n def __init__(self, job): pass\n"
    (tmp_path / "kinds_of_memory" / "first.py").write_text(text + " def run(self, steps): pass")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(protocol, "_resident_bytes", lambda: int("kinds_of_memory.first" in sys.modules))
    requests = io.StringIO('{"do": "build", "job": {"kind": "first"}}\n{"do": "memory", "steps": 1}\n')
    replies = io.StringIO()
    protocol.serve(protocol.Kinds("kinds_of_memory"), requests, replies)
    told = json.loads(replies.getvalue().splitlines()[1])["memory"]
    assert told.keys() == {"peak_bytes", "base_bytes", "before_bytes", "source"}
    assert told["base_bytes"] == 1


def test_a_card_tells_its_allocator_s_peak():
    costs = "{'peak_memory_bytes': 5, 'peak_memory_source': 'device'}"
    with Worker(hungry("H200", costs), {}) as worker:
        assert worker.memory(1) == {"peak_bytes": 5, "base_bytes": 0, "before_bytes": 0, "source": "device"}
    with Worker(hungry("H200", "{}"), {}) as worker:
        assert worker.memory(1)["source"] in ("steps", "process")
