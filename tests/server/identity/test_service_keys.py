"""Keys of back ends: the file, and what a wrong line says."""

from __future__ import annotations

from pathlib import Path

import pytest

from presence_server.identity.service_keys import KeyFileError, ServiceKeys, line_of, new_key, parse, parse_scopes

KEY = new_key(lambda size: b"\x07" * size)
OTHER = new_key(lambda size: b"\x08" * size)


def test_a_key_is_found_by_its_digest_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# back ends\n\n{line_of('crm', KEY, parse_scopes('write, read'))}\n", "utf-8")
    keys = ServiceKeys(path)
    found = keys.find(KEY)
    assert found is not None
    assert (found.name, found.scopes, found.is_service) == ("service crm", {"write", "read"}, True)
    assert keys.find(OTHER) is None
    assert keys.find("") is None
    assert KEY not in path.read_text("utf-8")


def test_several_keys_are_good_at_once_and_the_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(line_of("crm", KEY, parse_scopes("read")), "utf-8")
    keys = ServiceKeys(path)
    path.write_text(path.read_text("utf-8") + "\n" + line_of("crm", OTHER, parse_scopes("read")), "utf-8")
    keys.reload()
    assert keys.find(KEY) == keys.find(OTHER)
    path.write_text("rubbish", "utf-8")
    with pytest.raises(KeyFileError, match="line 1"):
        keys.reload()
    assert keys.find(OTHER) is not None  # what was read before stays


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("crm", "must hold a name, the SHA-256 of the key in hex, and scopes"),
        (f"crm {'0' * 63} read", "the second word must be 64 hex digits"),
        (f"crm {'0' * 64} read,sudo", "scopes must be some of admin,read,write, not sudo"),
        (f"crm {KEY} read", "holds a key itself"),
        (f"c/m {'0' * 64} read", "the name must be"),
    ],
)
def test_a_wrong_line_is_named_and_never_shown(line: str, reason: str) -> None:
    with pytest.raises(KeyFileError) as failed:
        parse(f"\n{line}\n", "keys")
    assert str(failed.value).startswith("keys, line 2: ")
    assert reason in str(failed.value)
    assert KEY not in str(failed.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        ServiceKeys(tmp_path / "none")
