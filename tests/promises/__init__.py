"""The five promises, each proven over real sockets."""
