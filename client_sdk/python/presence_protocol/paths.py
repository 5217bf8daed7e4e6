"""Where a server is found beneath its address."""

from typing import Final

BASE_PATH: Final = "/api/v1/presence"
"""Before every path of REST."""

WS_PATH: Final = f"{BASE_PATH}/ws"
"""Of the WebSocket."""
