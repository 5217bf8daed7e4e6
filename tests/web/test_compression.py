"""permessage-deflate as a browser does it, which compresses whatever it sends."""

from playwright.sync_api import BrowserContext

from support.server import run_server

STORY = """url => new Promise((resolve, reject) => {
  const socket = new WebSocket(url);
  const users = Array.from({ length: 500 }, (_, index) => index + 1);
  const told = [];
  socket.onopen = () => {
    told.push(socket.extensions);
    socket.send(JSON.stringify({ type: "hello", observer: true, watch: users }));
    socket.send(JSON.stringify({ type: "ping", id: 1 }));
    socket.send(JSON.stringify({ type: "query", userIds: users, id: 2 }));
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    told.push([message.type, message.statuses?.length ?? 0]);
    if (message.id === 2) socket.close();
  };
  socket.onclose = ({ code }) => resolve([...told, code]);
  setTimeout(() => reject(new Error(JSON.stringify(told))), 8000);
})"""


def test_a_browser_and_the_server_understand_each_other(context: BrowserContext) -> None:
    with run_server(compression=True) as server:
        page = context.new_page()
        page.goto(server.url)
        extensions, *told = page.evaluate(STORY, server.ws_url)
    assert extensions.startswith("permessage-deflate")
    assert told == [["welcome", 0], ["snapshot", 500], ["pong", 0], ["statuses", 500], 1005]
