"""The WebSocket: handshake, frames, and the connection that is the heartbeat."""
