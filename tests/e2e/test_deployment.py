"""What a server is run with elsewhere: the container, Compose, systemd. None of them runs here, so they are read."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from presence_server.settings import DECLARATIONS, load

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def test_the_linter_finds_nothing_in_the_container_file() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    linted = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_container_copies_only_what_exists_and_its_context_has() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    context = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert names
    for name in names:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in context


def test_the_container_is_not_root_and_says_whether_it_is_well() -> None:
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert "/healthz" in DOCKERFILE


def test_the_container_sets_only_settings_that_exist() -> None:
    known = {declaration.variable for declaration in DECLARATIONS}
    written = dict(re.findall(r"(PRESENCE_[A-Z_]+)=(\S+)", DOCKERFILE))
    assert set(written) <= known
    assert load([], written).host == "0.0.0.0"


@pytest.fixture(scope="module")
def service() -> dict[str, object]:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    assert list(compose) == ["services", "volumes"]
    service: dict[str, object] = compose["services"]["presence"]
    return service


def test_composes_command_is_one_that_the_server_takes(service: dict[str, object]) -> None:
    command = service["command"]
    assert isinstance(command, list)
    settings = load(command, {"PRESENCE_HOST": "0.0.0.0"})
    assert "172.16.0.0/12" in str(settings.trusted_networks)


def test_the_state_outlives_container_and_unit(service: dict[str, object]) -> None:
    state = re.search(r"PRESENCE_STATE=(\S+)", DOCKERFILE)
    assert state is not None
    assert f"VOLUME {state[1]}" in DOCKERFILE
    assert service["volumes"] == [f"state:{state[1]}"]
    unit = (ROOT / "deploy" / "presence-server.service").read_text("utf-8")
    assert "StateDirectory=presence-server\n" in unit
    assert "PRESENCE_STATE=%S/presence-server\n" in unit


def test_composes_state_is_on_a_volume(service: dict[str, object]) -> None:
    command, volumes = service["command"], service["volumes"]
    assert isinstance(command, list)
    assert isinstance(volumes, list)
    assert f"state:{command[command.index('--state') + 1]}" in volumes


def test_compose_publishes_on_this_machine_only(service: dict[str, object]) -> None:
    assert service["ports"] == ["127.0.0.1:8004:8004"]


def test_whoever_stops_it_waits_longer_than_it_drains(service: dict[str, object]) -> None:
    drain = load([], {}).drain_timeout
    assert float(str(service["stop_grace_period"]).removesuffix("s")) > drain
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "deploy" / "presence-server.service", "utf-8")
    assert float(unit["Service"]["TimeoutStopSec"]) > drain
    assert unit["Service"]["ExecStart"].endswith("/presence-server")
    assert unit["Service"]["RestartPreventExitStatus"] == "2"
