"""Gate 5: its rules of probability by hand on rolls of a few notes, and one verdict on a few small pieces."""

import dataclasses
import json

import numpy as np
import pytest

from benchmarks import gates, quality
from benchmarks.gates import music_vae
from jaxgen.config import Adam, Loop, SliceVAE, VariationalSequence

pytestmark = pytest.mark.usefixtures("compiled_quickly")


def roll(*slices):
    """Pitches in columns 0 and 1 alone."""
    out = np.zeros((len(slices), 88), np.uint8)
    for t, notes in enumerate(slices):
        out[t, list(notes)] = 1
    return out


TRAIN = [roll((0,), (0,), (0, 1)), roll((1,))]  # column 0: 3 of 4 slices, column 1: 2 of 4
TEST = [roll((0,), (1,)), roll(())]
SILENT = -86 * np.log(1 - 0.5 / 5)  # nats a slice of the columns that never sound: each is on with (0 + 1/2) / (4 + 1)


def test_marginals_by_hand():
    p = (3.5 / 5, 2.5 / 5)
    slices = [(1, 0), (0, 1), (0, 0)]
    nats = [-sum(np.log(q if on else 1 - q) for q, on in zip(p, each, strict=True)) for each in slices]
    assert music_vae.marginals(TRAIN, TEST) == pytest.approx(np.mean(nats) + SILENT)


def test_markov_chain_by_hand():
    """Each pitch after itself; pieces begin after silence."""
    # Column 0 in training: off->on, on->on, on->on; off->off in the second. Column 1: off->off, off->off, off->on;
    # off->on.
    after = {(0, 0): 1.5 / 3, (0, 1): 2.5 / 3, (1, 0): 2.5 / 5, (1, 1): 0.5 / 1}  # (column, before): p of sounding
    nats = [
        -np.log(after[0, 0]) - np.log(1 - after[1, 0]),  # (0,) after silence
        -np.log(1 - after[0, 1]) - np.log(after[1, 0]),  # (1,) after (0,)
        -np.log(1 - after[0, 0]) - np.log(1 - after[1, 0]),  # silence at the beginning of the second piece
    ]
    assert music_vae.markov(TRAIN, TEST) == pytest.approx(np.mean(nats) + SILENT)


@pytest.mark.parametrize(("validation", "share"), [(TRAIN, 0.05), ([roll((0, *range(2, 9)))], 0.7)])
def test_kernel_density_by_hand(validation, share):
    """A mixture over the three different slices; the share that suits the validation pieces."""
    mean = np.full(88, 0.5 / 5)
    mean[:2] = 3.5 / 5, 2.5 / 5
    kernels = [(np.array([1, 0]), 2 / 4), (np.array([1, 1]), 1 / 4), (np.array([0, 1]), 1 / 4)]
    nats = []
    for slice_ in np.concatenate(TEST):
        total = 0.0
        for notes, weight in kernels:
            p = (1 - share) * np.pad(notes, (0, 86)) + share * mean
            total += weight * np.prod(np.where(slice_ == 1, p, 1 - p))
        nats.append(-np.log(total))
    pieces = {"train": TRAIN, "validation": validation, "test": TEST}
    assert music_vae.kernel_density(pieces) == pytest.approx(np.mean(nats))


def test_passages_are_whole():
    """What fills up the last one of a piece would count as silence."""
    pieces = [roll(*[(t % 2,) for t in range(n)]) for n in (32, 50, 20, 64)]
    found = music_vae._passages(pieces)
    assert found.shape == (4, 32, 88)
    assert found.any(-1).all()


def test_one_verdict(tmp_path, monkeypatch):
    """Of a model that knows nothing: it misses the gate, as each impostor does."""
    rng = np.random.default_rng(0)
    scale = [60, 62, 64, 65, 67, 69, 71, 72]

    def piece(n):
        walk = np.clip(np.cumsum(rng.integers(-1, 2, n)) + 3, 0, 5)
        return [[scale[i], scale[i + 2]] for i in walk]

    made = {"train": [piece(40) for _ in range(6)], "valid": [piece(36)] * 2, "test": [piece(33), piece(64), piece(40)]}
    (tmp_path / music_vae.FILE).write_text(json.dumps(made))
    shipped = gates.config

    def tiny(name, data, seed):
        rules, model = VariationalSequence(tx=Adam(lr=1e-2)), SliceVAE(z_dim=2, width=4, hidden=4)
        loop = Loop(steps=4, steps_per_call=2, log_every=2, sample_every=4, save_every=2)
        cfg = dataclasses.replace(shipped(name, data, seed), model=model, game=rules, loop=loop)
        return dataclasses.replace(cfg, shape=(32, 88), batch=4, parallel="single")

    monkeypatch.setattr(gates, "config", tiny)
    monkeypatch.setattr(quality, "RESULTS", tmp_path)
    out = tmp_path / "music_vae-seed3.json"
    words = ["music_vae", "--seed", "3", "--data", str(tmp_path), "--workdir", str(tmp_path / "run")]
    assert quality.main([*words, "--json", str(out)]) == 1
    record = json.loads(out.read_text())
    assert record["seed"] == 3
    assert record["missed"][0] == "bound <= 7.0 nats a slice"
    assert (record["steps"], record["real"], record["grid"]) == (4, "3 test pieces, 137 slices", "quarter notes")
    assert {"bound", "kl", "shuffled_cost", "pitch_class_tv", "copied", "change_real"} <= record["ours"].keys()
    assert record["ours"]["n_real"] == 4  # of 33, 64 and 40 slices
    impostors = record["impostors"]
    assert impostors.keys() == {"marginals", "Markov chain of each pitch", "kernel density", "posterior = prior"}
    pieces = {split: [np.zeros((n, 88), np.uint8) for n in map(len, rolls)] for split, rolls in made.items()}
    for split, rolls in made.items():
        for roll_, notes in zip(pieces[split], rolls, strict=True):
            for t, pitches in enumerate(notes):
                roll_[t, [pitch - 21 for pitch in pitches]] = 1
    assert impostors["marginals"]["bound"] == pytest.approx(music_vae.marginals(pieces["train"], pieces["test"]))
    assert all(row["shuffled_cost"] == 0 for row in impostors.values())  # so that each misses a part
    assert [part["name"] for part in record["parts"]][1].startswith("the latents of another piece cost >= 0.3")
    assert any(name.startswith("ours, best step") for name in record["others"])
