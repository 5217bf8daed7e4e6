"""Close codes; the whole table of advice is in `vectors/close_codes.json`."""

import pytest

from presence_protocol.close_codes import Advice, CloseCode, advice, ends_device


def test_codes_are_plain_integers_on_the_wire() -> None:
    assert int(CloseCode.REPLACED) == 4409
    assert f"{CloseCode.REPLACED:d}" == "4409"


@pytest.mark.parametrize("code", [code for code in CloseCode if 4400 <= code < 4500])
def test_what_4400_to_4499_say_would_only_happen_again(code: CloseCode) -> None:
    assert advice(code) is not Advice.RECONNECT


@pytest.mark.parametrize("code", [code for code in CloseCode if 4500 <= code < 4600])
def test_4500_to_4599_come_back(code: CloseCode) -> None:
    assert advice(code) is Advice.RECONNECT
    assert not ends_device(code)


def test_only_an_expired_token_is_renewed() -> None:
    assert [code for code in CloseCode if advice(code) is Advice.RENEW] == [CloseCode.UNAUTHENTICATED]


def test_a_dropped_link_is_not_a_close_without_a_code() -> None:
    assert ends_device(CloseCode.NO_STATUS)
    assert not ends_device(CloseCode.ABNORMAL)


@pytest.mark.parametrize("code", [CloseCode.GOING_AWAY, CloseCode.REPLACED, CloseCode.SERVICE_RESTART])
def test_a_reload_a_replacement_and_a_restart_leave_the_device_its_grace(code: CloseCode) -> None:
    assert not ends_device(code)


def test_codes_far_outside() -> None:
    for code in (-1, 0, 999, 5000, 70_000):
        assert advice(code) is Advice.STOP
        assert not ends_device(code)
