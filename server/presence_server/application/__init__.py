"""What the service decides: sessions, watching, fan-out. Synchronous; I/O is beneath it, the domain within."""
