"""The page at `/`, and the browser SDK it is built on: files that are served as they are, offline, without a build.

`index.html` is the page, the other files here are its assets. The SDK has its home in `client_sdk/js` of the
repository; an installed server carries a copy in `sdk/` beside this file.
"""

from pathlib import Path
from typing import Final

ASSETS: Final = Path(__file__).parent
"""Where the page and its assets are."""

_SDK_FILE: Final = "presence.js"


def sdk_directory() -> Path:
    """Where the browser SDK's modules are. Raises FileNotFoundError when this installation has none."""
    candidates = (ASSETS / "sdk", ASSETS.parents[2] / "client_sdk" / "js")
    for directory in candidates:
        if (directory / _SDK_FILE).is_file():
            return directory
    raise FileNotFoundError(f"no {_SDK_FILE} in {' or '.join(map(str, candidates))}")
