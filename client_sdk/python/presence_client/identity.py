"""Who a client is, and what its hello says. Pure."""

from dataclasses import dataclass, field
from typing import Final

from presence_protocol import __version__, fields
from presence_protocol.messages import Hello, StatusName
from presence_protocol.user_ids import NUMBER, IdKind, UserId

CLIENT: Final = f"presence-python/{__version__}"
"""What this SDK says it is, for the operator's statistics."""


@dataclass
class Identity:
    """One device of one user, or an observer, who only watches.

    `status` is an override to begin with: it goes into hello until the first welcome and never again, and the server
    heeds it only when the device's session is a new one. `has_tokens`: before each connection a token is asked for,
    and `token` is the last one. `ids`: the kind of user ids that the server speaks. `client`: what SDK it says it is;
    it then says as well that it comes back by itself.

    Raises:
        ValueError: an argument is missing, or cannot be right.
    """

    user_id: UserId | None = None
    device_id: str | None = None
    platform: str | None = None
    observer: bool = False
    status: StatusName | None = None
    token: str | None = field(default=None, repr=False)
    has_tokens: bool = False
    ids: IdKind = NUMBER
    client: str | None = None

    def __post_init__(self) -> None:
        if self.observer:
            if self.user_id is not None or self.device_id is not None or self.status is not None:
                raise ValueError("an observer has no user, no device and no status: leave them out")
            self.platform = None
            return
        if self.user_id is None or self.device_id is None or self.platform is None:
            raise ValueError("user_id, device_id and platform are required, unless observer=True")
        check("user_id", self.ids.refusal(self.user_id))
        self.user_id = self.ids.parse(self.user_id)
        check("device_id", fields.device_id(self.device_id))
        check("platform", fields.platform_name(self.platform))
        if self.status is not None:
            check("status", fields.status(self.status))

    def hello(self, watch: list[UserId], cursor: str | None, is_first: bool) -> Hello:
        """The first message of a connection. `is_first`: nobody was welcomed so far."""
        return Hello(
            user_id=self.user_id,
            device_id=self.device_id,
            platform=self.platform,
            observer=self.observer or None,
            token=self.token,
            status=self.status if is_first else None,
            watch=watch or None,
            cursor=cursor,
            client=self.client,
            returning=None if is_first or self.observer or self.client is None else True,
        )


def check(name: str, reason: str | None) -> None:
    """Raise ValueError, naming the argument, if a field's rule gave a reason."""
    if reason is not None:
        raise ValueError(f"{name} {reason}")
