"""The server's own HTTP/1.1: from the first bytes of a connection to the application, and back."""
