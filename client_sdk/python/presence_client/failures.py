"""Why something failed, in words for people, and what a refusal's headers say. No secret is in them."""

import email.utils
import errno
import os
import ssl
import time

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


def seconds_of(retry_after: str | None, epoch: int | None) -> float | None:
    """A Retry-After header in seconds from now; None for none, or for what cannot be read.

    `epoch`: the server's own time, as its Date has it, since this machine's clock may be wrong; None: there is none.
    """
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    then = epoch_of(retry_after)
    return None if then is None else max(0.0, then - (time.time() if epoch is None else epoch))


def epoch_of(date: str | None) -> int | None:
    """An HTTP date (RFC 9110 section 5.6.7) in seconds since 1970; None for none, or for what cannot be read."""
    try:
        return None if date is None else int(email.utils.parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None
