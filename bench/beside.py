"""This tree's server beside another tree's, in turns in one run: what did the changes in between cost?

    git worktree add ../before COMMIT && make -C ../before serve    (once, until it has its .venv)
    python bench/beside.py ../before                 all of them, three rounds each
    python bench/beside.py ../before graph --rounds 5 --flags "--auth jwt --jwt-key @key"

A row for each figure: here, there, and the ratio of the medians. The two take turns within each round, so that what
else the machine does meets both. Clients, rates and sizes are those of the scenarios in `scenarios/`. `--flags` are of
this tree's server alone.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from lab import Plan, Spread, free_port, in_rounds, raise_file_limit, serving
from peers import Peer
from scenarios.broadcast import enough
from scenarios.churn import churn
from scenarios.graph import figures
from scenarios.idle import kb_per_connection
from subjects import EVERYONE_WATCHES_THE_FIRST, Loaded, loaded, ours

Figures = dict[str, float]
Pair = tuple[Peer, Peer]

HERE, THERE = "here", "there"
RATES = (2_500, 5_000)


def of_tree(tree: Path) -> Peer:
    flags = ["--log-level", "error", "--min-publish-interval", "0"]
    server = str(tree / ".venv" / "bin" / "presence-server")
    return replace(ours(), name=str(tree), command=lambda port, _: [server, *flags, "--port", str(port)])


def named(side: str, found: Figures) -> Figures:
    return {f"{side}: {name}": value for name, value in found.items()}


def idle(plan: Plan, pair: Pair) -> Iterator[dict[str, Spread]]:
    for watched in (0, 100):

        def memory(peer: Peer, watched: int = watched) -> Figures:
            return {f"KB a connection, {watched} watched": kb_per_connection(peer, 5_000, watched)}

        yield in_rounds(
            plan, "idle", lambda memory=memory: named(HERE, memory(pair[0])) | named(THERE, memory(pair[1]))
        )


def graph(plan: Plan, pair: Pair) -> Iterator[dict[str, Spread]]:
    with loaded(pair[0], 5_000, 200) as us, loaded(pair[1], 5_000, 200) as them:
        for each in (us, them):
            each.run("graph 500 500")  # unmeasured
        for rate in RATES:

            def at(side: str, it: Loaded, rate: int = rate) -> Figures:
                found = figures(it.run(f"graph {rate} {rate * 5}"))
                return named(side, {f"{rate}/s: {name}": value for name, value in found.items()})

            yield in_rounds(plan, f"graph {rate}/s", lambda at=at: at(HERE, us) | at(THERE, them))


def broadcast(plan: Plan, pair: Pair) -> Iterator[dict[str, Spread]]:
    watchers = 5_000
    with (
        loaded(pair[0], watchers + 1, EVERYONE_WATCHES_THE_FIRST) as us,
        loaded(pair[1], watchers + 1, EVERYONE_WATCHES_THE_FIRST) as them,
    ):
        changes = min(enough(it, watchers, 2.0) for it in (us, them))

        def told(it: Loaded) -> Figures:
            result = it.turns(changes, watchers)
            return {"CPU us a delivery": result["cpu"] / result["delivered"] * 1e6}

        yield in_rounds(plan, "broadcast", lambda: named(HERE, told(us)) | named(THERE, told(them)))


def come_and_go(plan: Plan, pair: Pair) -> Iterator[dict[str, Spread]]:
    def cycles(peer: Peer) -> Figures:
        port = free_port()
        with serving(peer.command(port, 0), port) as process:
            return {"CPU us a cycle": churn(port, process.pid, 1_000, 4.0, 0, [])["CPU us per cycle"]}

    yield in_rounds(plan, "churn", lambda: named(HERE, cycles(pair[0])) | named(THERE, cycles(pair[1])))


SCENARIOS: dict[str, Callable[[Plan, Pair], Iterator[dict[str, Spread]]]] = {
    "idle": idle,
    "graph": graph,
    "broadcast": broadcast,
    "churn": come_and_go,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, help="another tree of the project, with a .venv that serves it")
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS], help=", ".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flags", default="", help="of this tree's server")
    asked = parser.parse_args()
    raise_file_limit()
    pair = ours(*shlex.split(asked.flags)), of_tree(asked.tree.resolve())
    for name in asked.scenario or SCENARIOS:
        for found in SCENARIOS[name](Plan(rounds=asked.rounds), pair):
            for label in sorted(label.removeprefix(f"{HERE}: ") for label in found if label.startswith(HERE)):
                here, there = found[f"{HERE}: {label}"].median, found[f"{THERE}: {label}"].median
                ratio = f"{here / there:.3f} x" if there else ""
                print(f"{name:10} {label:32} {here:10.3f} {there:10.3f} {ratio}", flush=True)


if __name__ == "__main__":
    main()
