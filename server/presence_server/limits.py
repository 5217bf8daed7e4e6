"""The settings as what the application holds its users to."""

from __future__ import annotations

from presence_protocol.user_ids import kind_of
from presence_server.application.allowances import AddressAllowance, Allowance, Allowances
from presence_server.application.hub_limits import HubLimits
from presence_server.application.keys import UserKeys
from presence_server.application.liveness import LinkTimes
from presence_server.domain.logins import NEWEST, ONE_PER_CLASS, Logins, groups_of
from presence_server.domain.platforms import USUAL, AnyPlatform
from presence_server.domain.shared import Lifetimes
from presence_server.settings import Settings
from presence_server.settings.classes import parse_classes
from presence_server.transports.http.serving import HttpLimits


def lifetimes_of(settings: Settings) -> Lifetimes:
    return Lifetimes(
        settings.grace_period,
        settings.rest_lifetime,
        settings.away_after,
        settings.max_devices,
        settings.unseen_for,
    )


def hub_limits_of(settings: Settings, platforms: type[AnyPlatform]) -> HubLimits:
    return HubLimits(
        settings.max_watched,
        settings.max_batch,
        settings.max_message,
        settings.min_publish_interval,
        LinkTimes(settings.hello_timeout, settings.ping_interval, settings.pong_timeout, settings.lag_limit),
        kind_of(settings.user_ids),
        platforms,
        allows_invisible=not settings.no_invisible,
    )


def http_limits_of(settings: Settings) -> HttpLimits:
    return HttpLimits(
        settings.max_header,
        settings.header_timeout or settings.hello_timeout,
        settings.body_timeout or settings.hello_timeout,
        settings.keep_alive_timeout,
        settings.answer_timeout,
    )


def logins_of(settings: Settings) -> Logins:
    """Which devices of a user may be online together."""
    classes: dict[str, tuple[str, ...]] = {}
    if settings.login_policy == ONE_PER_CLASS:
        # The usual classes may name platforms that this server does not take.
        classes = parse_classes(settings.device_classes, (*settings.platforms, *USUAL))
    groups = groups_of(settings.login_policy, settings.platforms, classes)
    return Logins(groups, settings.on_full == NEWEST)


def limit_of(settings: Settings, name: str) -> float:
    """What a limit is set to, as it applies; 0 is none."""
    kind = name.partition("_")[0]
    value: float = settings.limit(name) if kind in ("user", "service", "address") else getattr(settings, name)
    if name in ("body_timeout", "header_timeout"):
        return value or settings.hello_timeout
    return value


def allowances_of(settings: Settings, keys: UserKeys) -> Allowances | None:
    """What each address, user and service may have; None if nothing is limited."""

    def of(kind: str) -> Allowance:
        return Allowance(*(settings.limit(f"{kind}_{name}") for name in Allowance._fields))

    user, service = of("user"), of("service")
    address = AddressAllowance(*(settings.limit(f"address_{name}") for name in AddressAllowance._fields))
    if not any((*user, *service, *address)):
        return None
    return Allowances(user, service, address, settings.limit_burst, keys)
