"""A flame graph of the server under the graph scenario, as SVG: where a second of its CPU goes.

Run as `python bench/flame.py [changes per second]`; needs `py-spy` on the path, which reads the stacks of the running
server, Python's and C's. The width of a box is its share of all samples; what it called lies on it. Frames of the
event loop below the server's own are left out, and of C only what the kernel or the allocator is asked for.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from lab import ROOT
from subjects import loaded, ours

SECONDS, SAMPLES = 8, 250
WIDTH, ROW, LEAST = 1200.0, 18, 2.0
"""Pixels; a box narrower than `LEAST` is not drawn."""

OURS = re.compile(r"(.+) \(presence_(?:server|protocol)/.*")
NATIVE = {"write": "write()", "read": "read()", "epoll_pwait": "epoll", "realloc": "realloc()", "malloc": "malloc()"}


@dataclass
class Node:
    count: int = 0
    children: dict[str, Node] = field(default_factory=dict)


def frames(stack: str) -> Iterator[str]:
    """Those of a stack that are shown, each once in a row."""
    last = ""
    for part in stack.split(";"):
        found = OURS.match(part.strip())
        name = found[1] if found else NATIVE.get(part.strip().partition(" ")[0], "")
        if name and name != last and name not in ("main", "run"):
            yield name
            last = name


def tree(collapsed: str) -> Node:
    root = Node()
    for line in collapsed.splitlines():
        stack, _, count = line.rpartition(" ")
        node = root
        node.count += int(count)
        for name in ["the event loop", *frames(stack)]:
            node = node.children.setdefault(name, Node())
            node.count += int(count)
    return root


def boxes(node: Node, left: float, depth: int, unit: float) -> Iterator[tuple[float, int, float, str]]:
    for name, child in sorted(node.children.items()):
        width = child.count * unit
        if width >= LEAST:
            yield left, depth, width, name
            yield from boxes(child, left, depth + 1, unit)
        left += width


def svg(root: Node, title: str) -> str:
    drawn = list(boxes(root, 0, 0, WIDTH / root.count))
    height = (max(depth for _, depth, _, _ in drawn) + 2) * ROW
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="#fff"/><text x="4" y="13">{escape(title)}</text>'
    ]
    for left, depth, width, name in drawn:
        colour = "#c9d6e8" if name.endswith("()") or name == "epoll" else "#e3e3e3" if not depth else "#f3b169"
        top, share = height - (depth + 1) * ROW, f"{width / WIDTH:.1%}"
        label = escape(name if width > 7 * len(name) else name.rpartition(".")[2] if width > 60 else "")
        lines.append(
            f'<g><title>{escape(name)} {share}</title><rect x="{left:.1f}" y="{top}" width="{width - 0.5:.1f}" '
            f'height="{ROW - 1}" fill="{colour}"/><text x="{left + 3:.1f}" y="{top + 13}">'
            f"{label[: int(width / 6.5)]}</text></g>"
        )
    return "\n".join([*lines, "</svg>\n"])


def main() -> None:
    rate = int(sys.argv[1]) if len(sys.argv) > 1 else 9_000
    with loaded(ours(), 5_000, 200) as us, tempfile.TemporaryDirectory() as folder:
        us.run(f"graph {rate} {rate * 2}")  # unmeasured
        stacks = Path(folder) / "stacks"
        options = f"--native --pid {us.pid} --duration {SECONDS} --rate {SAMPLES} --format raw --output".split()
        command = ["py-spy", "record", *options, stacks]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            us.run(f"graph {rate} {rate * (SECONDS + 2)}")
        root = tree(stacks.read_text())
    title = (
        f"The server's CPU at {rate:,} changes a second, 5,000 connections that watch 200 each ({root.count} samples)"
    )
    (ROOT / "docs" / "flame.svg").write_text(svg(root, title))


if __name__ == "__main__":
    main()
