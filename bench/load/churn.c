/* Churn: clients come, say hello, are welcomed, say bye and go, at a steady rate.
 *
 * churn PORT RATE SECONDS WELCOME_SIZE
 *
 * When the server answers a first client it prints a line, and begins at a line from the runner. A cycle is whole when
 * a welcome of WELCOME_SIZE bytes came (0: of any size), a close frame with 1000 after the bye, and then the end of the
 * connection. Prints one JSON object.
 */
#include "ws.h"

struct client {
    struct link link; /* first: a link's address is its client's */
    int user, is_welcomed, is_closed;
    double began;
};

#define MOST 8192
static struct client clients[MOST]; /* a ring: a client that came so many clients ago is gone */
static int next_user = 1, begun, finished, wrong, welcome_size, seen_size;
static double *took;

static void on_open(struct link *link) {
    struct client *c = (struct client *)link;
    char hello[256];
    int n = sprintf(hello, "{\"type\":\"hello\",\"userId\":%d,\"deviceId\":\"device-%029d\",\"platform\":\"WEB\"}", c->user, c->user);
    send_frame(link, TEXT, hello, n);
}

static void on_frame(struct link *link, int opcode, char *payload, size_t size) {
    struct client *c = (struct client *)link;
    if (opcode == TEXT && !c->is_welcomed) {
        c->is_welcomed = memmem(payload, size, "\"welcome\"", 9) && (!welcome_size || size == (size_t)welcome_size);
        seen_size = size;
        send_frame(link, TEXT, "{\"type\":\"bye\"}", 14);
    } else if (opcode == CLOSE) {
        c->is_closed = size >= 2 && (unsigned char)payload[0] == 1000 >> 8 && (unsigned char)payload[1] == (1000 & 255);
        send_frame(link, CLOSE, payload, 2);
    }
}

static void on_end(struct link *link) {
    struct client *c = (struct client *)link;
    if (!c->is_welcomed || !c->is_closed) wrong++;
    took[finished++] = now() - c->began;
}

static void begin(int port) {
    struct client *c = &clients[begun++ % MOST];
    if (c->link.phase != UNUSED && c->link.phase != ENDED) { fprintf(stderr, "the server is too slow\n"); exit(1); }
    memset(c, 0, sizeof *c);
    c->user = next_user++;
    c->began = now();
    link_connect(&c->link, port, c->user);
}

int main(int argc, char **argv) {
    if (argc != 5) { fprintf(stderr, "see the head of this file\n"); return 2; }
    int port = atoi(argv[1]), rate = atoi(argv[2]), cycles = (int)(atof(argv[3]) * rate);
    next_user = 1000000000; /* of ten digits, each of them, so that every welcome is as long as the others */
    welcome_size = atoi(argv[4]);
    took = malloc((cycles + 1) * sizeof *took);
    epoll = epoll_create1(0);
    for (begin(port); finished < 1;) poll_links(100);
    printf("ready %d\n", seen_size);
    fflush(stdout);
    if (getchar() == EOF) return 1; /* the runner reads the server's counters first */
    finished = begun = 0;
    double cpu = cpu_used(), began = now();
    while (begun < cycles) {
        while (begun < cycles && begun < (now() - began) * rate) begin(port);
        poll_links(1);
    }
    double seconds = now() - began;
    for (double until = now() + 5; finished < cycles && now() < until;) poll_links(10);
    printf("{\"cycles\": %d, \"unfinished\": %d, \"wrong\": %d, \"seconds\": %.3f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"load_busy\": %.3f}\n", finished, cycles - finished, wrong, seconds, quantile(took, finished, 0.5) * 1e3,
           quantile(took, finished, 0.99) * 1e3, (cpu_used() - cpu) / seconds);
    return 0;
}
