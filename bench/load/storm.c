/* A storm: many connections drop, and all come back at once, while a few others ask for pongs.
 *
 * storm PORT CONNECTIONS WATCHED STAYERS CHANGED
 *
 * Users 1 to STAYERS stay connected, and each sends a ping every 50 ms. The CONNECTIONS users after them drop and
 * return; each watches all stayers, and for the rest of WATCHED others who do as it does, drawn at random. When all
 * are connected it prints a line and reads commands, one a line:
 *
 *   cursor | full | hello   all drop; CHANGED stayers change meanwhile. Answered with "away" when the server has had
 *                   time to notice. The next empty line lets them return at once: each with its cursor, or (full)
 *                   without one. With hello they are connected again first, which is answered with "open", and the
 *                   next empty line has them all say hello at once, each with its cursor.
 *
 * The return is answered with one JSON object: how long it took, the pongs' lateness meanwhile, and how many of
 * those who returned were told something else than they should have been (`wrong`), and in which way: with a cursor,
 * `resumed` and at least those who changed (else `afresh`, `short`), without one everybody they watch; of each stayer
 * the last change (else `stale`); and nobody's end, since all are within their grace period (else `lapsed`). Who has not
 * returned within PATIENCE is `missing`, and not wrong. Whoever is told when to come back
 * (`retryAfterMs`) does so then, with up to a second of jitter, as the SDKs do; `turned_away` is how often that was, `resets` how
 * often a link dropped before its welcome.
 */
#include "ws.h"

#define PING_EVERY 0.05
#define PATIENCE 600 /* seconds: a server that others keep busy lets in no more than a hundred a second */

struct client {
    struct link link; /* first: a link's address is its client's */
    int user, is_done, is_resumed, entries, offline;
    int *watched;
    int *last; /* by stayer: number of the last change seen */
    char cursor[64];
    double next_ping;
    double back_at; /* when it is to come back; 0: it was not told so */
};

static struct client *clients; /* by user, from 1 */
static int port, connections, watched, stayers, changed, users, done, with_cursor, change_number, holds, opened;
static int *last_sent; /* by stayer */
static double ping_sent[1 << 20], pong_late[1 << 20];
static int pings, pongs, first_ping;
static long bytes, entries, turned_away, resets;

static void say_hello(struct link *link) {
    struct client *c = (struct client *)link;
    char *hello = malloc(watched * 12 + 512);
    int n = sprintf(hello, "{\"type\":\"hello\",\"userId\":%d,\"deviceId\":\"device-%029d\",\"platform\":\"WEB\"", c->user, c->user);
    if (c->watched) {
        n += sprintf(hello + n, ",\"watch\":[");
        for (int i = 0; i < watched; i++) n += sprintf(hello + n, i ? ",%d" : "%d", c->watched[i]);
        n += sprintf(hello + n, "]");
        if (with_cursor) n += sprintf(hello + n, ",\"cursor\":\"%s\"", c->cursor);
    }
    n += sprintf(hello + n, "}");
    send_frame(link, TEXT, hello, n);
    free(hello);
}

static void on_open(struct link *link) {
    opened++;
    if (!holds) say_hello(link);
}

static void on_end(struct link *link) {
    struct client *c = (struct client *)link;
    if (c->back_at) return;
    if (c->watched && !c->is_done) { /* the kernel's queue was full for too long: a link that drops, to an SDK */
        resets++;
        c->back_at = now() + rand() / (double)RAND_MAX;
        return;
    }
    fprintf(stderr, "closed by the server: user %d\n", ((struct client *)link)->user);
    exit(1);
}

/* Every entry of a message: how many, and the last change of each stayer. */
static void read_entries(struct client *c, char *text, size_t size) {
    struct entry entry;
    for (char *rest = text; next_entry(&rest, text + size, &entry);) {
        c->entries++;
        if (entry.user > stayers) c->offline += memmem(entry.text, entry.size, "OFFLINE", 7) != NULL;
        else c->last[entry.user] = entry.number;
    }
}

static void on_frame(struct link *link, int opcode, char *payload, size_t size) {
    struct client *c = (struct client *)link;
    bytes += size;
    if (opcode == 8 && !c->back_at) fprintf(stderr, "closed with %d %.*s\n", (unsigned char)payload[0] << 8 | (unsigned char)payload[1], (int)size - 2, payload + 2);
    if (opcode != TEXT) return;
    if (memmem(payload, size < 40 ? size : 40, "\"pong\"", 6)) {
        char *id = memmem(payload, size, "\"id\":", 5);
        int number = id ? atoi(id + 5) : -1;
        if (number >= first_ping && number < pings) pong_late[number] = now() - ping_sent[number], pongs++;
    } else if (memmem(payload, size < 40 ? size : 40, "\"error\"", 7)) {
        char *after = memmem(payload, size, "\"retryAfterMs\":", 15);
        if (!after) { fprintf(stderr, "refused: %.*s\n", (int)size, payload); exit(1); }
        if (!c->back_at) turned_away++;
        c->back_at = now() + atoi(after + 15) / 1e3 + rand() / (double)RAND_MAX;
    } else if (memmem(payload, size < 40 ? size : 40, "\"welcome\"", 9)) {
        c->is_resumed = memmem(payload, size, "\"resumed\":true", 14) != NULL;
        if (!c->watched) done += !c->is_done, c->is_done = 1;
    } else if (c->watched) {
        size_t length;
        char *cursor = field(payload, size, "\"cursor\":\"", &length);
        read_entries(c, payload, size);
        if (!cursor) return;
        if (length >= sizeof c->cursor) { fprintf(stderr, "a cursor too long\n"); exit(1); }
        memcpy(c->cursor, cursor, length);
        c->cursor[length] = 0;
        if (!c->is_done) done += c->is_done = 1;
    }
}

static void ping(void) {
    double at = now();
    for (int user = 1; user <= stayers; user++) {
        struct client *c = &clients[user];
        if (at < c->next_ping) continue;
        c->next_ping = at + PING_EVERY;
        if (pings == sizeof ping_sent / sizeof *ping_sent) { fprintf(stderr, "too many pings\n"); exit(1); }
        char text[48];
        int n = sprintf(text, "{\"type\":\"ping\",\"id\":%d}", pings);
        pong_late[pings] = -1;
        ping_sent[pings++] = at;
        send_frame(&c->link, TEXT, text, n);
    }
}

static void poll_for(double seconds) {
    for (double until = now() + seconds; now() < until;) {
        poll_links(2);
    }
}

/* Those who were turned away and are due. */
static void come_again(void) {
    double at = now();
    for (int user = 1; user <= users; user++) {
        struct client *c = &clients[user];
        if (!c->back_at || at < c->back_at || c->link.phase != ENDED) continue;
        c->back_at = 0;
        link_connect(&c->link, port, user);
    }
}

static void leave(void) {
    for (int user = stayers + 1; user <= users; user++) link_drop(&clients[user].link);
    poll_for(0.5);
    for (int i = 0; i < changed; i++) {
        int user = 1 + change_number % stayers;
        char text[96];
        int n = sprintf(text, "{\"type\":\"status\",\"status\":\"%s\",\"statusText\":\"%d\"}", "BUSY", ++change_number);
        last_sent[user] = change_number;
        send_frame(&clients[user].link, TEXT, text, n);
    }
    poll_for(1);
    printf("away\n");
    fflush(stdout);
}

static struct mistakes { int missing, wrong, afresh, short_, lapsed, stale; } mistakes(void) {
    struct mistakes found = {0};
    for (int user = stayers + 1; user <= users; user++) {
        struct client *c = &clients[user];
        if (!c->is_done) {
            found.missing++;
            continue;
        }
        int is_afresh = c->is_resumed != with_cursor, is_lapsed = c->offline > 0, is_stale = 0;
        int is_short = with_cursor ? c->entries < changed : c->entries != watched;
        for (int stayer = 1; stayer <= stayers; stayer++) is_stale |= c->last[stayer] != last_sent[stayer];
        entries += c->entries;
        found.afresh += is_afresh;
        found.short_ += is_short;
        found.lapsed += is_lapsed;
        found.stale += is_stale;
        found.wrong += is_afresh | is_short | is_lapsed | is_stale;
    }
    return found;
}

/* All connect, and say hello unless they hold it back. */
static void connect_all(void) {
    for (int user = stayers + 1; user <= users; user++) {
        clients[user].is_done = clients[user].entries = clients[user].offline = 0;
        link_connect(&clients[user].link, port, user);
        if (user % 64 == 0) ping(), poll_links(0);
    }
}

static void come_back(void) {
    done = 0;
    bytes = entries = turned_away = resets = 0;
    first_ping = pings = pongs = 0;
    double cpu = cpu_used(), began = now();
    if (!holds) {
        connect_all();
    } else {
        for (int user = stayers + 1; user <= users; user++) {
            say_hello(&clients[user].link);
            if (user % 64 == 0) ping(), poll_links(0);
        }
    }
    while (done < connections && now() - began < PATIENCE) {
        ping();
        come_again();
        poll_links(2);
    }
    double seconds = now() - began, busy = (cpu_used() - cpu) / seconds;
    int asked = pings;
    for (double until = now() + 5; pongs < asked && now() < until;) poll_links(2);
    double *late = malloc((asked + 1) * sizeof *late);
    int count = 0;
    for (int i = 0; i < asked; i++) if (pong_late[i] >= 0) late[count++] = pong_late[i];
    struct mistakes found = mistakes();
    printf("{\"resumed\": %d, \"missing\": %d, \"wrong\": %d, \"afresh\": %d, \"short\": %d, \"lapsed\": %d, \"stale\": %d, \"entries\": %ld, \"seconds\": %.4f, \"bytes\": %ld, \"pings\": %d, \"unanswered\": %d, "
           "\"ping_p50_ms\": %.3f, \"ping_p99_ms\": %.3f, \"ping_max_ms\": %.3f, \"load_busy\": %.3f, \"turned_away\": %ld, \"resets\": %ld}\n",
           done, found.missing, found.wrong, found.afresh, found.short_, found.lapsed, found.stale, entries, seconds, bytes, asked, asked - count, quantile(late, count, 0.5) * 1e3,
           quantile(late, count, 0.99) * 1e3, quantile(late, count, 1) * 1e3, busy, turned_away, resets);
    fflush(stdout);
    free(late);
}

static void draw(struct client *c) {
    static int *taken; /* by user: who drew it last */
    if (!taken) taken = calloc(users + 1, sizeof *taken);
    c->watched = malloc(watched * sizeof *c->watched);
    c->last = calloc(stayers + 1, sizeof *c->last);
    for (int i = 0; i < watched;) {
        int candidate = i < stayers ? i + 1 : stayers + 1 + rand() % connections;
        if (taken[candidate] == c->user) continue;
        taken[candidate] = c->user;
        c->watched[i++] = candidate;
    }
}

int main(int argc, char **argv) {
    if (argc != 6) { fprintf(stderr, "see the head of this file\n"); return 2; }
    port = atoi(argv[1]), connections = atoi(argv[2]), watched = atoi(argv[3]), stayers = atoi(argv[4]), changed = atoi(argv[5]);
    users = stayers + connections;
    if (changed > stayers || watched < stayers || watched - stayers > connections) { fprintf(stderr, "sizes do not fit\n"); return 2; }
    clients = calloc(users + 1, sizeof *clients);
    last_sent = calloc(stayers + 1, sizeof *last_sent);
    epoll = epoll_create1(0);
    for (int user = 1; user <= users; user++) {
        clients[user].user = user;
        if (user > stayers) draw(&clients[user]);
        link_connect(&clients[user].link, port, user);
        while (user - done > 32) come_again(), poll_links(10);
    }
    while (done < users) come_again(), poll_links(10);
    poll_for(1);
    printf("ready\n");
    fflush(stdout);
    fcntl(0, F_SETFL, O_NONBLOCK);
    char line[64];
    for (int is_away = 0, is_open = 0;;) {
        ssize_t got = read(0, line, sizeof line);
        if (got == 0) return 0;
        if (got > 0 && is_away && holds && !is_open) {
            opened = first_ping = pings = pongs = 0;
            connect_all();
            while (opened < connections) poll_links(20);
            is_open = 1;
            poll_for(0.5);
            printf("open\n");
            fflush(stdout);
        } else if (got > 0 && is_away) {
            come_back();
            is_away = is_open = 0;
        } else if (got > 0) {
            with_cursor = line[0] != 'f';
            holds = line[0] == 'h';
            leave();
            is_away = 1;
        }
        poll_links(20);
    }
}
