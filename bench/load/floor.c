/* The floor: the least that a server can spend on writing to many sockets, a C loop over send().
 *
 * floor PORT SIZE
 *
 * It speaks just enough WebSocket for the load generator, whose every send() is taken to arrive as one whole frame,
 * masked with zeros. A hello is welcomed. A status is sent to all other connections, each time as one frame with SIZE
 * bytes of payload. `pour WRITES SIZE SECONDS` sends that many frames of that size to all connections in turn, some
 * every 10 ms. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_FILES = 65536, MOST_BYTES = 1 << 20 };

static int everyone[MOST_FILES], count;
static char is_open[MOST_FILES];
static char in[MOST_BYTES + 1], out[MOST_BYTES + 16];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void write_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t put = send(fd, data, size, MSG_NOSIGNAL);
        if (put < 0 && errno != EAGAIN) return;
        if (put > 0) { data += put; size -= put; }
    }
}

/* A frame in `out` around a text that is filled up with spaces to `size`. Returns the frame's size. */
static size_t frame(const char *text, size_t size) {
    size_t length = strlen(text), head = size < 126 ? 2 : size < 65536 ? 4 : 10;
    out[0] = (char)0x81;
    out[1] = size < 126 ? size : size < 65536 ? 126 : 127;
    for (size_t i = 2; i < head; i++) out[i] = head - 1 - i < sizeof size ? size >> 8 * (head - 1 - i) : 0;
    memset(out + head, ' ', size);
    memcpy(out + head, text, length < size ? length : size);
    return head + size;
}

static void broadcast(int from, int number, size_t size) {
    char text[256];
    sprintf(text, "{\"type\":\"diff\",\"changes\":[{\"userId\":1,\"status\":\"BUSY\",\"statusText\":\"%d\"}]}", number);
    size_t whole = frame(text, size);
    for (int i = 0; i < count; i++) if (everyone[i] != from) write_all(everyone[i], out, whole);
}

static void pour(long writes, long size, double seconds) {
    size_t whole = frame("", size);
    double began = now();
    for (long made = 0; made < writes; usleep(10000)) {
        double share = (now() - began) / seconds;
        long due = share < 1 ? writes * share : writes;
        for (; made < due; made++) write_all(everyone[made % count], out, whole);
    }
}

static void answer(int fd, size_t default_size) {
    ssize_t got = recv(fd, in, MOST_BYTES, 0);
    if (got <= 0) { close(fd); is_open[fd] = 0; return; }
    in[got] = 0;
    if (!is_open[fd]) {
        static const char SWITCH[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                     "Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n";
        is_open[fd] = 1;
        everyone[count++] = fd;
        write_all(fd, SWITCH, sizeof SWITCH - 1);
        return;
    }
    size_t length = in[1] & 127, head = length < 126 ? 6 : length == 126 ? 8 : 14;
    long writes, size;
    double seconds;
    char *label;
    if (sscanf(in + head, "pour %ld %ld %lf", &writes, &size, &seconds) == 3) pour(writes, size, seconds);
    else if ((label = strstr(in + head, "\"statusText\":\""))) broadcast(fd, atoi(label + 14), default_size);
    else if (strstr(in + head, "\"hello\"")) write_all(fd, out, frame("{\"type\":\"welcome\"}", 18));
}

int main(int argc, char **argv) {
    if (argc != 3) { fprintf(stderr, "see the head of load/floor.c\n"); return 2; }
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, epoll = epoll_create1(0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) { perror("listen"); return 1; }
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd != listener) { answer(events[i].data.fd, atoi(argv[2])); continue; }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (fd < 0 || fd >= MOST_FILES) continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            event = (struct epoll_event){.events = EPOLLIN, .data.fd = fd};
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        }
    }
}
