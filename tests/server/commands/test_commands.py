"""The commands beside serving, as an operator meets them at a terminal."""

from __future__ import annotations

import re
import stat
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from presence_server.commands import NAMES, find
from presence_server.identity.service_keys import ServiceKeys
from server.identity.keys import SECRET, private_key, private_pem, public_pem
from support.tls import Authority

Capture = pytest.CaptureFixture[str]


def run(command: str, *argv: str) -> int:
    try:
        return find(command)(argv, {})
    except SystemExit as ended:
        return int(ended.code or 0)


# -- key -------------------------------------------------------------------------------------------------------------


def test_a_new_key_is_printed_with_its_line(capsys: Capture) -> None:
    assert run("key", "new", "crm", "--scopes", "write,read") == 0
    key, line = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"psk_[0-9a-f]{64}", key)
    assert re.fullmatch(r"crm [0-9a-f]{64} read,write", line)


def test_a_new_key_is_good_once_it_is_in_the_file(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "keys"
    for name in ("crm", "billing"):
        assert run("key", "new", name, "--scopes", "read", "--file", str(path)) == 0
    lines = capsys.readouterr().out.splitlines()
    keys = ServiceKeys(path)
    assert [principal.name for key in lines[::2] if (principal := keys.find(key))] == ["service crm", "service billing"]
    assert not any(key in path.read_text("utf-8") for key in lines[::2])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_is_appended_after_one_that_has_no_end(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "keys"
    path.write_text("# ours", "utf-8")
    assert run("key", "new", "crm", "--scopes", "read", "--file", str(path)) == 0
    assert path.read_text("utf-8") == "# ours\n" + capsys.readouterr().out.splitlines()[1] + "\n"


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ((), "required: new"),
        (("new", "crm"), "required: --scopes"),
        (("new", "a b", "--scopes", "read"), "the name must be"),
        (("new", "crm", "--scopes", "root"), "scopes must be some of"),
        (("new", "crm", "--scopes", ""), "scopes must be some of"),
        (("new", "crm", "--scopes", "read", "--file", "{wrong}"), "{wrong}, line 1"),
        (("new", "crm", "--scopes", "read", "--file", "{missing}/keys"), "No such file"),
    ],
)
def test_what_is_wrong_is_one_line_and_no_key(
    tmp_path: Path, capsys: Capture, argv: tuple[str, ...], reason: str
) -> None:
    names = {"wrong": str(tmp_path / "wrong"), "missing": str(tmp_path / "missing")}
    Path(names["wrong"]).write_text("rubbish", "utf-8")
    assert run("key", *(part.format(**names) for part in argv)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert reason.format(**names) in said.err
    assert said.err.count("\n") == 1
    assert Path(names["wrong"]).read_text("utf-8") == "rubbish"


# -- token -----------------------------------------------------------------------------------------------------------


def signed(capsys: Capture, *argv: str, key: Any = SECRET, algorithm: str = "HS256", **more: Any) -> dict[str, Any]:
    assert run("token", *argv) == 0
    made: dict[str, Any] = jwt.decode(capsys.readouterr().out.strip(), key, [algorithm], **more)
    return made


def test_a_token_of_a_user(capsys: Capture) -> None:
    claims = signed(capsys, "--user", "1", "--jwt-key", SECRET)
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("1", 3600)
    assert abs(claims["iat"] - time.time()) < 60
    claims = signed(
        capsys,
        *("--user", "1", "--device", "phone", "--platforms", "IOS,WEB", "--observe", "--expires-in", "60"),
        *("--jwt-key", SECRET, "--jwt-issuer", "me", "--jwt-audience", "presence"),
        audience="presence",
    )
    assert claims["presence"] == {"device": "phone", "platforms": ["IOS", "WEB"], "observe": True}
    assert (claims["iss"], claims["aud"], claims["exp"] - claims["iat"]) == ("me", "presence", 60)


def test_a_token_of_a_user_whose_id_is_a_string(capsys: Capture) -> None:
    assert signed(capsys, "--user", "u_8f3a", "--user-ids", "string", "--jwt-key", SECRET)["sub"] == "u_8f3a"


def test_a_token_of_a_service(capsys: Capture) -> None:
    assert signed(capsys, "--scopes", "read,write", "--jwt-key", SECRET)["presence"] == {"scopes": ["read", "write"]}


@pytest.mark.parametrize(("kind", "algorithm"), [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")])
def test_a_private_pem_signs_a_public_one_does_not(tmp_path: Path, capsys: Capture, kind: str, algorithm: str) -> None:
    private, public = tmp_path / "private", tmp_path / "public"
    private.write_text(private_pem(kind), "utf-8")
    public.write_text(public_pem(kind), "utf-8")
    key = private_key(kind).public_key()
    listed = f"a=@{public},b=@{private}"
    assert signed(capsys, "--user", "1", "--jwt-key", f"@{private}", key=key, algorithm=algorithm)["sub"] == "1"
    assert run("token", "--user", "1", "--jwt-key", listed, "--kid", "b") == 0
    assert jwt.get_unverified_header(capsys.readouterr().out.strip())["kid"] == "b"
    assert run("token", "--user", "1", "--jwt-key", listed) == 2
    assert "a private one is needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (("--user", "1"), "--jwt-key: is needed to sign"),
        (("--user", "1", "--jwks", "https://a.example/keys"), "--jwt-key: is needed to sign"),
        (("--jwt-key", SECRET), "--user: is needed"),
        (("--user", "0", "--jwt-key", SECRET), "--user: must be an integer from 1"),
        (("--user", "1", "--scopes", "root", "--jwt-key", SECRET), "--scopes: must be some of"),
        (("--user", "1", "--platforms", "tv", "--jwt-key", SECRET), "--platforms: must hold names of"),
        (("--user", "1", "--expires-in", "inf", "--jwt-key", SECRET), "--expires-in: must be a finite number"),
        (("--user", "a/b", "--user-ids", "string", "--jwt-key", SECRET), "--user: must not hold U+002F"),
        (("--user", "1", "--jwt-key", "@/nowhere"), "--jwt-key: /nowhere: No such file"),
        (("--usr", "1", "--jwt-key", SECRET), "--usr: no such flag"),
    ],
)
def test_no_token_where_something_is_wrong(capsys: Capture, argv: tuple[str, ...], reason: str) -> None:
    assert run("token", *argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert reason in said.err


# -- check -----------------------------------------------------------------------------------------------------------

SAFE = ("--auth", "jwt", "--jwt-key", SECRET)


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (("--host", "0.0.0.0"), "nobody is asked for credentials, and other machines reach this address"),
        (("--trusted-networks", "127.0.0.0/8,10.0.0.0/8"), "whoever is in 10.0.0.0/8 may act as any user"),
        (("--uds", "/tmp/presence.sock"), "at the Unix socket"),
        (("--allowed-origins", "*"), "every web page that somebody"),
        (("--allowed-origins", "null"), "every sandboxed or local web page"),
        (("--trusted-proxies", "0.0.0.0/0"), "everybody may claim any address"),
        (("--auth", "jwt", "--jwt-key", "hunter2"), "a secret of jwt_key has 7 bytes"),
        (("--auth", "jwt", "--jwks", "https://a.example/keys"), "jwks without jwt_audience"),
        (("--auth", "jwt", "--jwks", "http://a.example/keys", "--jwt-audience", "a"), "jwks is not https"),
        (("--auth", "webhook", "--auth-url", "http://a.example/who"), "auth_url is not https"),
        (("--host", "0.0.0.0", *SAFE), "there is no TLS"),
    ],
)
def test_what_is_unsafe_is_said_in_words(capsys: Capture, argv: tuple[str, ...], reason: str) -> None:
    assert run("check", *argv) == 1
    assert reason in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv",
    [
        (),
        SAFE,
        ("--host", "0.0.0.0", "--trusted-proxies", "10.0.0.0/8", *SAFE),
        ("--auth", "webhook", "--auth-url", "http://127.0.0.1:9/who"),
        ("--auth", "jwt", "--jwks", "https://a.example/keys", "--jwt-audience", "presence"),
    ],
)
def test_what_is_not_unsafe(capsys: Capture, argv: tuple[str, ...]) -> None:
    assert run("check", *argv) == 0
    assert "Nothing is known to be unsafe" in capsys.readouterr().out


def test_with_tls_a_public_address_is_safe(tmp_path: Path, capsys: Capture) -> None:
    certificate, key = Authority(tmp_path).pair("127.0.0.1")
    served = ("--host", "0.0.0.0", "--tls-cert", str(certificate), "--tls-key", str(key), *SAFE)
    assert run("check", *served) == 0
    key.chmod(0o666)
    assert run("check", *served) == 1
    assert f"everybody on this machine may write {key}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (("--port", "x"), "--port: must be a whole number"),
        (("--service-keys", "/nowhere"), "service_keys: /nowhere: No such file"),
        (("--auth", "jwt", "--jwt-key", "@/nowhere"), "jwt_key: /nowhere: No such file"),
        (("--tls-cert", "/nowhere", "--tls-key", "/nowhere"), "tls_cert: /nowhere: No such file"),
        (("--tls-cert", "/nowhere"), "--tls-cert: needs tls_key"),
    ],
)
def test_what_is_wrong_is_not_unsafe(capsys: Capture, argv: tuple[str, ...], reason: str) -> None:
    assert run("check", *argv) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_every_command_tells_of_itself(capsys: Capture, name: str) -> None:
    assert run(name, "--help") == 0
    assert f"presence-server {name}" in capsys.readouterr().out
