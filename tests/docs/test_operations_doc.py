"""What docs/operations.md says of metrics and logs is what the server does."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from presence_server.transports.metrics import DECLARATIONS, PROCESS

OPERATIONS = (Path(__file__).parents[2] / "docs/operations.md").read_text("utf-8")
METRICS = OPERATIONS.partition("### Metrics\n")[2].partition("\n## ")[0]
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
