"""The presence protocol, shared by server and SDK, without I/O.

limits        the numbers both sides hold to
close_codes   why a connection ended and what its client should do about it
errors        what can be wrong with what a peer sent
fields        what each field may hold, and the reason when it does not
messages      the typed messages of both directions
codec         bytes <-> messages, JSON and msgpack
session       the session's states and events, one table for both roles
view          what a watcher knows: snapshots and diffs folded
"""

__version__ = "1.0.0"
"""Of the server, both SDKs and their distributions: one version for all that is released together."""
