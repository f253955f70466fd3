import math

import pytest

from benchmarks import measure


class Fake:
    """Answers its turns from a list, in seconds per step, and writes down who was asked for how many steps."""

    facts = {}  # noqa: RUF012
    compile_s = 0.0

    def __init__(self, name, times, diary, step_s=0.5, unit=1):
        self.name, self.times, self.diary, self.step_s, self.unit = name, list(times), diary, step_s, unit

    def turn(self, steps):
        self.diary.append((self.name, steps))
        return self.times.pop(0)


def test_ratio_is_the_median_over_pairs_not_the_ratio_of_medians():
    ours, theirs = [1.0, 2.0, 4.0], [2.0, 3.0, 40.0]  # pairs 2, 1.5, 10; medians 2 and 3
    assert measure.ratio(ours, theirs) == 2.0


def test_ratio_needs_whole_pairs():
    with pytest.raises(ValueError, match="zip"):
        measure.ratio([1.0], [1.0, 2.0])


def test_summary_by_hand():
    found = measure.summary([0.010, 0.012, 0.011, 0.015])
    assert found.pop("turns") == pytest.approx([10.0, 12.0, 11.0, 15.0])
    assert found == pytest.approx({"median": 11.5, "min": 10.0, "spread": 5.0 / 11.5, "n": 4})


def test_turns_alternate_and_each_side_takes_its_own_number_of_steps():
    diary = []
    ours = Fake("ours", [1, 2, 3], diary, step_s=0.1)
    theirs = Fake("theirs", [4, 5, 6], diary, step_s=0.3, unit=4)
    assert measure.alternate(ours, theirs, n=3, seconds=2.0) == ([1, 2, 3], [4, 5, 6])
    assert diary == [("ours", 20), ("theirs", 8)] * 3


@pytest.mark.parametrize(("step_s", "unit", "steps"), [(0.1, 1, 20), (8.0, 1, 1), (0.1, 16, 16), (0.1, 6, 18)])
def test_a_turn_is_whole_units_near_the_time_asked_for(step_s, unit, steps):
    assert measure.turn_steps(Fake("a", [], [], step_s, unit), seconds=2.0) == steps


def test_fastest_is_the_least_over_the_rounds():
    diary = []
    variants = {"eager": Fake("eager", [0.3, 0.2], diary), "compile": Fake("compile", [0.25, 0.25], diary)}
    assert measure.fastest(variants, seconds=1.0) == ("eager", {"eager": 200.0, "compile": 250.0})
    assert [name for name, _ in diary] == ["eager", "compile"] * 2


def test_loss_difference_is_absolute_below_one_and_relative_above():
    assert measure.loss_difference([[0.5, 200.0]], [[0.6, 201.0]]) == pytest.approx(0.1)
    assert measure.loss_difference([[0.5, 200.0]], [[0.5, 210.0]]) == pytest.approx(0.05)
    assert measure.loss_difference([[0.5]], [[math.nan]]) == math.inf


@pytest.mark.parametrize(
    ("worst", "moved", "word"), [(1e-6, 0.1, "same"), (1e-3, 0.1, "DIFFERENT"), (1e-6, 1e-4, "BLIND")]
)
def test_verdict(worst, moved, word):
    assert measure.verdict(worst, moved, tolerance=1e-4) == word
