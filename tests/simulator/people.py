"""Who people are: user ids of each kind, all made of a number."""

from __future__ import annotations

from presence_protocol.codec import Codec, codecs_of
from presence_protocol.user_ids import INT64, STRING, UserId, kind_of
from presence_server.application.keys import SnowflakeKeys, StringKeys, UserKeys
from presence_server.domain.table import PresenceTable, TableOfStrings

FIRST_USER = 10_001
BEYOND = 2**62
"""What JavaScript would round is added to ids of 64 bits."""


class People:
    """`name` is a kind of user ids. Ids are their own keys, so that the tables can be looked into."""

    def __init__(self, name: str = "number") -> None:
        self.kind = kind_of(name)
        self.codecs: tuple[Codec, Codec] = codecs_of(self.kind)
        self.keys: UserKeys = {INT64: SnowflakeKeys, STRING: StringKeys}.get(self.kind, UserKeys)()
        self.table: type[PresenceTable] = TableOfStrings if self.kind is STRING else PresenceTable

    def of(self, number: int) -> UserId:
        """The id of the person of that number, from 0."""
        if self.kind is STRING:
            return f"person {FIRST_USER + number}"
        return FIRST_USER + number + (BEYOND if self.kind is INT64 else 0)


def number_of(user_id: UserId) -> int:
    return int(user_id.removeprefix("person ")) if isinstance(user_id, str) else user_id
