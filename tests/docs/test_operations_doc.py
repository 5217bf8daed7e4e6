"""What docs/operations.md says of metrics and logs is what the server does."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from presence_protocol.close_codes import CloseCode
from presence_server.application.endings import LOSS_CODES
from presence_server.application.keys import UserKeys
from presence_server.application.ports import Peer
from presence_server.domain.model import OFFLINE, Change, PublicState, Status
from presence_server.domain.transitions import Loss
from presence_server.log_output import FIELDS
from presence_server.logs import HumanFormatter, JsonFormatter
from presence_server.transports.http.exchange import refusal
from presence_server.transports.journal import LogJournal
from presence_server.transports.metrics import DECLARATIONS, PROCESS

OPERATIONS = (Path(__file__).parents[2] / "docs/operations.md").read_text("utf-8")
METRICS = OPERATIONS.partition("### Metrics\n")[2].partition("\n## ")[0]
LOGS = OPERATIONS.partition("\n## Logs\n")[2].partition("\n## ")[0]
ALERTS = METRICS.partition("```yaml\n")[2].partition("```")[0]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    assert found is not None, "promtool is not installed: run .ci/promtool"
    return subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60)


def test_the_metrics_are_listed() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| (.+) \|$", METRICS, re.MULTILINE)
    listed = [(name, kind, tuple(re.findall(r"`(\w+)`", labels)), help) for name, kind, labels, help in rows]
    declared = [(each.name, each.kind, each.labels, each.help) for each in DECLARATIONS]
    assert listed == declared + [(name, kind, (), help) for name, (kind, help) in PROCESS.items()]


def test_the_alerts_are_rules_that_prometheus_takes(tmp_path: Path) -> None:
    rules = tmp_path / "presence.yaml"
    rules.write_text(ALERTS)
    checked = promtool("check", "rules", str(rules))
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    assert "SUCCESS" in checked.stdout


def test_the_alerts_ask_for_metrics_that_there_are() -> None:
    asked = set(re.findall(r"\b((?:presence|process)_\w+)", ALERTS))
    known = {each.name for each in DECLARATIONS} | set(PROCESS)
    assert {re.sub("_bucket$", "", name) for name in asked} <= known


# -- logs ------------------------------------------------------------------------------------------------------------


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """What is logged when each event happens once, to the user, device and session of the examples."""
    handler, logger = Kept(), logging.getLogger("presence_server.transports.journal")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        keys = UserKeys.drawn(Random(1))
        key = keys.key(10001)
        journal = LogJournal(cast("Any", SimpleNamespace(epoch=0x19A6B1F0C3E)), keys)
        session: Any = SimpleNamespace(
            user_id=key, device_id="phone", platform="IOS", session_number=0x2A, peer=Peer("192.0.2.7"), began=100.0
        )
        journal.began(session, 100.0)
        journal.ended(session, *LOSS_CODES[Loss.REPLACED], 1442.5)
        journal.handshake_refused(400, refusal(400, "handshake", "is not one"), "192.0.2.7")
        journal.request_refused(
            "GET", "/", 404, refusal(404, "path", "is unknown").partition(b"\r\n\r\n")[2], "192.0.2.7"
        )
        online = PublicState(Status.ONLINE, (), None)
        journal.following(lambda event, now: None)(Change(key, OFFLINE, online, 1), 0.0)
        yield handler.records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def test_the_events_are_those_that_are_listed_with_their_fields(records: list[logging.LogRecord]) -> None:
    rows = re.findall(r"^\| `([a-z ]+)` \| (\w+) \| (.+?)(?::[^|]*)? \|$", LOGS, re.MULTILINE)
    listed = {event: (level, re.findall(r"`(\w+)`", fields)) for event, level, fields in rows}
    written = {record.getMessage(): (record.levelname.lower(), list(getattr(record, FIELDS))) for record in records}
    assert written == listed


def test_the_lines_that_are_shown_are_those_that_are_written(records: list[logging.LogRecord]) -> None:
    human, in_json = re.findall(r"^    (\S.*session closed.*)$", LOGS, re.MULTILINE)
    closed = next(record for record in records if record.getMessage() == "session closed")
    time = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
    assert time.sub("", HumanFormatter().format(closed)) == time.sub("", human)
    assert time.sub("", JsonFormatter().format(closed)) == time.sub("", in_json)
    assert f"code={CloseCode.REPLACED}" in human
