"""Settings as an operator meets them: flags, variables, help, and one clear line for a wrong one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server import __version__
from presence_server.settings import (
    DECLARATIONS,
    Declaration,
    Settings,
    SettingsError,
    load,
    load_or_exit,
    markdown_table,
    misspelt_variables,
    start_line,
)

DESIGN = {
    "host": "127.0.0.1",
    "port": 8004,
    "grace_period": 10,
    "ping_interval": 25,
    "pong_timeout": 10,
    "hello_timeout": 10,
    "header_timeout": 0,
    "body_timeout": 0,
    "keep_alive_timeout": 75,
    "answer_timeout": 30,
    "heartbeat_interval": 30,
    "away_after": 0,
    "flush_interval": 0.01,
    "max_flush_interval": 0.25,
    "min_publish_interval": 1,
    "max_lag": 30,
    "max_remembered": 1_000_000,
    "max_unseen": 100_000,
    "unseen_for": 86_400.0,
    "sources": "call=80,self=50,calendar=40,hours=10",
    "lifetimes": "BUSY=86400,AWAY=604800,ONLINE=604800,OFFLINE=0",
    "no_invisible": False,
    "show_idle_since": False,
    "shards": 64,
    "max_connections": 0,
    "max_watched": 5000,
    "max_devices": 16,
    "max_batch": 1000,
    "limits": "auto",
    "limit_burst": 10,
    "address_connections": 100,
    "address_handshakes": 100,
    "address_requests": 20,
    "user_messages": 50,
    "user_watches": 10_000,
    "user_statuses": 10,
    "user_queries": 10_000,
    "user_polls": 32,
    "user_connections": 64,
    "service_messages": 10_000,
    "service_watches": 1_000_000,
    "service_statuses": 5_000,
    "service_queries": 1_000_000,
    "service_polls": 0,
    "service_connections": 0,
    "feed_window": 65_536,
    "max_http_connections": 0,
    "max_edges": 50_000_000,
    "max_watchers": 0,
    "max_memory": 0,
    "admission_lag": 0.1,
    "max_header": 65_536,
    "max_message": 262_144,
    "max_unsent": 268_435_456,
    "compression": False,
    "drain_timeout": 30,
    "allowed_origins": (),
    "user_ids": "number",
    "platforms": ("WEB", "IOS", "ANDROID", "PC"),
    "platform_status": False,
    "login_policy": "many",
    "on_full": "oldest",
    "device_classes": "mobile=IOS+ANDROID,desktop=PC,web=WEB",
    "auth": "none",
    "jwt_key": "",
    "jwks": "",
    "jwt_issuer": "",
    "jwt_audience": "",
    "jwt_leeway": 5,
    "reuse_port": False,
    "uds": "",
    "tls_cert": "",
    "tls_key": "",
    "jwt_user_claim": "sub",
    "auth_url": "",
    "service_keys": "",
    "webhooks": "",
    "trusted_networks": ("127.0.0.0/8", "::1/128"),
    "trusted_proxies": (),
    "allowed_hosts": (),
    "root_path": "",
    "visibility": "everyone",
    "strangers": "hidden",
    "visibility_url": "",
    "reciprocal_last_seen": False,
    "state": "",
    "return_period": 30,
    "takeover": False,
    "fsync": False,
    "engine": "memory",
}


def refusal(argv: str = "", **environ: str) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load(argv.split(), environ)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


def test_the_defaults_are_the_documented_ones() -> None:
    settings = load([], {})
    assert {name: getattr(settings, name) for name in DESIGN} == DESIGN
    assert {field.name for field in fields(Settings)} - set(DESIGN) == {"log_format", "log_level"}


NEEDED = {
    "auth": ["--jwt-key", "secret"],
    "jwt_key": ["--auth", "jwt"],
    "jwks": ["--auth", "jwt"],
    "auth_url": ["--auth", "webhook"],
    "tls_cert": ["--tls-key", "key.pem"],
    "tls_key": ["--tls-cert", "certificate.pem"],
    "strangers": ["--visibility", "contacts"],
    "visibility_url": ["--visibility", "ask"],
    "fsync": ["--state", "/var/lib/presence"],
    "device_classes": ["--login-policy", "one-per-class"],
    "takeover": ["--state", "/var/lib/presence"],
}
"""Without which a setting means nothing, and is refused."""


def test_every_setting_is_a_flag_and_a_variable() -> None:
    raw = {"host": "::1", "engine": "memory", "allowed_origins": "*", "log_format": "json", "log_level": "error"}
    raw |= {"user_ids": "string", "platforms": "WEB,TV", "platform_status": "on"}
    raw |= {"auth": "jwt", "jwt_key": "secret", "auth_url": "http://a.example/who", "jwks": "http://a.example/keys"}
    raw |= {"trusted_networks": "10.0.0.0/8", "trusted_proxies": "10.0.0.1", "allowed_hosts": "chat.example"}
    raw["root_path"] = "/a"
    raw |= {"login_policy": "one", "on_full": "newest", "device_classes": "all=WEB+IOS"}
    raw |= {"compression": "on", "max_flush_interval": "0.5", "flush_interval": "0.02", "max_message": "2048"}
    raw["max_unsent"] = "2097152"
    raw |= {"max_header": "2048", "limits": "on", "sources": "self=1,boss=9", "lifetimes": "BUSY=60"}
    raw |= {"no_invisible": "on", "show_idle_since": "on", "reciprocal_last_seen": "on"}
    raw |= {"state": "/var/lib/presence", "fsync": "on", "takeover": "on", "reuse_port": "on"}
    raw |= {"visibility": "contacts", "strangers": "coarse", "visibility_url": "http://a.example/may"}
    for one in DECLARATIONS:
        text = raw.get(one.name, "0.4" if isinstance(one.default, float) else "2")
        others = NEEDED.get(one.name, [])
        by_flag = load([one.flag, text, *others], {})
        by_variable = load(others, {one.variable: text})
        assert by_flag == by_variable, one.name
        assert type(getattr(by_flag, one.name)) is type(one.default)
        if one.name != "engine":
            assert by_flag != Settings(), one.name


def test_a_flag_is_spelt_with_dashes_and_a_variable_in_capitals() -> None:
    assert load(["--grace-period", "5"], {}).grace_period == 5
    assert load(["--grace-period=5"], {}).grace_period == 5
    assert load([], {"PRESENCE_GRACE_PERIOD": " 5 "}).grace_period == 5


def test_flags_win_over_variables_and_the_last_flag_over_the_first() -> None:
    environ = {"PRESENCE_PORT": "9001", "PRESENCE_SHARDS": "8", "PRESENCE_ALLOWED_ORIGINS": "*"}
    settings = load(["--port", "9002", "--port", "9003", "--allowed-origins", ""], environ)
    assert (settings.port, settings.shards, settings.allowed_origins) == (9003, 8, ())


def test_there_may_be_several_hosts() -> None:
    by_flags = load(["--host", "::1", "--host", "127.0.0.1", "--host=::1"], {"PRESENCE_HOST": "0.0.0.0"})
    assert by_flags.hosts == ("::1", "127.0.0.1")
    assert load([], {"PRESENCE_HOST": "::1, 127.0.0.1"}).hosts == ("::1", "127.0.0.1")
    assert by_flags.bound_to_loopback
    assert not load(["--host", "127.0.0.1", "--host", "0.0.0.0"], {}).bound_to_loopback
    assert "must be an address" in refusal("--host ::1 --host=").reason


def test_a_flag_hides_a_variable_that_is_wrong() -> None:
    assert load(["--port", "9002"], {"PRESENCE_PORT": "x"}).port == 9002


def test_an_empty_variable_counts_as_unset() -> None:
    assert load([], {"PRESENCE_PORT": "", "PRESENCE_HOST": "  "}) == Settings()


def test_origins_are_a_list() -> None:
    text = "https://a.example, http://localhost:3000 https://a.example,null"
    assert load(["--allowed-origins", text], {}).allowed_origins == (
        "https://a.example",
        "http://localhost:3000",
        "null",
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [("on", True), ("True", True), (" yes ", True), ("1", True), ("OFF", False), ("false", False), ("no", False)],
)
def test_a_switch_may_be_written_in_several_ways(text: str, value: bool) -> None:
    assert load([f"--compression={text}"], {}).compression is value
    assert load([], {"PRESENCE_COMPRESSION": text}).compression is value


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("argv", "name", "reason"),
    [
        ("--port x", "--port", "must be a whole number, not 'x'"),
        ("--port 1.0", "--port", "must be a whole number, not '1.0'"),
        ("--port １", "--port", r"must be a whole number, not '\uff11'"),
        ("--port _1", "--port", "must be a whole number, not '_1'"),
        ("--port -1", "--port", "must be at least 0, not -1"),
        ("--port 65536", "--port", "must be at most 65535, not 65536"),
        ("--shards 0", "--shards", "must be at least 1, not 0"),
        ("--max-connections -1", "--max-connections", "must be at least 0, not -1"),
        ("--max-batch 0", "--max-batch", "must be at least 1, not 0"),
        ("--max-watched 0", "--max-watched", "must be at least 1, not 0"),
        ("--max-devices 0", "--max-devices", "must be at least 1, not 0"),
        ("--max-remembered 0", "--max-remembered", "must be at least 1, not 0"),
        ("--max-message 1023", "--max-message", "must be at least 1024 bytes, not 1023"),
        ("--max-message 16777217", "--max-message", "must be at most 16777216 bytes, not 16777217"),
        ("--grace-period x", "--grace-period", "must be a number of seconds, not 'x'"),
        ("--grace-period=", "--grace-period", "must be a number of seconds, not ''"),
        ("--grace-period nan", "--grace-period", "must be a finite number of seconds, not nan"),
        ("--grace-period inf", "--grace-period", "must be a finite number of seconds, not inf"),
        ("--grace-period=-inf", "--grace-period", "must be a finite number of seconds, not -inf"),
        ("--grace-period 1e400", "--grace-period", "must be a finite number of seconds, not inf"),
        ("--grace-period -0.5", "--grace-period", "must be at least 0 seconds, not -0.5"),
        ("--grace-period 604801", "--grace-period", "must be at most 604800 seconds, not 604801"),
        ("--ping-interval 0", "--ping-interval", "must be at least 0.001 seconds, not 0"),
        ("--pong-timeout 0", "--pong-timeout", "must be at least 0.001 seconds, not 0"),
        ("--hello-timeout 0", "--hello-timeout", "must be at least 0.001 seconds, not 0"),
        ("--heartbeat-interval 0", "--heartbeat-interval", "must be at least 0.001 seconds, not 0"),
        ("--max-lag 0", "--max-lag", "must be at least 0.001 seconds, not 0"),
        ("--away-after -1", "--away-after", "must be at least 0 seconds, not -1"),
        ("--compression maybe", "--compression", "must be on or off, not 'maybe'"),
        ("--compression=", "--compression", "must be on or off, not ''"),
        ("--log-level loud", "--log-level", "must be one of debug, info, warning, error, not 'loud'"),
        ("--log-format xml", "--log-format", "must be one of auto, human, json, not 'xml'"),
        ("--host http://localhost", "--host", "without scheme, port or brackets"),
        ("--host localhost:80", "--host", "without scheme, port or brackets"),
        ("--host [::1]", "--host", "without scheme, port or brackets"),
        ("--host=--", "--host", "must be an address or a host name"),
        ("--port=--", "--port", "must be a whole number, not '--'"),
        ("--host=", "--host", "must be an address or a host name"),
        ("--engine redis://:hunter2@h", "--engine", "a network engine is not available yet"),
        ("--engine disk", "--engine", "must be memory"),
        ("--allowed-origins https://a/", "--allowed-origins", "without path, null or *, not 'https://a/'"),
        ("--allowed-origins *,b.example", "--allowed-origins", "scheme://host[:port]"),
        ("--allowed-origins https://a:70000", "--allowed-origins", "scheme://host[:port]"),
        ("--allowed-origins wss://a", "--allowed-origins", "it starts with http:// or https://, not 'wss://a'"),
        # flags themselves
        ("--port", "--port", "needs a value"),
        ("--port --host ::1", "--port", "needs a value"),
        ("--grace-perod 5", "--grace-perod", "no such flag; did you mean --grace-period?"),
        ("--grace 5", "--grace", "no such flag"),
        ("--xyzzy=1", "--xyzzy", "no such flag; see presence-server --help"),
        ("serve", "serve", "not a flag; see presence-server --help"),
        ("--version=1", "--version", "ignored explicit argument"),
    ],
)
def test_a_wrong_flag_is_named_with_the_reason(argv: str, name: str, reason: str) -> None:
    error = refusal(argv)
    assert error.name == name
    assert reason in error.reason
    assert str(error) == f"{name}: {error.reason}"


def test_a_wrong_variable_is_named_as_it_was_written() -> None:
    assert refusal(PRESENCE_PORT="tcp://10.0.0.1:8004").name == "PRESENCE_PORT"
    assert refusal(PRESENCE_GRACE_PERIOD="-1").name == "PRESENCE_GRACE_PERIOD"
    assert refusal(PRESENCE_ENGINE="redis://h").name == "PRESENCE_ENGINE"


def test_a_wrong_field_is_named_to_a_programmer() -> None:
    with pytest.raises(SettingsError, match=r"^port: must be a number, not True$"):
        Settings(port=True)
    with pytest.raises(SettingsError, match=r"^shards: must be a number, not 1\.5$"):
        Settings(shards=1.5)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"^compression: must be True or False, not 1$"):
        Settings(compression=1)  # type: ignore[arg-type]
    assert Settings(grace_period=1).ghost_bound_websocket == 38


def test_no_password_is_repeated() -> None:
    assert "hunter2" not in str(refusal("--engine redis://:hunter2@h"))


@pytest.mark.parametrize(
    ("argv", "environ", "name"),
    [
        ("--flush-interval 0.3", {}, "--flush-interval"),
        ("--max-flush-interval 0.001", {}, "--max-flush-interval"),
        ("--flush-interval 0.3", {"PRESENCE_MAX_FLUSH_INTERVAL": "0.2"}, "--flush-interval"),
        ("", {"PRESENCE_MAX_FLUSH_INTERVAL": "0"}, "PRESENCE_MAX_FLUSH_INTERVAL"),
    ],
)
def test_the_busy_window_is_not_shorter_than_the_quiet_one(argv: str, environ: dict[str, str], name: str) -> None:
    error = refusal(argv, **environ)
    assert error.name == name
    assert "must not be greater than max_flush_interval" in error.reason


def test_unusually_long_batching_is_added_to_the_printed_ghost_bounds() -> None:
    usual = load(["--min-publish-interval", "1.25"], {})
    assert (usual.ghost_bound_websocket, usual.ghost_bound_rest) == (47, 77)
    slow = load(["--min-publish-interval", "4.25"], {})
    assert (slow.ghost_bound_websocket, slow.ghost_bound_rest) == (50, 80)


def test_what_may_be_zero() -> None:
    zero = "--grace-period 0 --away-after 0 --min-publish-interval 0 --flush-interval 0 --port 0 --drain-timeout 0"
    settings = load([*zero.split(), "--max-connections", "0"], {})
    assert (settings.grace_period, settings.flush_interval, settings.port) == (0, 0, 0)


@given(st.sampled_from(DECLARATIONS), st.text(st.characters(exclude_characters="\0")))
def test_any_value_is_taken_or_refused_in_one_line(one: Declaration, text: str) -> None:
    refused = None
    try:
        load([f"{one.flag}={text}"], {})
    except SettingsError as error:
        refused = error
    assert refused is None or (refused.name == one.flag and len(str(refused)) < 250 and str(refused).isprintable())


@pytest.mark.parametrize("argv", [["--a\nb"], ["a\nb\x1b[0m"], ["--"], ["--", "x"], ["-p"], ["-h5"], ["\ud800"]])
def test_a_strange_argument_is_refused_in_one_line(argv: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(argv, {})
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).isprintable()


def test_a_wrong_setting_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load_or_exit(["--port", "x"], {})
    assert caught.value.code == 2
    assert capsys.readouterr() == ("", "presence-server: --port: must be a whole number, not 'x'\n")


def test_a_right_one_is_no_exit() -> None:
    assert load_or_exit(["--port", "1"], {}).port == 1


def test_help_tells_every_setting_with_default_and_unit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load_or_exit(["--help"], {})
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for one in DECLARATIONS:
        assert f"{one.flag} {one.metavar} {one.help}" in text
    assert "between the unclean end of a link and OFFLINE (default: 10 seconds)" in text
    assert "one message or REST body (default: 262144 bytes)" in text
    assert "PRESENCE_GRACE_PERIOD" in text


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load_or_exit(["--version"], {})
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"presence-server {__version__}\n"


def test_help_survives_a_terminal_that_cannot_show_everything() -> None:
    code = "from presence_server.settings import load; load(['--help'], {})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "20"},
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_misspelt_variables_are_found_and_foreign_ones_are_not() -> None:
    environ = {"PRESENCE_GRACE_PERIODE": "5", "PRESENCE_PORT": "1", "PRESENCE_SERVICE_HOST": "10.0.0.1", "HOME": "/"}
    assert misspelt_variables(environ) == {"PRESENCE_GRACE_PERIODE": "PRESENCE_GRACE_PERIOD"}


def test_the_ghost_bounds_are_the_promised_ones() -> None:
    assert (Settings().ghost_bound_websocket, Settings().ghost_bound_rest) == (47, 77)
    assert Settings().rest_lifetime == 75
    short = Settings(ping_interval=1, pong_timeout=0.5, grace_period=0, heartbeat_interval=2)
    assert (short.ghost_bound_websocket, short.ghost_bound_rest, short.rest_lifetime) == (3.5, 7, 5)


def test_a_blocked_watcher_is_closed_by_the_shorter_of_two_limits() -> None:
    assert Settings().lag_limit == 30
    assert Settings(max_lag=60).lag_limit == 35
    assert Settings(max_lag=1).lag_limit == 1


@pytest.mark.parametrize(
    ("asked", "files", "limit"),
    [
        (0, 1024, 960),
        (0, 65, 1),
        (0, 10, 1),
        (100, 1024, 100),
        (100_000, 1024, 960),
        (100_000, -1, 100_000),
        (0, -1, 1_048_512),
    ],
)
def test_connections_fit_the_open_file_limit(asked: int, files: int, limit: int) -> None:
    assert Settings(max_connections=asked).connection_limit(files) == limit


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False)]
)
def test_whether_only_this_machine_is_served(host: str, loopback: bool) -> None:
    assert Settings(host=host).bound_to_loopback is loopback


def test_the_start_line_tells_link_bounds_and_limits() -> None:
    line = start_line(Settings(grace_period=0.1, ping_interval=0.2), "http://127.0.0.1:8004/", 960)
    assert len(line.splitlines()) == 1
    for part in ("http://127.0.0.1:8004/ ", " 12.3 s (WebSocket)", " 77 s (REST)", " 960 connections", " 5000 watched"):
        assert part in line
    for part in (" 16 devices", " 1000 users per query", " 262144 bytes"):
        assert part in line


def test_the_documented_table_is_the_declared_one() -> None:
    operations = Path(__file__).parents[2] / "docs" / "operations.md"
    assert markdown_table() in operations.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flag", "value", "reason"),
    [
        ("--trusted-networks", "10.0.0.1/8", "'10.0.0.1/8' has bits beyond its prefix; did you mean 10.0.0.0/8?"),
        ("--trusted-proxies", "proxy", "'proxy' must be an address or a network, such as 10.0.0.0/8"),
        ("--allowed-hosts", "http://chat.example", "must hold host names without scheme or port"),
        ("--allowed-hosts", "chat.example:80", "must hold host names without scheme or port"),
        ("--root-path", "presence", "must be a path such as /presence, not 'presence'"),
        ("--root-path", "/a/../b", "must be a path such as /presence, not '/a/../b'"),
        ("--root-path", "//a", "must be a path such as /presence, not '//a'"),
        ("--root-path", "https://a.example/p", "must be a path such as /presence"),
    ],
)
def test_networks_and_hosts_are_checked(flag: str, value: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(reason)) as failed:
        load([flag, value], {})
    assert str(failed.value).startswith(f"{flag}: ")


def in_file(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "presence.toml").write_text(text, "utf-8")
    return ["--config", str(tmp_path / "presence.toml")]


def test_a_file_holds_settings_by_the_same_names(tmp_path: Path) -> None:
    flags = in_file(
        tmp_path,
        """
        # comments are welcome
        host = ["127.0.0.1", "::1"]
        port = 9000
        grace_period = 5
        ping_interval = 12.5
        compression = true
        log_format = "json"
        trusted_networks = ["127.0.0.0/8", "10.0.0.0/8"]
        allowed_hosts = "a.example, b.example"
        """,
    )
    settings = load(flags, {})
    assert settings.hosts == ("127.0.0.1", "::1")
    assert (settings.port, settings.grace_period, settings.ping_interval) == (9000, 5.0, 12.5)
    assert (settings.compression, settings.log_format) == (True, "json")
    assert settings.trusted_networks == ("127.0.0.0/8", "10.0.0.0/8")
    assert settings.allowed_hosts == ("a.example", "b.example")
    assert load([], {"PRESENCE_CONFIG": flags[1]}) == settings


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(tmp_path: Path) -> None:
    flags = in_file(tmp_path, "port = 9000\nshards = 1\nmax_devices = 2")
    settings = load([*flags, "--port", "9002"], {"PRESENCE_PORT": "9001", "PRESENCE_SHARDS": "3"})
    assert (settings.port, settings.shards, settings.max_devices) == (9002, 3, 2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("grace_perod = 5", "grace_perod: no such setting; did you mean grace_period?"),
        ("grace-period = 5", "grace-period: no such setting; did you mean grace_period?"),
        ("[server]\nport = 1", "server: no such setting; see presence-server --help"),
        ("config = 'x'", "config: no such setting; see presence-server --help"),
        ("port = '9000'", "port: must be a whole number, not '9000'"),
        ("port = true", "port: must be a whole number, not True"),
        ("port = 70000", "port: must be at most 65535, not 70000"),
        ("port = 1.5", "port: must be a whole number, not '1.5'"),
        ("compression = 1", "compression: must be true or false, not 1"),
        ("engine = 7", "engine: must be a string, not 7"),
        ("allowed_hosts = [7]", "allowed_hosts: must be a list of strings"),
        (
            "flush_interval = 2",
            "flush_interval: flush_interval (2 seconds) must not be greater than max_flush_interval",
        ),
        ("port = ", "is not TOML: "),
        ("port = 1\nport = 2", "is not TOML: "),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, reason: str) -> None:
    flags = in_file(tmp_path, text)
    with pytest.raises(SettingsError) as failed:
        load(flags, {})
    assert str(failed.value).startswith(f"{flags[1]}: ")
    assert reason in str(failed.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"presence\.toml: No such file or directory"):
        load(["--config", str(tmp_path / "presence.toml")], {})
    (tmp_path / "presence.toml").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match=r"presence\.toml: is not UTF-8"):
        load(["--config", str(tmp_path / "presence.toml")], {})


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        ("", "must hold at least one class"),
        ("mobile", "must hold CLASS=PLATFORM+PLATFORM"),
        ("mobile=", "must hold CLASS=PLATFORM+PLATFORM"),
        ("Mobile=IOS", "must hold CLASS=PLATFORM+PLATFORM"),
        ("mobile=IOS+TOASTER", "must name platforms of this server (WEB, IOS, ANDROID, PC), not 'TOASTER'"),
        ("mobile=IOS+IOS", "must name IOS once"),
        ("a=IOS,b=IOS", "must name IOS once"),
        ("a=IOS,a=WEB", "must name a once"),
    ],
)
def test_classes_of_devices_are_held_to_their_grammar(classes: str, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(["--login-policy", "one-per-class", "--device-classes", classes], {})
    assert caught.value.name == "--device-classes"
    assert caught.value.reason.startswith(reason)


def test_classes_of_devices_mean_nothing_without_their_policy() -> None:
    assert "means nothing without" in refusal("--device-classes a=IOS").reason
    assert load(["--platforms", "TV,BOT", "--login-policy", "one-per-class"], {}).login_policy == "one-per-class"
