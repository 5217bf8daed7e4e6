"""A calendar file becomes claims: python examples/calendar_claims.py work.ics 10001 http://127.0.0.1:8004

Run it as often as the calendar changes: all claims of the source `calendar` are replaced at once. PRESENCE_KEY is the
key of a service with the scope `write`, where the server asks for one. `--pace 3600` lets an hour pass in a second.
"""

import argparse
import json
import math
import os
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from icalendar import Calendar, Event


def seconds_of(time_of_event: datetime) -> float:
    return time_of_event.replace(tzinfo=time_of_event.tzinfo or UTC).timestamp()


def claim_of(event: Event, start: float, pace: float) -> dict[str, str]:
    """The claim that an event makes, if the second `start` of the calendar were now."""
    begins, ends = (time.time() + (seconds_of(event[name].dt) - start) / pace for name in ("DTSTART", "DTEND"))
    times = (datetime.fromtimestamp(math.ceil(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for at in (begins, ends))
    said = {"id": str(event["UID"]), "status": "BUSY", "statusText": str(event.get("SUMMARY", ""))[:140]}
    return said | dict(zip(("from", "until"), times, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("user")
    parser.add_argument("server")
    parser.add_argument("--start", type=datetime.fromisoformat, help="when it is now in the calendar (now)")
    parser.add_argument("--pace", type=float, default=1.0, help="seconds of the calendar that pass in one")
    given = parser.parse_args()
    start = seconds_of(given.start) if given.start else time.time()
    events = Calendar.from_ical(given.file.read_bytes()).walk("VEVENT")
    claims = [claim_of(event, start, given.pace) for event in events if seconds_of(event["DTEND"].dt) > start]
    url = f"{given.server}/api/v1/presence/claims/{given.user}/calendar"
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('PRESENCE_KEY', '-')}"}
    request = urllib.request.Request(url, json.dumps({"claims": claims}).encode(), headers, method="PUT")
    with urllib.request.urlopen(request) as answer:
        sys.stdout.write(f"{len(claims)} events are claims now: HTTP {answer.status}\n")


if __name__ == "__main__":
    main()
