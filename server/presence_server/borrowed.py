"""What this server uses of other libraries although they do not promise to keep it, in one list.

`missing` looks for every name at start, so that a version which has lost one is refused in one line, and not by a
connection that fails hours later. pyproject.toml bounds the versions; this is for whoever goes beyond. Of asyncio and
uvloop only documented names are used, and so there is nothing of theirs here.

A name that a module imports stands here as well: `tests/server/test_borrowed.py` compares this list with the imports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module, metadata
from typing import NamedTuple


class Borrowed(NamedTuple):
    """Attributes `names` of what `make` returns, which is called `owner` in messages."""

    owner: str
    make: Callable[[], object]
    names: tuple[str, ...]


def _module(name: str, *names: str) -> Borrowed:
    return Borrowed(name, lambda: import_module(name), names)


def _config() -> object:
    from uvicorn import Config

    return Config("", log_config=None)


def _loaded_config() -> object:
    """What `uvicorn.Config.load` sets: to call it would load an application."""
    from uvicorn import Config

    return type("load", (), dict.fromkeys(Config.load.__code__.co_names))


def _server() -> object:
    from uvicorn import Server

    return Server(_config())  # type: ignore[arg-type]


def _started_server() -> object:
    """What `uvicorn.Server.startup` sets: to call it would open listeners."""
    from uvicorn import Server

    return type("startup", (), dict.fromkeys(Server.startup.__code__.co_names))


def _state() -> object:
    from uvicorn.server import ServerState

    return ServerState()


def _parser() -> object:
    from websockets.protocol import OPEN
    from websockets.server import ServerProtocol

    return ServerProtocol(state=OPEN, max_size=(None, 1))


def _reader() -> object:
    from websockets.streams import StreamReader

    return StreamReader()


def _http_parser() -> object:
    from httptools import HttpRequestParser

    return HttpRequestParser(object())


def _url() -> object:
    from httptools import parse_url

    return parse_url(b"/")


def _deflate() -> object:
    from websockets.extensions.permessage_deflate import PerMessageDeflate

    return PerMessageDeflate(True, True, 15, 15)


BORROWED: Mapping[str, Sequence[Borrowed]] = {
    "uvicorn": (
        _module("uvicorn", "Config", "Server"),
        _module("uvicorn.config", "Config"),
        _module("uvicorn.server", "ServerState"),
        Borrowed("uvicorn.Config", _loaded_config, ("http_protocol_class", "loaded_app")),
        Borrowed("uvicorn.Config", _config, ("backlog", "timeout_graceful_shutdown")),
        Borrowed("uvicorn.Server", _server, ("config", "force_exit", "handle_exit", "on_tick", "serve")),
        Borrowed("uvicorn.Server", _server, ("server_state", "should_exit", "started", "startup")),
        Borrowed("uvicorn.Server", _started_server, ("servers",)),
        Borrowed("uvicorn.server.ServerState", _state, ("connections", "default_headers", "tasks")),
    ),
    "httptools": (
        _module("httptools", "HttpParserError", "HttpParserInvalidURLError", "HttpParserUpgrade"),
        _module("httptools", "HttpRequestParser", "parse_url"),
        Borrowed("httptools.HttpRequestParser", _http_parser, ("feed_data", "get_http_version", "get_method")),
        Borrowed("httptools.HttpRequestParser", _http_parser, ("should_keep_alive", "should_upgrade")),
        Borrowed("httptools.parse_url()", _url, ("host", "path", "port", "query", "schema", "userinfo")),
    ),
    "websockets": (
        _module("websockets.datastructures", "Headers"),
        _module("websockets.exceptions", "NegotiationError", "PayloadTooBig"),
        _module("websockets.extensions", "Extension"),
        _module("websockets.extensions.permessage_deflate", "PerMessageDeflate", "ServerPerMessageDeflateFactory"),
        _module("websockets.frames", "Frame", "Opcode", "apply_mask"),
        _module("websockets.http11", "Request", "Response"),
        _module("websockets.protocol", "OPEN"),
        _module("websockets.server", "ServerProtocol"),
        _module("websockets.streams", "StreamReader"),
        _module("websockets.typing", "ExtensionParameter", "Subprotocol"),
        Borrowed("websockets.server.ServerProtocol", _parser, ("accept", "handshake_exc", "select_subprotocol")),
        Borrowed("websockets.server.ServerProtocol", _parser, ("close_rcvd", "close_sent", "data_to_send")),
        Borrowed("websockets.server.ServerProtocol", _parser, ("current_size", "events", "reader", "writes")),
        Borrowed("websockets.server.ServerProtocol", _parser, ("events_received", "receive_data", "recv_frame")),
        Borrowed("websockets.server.ServerProtocol", _parser, ("extensions", "parser", "parser_exc", "state")),
        Borrowed("websockets.server.ServerProtocol", _parser, ("subprotocol",)),
        Borrowed("websockets.streams.StreamReader", _reader, ("at_eof", "buffer")),
        Borrowed("permessage_deflate.PerMessageDeflate", _deflate, ("local_max_window_bits",)),
    ),
}


def missing(borrowed: Mapping[str, Sequence[Borrowed]] = BORROWED) -> str | None:
    """What an installed library lacks, as a line for whoever starts the server; None if all is there.

    Raises:
        ModuleNotFoundError: the library is not installed at all.
    """
    for library, owners in borrowed.items():
        import_module(library)
        for owner, make, names in owners:
            try:
                made = make()
                lost = next((f"has no {owner}.{name}" for name in names if not hasattr(made, name)), None)
            except (ImportError, AttributeError, TypeError) as failure:
                lost = f"does not give {owner} as it did ({failure})"
            if lost is not None:
                return f"{library} {metadata.version(library)} {lost}, which this server uses: install another version"
    return None
