/* HTTP over connections that stay open: each sends a request, waits for its answer, and sends the next.
 *
 * http PORT CONNECTIONS SECONDS FILE
 *
 * FILE holds pairs of a whole request and the body expected in answer, each after its size, a little-endian integer of
 * four bytes. Connection i sends request i modulo their number. An answer is right if it is a 200 with exactly that body.
 * Prints a line once each connection was answered, and begins at a line from the runner; then one JSON object.
 */
#include "ws.h"

static void on_open(struct link *link) { (void)link; }
static void on_frame(struct link *link, int opcode, char *payload, size_t size) {
    (void)link, (void)opcode, (void)payload, (void)size;
}
static void on_end(struct link *link) { (void)link; }

struct text { char *data; uint32_t size; };

struct asker {
    int fd;
    struct text *request, *expected;
    char *data;
    size_t size, room;
};

static struct asker *askers;
static long answered, wrong;
static int is_over;

static struct text read_text(FILE *file) {
    struct text text = {0};
    if (fread(&text.size, 4, 1, file) != 1) return text;
    text.data = malloc(text.size + 1);
    if (fread(text.data, 1, text.size, file) != text.size) die("read");
    return text;
}

static void check(struct asker *a, size_t head, size_t length) {
    answered++;
    int is_right = !memcmp(a->data, "HTTP/1.1 200", 12) && length == a->expected->size
                && !memcmp(a->data + head, a->expected->data, length);
    if (!is_right && !wrong++) fprintf(stderr, "expected %.300s\ngot %.*s\n", a->expected->data, (int)(head + length), a->data);
}

static void receive(struct asker *a) {
    if (a->room - a->size < 16384) a->data = realloc(a->data, a->room += 65536);
    ssize_t got = recv(a->fd, a->data + a->size, a->room - a->size - 1, 0);
    if (got == 0) { fprintf(stderr, "closed by the server\n"); exit(1); }
    if (got < 0) return;
    a->size += got;
    a->data[a->size] = 0;
    char *end = memmem(a->data, a->size, "\r\n\r\n", 4);
    if (!end) return;
    size_t head = end + 4 - a->data;
    char *line = strcasestr(a->data, "\ncontent-length:");
    if (!line || line > end) { fprintf(stderr, "no content-length\n"); exit(1); }
    size_t length = atol(line + 16);
    if (a->size < head + length) return;
    check(a, head, length);
    a->size = 0;
    if (!is_over) send_all(a->fd, a->request->data, a->request->size);
}

static void poll_askers(int timeout) {
    struct epoll_event events[256];
    int count = epoll_wait(epoll, events, 256, timeout);
    for (int i = 0; i < count; i++) receive(events[i].data.ptr);
}

int main(int argc, char **argv) {
    if (argc != 5) { fprintf(stderr, "see the head of this file\n"); return 2; }
    int port = atoi(argv[1]), connections = atoi(argv[2]), kinds = 0;
    double seconds = atof(argv[3]);
    FILE *file = fopen(argv[4], "rb");
    if (!file) die("open");
    struct text *requests = malloc(4096 * sizeof *requests), *bodies = malloc(4096 * sizeof *bodies);
    while (kinds < 4096 && (requests[kinds] = read_text(file)).data) bodies[kinds] = read_text(file), kinds++;
    askers = calloc(connections, sizeof *askers);
    epoll = epoll_create1(0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < connections; i++) {
        struct asker *a = &askers[i];
        a->request = &requests[i % kinds], a->expected = &bodies[i % kinds];
        a->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(a->fd, (struct sockaddr *)&to, sizeof to)) die("connect");
        int one = 1;
        setsockopt(a->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(a->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = a};
        epoll_ctl(epoll, EPOLL_CTL_ADD, a->fd, &event);
    }
    is_over = 1; /* the first answer of each is a trial: nothing follows it */
    for (int i = 0; i < connections; i++) send_all(askers[i].fd, askers[i].request->data, askers[i].request->size);
    for (double until = now() + 10; answered < connections && now() < until;) poll_askers(100);
    if (answered < connections) { fprintf(stderr, "no answer\n"); return 1; }
    printf("ready\n");
    fflush(stdout);
    if (getchar() == EOF) return 1; /* the runner reads the server's counters first */
    answered = is_over = 0;
    double cpu = cpu_used(), began = now();
    for (int i = 0; i < connections; i++) send_all(askers[i].fd, askers[i].request->data, askers[i].request->size);
    while (now() - began < seconds) poll_askers(10);
    double took = now() - began, busy = (cpu_used() - cpu) / took;
    long counted = answered;
    is_over = 1;
    for (double until = now() + 1; now() < until && answered < counted + connections;) poll_askers(50);
    printf("{\"answered\": %ld, \"wrong\": %ld, \"seconds\": %.3f, \"load_busy\": %.3f}\n", answered, wrong, took, busy);
    return 0;
}
