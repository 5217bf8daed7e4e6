"""The Python client of the presence service.

So far it holds the console script `presence-client`, which asks a server once over REST (see `__main__`). A program
that wants to stay connected can speak the protocol itself: `presence_protocol` has its messages, codecs and session,
and `docs/protocol.md` says what a client has to do.
"""
