"""Where presence is kept: implementations of `application.ports.Engine`."""
