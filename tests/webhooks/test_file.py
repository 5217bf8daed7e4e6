"""The file of --webhooks: what it may hold, and the one line for what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from presence_protocol.user_ids import INT64, NUMBER, STRING
from presence_server.webhooks.file import (
    MAX_BATCH,
    MAX_WEBHOOKS,
    Wanted,
    Webhook,
    WebhookFileError,
    is_short,
    parse,
    read,
)
from support.receiver import OTHER_SECRET, SECRET

PLATFORMS = ("WEB", "IOS", "PC")
USUAL = f'name = "crm"\nurl = "https://crm.example.com/hook"\nsecrets = ["{SECRET}"]\n'


def table(text: str = USUAL) -> tuple[Webhook, ...]:
    return parse(f"[[webhook]]\n{text}", "hooks.toml", NUMBER, PLATFORMS)


def test_what_is_left_out_is_the_usual() -> None:
    (webhook,) = table()
    assert webhook == Webhook("crm", "https://crm.example.com/hook", (SECRET,))
    assert (webhook.batch_size, webhook.batch_wait, webhook.allow_private, webhook.scope) == (500, 1.0, False, "read")
    assert webhook.wanted == Wanted()


def test_all_that_may_be_said() -> None:
    (webhook,) = table(f"""
        name = "push.gateway-2"
        url = "http://10.0.0.7:8080/in?key=1"
        secrets = ["{SECRET}", "{OTHER_SECRET}", "{SECRET}"]
        filter = {{ status = ["ONLINE", "OFFLINE"], platforms = ["IOS"], users = [10001, 10002] }}
        scope = "admin"
        batch_size = 20
        batch_wait = 0
        allow_private = true
    """)
    wanted = Wanted(frozenset({"ONLINE", "OFFLINE"}), frozenset({"IOS"}), frozenset({10001, 10002}))
    assert webhook == Webhook(
        "push.gateway-2", "http://10.0.0.7:8080/in?key=1", (SECRET, OTHER_SECRET), wanted, "admin", 20, 0.0, True
    )
    assert SECRET not in repr(webhook)


def test_a_filter_may_be_written_as_that_of_events() -> None:
    (webhook,) = table(USUAL + 'filter = { status = "BUSY", platform = ["IOS"], userIds = [10001] }')
    assert webhook.wanted == Wanted(frozenset({"BUSY"}), frozenset({"IOS"}), frozenset({10001}))


@pytest.mark.parametrize(
    ("ids", "users", "expected"),
    [(INT64, '["9007199254740993", 7]', {9007199254740993, 7}), (STRING, '["ann"]', {"ann"})],
)
def test_users_are_of_the_servers_kind(ids: object, users: str, expected: set[object]) -> None:
    text = f"[[webhook]]\n{USUAL}filter = {{ users = {users} }}"
    (webhook,) = parse(text, "hooks.toml", ids, PLATFORMS)  # type: ignore[arg-type]
    assert webhook.wanted.users == expected


def test_an_empty_file_has_no_webhooks() -> None:
    assert parse("# later", "hooks.toml", NUMBER, PLATFORMS) == ()


def line(change: str, field: str) -> str:
    """The usual table with `field` as `change` says."""
    kept = [one for one in USUAL.splitlines() if not one.startswith(field)]
    return "\n".join([*kept, change])


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ("", "name", "is missing"),
        ("", "url", "is missing"),
        ("", "secrets", "is missing"),
        ('name = "a b"', "name", "must be 1 to 64 letters"),
        ("name = 7", "name", "must be 1 to 64 letters"),
        ('url = "crm.example.com"', "url", "must start with https:// or http://"),
        ('url = "ftp://crm.example.com"', "url", "must start with https:// or http://"),
        ('url = "https:///hook"', "url", "names no host"),
        ('url = "https://crm.example.com:http/"', "url", "is no URL"),
        ('url = "https://u:p@crm.example.com/"', "url", "must not hold a user or a password"),
        ('url = "https://crm.example.com/#top"', "url", "must not hold a fragment"),
        ('url = "https://crm.example.com/ hook"', "url", "must be a URL in ASCII"),
        ('url = "https://crm.exämple.com/"', "url", "must be a URL in ASCII"),
        ("secrets = []", "secrets", "must be a list of secrets"),
        ("secrets = [1]", "secrets", "number 1 must begin with whsec_"),
        ('secrets = ["hush"]', "secrets", "number 1 must begin with whsec_"),
        (f'secrets = ["{SECRET}", "whsec_not base64!"]', "secrets", "number 2 must have base64"),
        ('secrets = ["whsec_"]', "secrets", "number 1 must have base64"),
        (f"secrets = {[SECRET + str(i) for i in range(9)]}", "secrets", "must hold at most 8"),
        ('filter = "ONLINE"', "filter", "must be a table of status, platforms, users"),
        ('filter = { status = ["HERE"] }', "filter.status", "must name ONLINE, AWAY, BUSY, OFFLINE, not 'HERE'"),
        ('filter = { platforms = ["web"] }', "filter.platforms", "must name WEB, IOS, PC, not 'web'"),
        ("filter = { users = [0] }", "filter.users", "must be an integer from 1"),
        ("filter = { users = [] }", "filter.users", "must be a list that is not empty"),
        ("filter = { userIds = [0] }", "filter.userIds", "must be an integer from 1"),
        ("filter = { users = [1], userIds = [2] }", "filter.userIds", "is the same as users; leave one of them out"),
        ("filter = { user = [1] }", "filter.user", "is unknown; did you mean users?"),
        ("batch_size = 0", "batch_size", "must be a whole number from 1 to 500"),
        ("batch_size = 501", "batch_size", "must be a whole number from 1 to 500"),
        ("batch_size = true", "batch_size", "must be a whole number from 1 to 500"),
        ("batch_wait = -1", "batch_wait", "must be from 0 to 3600 seconds"),
        ("batch_wait = nan", "batch_wait", "must be a number of seconds"),
        ('batch_wait = "1s"', "batch_wait", "must be a number of seconds"),
        ('allow_private = "yes"', "allow_private", "must be true or false"),
        ('scope = "write"', "scope", "must be read or admin"),
        ('secret = "x"', "secret", "is unknown; did you mean secrets?"),
    ],
)
def test_what_is_wrong_is_one_line_with_table_field_and_reason(change: str, field: str, reason: str) -> None:
    with pytest.raises(WebhookFileError) as wrong:
        table(line(change, field))
    said = str(wrong.value)
    called = "" if field == "name" else " (crm)"
    assert said.startswith(f"hooks.toml: webhook 1{called}: {field}: {reason}"), said
    assert "\n" not in said
    assert SECRET not in said


def test_a_name_is_of_one_webhook() -> None:
    with pytest.raises(WebhookFileError, match=r"^hooks.toml: webhook 2 \(crm\): name: is that of another"):
        table(f"{USUAL}[[webhook]]\n{USUAL}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "hooks.toml: is not TOML: "),
        ("webhook = 1", "hooks.toml: webhook: must be tables: write [[webhook]]"),
        ("[webhook]\nname = 'a'", "hooks.toml: webhook: must be tables: write [[webhook]]"),
        ("[[webhooks]]", "hooks.toml: webhooks: is unknown; write a table [[webhook]] for each receiver"),
        ("[[webhook]]\n" * (MAX_WEBHOOKS + 1), "hooks.toml: webhook: there may be at most 64"),
        ("a = " + "[" * 5000, "hooks.toml: is not TOML: "),
    ],
)
def test_a_file_that_holds_something_else(text: str, said: str) -> None:
    with pytest.raises(WebhookFileError) as wrong:
        parse(text, "hooks.toml", NUMBER, PLATFORMS)
    assert str(wrong.value).startswith(said)
    assert "\n" not in str(wrong.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(WebhookFileError, match=r"missing\.toml: No such file"):
        read(tmp_path / "missing.toml", NUMBER, PLATFORMS)
    (tmp_path / "latin.toml").write_bytes(b"\xff")
    with pytest.raises(WebhookFileError, match=r"latin\.toml: is not UTF-8"):
        read(tmp_path / "latin.toml", NUMBER, PLATFORMS)


def test_a_secret_may_lack_its_padding_and_may_be_short() -> None:
    (webhook,) = table(line('secrets = ["whsec_c2hvcnQ", "whsec_c2hvcnQ="]', "secrets"))
    assert [is_short(secret) for secret in (*webhook.secrets, SECRET)] == [True, True, False]
    assert MAX_BATCH == 500
