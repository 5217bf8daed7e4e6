"""What docs/operations.md says of metrics and logs is what the server does."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from presence_protocol.close_codes import CloseCode
from presence_server.application.endings import LOSS_CODES
from presence_server.application.keys import UserKeys
from presence_server.application.ports import Peer
from presence_server.clock import SystemClock
from presence_server.domain.causes import Cause
from presence_server.domain.model import OFFLINE, Change, PublicState, Status
from presence_server.domain.table import PresenceTable
from presence_server.engines.memory import MemoryEngine
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


BUCKETS = ("0.1", "0.25", "0.5", "1", "+Inf")
CASES = {
    "a server that is well": ([], []),
    "a limit that is used to nine tenths": (
        [('presence_limit{limit="max_unsent"}', "100x20"), ('presence_limit_used{limit="max_unsent"}', "90x20")],
        ["PresenceLimitNear"],
    ),
    "a limit that is not set": (
        [('presence_limit{limit="max_edges"}', "0x20"), ('presence_limit_used{limit="max_edges"}', "90x20")],
        [],
    ),
    "all that may be remembered": (
        [
            ('presence_limit{limit="max_remembered"}', "100x20"),
            ('presence_limit_used{limit="max_remembered"}', "100x20"),
        ],
        [],
    ),
    "files": ([("process_open_fds", "900x20"), ("process_max_fds", "1000x20")], ["PresenceFilesNear"]),
    "refusals": ([('presence_limit_refusals_total{limit="max_batch"}', "0+120x20")], ["PresenceLimitMet"]),
    "changes a second late": (
        [
            (f'presence_delivery_latency_seconds_bucket{{le="{bound}"}}', "0x20" if bound < "1" else "0+60x20")
            for bound in BUCKETS[:-1]
        ]
        + [('presence_delivery_latency_seconds_bucket{le="+Inf"}', "0+60x20")],
        ["PresenceLate"],
    ),
    "a loop that is late": (
        [
            (f'presence_event_loop_lag_seconds_bucket{{le="{bound}"}}', "0x20" if bound == "0.1" else "0+600x20")
            for bound in BUCKETS
        ],
        ["PresenceLoopLate"],
    ),
    "a webhook that is not received": (
        [('presence_webhook_lag_seconds{webhook="crm"}', "240+60x20")],
        ["PresenceWebhookBehind"],
    ),
    "errors": ([('presence_http_requests_total{status="500"}', "0+60x20")], ["PresenceErrors"]),
    "links that drop": (
        [
            ('presence_websocket_closes_total{code="1006"}', "0+120x20"),
            ('presence_websocket_closes_total{code="1000"}', "0+30x20"),
        ],
        ["PresenceLinksDrop"],
    ),
    "sessions that end well": (
        [
            ('presence_websocket_closes_total{code="1006"}', "0+30x20"),
            ('presence_websocket_closes_total{code="1000"}', "0+120x20"),
        ],
        [],
    ),
    "a core in use": ([('process_cpu_seconds_total{job="presence"}', "0+57x20")], ["PresenceBusy"]),
    "a server that is gone": ([('up{job="presence"}', "0x20")], ["PresenceDown"]),
}


@pytest.mark.parametrize("case", CASES)
def test_each_alert_fires_when_it_should(case: str, tmp_path: Path) -> None:
    """Twenty minutes, a sample a minute."""
    series, fire = CASES[case]
    (tmp_path / "rules.yaml").write_text(ALERTS)
    alerts = re.findall(r"alert: (\w+)", ALERTS)
    known = [
        {"series": name, "values": values if "+" in values else f"{values.replace('x', '+0x')}"}
        for name, values in series
    ]
    expected = [{"alertname": alert, "eval_time": "19m", "exp_alerts": []} for alert in alerts if alert not in fire]
    story = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": known, "alert_rule_test": expected}],
    }
    told = tmp_path / "story.yaml"
    told.write_text(json.dumps(story))  # which is YAML as well
    checked = promtool("test", "rules", str(told))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for alert in fire:
        story["tests"][0]["alert_rule_test"] = [{"alertname": alert, "eval_time": "19m", "exp_alerts": []}]  # type: ignore[index]
        told.write_text(json.dumps(story))
        assert promtool("test", "rules", str(told)).returncode == 1, f"{alert} does not fire"


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
        journal = LogJournal(MemoryEngine(PresenceTable(), 0x19A6B1F0C3E, SystemClock()), keys)
        session: Any = SimpleNamespace(
            user_id=key, device_id="phone", platform="IOS", session_number=0x2A, peer=Peer("192.0.2.7"), began=100.0
        )
        journal.began(session, 100.0)
        journal.ended(session, *LOSS_CODES[Cause.REPLACED], 1442.5)
        journal.handshake_refused(400, refusal(400, "handshake", "is not one"), "192.0.2.7")
        journal.request_refused(
            "GET", "/", 404, refusal(404, "path", "is unknown").partition(b"\r\n\r\n")[2], "192.0.2.7"
        )
        online = PublicState(Status.ONLINE, (), None)
        journal.following(lambda event, now: None)(Change(key, OFFLINE, online, 1, Cause.CONNECTED), 0.0)
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
