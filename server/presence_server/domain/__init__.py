"""The rules of presence: pure, synchronous, without clock or I/O. Time comes in as an argument.

`now` is UTC in seconds since 1970, as a float, and never runs backward (see `application.ports.Clock`).
"""
