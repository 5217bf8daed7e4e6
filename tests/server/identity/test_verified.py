"""What is remembered of tokens that were verified: those that come again, and none that came once."""

from __future__ import annotations

from presence_server.application.principals import Principal
from presence_server.identity.verified import REMEMBERED, Verified, digest_of

ANN = Principal("user", 10001)


def test_a_token_is_remembered_when_it_comes_again() -> None:
    verified, digest = Verified(), digest_of("ann's")
    verified.add(digest, ANN)
    assert verified.find(digest) is None
    verified.add(digest, ANN)
    assert verified.find(digest) is ANN


def test_a_crowd_that_comes_once_takes_nothing_and_pushes_nobody_out() -> None:
    verified, digest = Verified(), digest_of("ann's")
    for _ in range(2):
        verified.add(digest, ANN)
    for number in range(2 * REMEMBERED):
        verified.add(digest_of(f"{number}"), Principal("user", number))
    assert verified.find(digest) is ANN
    assert len(verified) == 1


def test_no_more_than_so_many_are_remembered() -> None:
    verified = Verified()
    for number in range(REMEMBERED + 10):
        for _ in range(2):
            verified.add(digest_of(f"{number}"), ANN)
    assert len(verified) == REMEMBERED
    assert verified.find(digest_of("0")) is None
    assert verified.find(digest_of(f"{REMEMBERED + 9}")) is ANN


def test_what_keys_verified_that_are_gone_is_forgotten() -> None:
    verified, digest = Verified(), digest_of("ann's")
    for _ in range(2):
        verified.add(digest, ANN)
    verified.clear()
    assert verified.find(digest) is None
    verified.add(digest, ANN)
    assert verified.find(digest) is None
