/* The load of a social graph: many connections, each watches some users, some of whom change at a steady rate.
 *
 * graph PORT CONNECTIONS WATCHED CHANGES_PER_SECOND SECONDS SEED
 *
 * Connection i is user i (from 1). It watches WATCHED users drawn at random. Each change sets its user to BUSY or
 * ONLINE in turn, with a statusText that numbers the change, so that every change is a real one and can be followed.
 * When the sending is over it waits until every watcher holds the last change of every user it watches, for 5 seconds
 * at most. Prints one JSON object: what was delivered, how late the last watcher of each change was, and whether all
 * converged. Lateness of a change counts when a watcher learns of it or of a later one of the same user.
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

#define BUFFER (1 << 20)

struct connection {
    int fd;
    char *data;      /* what has arrived and is not a whole frame yet */
    size_t size, room;
    int *watched;    /* sorted ids */
    int *last;       /* number of the last change seen, beside each */
};

static int port, connections, watched, rate, seconds;
static struct connection *all;
static int *last_sent;          /* by user: number of its last change */
static double *sent_at;         /* by change: when it was sent */
static double *late;            /* by change: lateness of the last watcher so far */
static int *sender;             /* by change: its user */
static long delivered, frames, bytes;
static int changes;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void send_text(int fd, const char *payload, size_t size) {
    unsigned char head[8];
    size_t n = 2;
    head[0] = 0x81;
    if (size < 126) {
        head[1] = 0x80 | size;
    } else {
        head[1] = 0xFE;
        head[2] = size >> 8;
        head[3] = size & 255;
        n = 4;
    }
    memset(head + n, 0, 4); /* a mask of zeros leaves the payload as it is */
    char *frame = malloc(n + 4 + size);
    memcpy(frame, head, n + 4);
    memcpy(frame + n + 4, payload, size);
    size_t total = n + 4 + size, done = 0;
    while (done < total) {
        ssize_t put = send(fd, frame + done, total - done, MSG_NOSIGNAL);
        if (put < 0 && errno != EAGAIN) die("send");
        if (put > 0) done += put;
    }
    free(frame);
}

static int by_value(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static int find(const struct connection *c, int user) {
    int low = 0, high = watched - 1;
    while (low <= high) {
        int middle = (low + high) / 2;
        if (c->watched[middle] == user) return middle;
        if (c->watched[middle] < user) low = middle + 1; else high = middle - 1;
    }
    return -1;
}

/* Every entry with a statusText in one message. An entry starts with its userId. */
static void read_entries(struct connection *c, char *text, size_t size, double at) {
    static const char USER[] = "\"userId\":", TEXT[] = "\"statusText\":\"";
    char *end = text + size, *entry = memmem(text, size, USER, sizeof USER - 1);
    while (entry) {
        char *next = memmem(entry + 1, end - entry - 1, USER, sizeof USER - 1);
        char *stop = next ? next : end;
        char *label = memmem(entry, stop - entry, TEXT, sizeof TEXT - 1);
        if (label) {
            int user = atoi(entry + sizeof USER - 1), number = atoi(label + sizeof TEXT - 1);
            int place = find(c, user);
            if (place >= 0 && number > c->last[place]) {
                for (int n = number; n > c->last[place] && n > number - 64 && n > 0; n--)
                    if (sender[n] == user && at - sent_at[n] > late[n]) late[n] = at - sent_at[n];
                c->last[place] = number;
                delivered++;
            }
        }
        entry = next;
    }
}

static void receive(struct connection *c) {
    for (;;) {
        if (c->room - c->size < 65536) c->data = realloc(c->data, c->room = c->room * 2 + 65536);
        ssize_t got = recv(c->fd, c->data + c->size, c->room - c->size, 0);
        if (got == 0) { fprintf(stderr, "closed by the server\n"); exit(1); }
        if (got < 0) break;
        c->size += got;
        bytes += got;
    }
    double at = now();
    size_t used = 0;
    while (c->size - used >= 2) {
        unsigned char *f = (unsigned char *)c->data + used;
        size_t length = f[1] & 127, head = 2;
        if (length == 126) { if (c->size - used < 4) break; length = f[2] << 8 | f[3]; head = 4; }
        else if (length == 127) {
            if (c->size - used < 10) break;
            length = 0; for (int i = 2; i < 10; i++) length = length << 8 | f[i];
            head = 10;
        }
        if (c->size - used < head + length) break;
        if ((f[0] & 15) == 9) { unsigned char pong[6] = {0x8A, 0x80}; send(c->fd, pong, 6, MSG_NOSIGNAL); }
        else { frames++; read_entries(c, (char *)f + head, length, at); }
        used += head + length;
    }
    memmove(c->data, c->data + used, c->size -= used);
    if (!c->size && c->room > 65536) { free(c->data); c->data = NULL; c->room = 0; }
}

static void open_connection(int user) {
    struct connection *c = &all[user];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)}, from = {.sin_family = AF_INET};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + user % 8); /* several addresses, so that ports do not run out */
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) || connect(c->fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    char head[512];
    int n = snprintf(head, sizeof head,
        "GET /api/v1/presence/ws HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n", port);
    if (send(c->fd, head, n, 0) != n) die("send");
    for (size_t got = 0; got < 4 || memcmp(head + got - 4, "\r\n\r\n", 4); got++)
        if (got == sizeof head || recv(c->fd, head + got, 1, 0) != 1) die("handshake");
    c->watched = malloc(watched * sizeof(int));
    c->last = calloc(watched, sizeof(int));
    for (int i = 0; i < watched;) {
        int candidate = 1 + rand() % connections, known = 0;
        for (int k = 0; k < i; k++) known |= c->watched[k] == candidate;
        if (!known) c->watched[i++] = candidate;
    }
    qsort(c->watched, watched, sizeof(int), by_value);
    char *hello = malloc(watched * 12 + 256);
    n = sprintf(hello, "{\"type\":\"hello\",\"userId\":%d,\"deviceId\":\"device-%029d\",\"platform\":\"WEB\",\"watch\":[", user, user);
    for (int i = 0; i < watched; i++) n += sprintf(hello + n, i ? ",%d" : "%d", c->watched[i]);
    n += sprintf(hello + n, "]}");
    send_text(c->fd, hello, n);
    free(hello);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

static void poll_all(int epoll, int timeout) {
    struct epoll_event events[512];
    int n = epoll_wait(epoll, events, 512, timeout);
    for (int i = 0; i < n; i++) receive(&all[events[i].data.u32]);
}

static void change(int number) {
    int user = 1 + (int)((long)number * 7919 % connections); /* spreads over all before any comes again */
    char text[96];
    int n = sprintf(text, "{\"type\":\"status\",\"status\":\"%s\",\"statusText\":\"%d\"}", last_sent[user] % 2 ? "ONLINE" : "BUSY", number);
    sender[number] = user;
    last_sent[user] = number;
    sent_at[number] = now();
    send_text(all[user].fd, text, n);
}

static int behind(void) {
    int count = 0;
    for (int i = 1; i <= connections; i++)
        for (int k = 0; k < watched; k++) count += all[i].last[k] != last_sent[all[i].watched[k]];
    return count;
}

int main(int argc, char **argv) {
    if (argc != 7) { fprintf(stderr, "see the head of this file\n"); return 2; }
    port = atoi(argv[1]); connections = atoi(argv[2]); watched = atoi(argv[3]);
    rate = atoi(argv[4]); seconds = atoi(argv[5]); srand(atoi(argv[6]));
    changes = rate * seconds;
    all = calloc(connections + 1, sizeof *all);
    last_sent = calloc(connections + 1, sizeof(int));
    sent_at = calloc(changes + 1, sizeof(double)); late = calloc(changes + 1, sizeof(double)); sender = calloc(changes + 1, sizeof(int));
    int epoll = epoll_create1(0);
    for (int user = 1; user <= connections; user++) {
        open_connection(user);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = user};
        epoll_ctl(epoll, EPOLL_CTL_ADD, all[user].fd, &event);
        poll_all(epoll, 0);
    }
    for (double until = now() + 2; now() < until;) poll_all(epoll, 50);
    printf("ready\n"); fflush(stdout);
    if (getchar() == EOF) return 1; /* the runner reads the server's counters first */
    delivered = frames = bytes = 0;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    double began = now();
    for (int number = 1; number <= changes; ) {
        int due = (int)((now() - began) * rate) + 1;
        while (number <= changes && number <= due) change(number++);
        poll_all(epoll, number <= changes ? 1 : 0);
    }
    double sent = now() - began, until = now() + 5;
    int left = 1;
    while (now() < until && (left = behind())) for (double pause = now() + 0.1; now() < pause;) poll_all(epoll, 20);
    getrusage(RUSAGE_SELF, &after);
    int count = 0;
    double *sorted = malloc((changes + 1) * sizeof(double));
    for (int n = 1; n <= changes; n++) if (late[n] > 0) sorted[count++] = late[n];
    int by_double(const void *a, const void *b) { double d = *(double *)a - *(double *)b; return (d > 0) - (d < 0); }
    qsort(sorted, count, sizeof(double), by_double);
    double cpu = after.ru_utime.tv_sec - before.ru_utime.tv_sec + (after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e6
               + after.ru_stime.tv_sec - before.ru_stime.tv_sec + (after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    printf("{\"changes\": %d, \"seconds\": %.3f, \"delivered\": %ld, \"frames\": %ld, \"bytes\": %ld, \"behind\": %d, "
           "\"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f, \"load_busy\": %.3f}\n",
           changes, sent, delivered, frames, bytes, left, count ? sorted[count / 2] * 1e3 : 0,
           count ? sorted[count * 99 / 100] * 1e3 : 0, count ? sorted[count - 1] * 1e3 : 0, cpu / sent);
    return left != 0;
}
