"""A table of everybody's presence, kept up to date: python examples/follow_everybody.py presence.db http://127.0.0.1:8004

The rows and the cursor are written in one transaction, so that the program may be killed at any moment: it goes on
where it was, and is told the last state of whoever changed meanwhile. PRESENCE_KEY is the key of a service with the
scope `read`, where the server asks for one. Needs: pip install presence-client
"""

import os
import sqlite3
import sys

from presence_client import FeedBatch, PresenceApi, run

TABLES = """
CREATE TABLE IF NOT EXISTS presence (user INTEGER PRIMARY KEY, status TEXT, text TEXT, version INTEGER, at INTEGER);
CREATE TABLE IF NOT EXISTS place (id INTEGER PRIMARY KEY CHECK (id = 1), cursor TEXT);
"""
PUT = """
INSERT INTO presence VALUES (?, ?, ?, ?, ?)
ON CONFLICT (user) DO UPDATE
SET status = excluded.status, text = excluded.text, version = excluded.version, at = excluded.at
WHERE excluded.version > presence.version
"""


class Table:
    """Who is not in it is OFFLINE. It is the feed's cursor store as well."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path)
        self._db.executescript(TABLES)

    def load(self) -> str | None:
        row = self._db.execute("SELECT cursor FROM place").fetchone()
        return None if row is None else str(row[0])

    def save(self, cursor: str) -> None:
        """It was written together with the changes."""

    def put(self, batch: FeedBatch) -> None:
        rows = [(each.user_id, each.status, each.status_text, each.version, each.at) for each in batch.changes]
        with self._db:  # all of it, or nothing
            if batch.gap:
                self._db.execute("DELETE FROM presence")
            self._db.executemany(PUT, rows)
            self._db.execute("REPLACE INTO place VALUES (1, ?)", (batch.cursor,))


async def main() -> None:
    table = Table(sys.argv[1])
    async with PresenceApi(sys.argv[2], token=os.environ.get("PRESENCE_KEY")) as api:
        async for batch in api.feed(table).batches():
            table.put(batch)
            print(f"{len(batch.changes)} changes", flush=True)


run(main())
