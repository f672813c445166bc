/* The gates that were taken over from: each stays until its sessions have ended, says how many
 * those are, and hears of a reload, since it goes on writing its journal. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "master_internal.h"

static void let_go(struct master_older *o)
{
    event_del(&o->heard);
    close(o->fd);
    free(o);
}

static void forget(struct master_older *o)
{
    struct master_older **at = &o->master->older;
    while (*at != o) {
        at = &(*at)->next;
    }
    *at = o->next;
    let_go(o);
}

static bool is_elder(const struct master_older *o)
{
    return o->fd == o->master->inherited.elder;
}

static void hear(struct master_older *o, const char *words)
{
    struct span numbers = span_of(words + 1);
    uint64_t pid, sessions;
    if (words[0] == MASTER_REPORT) {
        if (span_number(span_word(&numbers), INT32_MAX, &pid) &&
            span_number(span_word(&numbers), UINT32_MAX, &sessions)) {
            o->pid = (pid_t)pid;
            o->sessions = sessions;
        }
    } else if (words[0] == MASTER_CLOSED && is_elder(o)) {
        master_took_over(o->master, words[1] == MASTER_DRAINED);
    }
}

static void on_older(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct master_older *o = context;
    char words[MASTER_WORDS];
    ssize_t got;
    while ((got = read(fd, words, sizeof(words) - 1)) > 0) {
        words[got] = '\0';
        hear(o, words);
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (is_elder(o)) { /* its end has closed its doors */
        master_took_over(o->master, false);
    }
    forget(o);
}

static int add(struct master *m, int fd)
{
    struct master_older *o = calloc(1, sizeof(*o));
    if (!o) {
        close(fd);
        return -1;
    }
    o->master = m;
    o->fd = fd;
    o->next = m->older;
    if (event_assign(&o->heard, m->base, fd, EV_READ | EV_PERSIST, on_older, o) < 0) {
        close(fd);
        free(o);
        return -1;
    }
    m->older = o;
    return 0;
}

int master_older_open(struct master *m)
{
    int fd;
    if (!master_takes_over(m)) {
        return 0;
    }
    while ((fd = inherited_take(&m->inherited, INHERITED_OLDER, NULL)) >= 0) {
        if (add(m, fd) < 0) {
            return -1;
        }
    }
    /* The others speak to the elder until it has closed its doors. */
    return add(m, m->inherited.elder) < 0 || event_add(&m->older->heard, NULL) < 0 ? -1 : 0;
}

void master_older_listen(struct master *m)
{
    for (struct master_older *o = m->older; o; o = o->next) {
        (void)event_add(&o->heard, NULL);
    }
}

void master_older_close(struct master *m)
{
    for (struct master_older *o = m->older, *next; o; o = next) {
        next = o->next;
        let_go(o);
    }
    m->older = NULL;
}

void master_older_reload(struct master *m)
{
    static const char word = MASTER_RELOAD;
    for (struct master_older *o = m->older; o; o = o->next) {
        (void)!write(o->fd, &word, sizeof(word));
    }
}

unsigned master_older_count(const struct master *m)
{
    unsigned count = 0;
    for (const struct master_older *o = m->older; o; o = o->next) {
        count++;
    }
    return count;
}

uint64_t master_older_sessions(const struct master *m)
{
    uint64_t sum = 0;
    for (const struct master_older *o = m->older; o; o = o->next) {
        sum += o->sessions;
    }
    return sum;
}
