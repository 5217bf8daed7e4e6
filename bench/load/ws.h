/* What the load generators share: time, sorting, a WebSocket client on epoll, and sending.
 *
 * A link is one client connection. It connects without blocking, does its handshake, and hands every whole frame to
 * the program's `on_frame`; the program says what to send once it `on_open`s. Pings of the server are answered here.
 * Frames go out with a mask of zeros, which leaves the payload as it is.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TEXT = 1, CLOSE = 8, PING = 9 };
enum phase { UNUSED, CONNECTING, SHAKING, OPEN, ENDED };

struct link {
    int fd;
    enum phase phase;
    char *data; /* what has arrived and is not a whole frame yet */
    size_t size, room;
    int number;
};

/* To be defined by the program. */
static void on_open(struct link *link);
static void on_frame(struct link *link, int opcode, char *payload, size_t size);
static void on_end(struct link *link);

static int epoll = -1;
static const char *path = "/api/v1/presence/ws", *further_headers = "";

static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static inline double cpu_used(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

static inline int by_double(const void *a, const void *b) {
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

/* The value at `share` of `count` values, which get sorted. */
static inline double quantile(double *values, int count, double share) {
    if (!count) return 0;
    qsort(values, count, sizeof *values, by_double);
    int place = (int)(count * share);
    return values[place < count ? place : count - 1];
}

static inline void send_all(int fd, const void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t put = send(fd, (const char *)data + done, size - done, MSG_NOSIGNAL);
        if (put > 0) done += put;
        else if (put < 0 && errno != EAGAIN && errno != EINTR) return; /* the peer left: its end will be read */
    }
}

static inline void send_frame(struct link *link, int opcode, const char *payload, size_t size) {
    char *frame = malloc(size + 8);
    size_t head = 2;
    frame[0] = 0x80 | opcode;
    if (size < 126) {
        frame[1] = 0x80 | size;
    } else {
        frame[1] = 0xFE;
        frame[2] = size >> 8;
        frame[3] = size & 255;
        head = 4;
    }
    memset(frame + head, 0, 4);
    memcpy(frame + head + 4, payload, size);
    send_all(link->fd, frame, head + 4 + size);
    free(frame);
}

/* A token for each number, from the file that LOAD_TOKENS names, a line each; NULL without one. */
static inline const char *token_of(int number) {
    static char **tokens = NULL;
    static int count = -1;
    if (count < 0) {
        count = 0;
        const char *name = getenv("LOAD_TOKENS");
        FILE *file = name ? fopen(name, "r") : NULL;
        if (name && !file) die("LOAD_TOKENS");
        char line[2048];
        while (file && fgets(line, sizeof line, file)) {
            line[strcspn(line, "\n")] = 0;
            tokens = realloc(tokens, (count + 1) * sizeof *tokens);
            tokens[count++] = strdup(line);
        }
        if (file) fclose(file);
    }
    return number >= 1 && number <= count ? tokens[number - 1] : NULL;
}

/* Begin to connect. `number` picks one of several source addresses, so that ports do not run out. */
static inline void link_connect(struct link *link, int port, int number) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)}, from = {.sin_family = AF_INET};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number % 64);
    link->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (link->fd < 0) die("socket");
    int one = 1;
    setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(link->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(link->fd, (struct sockaddr *)&from, sizeof from)) die("bind");
    if (connect(link->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) die("connect");
    link->phase = CONNECTING;
    link->size = 0;
    link->number = number;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = link};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, link->fd, &event)) die("epoll_ctl");
}

/* Without a goodbye. */
static inline void link_drop(struct link *link) {
    if (link->fd >= 0) close(link->fd);
    free(link->data);
    link->data = NULL;
    link->room = link->size = 0;
    link->fd = -1;
    link->phase = ENDED;
}

static inline void link_shake(struct link *link) {
    char request[4096];
    const char *token = token_of(link->number);
    int length = snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n%s%s%s%s\r\n", path, further_headers,
        token ? "Authorization: Bearer " : "", token ? token : "", token ? "\r\n" : "");
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) { errno = error; die("connect"); }
    send_all(link->fd, request, length);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = link};
    epoll_ctl(epoll, EPOLL_CTL_MOD, link->fd, &event);
    link->phase = SHAKING;
}

/* Take the answer to the handshake off the front of the data, if it is whole. */
static inline size_t link_shaken(struct link *link) {
    char *end = memmem(link->data, link->size, "\r\n\r\n", 4);
    if (!end) return 0;
    if (memcmp(link->data, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "refused: %.*s\n", (int)(end - link->data), link->data);
        exit(1);
    }
    link->phase = OPEN;
    on_open(link);
    return end + 4 - link->data;
}

/* Hand on every whole frame. */
static inline void link_frames(struct link *link, size_t used) {
    while (link->phase == OPEN && link->size - used >= 2) {
        unsigned char *f = (unsigned char *)link->data + used;
        size_t length = f[1] & 127, head = 2;
        if (length == 126) {
            head = 4;
            if (link->size - used < head) break;
            length = f[2] << 8 | f[3];
        } else if (length == 127) {
            head = 10;
            if (link->size - used < head) break;
            length = 0;
            for (int i = 2; i < 10; i++) length = length << 8 | f[i];
        }
        if (link->size - used < head + length) break;
        if ((f[0] & 15) == PING) send_frame(link, 10, (char *)f + head, length);
        else on_frame(link, f[0] & 15, (char *)f + head, length);
        used += head + length;
    }
    if (link->phase == ENDED) return;
    memmove(link->data, link->data + used, link->size -= used);
    if (!link->size) { /* thousands of idle links keep no buffer */
        free(link->data);
        link->data = NULL;
        link->room = 0;
    }
}

static inline void link_receive(struct link *link) {
    for (;;) {
        if (link->room - link->size < 16384) link->data = realloc(link->data, link->room = link->room * 2 + 32768);
        ssize_t got = recv(link->fd, link->data + link->size, link->room - link->size, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            link_drop(link);
            on_end(link);
            return;
        }
        if (got < 0) break;
        link->size += got;
        if (link->size < link->room) break; /* all that was there, as a rule: what came since makes another event */
    }
    size_t used = link->phase == SHAKING ? link_shaken(link) : 0;
    if (link->phase == OPEN) link_frames(link, used);
}

static inline void poll_links(int timeout) {
    struct epoll_event events[512];
    int count = epoll_wait(epoll, events, 512, timeout);
    for (int i = 0; i < count; i++) {
        struct link *link = events[i].data.ptr;
        if (link->phase == CONNECTING) link_shake(link);
        else if (link->phase != ENDED) link_receive(link);
    }
}

/* An entry in a message: it starts with its userId. `number` is that of its statusText, 0 without one. */
struct entry {
    int user, number;
    char *text;
    size_t size;
};

/* The next of the entries between `*rest` and `end`, or 0. `*rest` moves behind it. */
static inline int next_entry(char **rest, char *end, struct entry *entry) {
    static const char USER[] = "\"userId\":", LABEL[] = "\"statusText\":\"";
    entry->text = memmem(*rest, end - *rest, USER, sizeof USER - 1);
    if (!entry->text) return 0;
    char *next = memmem(entry->text + 1, end - entry->text - 1, USER, sizeof USER - 1);
    *rest = next ? next : end;
    entry->size = *rest - entry->text;
    char *label = memmem(entry->text, entry->size, LABEL, sizeof LABEL - 1);
    entry->user = atoi(entry->text + sizeof USER - 1);
    entry->number = label ? atoi(label + sizeof LABEL - 1) : 0;
    return 1;
}

/* The text of a JSON string field, or NULL; `size` gets its length. */
static inline char *field(char *text, size_t length, const char *name, size_t *size) {
    char *found = memmem(text, length, name, strlen(name));
    if (!found) return NULL;
    found += strlen(name);
    char *end = memchr(found, '"', text + length - found);
    *size = end ? (size_t)(end - found) : 0;
    return end ? found : NULL;
}
