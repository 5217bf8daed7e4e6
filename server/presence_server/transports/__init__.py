"""How bytes come in and go out: WebSocket, REST, operations, the pages. They perform; the application decides."""
