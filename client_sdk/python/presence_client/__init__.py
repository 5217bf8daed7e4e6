"""The Python client of the presence service.

    async with connect("http://127.0.0.1:8004", user_id=10001, device_id="laptop", platform="PC") as client:
        await client.watch([10002, 10003])
        async for change in client.changes():
            print(change.user_id, change.status)

`connect` makes a `PresenceClient`, which keeps itself connected. `PresenceApi` is the REST endpoints, for back ends.
`presence_client.webhooks` verifies webhooks. `presence_client.testing` has a server for your own tests, in memory. What
can go wrong is in `presence_client.errors`.

The logic without I/O, for whoever runs it on another loop or on virtual time, is `presence_client.core`.
"""

from presence_client.actions import ConnectionState, Phase, Problem
from presence_client.answers import (
    ChangeSet,
    Claimed,
    Claims,
    Decision,
    DeviceStatus,
    ExplainedChange,
    ExplainedDevice,
    Explanation,
    HeldClaim,
    Standing,
    UserDetail,
    UserStatus,
    UserSummary,
)
from presence_client.api import PresenceApi
from presence_client.backoff import Backoff
from presence_client.changes import Change
from presence_client.claims import Claim
from presence_client.client import PresenceClient
from presence_client.client_view import ClientView
from presence_client.connecting import connect
from presence_client.conversation import Kind
from presence_client.cursors import CursorStore, FileCursor, MemoryCursor
from presence_client.errors import (
    ConnectionClosed,
    InvalidSetting,
    NotConnected,
    PresenceError,
    RequestFailed,
    RequestTimedOut,
    SignedOut,
    UnexpectedAnswer,
    Unreachable,
    UsageError,
)
from presence_client.feed import Feed, FeedBatch, Gap
from presence_client.people import Peak, Peaks, ReachedUser, Statistics
from presence_client.presences import Presences
from presence_client.scripts import run
from presence_protocol.close_codes import Advice, CloseCode
from presence_protocol.feed import FeedDevice, FeedEntry
from presence_protocol.messages import Override, SelfDevice, SelfView, StatusEntry

__all__ = [
    "Advice",
    "Backoff",
    "Change",
    "ChangeSet",
    "Claim",
    "Claimed",
    "Claims",
    "ClientView",
    "CloseCode",
    "ConnectionClosed",
    "ConnectionState",
    "CursorStore",
    "Decision",
    "DeviceStatus",
    "ExplainedChange",
    "ExplainedDevice",
    "Explanation",
    "Feed",
    "FeedBatch",
    "FeedDevice",
    "FeedEntry",
    "FileCursor",
    "Gap",
    "HeldClaim",
    "InvalidSetting",
    "Kind",
    "MemoryCursor",
    "NotConnected",
    "Override",
    "Peak",
    "Peaks",
    "Phase",
    "PresenceApi",
    "PresenceClient",
    "PresenceError",
    "Presences",
    "Problem",
    "ReachedUser",
    "RequestFailed",
    "RequestTimedOut",
    "SelfDevice",
    "SelfView",
    "SignedOut",
    "Standing",
    "Statistics",
    "StatusEntry",
    "UnexpectedAnswer",
    "Unreachable",
    "UsageError",
    "UserDetail",
    "UserStatus",
    "UserSummary",
    "connect",
    "run",
]
