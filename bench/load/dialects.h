/* What a client says, in the words of each server: the same hello and the same status, wrapped differently.
 *
 * raw: the message is the text of a WebSocket frame. Ours, and every server that speaks plain WebSocket.
 * deflate: the same, and compression is offered. What comes compressed is not understood: for idle connections only.
 * socketio: events over Engine.IO 4: a session is opened (0, 40), an event is 42["name",{...}], a ping 2, a pong 3.
 * centrifuge: its JSON protocol: hello is the data of connect, status an rpc, a ping {} as is its pong.
 *
 * Whatever comes is scanned for entries as it is (watching.h); no dialect escapes them. */

enum dialect { RAW, DEFLATE, SOCKETIO, CENTRIFUGE };

static enum dialect dialect;

static int dialect_named(const char *name) {
    static const char *NAMES[] = {"raw", "deflate", "socketio", "centrifuge"}, *PATHS[] = {
        "/api/v1/presence/ws", "/api/v1/presence/ws", "/socket.io/?EIO=4&transport=websocket", "/connection/websocket"};
    for (int i = 0; i < 4; i++)
        if (!strcmp(name, NAMES[i])) {
            dialect = i;
            path = PATHS[i];
            if (dialect == DEFLATE) further_headers = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
            return 1;
        }
    return 0;
}

static void say(struct link *link, const char *text, size_t size) { send_frame(link, TEXT, text, size); }

static void say_hello(struct link *link, const char *hello) {
    static const char *FORMS[] = {"%s", "%s", "42[\"hello\",%s]", "{\"id\":1,\"connect\":{\"data\":%s}}"};
    char *text = malloc(strlen(hello) + 64);
    say(link, text, sprintf(text, FORMS[dialect], hello));
    free(text);
}

static void say_status(struct link *link, const char *status, int number) {
    char body[128], text[256];
    sprintf(body, "{\"type\":\"status\",\"status\":\"%s\",\"statusText\":\"%d\"}", status, number);
    int size = dialect <= DEFLATE ? sprintf(text, "%s", body)
        : dialect == SOCKETIO ? sprintf(text, "42[\"status\",%s]", body)
        : sprintf(text, "{\"id\":%d,\"rpc\":{\"method\":\"status\",\"data\":%s}}", number + 1, body);
    say(link, text, size);
}

/* Whether this text is the server's answer to hello. */
static int is_welcome(const char *text, size_t size) {
    const char *word = dialect == CENTRIFUGE ? "\"connect\":{" : "welcome";
    return memmem(text, size, word, strlen(word)) != NULL;
}

/* Answers what belongs to the dialect itself. Returns 1 when it is now for the client to say hello. */
static int keep_up(struct link *link, const char *text, size_t size) {
    if (dialect == SOCKETIO && size) {
        if (text[0] == '0') say(link, "40", 2);
        else if (text[0] == '2') say(link, "3", 1);
        else if (size > 1 && text[0] == '4' && text[1] == '0') return 1;
    }
    if (dialect == CENTRIFUGE && size >= 2)
        if (!memcmp(text, "{}", 2) || memmem(text, size, "\n{}", 3)) say(link, "{}", 2);
    return 0;
}
