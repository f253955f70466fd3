"""Gates: what they ask, what they print, when they refuse; their likelihood impostors by hand."""

import gzip
import json

import numpy as np
import pytest

from benchmarks import gates, mnist, quality
from benchmarks.gates import Part, Verdict, image_vae
from jaxgen.errors import UserError

PARTS = (Part("enough", "coverage", low=0.8), Part("not too much", "auc", low=0.4, high=0.6))


def verdict(ours, impostor):
    return Verdict(ours, PARTS, {"liar": impostor}, {"real vs real": {"coverage": 0.97}}, {"steps": 3})


def test_a_part_is_met_within_its_bounds_only():
    part = Part("between", "auc", low=0.4, high=0.6)
    assert [part.met({"auc": v}) for v in (0.39, 0.4, 0.6, 0.61, float("nan"))] == [False, True, True, False, False]
    assert not part.met({})
    assert not part.met({"auc": "0.5"})


def test_a_gate_is_a_conjunction_and_every_impostor_must_fail():
    good, bad = {"coverage": 0.9, "auc": 0.5}, {"coverage": 0.9, "auc": 1.0}
    assert not verdict(good, bad).missed
    assert not verdict(good, bad).passing_impostors
    assert verdict(bad, bad).missed == ["not too much"]
    assert verdict(good, good).passing_impostors == ["liar"]
    said = quality.judgement(verdict(bad, good))
    assert "MISSED  not too much  (1)" in said
    assert "impostor liar: PASSES: the gate is void" in said


def test_a_part_that_real_data_miss_is_shown_and_not_judged():
    far = Part("farther than a copier", "far", low=0.5)
    ours, liar = {"coverage": 0.9, "auc": 0.5, "far": 0.1}, {"coverage": 0.1, "auc": 0.5, "far": 0.1}
    shown = Verdict(ours, PARTS, {"liar": liar}, {}, {}, ((far, {"far": 0.2}),))
    assert not shown.missed
    line = "not judged, as real data miss it: farther than a copier  (ours 0.1, real 0.2, asked >= 0.5)"
    assert line in quality.judgement(shown)
    possible = Verdict(ours, PARTS, {"liar": liar}, {}, {}, ((far, {"far": 0.7}),))
    assert possible.missed == ["farther than a copier"]
    assert "not judged" not in quality.judgement(possible)


def test_the_table_has_a_row_for_each_and_a_dash_for_what_is_missing():
    lines = quality.table(verdict({"coverage": 0.9, "auc": 0.5}, {"coverage": 0.1, "auc": 1.0})).splitlines()
    assert [line.split()[0] for line in lines] == ["coverage", "real", "liar", "ours"]
    assert lines[1].split()[-2:] == ["0.97", "-"]


def test_exit_codes_and_the_record(tmp_path, monkeypatch, capsys):
    from benchmarks.gates import digits_gan

    rows = {"coverage": 0.9, "auc": 0.5}, {"coverage": 0.1, "auc": 0.5}
    monkeypatch.setattr(digits_gan, "measure", lambda seed, data, workdir: verdict(*rows))
    monkeypatch.setattr(quality, "RESULTS", tmp_path / "results")
    out = tmp_path / "results" / "digits_gan-seed1.json"
    argv = ["digits_gan", "--data", str(tmp_path), "--json", str(out)]
    assert quality.main([*argv, "--seed", "1"]) == 0
    record = json.loads(out.read_text())
    assert record["passed"]
    assert record["ours"] == rows[0]
    assert record["steps"] == 3
    assert {"commit", "hardware", "date", "impostors", "parts"} <= record.keys()
    monkeypatch.setattr(digits_gan, "measure", lambda seed, data, workdir: verdict(rows[1], rows[1]))
    assert quality.main(argv) == 1  # seed 0 misses a part; the spread is over both
    assert "over 2 seeds:" in capsys.readouterr().out
    assert json.loads(out.read_text())["missed"] == ["enough"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["digit_gan"], "did you mean 'digits_gan'?"),
        (["digits_gan", "--data", "nowhere"], "The gate's data are not at nowhere"),
    ],
)
def test_refusals(argv, message, capsys):
    assert quality.main(argv) == 2
    assert message in capsys.readouterr().err


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz.*--data DIR"):
        mnist.prepare(tmp_path)


def test_idx_files_become_an_npz(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path / "cache"))
    images, labels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2), np.array([3, 1, 4], np.uint8)
    for stem, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        for split in ("train", "t10k"):
            (tmp_path / f"{split}-{stem}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))
    with np.load(mnist.prepare(tmp_path)) as made:
        np.testing.assert_array_equal(made["x_test"], images)
        np.testing.assert_array_equal(made["y_train"], labels)


def test_minutes_add_up_over_sittings(tmp_path):
    lines = [{"step": 10, "examples_per_second": 4.0}, {"step": 30, "examples_per_second": 16.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert gates.minutes(tmp_path, batch=8) == pytest.approx((10 * 8 / 4 + 20 * 8 / 16) / 60)


def test_marginals_by_hand():
    train = np.array([[255, 0], [0, 0], [255, 0], [255, 0]], np.uint8).reshape(4, 1, 2, 1)  # on: 3/4 and (clipped) 1e-4
    x = np.array([[1.0, 0.0], [0.0, 0.0]])
    by_hand = -(np.log(0.75) + np.log(0.25)) / 2 - np.log1p(-1e-4)
    assert image_vae.marginals(train, x) == pytest.approx(by_hand)


def test_kernel_density_against_a_loop():
    rng = np.random.default_rng(0)
    train = (rng.uniform(size=(40, 2, 3, 1)) * 255).astype(np.uint8)
    x = (rng.uniform(size=(7, 6)) > 0.5).astype(np.float64)
    p = train.reshape(40, 6) / 255
    mean = np.clip(p.mean(0), 1e-3, 1 - 1e-3)

    def slow(share):
        total = 0.0
        for one in x:
            q = (1 - share) * p + share * mean
            total -= np.log(np.mean(np.prod(np.where(one == 1, q, 1 - q), axis=1)))
        return total / len(x)

    found = image_vae.kernel_density(train, x, chunk=3)
    assert min(abs(found - slow(share)) for share in (0.05, 0.1, 0.2, 0.4)) < 1e-4
