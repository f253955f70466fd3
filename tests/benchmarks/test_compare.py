import json

import pytest

from benchmarks import compare, measure


def row(turns, name="digits_gan", cores=2, jax="0.10.2", **fields):
    """A row of made-up turns, in ms."""
    summary = measure.summary([ms / 1e3 for ms in turns])
    where = {"hardware": {"cpu": "EPYC", "cores": cores}, "versions": {"jax": jax}, "device": "cpu"}
    return {"suite": "step", "name": name, "batch": 128, "step_ms": summary} | where | fields


@pytest.fixture
def files(tmp_path):
    """Writes two files of rows and compares them: `files(old, new, *options)` is the exit status."""

    def run(old, new, *options):
        paths = [tmp_path / "old.json", tmp_path / "new.json"]
        for path, rows in zip(paths, (old, new), strict=True):
            path.write_text(json.dumps({"rows": rows}))
        return compare.main([*map(str, paths), *options])

    return run


QUIET = (20.0, 20.2, 20.1, 20.3, 20.1)


def test_a_repeat_passes(files, capsys):
    assert files([row(QUIET)], [row([20.4, 20.3, 20.1, 20.2, 20.6])]) == 0
    out = capsys.readouterr().out
    assert "same" in out
    assert "0 of 1 rows slower" in out


def test_a_slowed_row_fails_and_a_faster_one_does_not(files, capsys):
    slowed = [ms * 1.1 for ms in QUIET]
    assert files([row(QUIET), row(QUIET, "vae")], [row(QUIET), row(slowed, "vae")]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if "vae" in line)
    assert line.split()[-3:] == ["+10.0%", "5.0%", "SLOWER"]
    assert files([row(slowed)], [row(QUIET)]) == 0
    assert "faster" in capsys.readouterr().out


def test_a_change_within_what_the_turns_scatter_is_no_regression(files):
    scattered = (18.0, 20.0, 22.0)  # a spread of 20%
    assert files([row(scattered)], [row([ms * 1.1 for ms in scattered])]) == 0
    assert files([row(scattered)], [row([ms * 1.25 for ms in scattered])]) == 1


def test_one_disturbed_turn_excuses_nothing(files):
    assert files([row((*QUIET, 40.0))], [row([22.5] * 5)]) == 1
    assert compare.noise(row((*QUIET, 40.0)), row(QUIET)) == compare.FLOOR
    assert compare.noise(row((20.0, 20.0, 30.0)), row(QUIET)) == pytest.approx(0.5)  # too few turns to leave one out


def test_a_row_that_scatters_too_much_says_so(files, capsys):
    assert files([row((10.0, 20.0, 30.0))], [row((12.0, 24.0, 36.0))]) == 0
    assert "noisy" in capsys.readouterr().out


def test_single_turns_and_files_without_turns():
    assert compare.noise(row([20.0]), row(QUIET)) == compare.SINGLE
    old = row(QUIET)
    del old["step_ms"]["turns"]
    old["step_ms"]["spread"] = 0.3
    assert compare.noise(old, row(QUIET)) == 0.3


def test_rows_of_one_file_only_are_reported(files, capsys):
    assert files([row(QUIET), row(QUIET, "gone")], [row(QUIET), row(QUIET, "born")]) == 0
    out = capsys.readouterr().out
    assert "only in the old file: step gone, batch 128, cpu" in out
    assert "only in the new file: step born" in out


def test_another_batch_or_device_is_another_row(files, capsys):
    assert files([row(QUIET)], [row(QUIET, batch=64)]) == 2
    assert files([row(QUIET)], [row(QUIET, device="tpu")]) == 2
    assert "No row is in both files" in capsys.readouterr().err


def test_other_hardware_and_versions_are_warnings(files, capsys):
    assert files([row(QUIET)] * 2, [row(QUIET, cores=8, jax="0.12.0")]) == 0
    out = capsys.readouterr().out
    assert out.count("warning: hardware differ: cores 2 -> 8") == 1
    assert "warning: versions differ: jax 0.10.2 -> 0.12.0" in out


def test_rows_can_be_chosen(files, capsys):
    slowed = [ms * 2 for ms in QUIET]
    old, new = [row(QUIET), row(QUIET, "vae")], [row(QUIET), row(slowed, "vae")]
    assert files(old, new, "--rows", "digits_gan") == 0
    assert files(old, new, "--rows", "vae") == 1
    assert files(old, new, "--rows", "vea") == 2
    assert "did you mean 'vae'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "{}", '{"rows": [{"name": "a"}]}', '{"rows": 3}', json.dumps({"rows": [row([0.0001])]}), None]
)
def test_an_unreadable_file_exits_2(text, tmp_path, capsys):
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps({"rows": [row(QUIET)]}))
    if text is not None:
        bad.write_text(text.replace("0.0001", "0"))
    assert compare.main([str(bad), str(good)]) == 2
    assert "bad.json" in capsys.readouterr().err
