/* Who watches whom, what each watcher knows by now, and how late it learned of each change.
 *
 * Changes are numbered from 1 on; the statusText of an entry is the number of its change. A watcher that learns of a
 * later change of a user knows the earlier ones, so a change that was overtaken counts as told then. `unmet` is how
 * many (watcher, user) pairs do not know the user's last change yet: 0 when all have converged. */

enum { MOST_CHANGES = 4 << 20 };

struct watcher {
    struct link link; /* first: a link is its watcher */
    int user, is_greeted, watched;
    int *users;       /* whom it watches, sorted */
    int *last;        /* beside each, the last change it knows */
};

static struct watcher *watchers; /* watcher i is user i, from 1 on */
static int connections;
static int *watched_by;          /* by user: how many watch it */
static int *last_sent, *missing; /* by user: number of its last change, and how many do not know it */
static int *sender, *previous;   /* by change: its user, and the user's change before */
static double *sent_at, *late;   /* by change: when it was sent, and how much later its last watcher was told */
static int changes;
static long unmet, delivered;

static int by_value(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static void watching_begin(void) {
    watchers = calloc(connections + 1, sizeof *watchers);
    watched_by = calloc(connections + 1, sizeof(int));
    last_sent = calloc(connections + 1, sizeof(int));
    missing = calloc(connections + 1, sizeof(int));
    sender = calloc(MOST_CHANGES, sizeof(int));
    previous = calloc(MOST_CHANGES, sizeof(int));
    sent_at = calloc(MOST_CHANGES, sizeof(double));
    late = calloc(MOST_CHANGES, sizeof(double));
}

/* Choose whom `w` watches: `count` others at random, or, with -1, the first user only. */
static void choose(struct watcher *w, int count) {
    int is_star = count < 0;
    if (is_star) count = w->user != 1;
    else if (count >= connections) { fprintf(stderr, "too few connections to watch %d of\n", count); exit(2); }
    w->watched = count;
    w->users = malloc(count * sizeof(int) + 1);
    w->last = calloc(count + 1, sizeof(int));
    for (int i = 0; i < count;) {
        int candidate = is_star ? 1 : 1 + rand() % connections, is_taken = candidate == w->user;
        for (int k = 0; k < i; k++) is_taken |= w->users[k] == candidate;
        if (!is_taken) w->users[i++] = candidate;
    }
    qsort(w->users, count, sizeof(int), by_value);
    for (int i = 0; i < count; i++) watched_by[w->users[i]]++;
}

static int place_of(const struct watcher *w, int user) {
    int low = 0, high = w->watched - 1;
    while (low <= high) {
        int middle = (low + high) / 2;
        if (w->users[middle] == user) return middle;
        if (w->users[middle] < user) low = middle + 1;
        else high = middle - 1;
    }
    return -1;
}

/* The next change's number, noted as sent by `user` now. */
static int note_change(int user) {
    if (++changes == MOST_CHANGES) { fprintf(stderr, "too many changes\n"); exit(2); }
    sender[changes] = user;
    previous[changes] = last_sent[user];
    last_sent[user] = changes;
    unmet += watched_by[user] - missing[user];
    missing[user] = watched_by[user];
    sent_at[changes] = now();
    return changes;
}

static void note_told(struct watcher *w, int user, int number, double at) {
    int place = place_of(w, user);
    if (place < 0 || number <= w->last[place]) return;
    if (number > changes || sender[number] != user) {
        fprintf(stderr, "never sent: %d of %d\n", number, user);
        exit(1);
    }
    for (int n = number; n > w->last[place]; n = previous[n])
        if (at - sent_at[n] > late[n]) late[n] = at - sent_at[n];
    w->last[place] = number;
    delivered++;
    if (number == last_sent[user]) { missing[user]--; unmet--; }
}

/* Every entry with a statusText, wherever it stands in the text. */
static void read_entries(struct watcher *w, char *text, size_t size) {
    double at = now();
    struct entry entry;
    for (char *rest = text; next_entry(&rest, text + size, &entry);)
        if (entry.number) note_told(w, entry.user, entry.number, at);
}
