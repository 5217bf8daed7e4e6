"""Webhooks: back ends are sent what changed, in batches that are signed, again until each has arrived.

file        the file of --webhooks: who is sent what, and where
messages    the body of a batch, its id and its signatures (Standard Webhooks)
delivery    the state of one webhook and what it does next: pure, time is passed in
addresses   which addresses may be connected to
posting     one attempt over HTTP
deliveries  all webhooks at work: a task each beside everything else
"""
