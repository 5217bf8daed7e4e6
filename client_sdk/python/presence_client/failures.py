"""Why something failed, in words for people, and what a refusal's headers say. No secret is in them."""

import email.utils
import errno
import os
import ssl
from datetime import UTC, datetime

from presence_client.address import redacted


def words_of(failure: BaseException) -> str:
    """Why something failed: the system's own words where there are some."""
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return _words_of_tls(cause)
        if isinstance(cause, OSError) and cause.errno is not None and cause.errno in errno.errorcode:
            return os.strerror(cause.errno)
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror  # the resolver's numbers are not the system's
        cause = cause.__cause__ or cause.__context__
    return redacted(str(failure)) or type(failure).__name__


def _words_of_tls(failure: ssl.SSLError) -> str:
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {failure.verify_message}"
    if failure.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"):
        return "the server does not speak TLS: is its URL http, not https?"
    return f"TLS failed: {(failure.reason or str(failure)).replace('_', ' ').lower()}"


def seconds_of(retry_after: str | None) -> float | None:
    """A Retry-After header in seconds from now; None for none, or for what cannot be read."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
