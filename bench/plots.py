"""Draws the results that are saved: `python bench/plots.py results`. It has matplotlib in an environment of its own.

Bars stand for medians, and the line on each for the lowest and the highest round.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.hashsalt": "bench", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
from matplotlib import pyplot  # noqa: E402 (the backend is chosen before)
from matplotlib.axes import Axes  # noqa: E402

OURS = "presence-server"
OUR_COLOUR, FLOOR_COLOUR, PEER_COLOUR, OTHER_PEER_COLOUR = "#2563eb", "#9ca3af", "#d1a054", "#8c5a2b"

Row = dict[str, Any]


def colour(subject: str) -> str:
    if subject.startswith(OURS):
        return OUR_COLOUR
    if subject == "centrifuge":  # beside another peer in one plot
        return OTHER_PEER_COLOUR
    return FLOOR_COLOUR if "floor" in subject else PEER_COLOUR


def spread(row: Row, figure: str) -> tuple[float, float, float]:
    """Median, and how far the rounds lie below and above it."""
    found = row["figures"][figure]
    return found["median"], found["median"] - found["low"], found["high"] - found["median"]


def bars(axes: Axes, rows: list[Row], figure: str, title: str) -> None:
    rows = sorted((row for row in rows if figure in row["figures"]), key=lambda row: -row["figures"][figure]["median"])
    values = [spread(row, figure) for row in rows]
    names = [row["subject"] for row in rows]
    errors = [[below for _, below, _ in values], [above for _, _, above in values]]
    axes.barh(names, [median for median, _, _ in values], xerr=errors, color=[colour(name) for name in names])
    for place, (median, _, above) in enumerate(values):
        axes.text(median + above, place, f"  {median:.3g}", va="center")
    axes.set_title(title, loc="left")
    axes.margins(x=0.15)


def number(row: Row, pattern: str) -> int:
    """A number in the row's case, such as its changes per second."""
    found = re.search(pattern, row["case"])
    assert found is not None, row["case"]
    return int(found[1].replace(",", ""))


def line(axes: Axes, rows: list[Row], figure: str, pattern: str, label: str) -> None:
    points = sorted((number(row, pattern), *spread(row, figure)) for row in rows if figure in row["figures"])
    if points:
        at, medians, below, above = zip(*points, strict=True)
        axes.errorbar(at, medians, yerr=[below, above], label=label, color=colour(label), marker="o", capsize=3)


def idle(rows: list[Row]) -> None:
    _, axes = pyplot.subplots(figsize=(7, 3.2))
    of = [row for row in rows if row["case"].startswith("5,000") and "nobody" in row["case"]]
    bars(axes, of, "KB per connection", "resident KB of an idle connection (5,000 of them)")


def broadcast(rows: list[Row]) -> None:
    _, axes = pyplot.subplots(figsize=(7, 3.2))
    bars(axes, rows, "CPU us per delivery", "CPU us per delivery, one change to 5,000 watchers")


def graph(rows: list[Row]) -> None:
    _, (delivered, late) = pyplot.subplots(1, 2, figsize=(9, 3.4))
    per_rate = [row for row in rows if "changes/s" in row["case"]]
    for subject in dict.fromkeys(row["subject"] for row in per_rate):
        of = [row for row in per_rate if row["subject"] == subject]
        if len(of) > 1:  # the others bear one rate only: the table has them
            line(delivered, of, "M delivered per CPU s", r"([\d,]+) changes/s", subject)
            line(late, of, "p99 ms", r"([\d,]+) changes/s", subject)
    for axes, title in ((delivered, "million changes delivered per CPU second"), (late, "p99 to the last watcher, ms")):
        axes.set_title(title, loc="left")
        axes.set_xlabel("changes offered per second")
        axes.legend(frameon=False)
    delivered.set_ylim(bottom=0)
    late.set_yscale("log")


def growth(rows: list[Row]) -> None:
    _, axes = pyplot.subplots(figsize=(6, 3.2))
    line(axes, rows, "CPU us per delivered change", r"([\d,]+) connections", OURS)
    axes.set_title("CPU us per delivered change, 200 watched each, 0.2 changes/s per user", loc="left")
    axes.set_xlabel("connections")
    axes.set_ylim(bottom=0)


PLOTS = {"idle": idle, "broadcast": broadcast, "graph": graph, "growth": growth}


def main() -> None:
    results = Path(sys.argv[1])
    for name, draw in PLOTS.items():
        if (results / f"{name}.json").exists():
            draw(json.loads((results / f"{name}.json").read_text())["rows"])
            pyplot.tight_layout()
            pyplot.savefig(results / f"{name}.svg", metadata={"Date": None})
            pyplot.close()


if __name__ == "__main__":
    main()
