"""The page at `/`, the API documentation at `/docs`, and what both import: read once at the start, served
from memory.

All addresses in them are relative, so that they also work below the path at which a proxy serves the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from presence_protocol.fields import PLATFORMS
from presence_protocol.user_ids import IdKindName

WEB: Final = Path(__file__).parent.parent / "web"
PACKAGED_SDK: Final = WEB / "sdk"
SOURCE_SDK: Final = Path(__file__).parents[3] / "client_sdk" / "js"

GRACE: Final = b'<meta name="presence-grace-period" content=""'
USER_IDS: Final = b'<meta name="presence-user-ids" content="number"'
PLATFORM_LIST: Final = b'<meta name="presence-platforms" content="WEB IOS ANDROID PC"'
"""Where the page looks for the grace period, the kind of user ids, and the platforms."""

MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}

SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "object-src 'none'; frame-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Page(NamedTuple):
    body: bytes
    media_type: str
    etag: str


class Pages:
    def __init__(
        self,
        grace_period: float,
        root_path: str = "",
        user_ids: IdKindName = "number",
        platforms: Sequence[str] = PLATFORMS,
    ) -> None:
        """`grace_period`, in seconds, is told to the page, which counts it down for whoever pulled the cable.

        `user_ids`, `platforms`: what the server takes, so that the page offers nothing else.
        `root_path`: where a proxy serves this server. Whoever asks for it without a slash is sent to the page.
        """
        sdk = PACKAGED_SDK if PACKAGED_SDK.is_dir() else SOURCE_SDK
        self._root_path = root_path
        self._pages = {f"/assets/{path.name}": _page(path) for path in _files(WEB)}
        self._pages |= {f"/sdk/{path.name}": _page(path) for path in _files(sdk)}
        self._pages |= {f"/vendor/{path.name}": _page(path) for path in _files(WEB / "vendor")}
        index = (WEB / "index.html").read_bytes()
        index = index.replace(GRACE, GRACE[:-1] + f'{grace_period:g}"'.encode())
        index = index.replace(USER_IDS, USER_IDS.replace(b"number", user_ids.encode()))
        listed = " ".join(platforms)
        index = index.replace(PLATFORM_LIST, f'<meta name="presence-platforms" content="{listed}"'.encode())
        self._pages["/"] = _page_of(index, ".html")
        self._pages["/docs"] = self._pages["/assets/docs.html"]
        if icon := self._pages.get("/assets/icon.svg"):
            self._pages["/favicon.ico"] = icon

    def routes(self) -> list[Route]:
        paths = ("/", "/docs", "/favicon.ico", "/assets/{name}", "/sdk/{name}", "/vendor/{name}")
        routes = [Route(path, self._serve) for path in paths]
        return [*routes, Route(self._root_path, self._to_the_page)] if self._root_path else routes

    async def _serve(self, request: Request) -> Response:
        page = self._pages.get(request.url.path)
        if page is None:
            raise HTTPException(404)
        headers = {"ETag": page.etag, "Cache-Control": "no-cache", **SECURITY}
        # The header is a list, and a proxy that compresses makes tags weak: the quoted tag stands in it all the same.
        if page.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(page.body, media_type=page.media_type, headers=headers)

    async def _to_the_page(self, _request: Request) -> Response:
        return RedirectResponse(f"{self._root_path}/", 308)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix in MEDIA_TYPES)


def _page(path: Path) -> Page:
    return _page_of(path.read_bytes(), path.suffix)


def _page_of(body: bytes, suffix: str) -> Page:
    return Page(body, MEDIA_TYPES[suffix], f'"{blake2b(body, digest_size=8).hexdigest()}"')
