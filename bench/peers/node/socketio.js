// Node's socket.io: each user is a room, which their watchers join; a change is emitted to the room. As its page on
// performance tells: WebSocket only, `bufferutil` installed, and the request of each handshake let go of.
'use strict';
const { Server } = require('socket.io');
const { diff } = require('./diff');

const io = new Server(Number(process.argv[2]), {
  transports: ['websocket'], perMessageDeflate: false, httpCompression: false, serveClient: false,
});

io.engine.on('connection', (raw) => {
  raw.request = null;
});

io.on('connection', (socket) => {
  let user = 0;
  socket.on('hello', (message) => {
    user = message.userId;
    socket.join(message.watch.map((other) => `user:${other}`));
    socket.emit('welcome');
  });
  socket.on('status', (message) => {
    io.to(`user:${user}`).emit('diff', diff(user, message));
  });
});
