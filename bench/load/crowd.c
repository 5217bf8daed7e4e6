/* A celebrity among others: one user whom all watch, and many users with a few watchers each.
 *
 * crowd PORT WATCHERS OTHERS WATCHERS_OF_EACH
 *
 * User 1 is the celebrity, users 2 to OTHERS + 1 are the others, and the watchers come after them. Every watcher
 * watches the celebrity; each of the others has watchers of its own, spread over the crowd. When all are connected it
 * prints a line and reads commands, one a line: SECONDS RATE CELEBRITY_RATE, changes per second of the others together
 * and of the celebrity. Each command is answered with one JSON object: how late the last watcher of each change was,
 * whether everybody holds the last change of whom they watch, and how busy this program was.
 *
 * A change sets its user to BUSY or ONLINE in turn, with a statusText that numbers it.
 */
#include "ws.h"

struct client {
    struct link link; /* first: a link's address is its client's */
    int user, greeted;
    int watched[2], last[2]; /* the celebrity and perhaps one of the others; number of the last change seen of each */
};

static struct client *clients; /* by user, from 1 */
static int watchers, others, each, greeted;
static int *last_sent;                /* by user: number of its last change */
static int *sender;                   /* by change: its user */
static double *sent_at, *late;        /* by change; lateness of the last watcher so far */
static int changes, room;
static long delivered;

static void on_open(struct link *link) {
    struct client *c = (struct client *)link;
    char hello[256];
    int n = sprintf(hello, "{\"type\":\"hello\",\"userId\":%d,\"deviceId\":\"device-%029d\",\"platform\":\"WEB\"", c->user, c->user);
    if (c->watched[1]) n += sprintf(hello + n, ",\"watch\":[%d,%d]", c->watched[0], c->watched[1]);
    else if (c->watched[0]) n += sprintf(hello + n, ",\"watch\":[%d]", c->watched[0]);
    n += sprintf(hello + n, "}");
    send_frame(link, TEXT, hello, n);
}

static void on_end(struct link *link) {
    fprintf(stderr, "closed by the server: user %d\n", ((struct client *)link)->user);
    exit(1);
}

/* One entry: a change counts as seen when it or a later one of its user is. */
static void see(struct client *c, int user, int number, double at) {
    int place = user == c->watched[0] ? 0 : user == c->watched[1] ? 1 : -1;
    if (place < 0 || number <= c->last[place]) return;
    for (int n = number; n > c->last[place]; n--)
        if (sender[n] == user && at - sent_at[n] > late[n]) late[n] = at - sent_at[n];
    c->last[place] = number;
    delivered++;
}

static void on_frame(struct link *link, int opcode, char *payload, size_t size) {
    struct client *c = (struct client *)link;
    if (opcode != TEXT) return;
    if (!c->greeted && memmem(payload, size, "\"welcome\"", 9)) greeted += c->greeted = 1;
    if (!c->watched[0]) return;
    double at = now();
    struct entry entry;
    for (char *rest = payload; next_entry(&rest, payload + size, &entry);)
        if (entry.number) see(c, entry.user, entry.number, at);
}

static void change(int user) {
    if (++changes == room) {
        room *= 2;
        sender = realloc(sender, room * sizeof *sender);
        sent_at = realloc(sent_at, room * sizeof *sent_at);
        late = realloc(late, room * sizeof *late);
    }
    char text[96];
    const char *status = last_sent[user] % 2 ? "ONLINE" : "BUSY";
    /* The numbers of one user's changes are odd and even as they come, not in turn: the text makes each a change. */
    int n = sprintf(text, "{\"type\":\"status\",\"status\":\"%s\",\"statusText\":\"%d\"}", status, changes);
    sender[changes] = user;
    last_sent[user] = changes;
    late[changes] = 0;
    sent_at[changes] = now();
    send_frame(&clients[user].link, TEXT, text, n);
}

static int behind(void) {
    int count = 0;
    for (int user = others + 2; user <= others + 1 + watchers; user++)
        for (int k = 0; k < 2; k++)
            if (clients[user].watched[k]) count += clients[user].last[k] != last_sent[clients[user].watched[k]];
    return count;
}

static void run(double seconds, double rate, double celebrity_rate) {
    int first = changes, count = 0, celebrity_count = 0;
    delivered = 0;
    double cpu = cpu_used(), began = now();
    while (now() - began < seconds) {
        double passed = now() - began;
        /* Half a step after the others', so that no change of theirs is sent by the same turn as the celebrity's. */
        if (celebrity_count < (passed - 0.5 / rate) * celebrity_rate) celebrity_count++, change(1);
        if (count < passed * rate) change(2 + (int)((long)count++ * 7919 % others));
        poll_links(1);
    }
    double busy = (cpu_used() - cpu) / (now() - began), until = now() + 10;
    int left = 1;
    while ((left = behind()) && now() < until) poll_links(20);
    double *of_others = malloc((changes + 1) * sizeof(double)), *of_celebrity = malloc((changes + 1) * sizeof(double));
    int n = 0, m = 0;
    for (int number = first + 1; number <= changes; number++)
        if (sender[number] == 1) of_celebrity[m++] = late[number]; else of_others[n++] = late[number];
    printf("{\"changes\": %d, \"celebrity_changes\": %d, \"delivered\": %ld, \"behind\": %d, \"load_busy\": %.3f, "
           "\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, \"celebrity_p50_ms\": %.3f}\n",
           n, m, delivered, left, busy, quantile(of_others, n, 0.5) * 1e3, quantile(of_others, n, 0.99) * 1e3,
           quantile(of_others, n, 1) * 1e3, quantile(of_celebrity, m, 0.5) * 1e3);
    fflush(stdout);
    free(of_others);
    free(of_celebrity);
}

int main(int argc, char **argv) {
    if (argc != 5) { fprintf(stderr, "see the head of this file\n"); return 2; }
    int port = atoi(argv[1]);
    watchers = atoi(argv[2]), others = atoi(argv[3]), each = atoi(argv[4]);
    int users = 1 + others + watchers;
    clients = calloc(users + 1, sizeof *clients);
    last_sent = calloc(users + 1, sizeof *last_sent);
    room = 1024;
    sender = malloc(room * sizeof *sender);
    sent_at = malloc(room * sizeof *sent_at);
    late = malloc(room * sizeof *late);
    if (others * each > watchers) { fprintf(stderr, "not enough watchers\n"); return 2; }
    for (int i = 0; i < watchers; i++) clients[others + 2 + i].watched[0] = 1;
    for (int i = 0; i < others * each; i++) /* 7919 is a prime, so that nobody is drawn twice */
        clients[others + 2 + (int)((long)i * 7919 % watchers)].watched[1] = 2 + i / each;
    epoll = epoll_create1(0);
    for (int user = 1; user <= users; user++) {
        clients[user].user = user;
        link_connect(&clients[user].link, port, user);
        while (user - greeted > 32) poll_links(100); /* some at a time, so that none waits long for its answer */
    }
    while (greeted < users) poll_links(100);
    for (double until = now() + 0.5; now() < until;) poll_links(50);
    printf("ready\n");
    fflush(stdout);
    fcntl(0, F_SETFL, O_NONBLOCK);
    char line[128];
    for (;;) { /* the server's pings are answered between two commands as well */
        ssize_t got = read(0, line, sizeof line - 1);
        if (got == 0) return 0;
        double seconds, rate, celebrity_rate;
        if (got > 0 && (line[got] = 0, sscanf(line, "%lf %lf %lf", &seconds, &rate, &celebrity_rate) == 3))
            run(seconds, rate, celebrity_rate);
        poll_links(20);
    }
}
