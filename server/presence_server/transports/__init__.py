"""How bytes come in and go out: WebSocket, REST, operations, the pages. The application decides what goes out."""
