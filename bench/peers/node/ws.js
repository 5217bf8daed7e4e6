// Node's `ws`: a change is encoded once and sent to each watcher at once. Compression is off, as it is by default.
'use strict';
const { WebSocketServer } = require('ws');
const { encoded, WELCOME } = require('./diff');

const watchers = new Map(); // by user: a set of sockets

const server = new WebSocketServer({
  host: '127.0.0.1', port: Number(process.argv[2]), backlog: 2048, perMessageDeflate: false, skipUTF8Validation: true,
});

server.on('connection', (socket) => {
  let user = 0;
  let watched = [];
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    if (message.type === 'hello') {
      user = message.userId;
      watched = message.watch;
      for (const other of watched) {
        if (!watchers.has(other)) watchers.set(other, new Set());
        watchers.get(other).add(socket);
      }
      socket.send(WELCOME);
    } else {
      const text = Buffer.from(encoded(user, message));
      for (const watcher of watchers.get(user) ?? []) watcher.send(text, { binary: false });
    }
  });
  socket.on('close', () => {
    for (const other of watched) watchers.get(other).delete(socket);
  });
});
