"""What holds for all tests: which are slow, which need a browser or Node, and Hypothesis without a clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine than about what is tested.
settings.register_profile("clockless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("clockless")

TESTS = Path(__file__).parent

FOLDERS = {
    "attacks": ("slow",),
    "e2e": ("slow",),
    "node": ("slow", "node"),
    "promises": ("slow",),
    "web": ("slow", "browser"),
}
"""Marks of all tests in a folder."""

FILES = {
    "application/test_whole.py": ("slow",),
    "client/test_fallback.py": ("slow",),
    "client/test_live.py": ("slow",),
    "client/test_readme.py": ("slow",),
    "client/test_terminal.py": ("slow",),
    "client/test_terminal_anywhere.py": ("slow",),
    "domain/test_table_machine.py": ("slow",),
    "e2e/test_node_client.py": ("node",),
    "e2e/test_npm_package.py": ("node",),
    "server/identity/test_over_sockets.py": ("slow",),
    "server/transports/test_openapi.py": ("slow", "node"),
    "server/transports/test_pages.py": ("node",),
    "simulator/test_planted_bugs.py": ("slow",),
    "simulator/test_simulator.py": ("slow",),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Playwright keeps a loop of its own in this thread from the first browser on: no test could run one after it.
    items.sort(key=lambda item: item.path.is_relative_to(TESTS / "web"))
    for item in items:
        path = item.path.relative_to(TESTS)
        for mark in (*FOLDERS.get(path.parts[0], ()), *FILES.get(path.as_posix(), ())):
            item.add_marker(mark)
