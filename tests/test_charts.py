"""Charts as SVG: valid, the same at every drawing, with their words as text."""

import re
from xml.etree import ElementTree

import pytest

from jaxgen import charts
from jaxgen.errors import UserError

LINES = {"loss/gen": ([1, 2, 3], [3.0, 2.0, 1.5]), "loss/disc": ([1, 2, 3], [0.5, 0.7, 0.6])}
RATIOS = {"A & B": {"one": 0.5, "two": 12.0}, "C": {"one": 1.25}}


def words(svg):
    """The texts of a chart."""
    return [e.text for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("text")]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: charts.lines(LINES, "step", "loss"),
        lambda: charts.lines(LINES, "step", "loss", log_x=True, log_y=True, marks=True, level=1.0),
        lambda: charts.lines({}, "step", "nothing"),
        lambda: charts.ratios(RATIOS, "times as fast"),
    ],
    ids=["lines", "logarithmic", "empty", "ratios"],
)
def test_a_chart_is_valid_and_the_same_each_time(draw):
    svg = draw()
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "DOCTYPE" not in svg
    assert "metadata" not in svg
    assert svg == draw()


def test_names_are_text():
    found = words(charts.lines(LINES, "step", "loss < 3"))
    assert {"step", "loss < 3", "loss/gen", "loss/disc"} <= set(found)


def test_one_line_needs_no_legend():
    assert "alone" not in words(charts.lines({"alone": ([1, 2], [1, 2])}, "step", "y"))


def test_a_logarithmic_axis_has_plain_numbers():
    def numbers(log):
        found = words(charts.lines({"a": ([1, 2, 3], [1.0, 10.0, 100.0])}, "x", "y", log_y=log))
        return {word for word in found if re.fullmatch(r"\d+", word)}

    assert {"1", "10", "100"} <= numbers(True)
    assert "10" not in numbers(False)  # 0, 20, 40, ..


def test_ratios_have_their_figures_and_groups():
    found = words(charts.ratios(RATIOS, "times as fast"))
    assert {"0.50", "12", "1.25", "A & B", "C", "one", "two", "times as fast"} <= set(found)


def test_without_matplotlib(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(charts.importlib, "import_module", missing)
    with pytest.raises(UserError, match=r"^matplotlib is needed for a report .*pip install \"jaxgen\[data\]\""):
        charts.lines(LINES, "step", "loss")
