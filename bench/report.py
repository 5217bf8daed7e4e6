"""Results as Markdown: one table a scenario, a line for each subject and case."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Saved = Mapping[str, Any]
"""A `Row`, as JSON has it."""


def shown(value: float) -> str:
    """Three digits are all that a noisy machine can tell."""
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def spread(figure: Mapping[str, float] | None) -> str:
    if figure is None:
        return ""
    median, low, high = figure["median"], figure["low"], figure["high"]
    return shown(median) if low == high else f"**{shown(median)}** ({shown(low)} to {shown(high)})"


def table(rows: Sequence[Saved]) -> str:
    """A column for each figure that any of `rows` has."""
    names = list(dict.fromkeys(name for row in rows for name in row["figures"]))
    lines = ["| case | subject | " + " | ".join(names) + " | target | |", "|---|---|" + "---|" * (len(names) + 2)]
    for row in rows:
        if row["missing"]:
            cells = [f"not measured: {row['missing']}", *[""] * (len(names) - 1)]
        else:
            cells = [spread(row["figures"].get(name)) for name in names]
        verdict = {None: "", True: "reached", False: "**missed**"}[row["is_reached"]]
        lines.append(f"| {row['case']} | {row['subject']} | {' | '.join(cells)} | {row['target']} | {verdict} |")
    notes = list(dict.fromkeys(note for row in rows for note in row["notes"]))
    return "\n".join([*lines, *(["", *(f"- {note}" for note in notes)] if notes else [])])


def tables(rows: Sequence[Saved], order: Sequence[str]) -> str:
    parts = []
    for name in order:
        if of_name := [row for row in rows if row["scenario"] == name]:
            about = (importlib.import_module(f"scenarios.{name}").__doc__ or "").strip()
            parts.append(f"## {name}\n\n{about}\n\n{table(of_name)}")
    return "\n\n".join(parts)


def write(results: Path, order: Sequence[str]) -> None:
    """`README.md` of all results that are saved, whenever each was measured."""
    saved = {name: json.loads((results / f"{name}.json").read_text()) for name in order if _has(results, name)}
    machines = list(
        dict.fromkeys(", ".join(f"{k} {v}" for k, v in found["machine"].items()) for found in saved.values())
    )
    head = [
        "# What was measured",
        "",
        "Written by `make bench`; each figure is the median of its rounds, with the lowest and the highest. Server and",
        "load generator ran on the same machine, over loopback, each pinned to a core of its own; CPU is that of the",
        "server's process alone, from `/proc`.",
        "",
        *(f"- {machine}" for machine in machines),
        "",
    ]
    rows = [row for found in saved.values() for row in found["rows"]]
    plots = [f"![{name}]({name}.svg)" for name in ("graph", "growth", "broadcast", "idle") if _has(results, name)]
    text = "\n".join([*head, *plots, "", tables(rows, order), ""])
    (results / "README.md").write_text(text, "utf-8")


def _has(results: Path, name: str) -> bool:
    return (results / f"{name}.json").exists()
