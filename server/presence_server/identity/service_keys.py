"""Keys of back ends. The file holds digests, so that whoever reads it cannot use them.

A line each: a name, the SHA-256 of the key in hex, scopes separated by commas. Several keys may be good at once, so
that one is replaced without a gap. A plain digest is enough here: a key is 256 random bits, not a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Final, NamedTuple

from presence_server.application.principals import SCOPES, Principal

PREFIX: Final = "psk_"
"""What every key begins with, so that scanners of repositories and logs find one that leaked."""

KEY_BYTES: Final = 32

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class KeyFileError(Exception):
    """The file cannot be used. Its text is one line that names the file and the line."""


class ServiceKey(NamedTuple):
    digest: bytes
    principal: Principal


def digest_of(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()


def new_key(random_bytes: Callable[[int], bytes]) -> str:
    """A key of 256 bits. `random_bytes` is `secrets.token_bytes`, or a test's."""
    return PREFIX + random_bytes(KEY_BYTES).hex()


def line_of(name: str, key: str, scopes: frozenset[str]) -> str:
    """The line of the file for a key.

    Raises:
        ValueError: with the reason, if the name or a scope cannot be.
    """
    _check_name(name)
    _check_scopes(scopes)
    return f"{name} {digest_of(key).hex()} {','.join(sorted(scopes))}"


def parse_scopes(text: str) -> frozenset[str]:
    """Scopes as they are written, separated by commas. Raises ValueError with the reason."""
    scopes = frozenset(scope.strip() for scope in text.split(",") if scope.strip())
    _check_scopes(scopes)
    return scopes


def _check_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"the name must be 1 to 64 letters, digits, dots, dashes or underscores, not {name[:40]!a}")


def _check_scopes(scopes: frozenset[str]) -> None:
    if not scopes or not scopes <= SCOPES:
        wrong = ", ".join(sorted(scopes - SCOPES)) or "none"
        raise ValueError(f"scopes must be some of {','.join(sorted(SCOPES))}, not {wrong[:60]}")


def parse(text: str, source: str) -> tuple[ServiceKey, ...]:
    """The keys of a file's text. Blank lines and lines that begin with # are left out.

    Raises:
        KeyFileError: a line is wrong; the line itself is not shown, since somebody may have written a key into it.
    """
    keys: list[ServiceKey] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            if len(words) < 3:
                raise ValueError("must hold a name, the SHA-256 of the key in hex, and scopes")
            name, digest, scopes = words[0], words[1].lower(), parse_scopes("".join(words[2:]))
            if name.startswith(PREFIX) or digest.startswith(PREFIX):
                raise ValueError("holds a key itself; it must hold its SHA-256")
            _check_name(name)
            if _DIGEST.fullmatch(digest) is None:
                raise ValueError("the second word must be 64 hex digits")
        except ValueError as reason:
            raise KeyFileError(f"{source}, line {number}: {reason}") from None
        principal = Principal(f"service {name}", scopes=scopes, may_observe=True)
        keys.append(ServiceKey(bytes.fromhex(digest), principal))
    return tuple(keys)


class ServiceKeys:
    """The keys of one file, which can be read anew."""

    def __init__(self, path: Path) -> None:
        """Raises KeyFileError."""
        self._path = path
        self._keys: tuple[ServiceKey, ...] = ()
        self.reload()

    def reload(self) -> frozenset[Principal]:
        """Read the file again; whose keys are gone, or allow something else now. What was read before stays if it
        cannot be.

        Raises:
            KeyFileError: the file cannot be read, or a line is wrong.
        """
        try:
            text = self._path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as failure:
            reason = failure.strerror if isinstance(failure, OSError) else "is not UTF-8"
            raise KeyFileError(f"{self._path}: {reason}") from None
        before, self._keys = self._keys, parse(text, str(self._path))
        return frozenset(key.principal for key in before) - frozenset(key.principal for key in self._keys)

    def find(self, key: str) -> Principal | None:
        """Whose key it is. All are compared, whichever fits, so that the time tells nothing."""
        digest, found = digest_of(key), None
        for known in self._keys:
            if compare_digest(known.digest, digest):
                found = known.principal
        return found

    def __len__(self) -> int:
        return len(self._keys)
