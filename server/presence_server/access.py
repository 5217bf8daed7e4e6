"""Who is let in, and who may see whom, as the settings say."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from presence_protocol.user_ids import kind_of
from presence_server.application.contacts import ContactBook
from presence_server.application.keys import UserKeys
from presence_server.application.policies import ByContacts, Everyone
from presence_server.application.ports import Visibility
from presence_server.application.principals import Principal
from presence_server.identity.authentication import Authentication, ByAddress, ByApplication, ByToken, Way
from presence_server.identity.claims import Rules
from presence_server.identity.jwks import KeySet, fetch_of
from presence_server.identity.jwt_keys import SAFE_SECRET, UnusableKey, VerifyingKey, is_short, keys_of_setting
from presence_server.identity.networks import Networks
from presence_server.identity.revocations import Revocations
from presence_server.identity.service_keys import KeyFileError, ServiceKeys
from presence_server.identity.tickets import Tickets
from presence_server.identity.tokens import TokenVerifier
from presence_server.identity.webhook import AskApplication
from presence_server.logs import get_logger
from presence_server.settings import Settings, SettingsError
from presence_server.visibility.ask import AskApplication as AskWhoMaySee
from presence_server.visibility.questions import LENSES

_log = get_logger(__name__)


class Access:
    """All that decides who is let in, from the settings: what has to be started, stopped, and read anew."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError: a key or a file of keys cannot be used."""
        self._settings = settings
        self._key_set: KeySet | None = None
        self._verifier: TokenVerifier | None = None
        self._asker: AskApplication | None = None
        self._seeing: AskWhoMaySee | None = None
        self._service_keys = self._read_service_keys()
        self.authentication = Authentication(
            self._way(), Tickets(lambda: secrets.token_urlsafe(32)), Revocations(), self._service_keys
        )

    def _read_service_keys(self) -> ServiceKeys | None:
        if not self._settings.service_keys:
            return None
        try:
            return ServiceKeys(Path(self._settings.service_keys))
        except KeyFileError as failure:
            raise SettingsError("service_keys", str(failure)) from None

    def _way(self) -> Way:
        settings = self._settings
        rules = Rules(kind_of(settings.user_ids).of_claim, settings.jwt_user_claim, settings.jwt_leeway)
        if settings.auth == "jwt":
            try:
                keys = keys_of_setting(settings.jwt_key) if settings.jwt_key else ()
            except UnusableKey as failure:
                raise SettingsError("jwt_key", str(failure)) from None
            _tell_short_secrets(keys)
            if settings.jwks:
                self._key_set = KeySet(fetch_of(settings.jwks), time.monotonic, _without_secrets(settings.jwks))
            self._verifier = TokenVerifier(keys, self._key_set, rules, settings.jwt_issuer, settings.jwt_audience)
            if self._key_set is not None:
                self._key_set.on_change = self._verifier.forget
            return ByToken(self._verifier)
        if settings.auth == "webhook":
            self._asker = AskApplication(settings.auth_url, rules)
            return ByApplication(self._asker)
        return ByAddress(Networks(settings.trusted_networks))

    def visibility(self, keys: UserKeys, now: Callable[[], float]) -> Visibility:
        """Who may see whom. `now` tells the time of durations."""
        settings = self._settings
        if settings.visibility == "contacts":
            return ByContacts(ContactBook(keys), LENSES[settings.strangers])
        if settings.visibility == "ask":
            self._seeing = AskWhoMaySee(settings.visibility_url, keys, now)
            return self._seeing
        return Everyone()

    async def start(self) -> None:
        if self._key_set is not None:
            await self._key_set.start()
        if self._asker is not None:
            await self._asker.start()
        if self._seeing is not None:
            await self._seeing.start()

    async def stop(self) -> None:
        if self._key_set is not None:
            await self._key_set.stop()
        if self._asker is not None:
            await self._asker.stop()
        if self._seeing is not None:
            await self._seeing.stop()

    def reload(self) -> frozenset[Principal]:
        """Read the files of keys anew; whose keys are gone. What cannot be read stays as it was, and is logged."""
        gone: frozenset[Principal] = frozenset()
        if self._service_keys is not None:
            try:
                gone = self._service_keys.reload()
            except KeyFileError as failure:
                _log.error("service keys not read anew", reason=str(failure))
            else:
                self.authentication.tickets.forget(gone)
                _log.info("service keys read anew", keys=len(self._service_keys))
        if self._verifier is not None and self._settings.jwt_key:
            try:
                keys = keys_of_setting(self._settings.jwt_key)
            except UnusableKey as failure:
                _log.error("keys of tokens not read anew", reason=str(failure))
            else:
                self._verifier.use(keys)
                _tell_short_secrets(keys)
                _log.info("keys of tokens read anew", keys=len(keys))
        if self._key_set is not None:
            self._key_set.refresh_soon()
        return gone


def _tell_short_secrets(keys: tuple[VerifyingKey, ...]) -> None:
    for key in filter(is_short, keys):
        _log.warning(
            "a secret of tokens is short: whoever has a token may find it by trying, and then be anybody",
            kid=key.kid or "none",
            bytes=len(key.key),
            needed=SAFE_SECRET,
        )


def _without_secrets(url: str) -> str:
    """A URL as it may stand in a log: without user, password and query."""
    bare = url.partition("?")[0]
    scheme, separator, rest = bare.partition("://")
    return scheme + separator + rest.rpartition("@")[2] if separator else bare
