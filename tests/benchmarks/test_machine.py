"""What a result says of the code that made it."""

import subprocess

import pytest

from benchmarks import machine


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    for name in ("code.py", "benchmarks/results/seed0.json"):
        (tmp_path / name).write_text("1")
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    return tmp_path


def test_code_that_changed_is_said_and_results_are_not_code(checkout):
    clean = machine.commit()
    assert len(clean) == 40
    (checkout / "benchmarks/results/seed0.json").write_text("2")
    (checkout / "new.py").write_text("not tracked")
    assert machine.commit() == clean
    (checkout / "code.py").write_text("2")
    assert machine.commit() == clean + "-dirty"


def test_no_checkout_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert machine.commit() == "unknown"
