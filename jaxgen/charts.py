"""Charts for reports, drawn by matplotlib as SVG whose text stays text. matplotlib comes with the extra `data`."""

import importlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

from jaxgen.errors import needed

Line = tuple[Sequence[float], Sequence[float]]
"""(x, y) of the points."""

INK, SOFT, RULE = "#1c2430", "#5b6675", "#dfe4ea"
COLOURS = ("#0b6e99", "#d9730d", "#0f7b6c", "#ad1a72", "#6940a5", "#64473a")
WIDTH = 4.2
"""Inches, of 96 to the CSS pixel's row: what a phone shows without shrinking the letters."""
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "jaxgen",  # the same chart is the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": RULE,
    "axes.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def lines(
    series: Mapping[str, Line],
    x: str,
    y: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    marks: bool = False,
    level: float | None = None,
) -> str:
    """An SVG of lines by name, which are told apart in a legend where there are several. `x` and `y` are what the axes
    show; `level` draws a dashed line across. Raises `UserError` where matplotlib is missing."""
    with _styled():
        figure, axes = _axes(2.7)
        for (name, (at, value)), colour in zip(series.items(), COLOURS * len(series), strict=False):
            axes.plot(at, value, color=colour, label=name, linewidth=1.4, marker="o" if marks else "", markersize=3.5)
        if level is not None:
            axes.axhline(level, color=SOFT, linewidth=1, linestyle="--")
        axes.set(xlabel=x, ylabel=y, xscale="log" if log_x else "linear", yscale="log" if log_y else "linear")
        for axis, log in ((axes.xaxis, log_x), (axes.yaxis, log_y)):
            if log:
                _plain_numbers(axis)
        if len(series) > 1:
            axes.legend()
        return to_svg(figure)


def ratios(values: Mapping[str, Mapping[str, float]], x: str) -> str:
    """An SVG of horizontal bars on a logarithmic axis: for each name its ratio in each group, from 1 to the right where
    it is above, to the left where it is below, with the figure at the end. Raises `UserError` where matplotlib is
    missing."""
    groups = list(dict.fromkeys(group for of in values.values() for group in of))
    thick = 0.8 / max(1, len(groups))
    with _styled():
        figure, axes = _axes(0.8 + len(values) * (0.12 + 0.14 * len(groups)))
        for i, (group, colour) in enumerate(zip(groups, COLOURS * len(groups), strict=False)):
            at = [k + thick * (i - (len(groups) - 1) / 2) for k, of in enumerate(values.values()) if group in of]
            found = [of[group] for of in values.values() if group in of]
            axes.barh(at, [value - 1 for value in found], left=1, height=0.9 * thick, color=colour, label=group)
            for y, value in zip(at, found, strict=True):
                end = {"xytext": (3 if value >= 1 else -3, 0), "ha": "left" if value >= 1 else "right"}
                axes.annotate(
                    f"{value:.2f}" if value < 10 else f"{value:.0f}",
                    (value, y),
                    textcoords="offset points",
                    va="center",
                    fontsize=7,
                    color=SOFT,
                    **end,
                )
        axes.axvline(1, color=INK, linewidth=0.8)
        axes.set_yticks(range(len(values)), list(values))
        axes.tick_params("y", length=0)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.15)
        # By hand: a last name that lacks a group would else lie outside, with its label.
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.set(xlabel=x, xscale="log")
        _plain_numbers(axes.xaxis)
        if len(groups) > 1:
            axes.legend(loc="lower left", bbox_to_anchor=(-0.3, 1), ncols=2, borderaxespad=0.2)
        return to_svg(figure)


def to_svg(figure: Any) -> str:
    """The `<svg>` element of a matplotlib figure, without what belongs to a file of its own."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", bbox_inches="tight", pad_inches=0.05, metadata=nothing)
    text = file.getvalue()
    return text[text.index("<svg") :]


def _styled() -> Any:
    return _matplotlib("").rc_context(STYLE)


def _axes(height: float) -> tuple[Any, Any]:
    """A figure with one pair of axes; `height` in inches. Without pyplot, which would keep it."""
    figure = _matplotlib(".figure").Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _plain_numbers(axis: Any) -> None:
    """0.5, 1, 2, 5 along a logarithmic axis, in the place of powers of ten; more of them where it is short."""
    ticker = _matplotlib(".ticker")
    low, high = axis.get_view_interval()
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high / low > 5 else (1, 1.2, 1.5, 2, 3, 4, 5, 6, 8, 9)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(ticker.NullLocator())


def _matplotlib(part: str) -> Any:
    with needed("matplotlib", "a report", "data"):
        return importlib.import_module(f"matplotlib{part}")
