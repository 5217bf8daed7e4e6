"""The rules of presence: pure, synchronous, without clock or I/O. Time comes in as an argument, by two clocks.

`now` is for all that lasts: seconds on a clock that only grows and whose zero means nothing. `utc` is for all that is
stamped and told: seconds since 1970 as the system had it then, which may step either way. Neither is ever made from the
other (see `application.ports.Clock`).
"""
