"""Claims of back ends over REST: what is shown, what is refused, and that they begin and end by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from support.rest import Answer, Rest, refused
from support.server import run_server

_users = count(50_000)


@pytest.fixture(scope="module")
def rest() -> Iterator[Rest]:
    with run_server(min_publish_interval=0) as server:
        yield Rest(server)


@pytest.fixture
def user() -> int:
    return next(_users)


def at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def put(rest: Rest, user: int, source: str, *claims: dict[str, Any]) -> Answer:
    return rest.call("PUT", f"/claims/{user}/{source}", {"claims": list(claims)})


def entry(rest: Rest, user: int) -> dict[str, Any]:
    (found,) = rest.post("/changes", {"userIds": [user]}).data["changes"]
    return dict(found)


def until_it_is(rest: Rest, user: int, *statuses: str) -> list[str]:
    """The statuses that were seen, up to the last of `statuses`."""
    answer = rest.post("/changes", {"userIds": [user]}).data
    seen = [answer["changes"][0]["status"]]
    while seen[-1] != statuses[-1] or len(seen) < len(statuses):
        answer = rest.post("/changes", {"userIds": [user], "cursor": answer["cursor"], "waitMs": 5000}).data
        assert answer["changes"], f"nothing came after {seen}"
        seen += [change["status"] for change in answer["changes"]]
    return seen


def test_the_heaviest_wins_and_what_is_beneath_shows_when_it_is_taken_back(rest: Rest, user: int) -> None:
    rest.online(user)
    rest.put(user, status="AWAY")
    put(rest, user, "calendar", {"id": "m", "status": "BUSY", "until": at(3600)})
    assert rest.status_of(user) == "AWAY", "the person weighs more than a calendar"
    stack = put(rest, user, "call", {"id": "c", "status": "BUSY", "statusText": "on a call", "until": at(1800)}).data
    assert [claim["source"] for claim in stack["claims"]] == ["call", "self", "calendar"]
    assert (stack["now"]["status"], stack["now"]["statusBy"]["source"]) == ("BUSY", "call")
    assert (stack["next"]["status"], stack["next"]["statusBy"]["source"]) == ("AWAY", "self")
    assert (entry(rest, user)["status"], entry(rest, user)["statusText"]) == ("BUSY", "on a call")
    rest.call("DELETE", f"/status/{user}")
    rest.call("DELETE", f"/claims/{user}/call")
    assert rest.get(f"/claims/{user}").data["now"]["statusBy"]["source"] == "calendar"
    assert rest.call("DELETE", f"/claims/{user}/calendar?id=m").data["claims"] == []
    assert rest.status_of(user) == "ONLINE"


def test_a_claim_begins_and_ends_by_itself(rest: Rest, user: int) -> None:
    rest.online(user)
    put(rest, user, "calendar", {"status": "BUSY", "from": at(1.2), "until": at(2.4)})
    assert until_it_is(rest, user, "ONLINE", "BUSY", "ONLINE") == ["ONLINE", "BUSY", "ONLINE"]
    assert rest.get(f"/claims/{user}").data["claims"] == []


def test_no_claim_unmasks(rest: Rest, user: int) -> None:
    rest.online(user)
    rest.put(user, status="OFFLINE")
    before = entry(rest, user)
    for alone in (False, True):
        put(rest, user, "call", {"status": "BUSY", "statusText": "call", "until": at(60), "alone": alone})
        shown = entry(rest, user)
        assert (shown["status"], shown["lastActiveTime"]) == ("OFFLINE", before["lastActiveTime"])
        assert shown.get("statusText") == ("call" if alone else None)


def test_one_that_stands_alone_shows_without_a_device(rest: Rest, user: int) -> None:
    put(rest, user, "hours", {"status": "BUSY", "until": at(60)})
    assert rest.status_of(user) == "OFFLINE"
    put(rest, user, "hours", {"status": "AWAY", "until": at(60), "alone": True})
    assert rest.get(f"/status/{user}").data["status"] == "AWAY"


def test_a_patch_adds_and_changes_one(rest: Rest, user: int) -> None:
    path = f"/claims/{user}/call"
    rest.online(user)
    assert rest.call("PATCH", path, {"id": "c", "status": "BUSY", "until": at(60)}).data["now"]["status"] == "BUSY"
    (changed,) = rest.call("PATCH", path, {"id": "c", "statusText": "with Bob"}).data["claims"]
    assert (changed["status"], changed["statusText"]) == ("BUSY", "with Bob")
    (changed,) = rest.call("PATCH", path, {"id": "c", "status": None}).data["claims"]
    assert "status" not in changed
    refused(rest.call("PATCH", path, {"id": "c", "statusText": None}), 400, "invalid_request", "status")
    refused(rest.call("PATCH", path, {"id": "c", "until": None}), 400, "invalid_request", "until")
    refused(rest.call("PATCH", path, {"id": "new", "status": "BUSY"}), 400, "invalid_request", "until")


def test_a_batch_is_as_many_puts(rest: Rest) -> None:
    users = [next(_users) for _ in range(120)]
    holiday = {"id": "holiday", "statusText": "国庆节", "statusEmoji": "🇨🇳", "until": at(3600), "alone": True}
    made = rest.post("/claims/batch", {"source": "hours", "userIds": [*users, users[0]], "claims": [holiday]}).data
    assert made == {"users": 120, "refused": []}
    assert entry(rest, users[-1])["statusEmoji"] == "🇨🇳"
    assert rest.post("/claims/batch", {"source": "hours", "userIds": users, "claims": []}).data["users"] == 120
    assert "statusText" not in entry(rest, users[-1])
    many = {"source": "hours", "userIds": list(range(1, 1002)), "claims": []}
    refused(rest.post("/claims/batch", many), 400, "invalid_request", "userIds")


BUSY = {"status": "BUSY", "until": "2999-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("claim", "field"),
    [
        ({"status": "BUSY"}, "claims[0].until"),
        ({"status": "BUSY", "until": -5}, "claims[0].until"),
        ({"status": "BUSY", "from": 100, "until": 50}, "claims[0].until"),
        ({"status": "BUSY", "until": 400 * 86_400}, "claims[0].until"),
        ({"status": "BUSY", "from": 400 * 86_400, "until": 60}, "claims[0].from"),
        ({"until": 60}, "claims[0].status"),
        ({"status": "DND", "until": 60}, "claims[0].status"),
        ({"statusText": "x" * 141, "until": 60}, "claims[0].statusText"),
        ({"statusText": "x" * 10_000, "until": 60}, "claims[0].statusText"),
        ({"statusEmoji": "\u200d", "until": 60}, "claims[0].statusEmoji"),
        ({"statusEmoji": "👍👍", "until": 60}, "claims[0].statusEmoji"),
        ({"status": "BUSY", "until": 60, "alone": 1}, "claims[0].alone"),
        ({"status": "BUSY", "until": 60, "id": ""}, "claims[0].id"),
    ],
)
def test_what_is_wrong_with_a_claim_is_named(rest: Rest, user: int, claim: dict[str, Any], field: str) -> None:
    times = {name: at(claim[name]) for name in ("from", "until") if name in claim}
    assert refused(put(rest, user, "call", claim | times), 400, "invalid_request", field)
    assert rest.get(f"/claims/{user}").data["claims"] == []


def test_what_is_wrong_with_all_of_them_is_named(rest: Rest, user: int) -> None:
    one = {"id": "a", "status": "BUSY", "until": at(60)}
    refused(put(rest, user, "call", one, one), 400, "invalid_request", "claims[1].id")
    refused(put(rest, user, "call", *[{**one, "id": str(n)} for n in range(65)]), 400, "invalid_request", "claims")
    put(rest, user, "call", *[{**one, "id": str(n)} for n in range(60)])
    refused(put(rest, user, "hours", *[{**one, "id": str(n)} for n in range(5)]), 400, "invalid_request", "claims")
    assert put(rest, user, "hours", *[{**one, "id": str(n)} for n in range(4)]).status == 200
    (reason,) = refused(put(rest, user, "boss", one), 400, "invalid_request", "source")
    assert "call, self, calendar, hours" in reason
    refused(rest.call("PUT", f"/claims/{user}/call", {}), 400, "invalid_request", "claims")
    refused(rest.call("PUT", f"/claims/{user}/call", {"claims": {}}), 400, "invalid_request", "claims")


def test_a_text_stands_apart_from_the_status(rest: Rest, user: int) -> None:
    def patch(**said: Any) -> Answer:
        return rest.call("PATCH", f"/status/{user}", said)

    assert patch(statusText="on leave", statusEmoji="🌴", textUntil=at(3600)).status == 200
    shown = entry(rest, user)
    assert (shown["status"], shown["statusText"], shown["statusEmoji"]) == ("OFFLINE", "on leave", "🌴")
    rest.online(user)
    assert (entry(rest, user)["status"], entry(rest, user)["statusText"]) == ("ONLINE", "on leave")
    patch(status="BUSY")
    patch(statusEmoji=None)
    assert (entry(rest, user)["status"], "statusEmoji" in entry(rest, user)) == ("BUSY", False)
    own = {claim["id"]: claim for claim in rest.get(f"/claims/{user}").data["claims"]}
    assert "until" in own["text"], "a text keeps the end that it had"
    assert "until" in own["status"], "what a person forgets ends by itself"
    refused(patch(), 400, "invalid_request", "status")
    refused(patch(statusEmoji="ab"), 400, "invalid_request", "statusEmoji")
    patch(status=None)
    refused(patch(until=at(60)), 400, "invalid_request", "until")
    rest.call("DELETE", f"/status/{user}")
    assert "statusText" not in entry(rest, user)


def test_nobody_may_be_invisible_where_the_operator_says_so(user: int) -> None:
    with run_server(no_invisible=True, show_idle_since=True) as server:
        rest = Rest(server)
        rest.online(user, idle=True)
        assert "idleSince" in entry(rest, user)
        refused(rest.put(user, status="OFFLINE"), 403, "forbidden", "status")
        claim = {"status": "OFFLINE", "until": at(60)}
        refused(put(rest, user, "self", claim), 403, "forbidden", "status")
        assert rest.status_of(user) == "AWAY"
