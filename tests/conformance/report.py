"""Plays every case in every way and writes docs/conformance.md; exits with 1 if something was not as expected."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from conformance.cases import CASES, NOTES, SECTIONS, SMALL, Case
from conformance.fleet import CHOP, EDGE, FEW, LONG, WAYS, Heard, Run, is_as_expected, play, runs_of
from support.server import Server, run_server

PASSES, FAILS = "pass", "fail"

PAGE: Final = Path(__file__).parents[2] / "docs" / "conformance.md"

MOST_SHOWN: Final = 4
"""Frames of a case that the page names one by one."""

COMMAND: Final = ".venv/bin/python tests/conformance/report.py"


INTRODUCTION: Final = """\
# RFC 6455, case by case

{cases} cases, played as raw bytes over real sockets against the real server. This page is written by
`{command}`, which plays them all, from the data in
[tests/conformance/cases.py](../tests/conformance/cases.py); the tests play them as well, and hold the page to the data.

Sections 1 to 7 and 10 carry the numbers of the Autobahn test suite and follow its cases; a letter marks one that stands
beside them. The suite's sections 9 (speed), 12 and 13 (compression, which is off unless it is set) have no
counterpart. The server does not echo: where the suite expects its message back, here the message is the presence
protocol's own `ping` with an `id`, of the length or with the text that the case is about, and the *reply* to it says
that it was read. Sections from 20 on are not the suite's.

*pass*: what comes back is what the table says, in every way of sending it.

Codes from 4000 on are the presence protocol's, not the RFC's: see [close codes](protocol.md#close-codes). Numbers in
brackets are bytes of payload; *more* is a continuation frame. After a close frame nothing may come but the end of the
stream; after all else, one more message is sent and must be answered. A pong may overtake the reply to a message that
came in the same read as its ping; nothing else may come out of order.

Every case is sent in each of these ways, each time on a connection of its own:

- **one write** ({one_write} connections);
- **among others** ({among_others}): one write, with a message before it and one after it;
- **byte by byte** ({byte_by_byte}, {pieces} pieces): each byte is a write of its own. Of a case of more than {long}
  bytes, so are the {edge} bytes at either end of each frame; what is between them goes in pieces of {chop} bytes;
- **split once** ({split_once}): two writes, for every boundary between two bytes. A case of more than {long} bytes is
  split at every boundary near the heads of its first and last frames, and at about {few} others.

Pieces arrive apart: Nagle's algorithm is off, and no piece is sent before a reply on another connection has shown that
the server is past the one before. On Linux the test counts the server's reads, and fails if pieces outnumber them by
more than a twentieth.
"""


# -- a run -----------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    wrong: dict[tuple[str, str], list[tuple[Run, Heard]]]
    """By way and case: runs that did not bring what the case expects."""
    pieces: dict[str, int]
    reads: dict[str, int]
    """By way: pieces sent, and reads that the server made of them."""

    def verdict(self, case: Case) -> str:
        return FAILS if any(self.wrong[way, case.id] for way in WAYS) else PASSES


@contextmanager
def servers() -> Iterator[tuple[Server, Server]]:
    """One as it comes, and one with the small `max_message`; neither says anything by itself meanwhile."""
    quiet = {"ping_interval": 300, "hello_timeout": 60}
    with run_server(**quiet) as usual, run_server(**quiet, max_message=SMALL) as small:
        yield usual, small


def play_all(usual: Server, small: Server) -> Outcome:
    outcome = Outcome({(way, case.id): [] for way in WAYS for case in CASES}, {}, {})
    for way in WAYS:
        outcome.pieces[way] = outcome.reads[way] = 0
        for server in (usual, small):
            runs = runs_of(way, [case for case in CASES if case.is_small is (server is small)])
            played = play(server, runs)
            outcome.pieces[way] += sum(len(run.pieces) for run in runs)
            outcome.reads[way] += played.reads
            for run, heard in played.heard:
                if not is_as_expected(run, heard):
                    outcome.wrong[way, run.case.id].append((run, heard))
    return outcome


def explain(case: Case, wrong: list[tuple[Run, Heard]]) -> str:
    run, heard = wrong[0]
    pieces = f"{len(run.pieces)} pieces, the first of {len(run.pieces[0])} bytes"
    expected = ", ".join(map(str, run.expects)) or "nothing"
    end = "the end" if case.ends else "still open"
    return (
        f"{case.id} {case.title}: {len(wrong)} runs, such as {pieces}\n  expected {expected}; {end}\n  heard    {heard}"
    )


# -- the page --------------------------------------------------------------------------------------------------------


def sent(case: Case) -> str:
    """The frames, equal neighbours together."""
    parts = [(str(frame), len(list(equal))) for frame, equal in groupby(case.sends, key=str)]
    shown = [name if times == 1 else f"{times} x {name}" for name, times in parts]
    if len(shown) > MOST_SHOWN:
        shown = [*shown[: MOST_SHOWN - 1], f"... {len(case.sends)} frames in all"]
    return "; ".join(shown)


def expected(case: Case) -> str:
    parts = [(str(frame), len(list(equal))) for frame, equal in groupby(case.expects, key=str)]
    return "; ".join(name if times == 1 else f"{times} x {name}" for name, times in parts) or "nothing"


def render(verdicts: Mapping[str, str]) -> str:
    """The page, given each case's verdict."""
    return "\n".join([_introduction(), *_summary(verdicts), *_sections(verdicts), *_notes()])


def _introduction() -> str:
    runs = {way: runs_of(way) for way in WAYS}
    return INTRODUCTION.format(
        cases=len(CASES),
        command=COMMAND,
        one_write=len(runs["one write"]),
        among_others=len(runs["among others"]),
        byte_by_byte=len(runs["byte by byte"]),
        pieces=sum(len(run.pieces) for run in runs["byte by byte"]),
        split_once=len(runs["split once"]),
        long=LONG,
        edge=EDGE,
        chop=CHOP,
        few=FEW,
    )


def _summary(verdicts: Mapping[str, str]) -> list[str]:
    lines = ["| section | cases | pass | fail |", "|---|---|---|---|"]
    counts: Counter[tuple[int, str]] = Counter((case.section, verdicts[case.id]) for case in CASES)
    for section, title in SECTIONS.items():
        of = [counts[section, verdict] for verdict in (PASSES, FAILS)]
        lines.append(f"| {section} {title} | {sum(of)} | {' | '.join(map(str, of))} |")
    total = [sum(counts[section, verdict] for section in SECTIONS) for verdict in (PASSES, FAILS)]
    return [*lines, f"| **all** | {sum(total)} | {' | '.join(map(str, total))} |", ""]


def _sections(verdicts: Mapping[str, str]) -> Iterator[str]:
    for section, title in SECTIONS.items():
        yield f"## {section} {title}"
        yield ""
        yield "| case | | RFC | sent | comes back | |"
        yield "|---|---|---|---|---|---|"
        for case in CASES:
            if case.section == section:
                verdict = verdicts[case.id]
                note = f", [note {list(NOTES).index(case.note) + 1}](#notes)" if case.note else ""
                cells = (case.id, case.title, case.rfc, sent(case), expected(case), f"**{verdict}**{note}")
                yield f"| {' | '.join(cells)} |"
        yield ""


def _notes() -> list[str]:
    return ["## Notes", "", *(f"{number}. {note}" for number, note in enumerate(NOTES.values(), 1)), ""]


def main() -> int:
    with servers() as (usual, small):
        outcome = play_all(usual, small)
    surprises = 0
    for case in CASES:
        for way in WAYS:
            if wrong := outcome.wrong[way, case.id]:
                surprises += 1
                sys.stdout.write(f"{way}: {explain(case, wrong)}\n")
    PAGE.write_text(render({case.id: outcome.verdict(case) for case in CASES}), encoding="utf-8")
    sys.stdout.write(f"{len(CASES)} cases in {len(WAYS)} ways, {surprises} not as expected: {PAGE}\n")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
