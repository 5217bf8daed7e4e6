"""The server's certificate: TLS 1.2 and later, and a new certificate without the end of a connection.

Connections keep what they began with; the context is the listeners', and what is loaded into it is for those to come.
"""

from __future__ import annotations

import ssl

from presence_server.logs import get_logger

_log = get_logger(__name__)


class CertificateError(Exception):
    """Certificate or key cannot be used. Its text is one line that names the file."""


class Certificate:
    def __init__(self, certificate: str, key: str) -> None:
        """Paths of PEM files; the certificate's may hold its chain. Raises CertificateError."""
        self._paths = certificate, key
        self.context = _loaded(certificate, key)

    def reload(self) -> None:
        """Read the files anew. What cannot be used leaves the certificate that there is, and is told in the log."""
        try:
            _loaded(*self._paths)  # in a context of its own: half of a pair would break the one in use
            self.context.load_cert_chain(*self._paths)
        except (CertificateError, OSError) as failure:
            _log.error("certificate not read anew", reason=str(failure))
        else:
            _log.info("certificate read anew", file=self._paths[0])


def _loaded(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # which a client could ask for again and again, at our cost
    context.set_alpn_protocols(["http/1.1"])
    for path in (certificate, key):
        try:
            with open(path, "rb"):
                pass
        except OSError as failure:
            raise CertificateError(f"{path}: {failure.strerror}") from None
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except (ssl.SSLError, ValueError) as failure:
        reason = getattr(failure, "reason", None) or str(failure)
        raise CertificateError(f"{certificate} and {key}: {_WORDS.get(reason, f'cannot be used ({reason})')}") from None
    return context


_WORDS = {
    "KEY_VALUES_MISMATCH": "the key is not the certificate's",
    "NO_START_LINE": "are not both PEM files",
    "PEM_LIB": "are not a PEM certificate and its key without a passphrase",
}


def _no_passphrase() -> str:
    """Nobody is asked at the terminal of a server."""
    raise ValueError("the key has a passphrase")
