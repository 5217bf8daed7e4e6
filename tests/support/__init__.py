"""What the tests over real sockets share: a server started by its console script, and plain clients."""
