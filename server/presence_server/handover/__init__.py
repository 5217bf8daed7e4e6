"""A new server takes the place of one that runs on the same machine: no connection is refused, nobody is seen to blink.

    new                               old
     | -- take ----------------------> |
     | <---- listening sockets ------- |   accepts nobody any more: who connects waits in the kernel's queue
     |                                 |   answers what is under way, greets who has just connected
     |                                 |   writes the end of the journal, and from then on changes nothing
     | <---------------- released ---- |
     | reads the state, accepts        |
     | -- ready ---------------------> |   asks its clients to reconnect, each at a moment of its own, and ends

If the new one ends before it is ready, the old one goes on as if nothing had been.

wire    the lines that go over the Unix socket in the state's directory, and who may speak there
taking  the new server's side
giving  the old server's side
"""
