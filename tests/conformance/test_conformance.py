"""RFC 6455, case by case, each in several ways; and docs/conformance.md lists exactly these cases."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from conformance.cases import CASES, NOTES, SECTIONS, Case
from conformance.fleet import WAYS, Heard, Run, is_as_expected
from conformance.frames import Echo, Pong, Refused, Reply, close, in_fragments, ping, text
from conformance.report import PAGE, PASSES, Outcome, explain, play_all, render, servers


@pytest.fixture(scope="module")
def outcome() -> Iterator[Outcome]:
    with servers() as both:
        yield play_all(*both)
        for server in both:
            assert not [line for line in server.log if '"level":"error"' in line]
            give_up = time.monotonic() + 5
            while server.metric("presence_websocket_connections"):
                assert time.monotonic() < give_up, "a connection was never let go of"
                time.sleep(0.02)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_case(outcome: Outcome, way: str, case: Case) -> None:
    wrong = outcome.wrong[way, case.id]
    assert not wrong, explain(case, wrong)


@pytest.mark.parametrize("way", ["byte by byte", "split once"])
def test_pieces_arrive_apart(outcome: Outcome, way: str) -> None:
    if not any(outcome.reads.values()):
        pytest.skip("this system does not count reads")
    # On a busy machine the server reads later, and some pieces at once.
    assert outcome.reads[way] >= 0.5 * outcome.pieces[way]


# -- the data and the page -------------------------------------------------------------------------------------------


def test_the_cases_are_well_formed() -> None:
    ids = [case.id for case in CASES]
    assert len(ids) == len(set(ids))
    assert {case.section for case in CASES} == set(SECTIONS)
    assert {case.note for case in CASES} - {""} == set(NOTES)


def test_the_page_is_what_the_cases_make_of_it() -> None:
    assert PAGE.read_text(encoding="utf-8") == render({case.id: PASSES for case in CASES}), "run report.py"


def test_the_page_lists_each_case_once() -> None:
    listed = re.findall(r"^\| (\d+\.\S+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == [case.id for section in SECTIONS for case in CASES if case.section == section]


# -- the tools -------------------------------------------------------------------------------------------------------


def test_frames_are_encoded_as_the_rfc_shows() -> None:
    assert text(b"Hello").encode() == bytes.fromhex("818537fa213d7f9f4d5158")
    assert ping(b"Hello", mask=None).encode() == bytes.fromhex("890548656c6c6f")
    assert [frame.encode().hex() for frame in in_fragments(b"Hello", 3)] == ["018337fa213d7f9f4d", "808237fa213d5b95"]
    assert text(bytes(256), mask=None).encode()[:4] == bytes.fromhex("817e0100")
    assert text(bytes(65_536), mask=None).encode()[:10] == bytes.fromhex("817f0000000000010000")
    assert close(1000, mask=None).encode() == bytes.fromhex("880203e8")


def test_what_is_heard_is_held_to_what_is_expected() -> None:
    two = Case("0", "", "", (), (Reply(), Pong(b"x"), Reply(8)))
    over = Case("0", "", "", (), (Reply(), Refused(1002)))
    closed = Echo((1002).to_bytes(2, "big") + b"why")

    def fits(case: Case, *frames: object, has_ended: bool = False) -> bool:
        return is_as_expected(Run(case, [], case.expects), Heard(frames, has_ended))  # type: ignore[arg-type]

    assert fits(two, Reply(), Pong(b"x"), Reply(8))
    assert fits(two, Pong(b"x"), Reply(), Reply(8))
    assert not fits(two, Reply(), Reply(8), Pong(b"x"))
    assert not fits(two, Reply(8), Pong(b"x"), Reply())
    assert not fits(two, Reply(), Pong(b"y"), Reply(8))
    assert not fits(two, Reply(), Reply(8))
    assert not fits(two, Reply(), Pong(b"x"), Reply(8), has_ended=True)
    assert fits(over, Reply(), closed, has_ended=True)
    assert not fits(over, Reply(), closed)
    assert not fits(over, closed, Reply(), has_ended=True)
    assert not fits(over, Reply(), Echo((1007).to_bytes(2, "big")), has_ended=True)
    assert not fits(Case("0", "", "", (), (Echo(b"\x03\xe8"),)), Echo(b"\x03\xe8x"), has_ended=True)
