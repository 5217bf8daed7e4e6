"""What the Python peers send: the same message as ours."""

import itertools
import json
import time
from typing import Any

_versions = itertools.count(756_740_116_480_001)


def diff(user: int, status: dict[str, Any]) -> dict[str, Any]:
    version = next(_versions)
    return {
        "type": "diff",
        "changes": [
            {
                "userId": user,
                "status": status["status"],
                "platforms": ["WEB"],
                "lastActiveTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "version": version,
                "statusText": status["statusText"],
            }
        ],
        "cursor": f"2f9c11d0a4.{version & 0xFFFFF:x}",
    }


def encoded(user: int, status: dict[str, Any]) -> str:
    return json.dumps(diff(user, status), separators=(",", ":"))


WELCOME = '{"type":"welcome"}'
