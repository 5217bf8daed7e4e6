/* The load of the scenarios idle, broadcast, graph and growth: many connections that watch each other.
 *
 * load PORT DIALECT CONNECTIONS WATCHED CROWD
 *
 * Connection i is user i. It watches WATCHED others drawn at random, or with -1 the first user only. When all were
 * welcomed and nothing arrives any more, it prints `{"connected": N, "seconds": S}` and then carries out one command
 * per line, each answered with one JSON object:
 *
 *   graph RATE CHANGES          changes at an even rate (to the millisecond), all users in turn
 *   turns CHANGES               changes of the first user, each when all know the one before
 *   pour WRITES SIZE SECONDS    asks the floor for that many writes of SIZE bytes, and counts them
 *
 * The answer tells what was delivered, how late the last watcher of each change was, and how many did not converge:
 * it waits for them as long as anything arrives within `PATIENCE` seconds. */
#include "ws.h"
#include "dialects.h"
#include "watching.h"
#include <poll.h>

enum { AT_ONCE = 256, PATIENCE = 5, LONGEST_PING = 3 }; /* a dialect's own ping is no news */

static int crowd; /* two generators' devices must differ; also what the draw of the watched begins with */
static int welcomed;
static long frames, bytes;
static double last_arrival;

static void hello(struct watcher *w) {
    char *text = malloc(w->watched * 12 + 256);
    int n = sprintf(
        text, "{\"type\":\"hello\",\"userId\":%d,\"deviceId\":\"device-%05d%024d\",\"platform\":\"WEB\",\"watch\":[",
        w->user, crowd, w->user);
    for (int i = 0; i < w->watched; i++) n += sprintf(text + n, i ? ",%d" : "%d", w->users[i]);
    sprintf(text + n, "]}");
    say_hello(&w->link, text);
    free(text);
}

static void on_open(struct link *link) {
    if (dialect != SOCKETIO) hello((struct watcher *)link);
}

static void on_frame(struct link *link, int opcode, char *payload, size_t size) {
    struct watcher *w = (struct watcher *)link;
    if (opcode == CLOSE) {
        if (size > 1) fprintf(stderr, "closed with %d: ", (payload[0] & 255) << 8 | (payload[1] & 255));
        on_end(link);
    }
    if (size > LONGEST_PING) {
        frames++;
        bytes += size;
        last_arrival = now();
    }
    if (keep_up(link, payload, size)) hello(w);
    if (!w->is_greeted && is_welcome(payload, size)) { w->is_greeted = 1; welcomed++; }
    read_entries(w, payload, size);
}

static void on_end(struct link *link) {
    fprintf(stderr, "the server dropped connection %d\n", ((struct watcher *)link)->user);
    exit(1);
}

static void connect_all(int port, int watched) {
    double began = now();
    for (int user = 1; user <= connections; user++) {
        watchers[user].user = user;
        choose(&watchers[user], watched);
    }
    for (int user = 1; user <= connections;) {
        while (user <= connections && user - 1 - welcomed < AT_ONCE) {
            link_connect(&watchers[user].link, port, user);
            user++;
        }
        poll_links(100);
    }
    while (welcomed < connections) poll_links(100);
    double all = now();
    while (now() < last_arrival + 0.7) poll_links(100); /* snapshots */
    printf("{\"connected\": %d, \"seconds\": %.3f}\n", welcomed, all - began);
    fflush(stdout);
}

static void change(int user) {
    int number = note_change(user);
    say_status(&watchers[user].link, number % 2 ? "BUSY" : "AWAY", number);
}

/* Until all know all, or nothing comes any more. */
static void settle(void) {
    last_arrival = now();
    while (unmet && now() < last_arrival + PATIENCE) poll_links(20);
}

static void graph(double rate, int count) {
    double began = now();
    for (int made = 0; made < count;) {
        int due = (int)((now() - began) * rate) + 1;
        for (; made < count && made < due; made++)
            change(1 + (int)((long)(changes + 1) * 7919 % connections)); /* all users before any comes again */
        poll_links(made < count ? 1 : 0);
    }
    settle();
}

static void turns(int count) {
    for (int made = 0; made < count && !unmet; made++) {
        change(1);
        settle();
    }
}

static void pour(long writes, long size, double seconds) {
    char text[128];
    say(&watchers[1].link, text, sprintf(text, "pour %ld %ld %.3f", writes, size, seconds));
    last_arrival = now() + seconds;
    while (frames < writes && now() < last_arrival + PATIENCE) poll_links(100);
}

static void carry_out(const char *line) {
    int first = changes + 1, count = 0;
    long writes = 0, size = 0;
    double rate = 0, began = now(), cpu = cpu_used();
    delivered = frames = bytes = 0;
    if (sscanf(line, "graph %lf %d", &rate, &count) == 2) graph(rate, count);
    else if (sscanf(line, "turns %d", &count) == 1) turns(count);
    else if (sscanf(line, "pour %ld %ld %lf", &writes, &size, &rate) == 3) pour(writes, size, rate);
    else { fprintf(stderr, "what is: %s", line); exit(2); }
    double seconds = now() - began, *sorted = malloc((changes - first + 2) * sizeof(double));
    int told = 0;
    for (int n = first; n <= changes; n++) if (late[n] > 0) sorted[told++] = late[n];
    cpu = cpu_used() - cpu;
    printf("{\"changes\": %d, \"seconds\": %.3f, \"delivered\": %ld, \"frames\": %ld, \"bytes\": %ld, \"behind\": %ld, "
           "\"p50_ms\": %.2f, \"p99_ms\": %.2f, \"load_busy\": %.3f}\n",
           changes - first + 1, seconds, delivered, frames, bytes, unmet, quantile(sorted, told, 0.5) * 1e3,
           quantile(sorted, told, 0.99) * 1e3, cpu / seconds);
    fflush(stdout);
    free(sorted);
}

int main(int argc, char **argv) {
    if (argc != 6 || !dialect_named(argv[2])) { fprintf(stderr, "see the head of load/load.c\n"); return 2; }
    connections = atoi(argv[3]);
    srand(crowd = atoi(argv[5]));
    epoll = epoll_create1(0);
    watching_begin();
    connect_all(atoi(argv[1]), atoi(argv[4]));
    struct pollfd either[] = {{.fd = 0, .events = POLLIN}, {.fd = epoll, .events = POLLIN}};
    char line[256];
    setvbuf(stdin, NULL, _IONBF, 0); /* what poll sees is all there is */
    for (;;) {
        if (poll(either, 2, 1000) < 0 && errno != EINTR) die("poll");
        poll_links(0);
        if (!either[0].revents) continue;
        if (!fgets(line, sizeof line, stdin)) return 0;
        carry_out(line);
    }
}
