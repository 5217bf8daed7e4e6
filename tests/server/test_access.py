"""Who sees whom by default; and what is wrong with a file of keys is told before anything is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from presence_server.access import Access
from presence_server.application.policies import Everyone
from presence_server.domain.lenses import Lens
from presence_server.settings import SettingsError, load


def test_everybody_sees_everybody() -> None:
    assert Everyone().is_open
    assert Everyone().lens(10001, 10002) is Lens.FULL


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--service-keys", "{missing}"], "service_keys: {missing}: No such file or directory"),
        (["--service-keys", "{wrong}"], "service_keys: {wrong}, line 1: must hold a name"),
        (["--auth", "jwt", "--jwt-key", "@{missing}"], "jwt_key: {missing}: No such file or directory"),
        (["--auth", "jwt", "--jwt-key", "k=@{pem}"], "jwt_key: {pem}: is no PEM of a public key"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_is_named(tmp_path: Path, flags: list[str], reason: str) -> None:
    names = {"missing": tmp_path / "missing", "wrong": tmp_path / "wrong", "pem": tmp_path / "pem"}
    names["wrong"].write_text("rubbish", "utf-8")
    names["pem"].write_text("-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----", "utf-8")
    with pytest.raises(SettingsError) as failed:
        Access(load([flag.format(**names) for flag in flags], {}))
    assert str(failed.value).startswith(reason.format(**names))


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--auth", "jwt"], "--auth: jwt needs jwt_key or jwks"),
        (["--auth", "webhook"], "--auth: webhook needs auth_url"),
        (["--auth", "ldap"], "--auth: must be one of none, jwt, webhook, not 'ldap'"),
        (["--jwt-key", "secret"], "--jwt-key: means nothing without auth jwt"),
        (["--auth", "jwt", "--jwks", "ftp://a.example"], "--jwks: must start with http:// or https://"),
        (["--auth", "webhook", "--auth-url", "/who"], "--auth-url: must start with http:// or https://"),
    ],
)
def test_settings_of_credentials_are_held_against_each_other(flags: list[str], reason: str) -> None:
    with pytest.raises(SettingsError) as failed:
        load(flags, {})
    assert str(failed.value) == reason


def test_a_secret_is_not_shown() -> None:
    assert "hunter2" not in repr(load(["--auth", "jwt", "--jwt-key", "hunter2"], {}))
