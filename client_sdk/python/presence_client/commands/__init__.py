"""What the console script `presence-client` can do: one module a command, each on the SDK alone."""
