#include "svc/spf.h"

#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/idmap.h"
#include "net/clock.h"

#define READS_A_TURN 64 /* packets read before others have their turn */
/* How often a question is asked of one gate25-spfd after the other: that one ended before it was
 * answered may be the question's fault. */
#define SENDS_MOST 4

/* A question whose answer is due. */
struct pending {
    TAILQ_ENTRY(pending) next;
    uint64_t id, ticket;
    int64_t due_ms;
    unsigned sends;
    struct addr client;
    size_t helo_len, sender_len;
    char words[]; /* HELO name, sender */
};

TAILQ_HEAD(pending_list, pending);

struct spf {
    int fd;
    uint32_t asker; /* answers to a process before this one are not for us */
    uint64_t heard; /* answers to us, late ones too */
    spf_answer_cb answer;
    void *context;
    struct idmap map;
    struct pending_list waiting; /* the one that is due first in front */
    struct event readable, timer;
};

static const struct spf_answer nothing = {
    .sender = SPF_UNKNOWN, .helo = SPF_UNKNOWN, .sender_words = {"", 0}, .helo_words = {"", 0}};

static void deliver(struct spf *s, struct pending *p, const struct spf_answer *answer)
{
    uint64_t ticket = p->ticket;
    TAILQ_REMOVE(&s->waiting, p, next);
    idmap_remove(&s->map, p->id);
    free(p);
    s->answer(s->context, ticket, answer);
}

static void arm_timer(struct spf *s)
{
    const struct pending *first = TAILQ_FIRST(&s->waiting);
    if (!first) {
        event_del(&s->timer);
        return;
    }
    int64_t ms = first->due_ms - clock_monotonic_ms();
    ms = ms > 0 ? ms : 0;
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    event_add(&s->timer, &wait);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct spf *s = context;
    int64_t now_ms = clock_monotonic_ms();
    struct pending *p;
    while ((p = TAILQ_FIRST(&s->waiting)) && p->due_ms <= now_ms) {
        deliver(s, p, &nothing);
    }
    arm_timer(s);
}

/* False: nobody takes it. */
static bool send_question(struct spf *s, struct pending *p)
{
    uint8_t packet[SPF_WIRE_MOST];
    int64_t left_ms = p->due_ms - clock_monotonic_ms();
    struct spf_question q = {
        .asker = s->asker,
        .id = p->id,
        /* What cannot be found out in time shall come as an answer too, and say so. */
        .deadline_ms = left_ms > 0 ? (uint32_t)(left_ms - left_ms / 8) : 0,
        .client = p->client,
        .helo = {p->words, p->helo_len},
        .sender = {p->words + p->helo_len, p->sender_len},
    };
    size_t size = spf_question_encode(&q, packet);
    p->sends++;
    return size > 0 && send(s->fd, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
}

/* Whoever was asked before will not answer any more. */
static void ask_again(struct spf *s)
{
    struct pending *p;
    TAILQ_FOREACH(p, &s->waiting, next)
    {
        if (p->sends < SENDS_MOST) {
            (void)send_question(s, p); /* not taken: it waits for its deadline */
        }
    }
}

static void on_packet(struct spf *s, struct span packet)
{
    struct spf_reply reply;
    if (spf_greeting_decode(packet)) {
        ask_again(s);
        return;
    }
    if (!spf_reply_decode(packet, &reply) || reply.asker != s->asker) {
        return;
    }
    s->heard++;
    struct pending *p = idmap_get(&s->map, reply.id);
    if (p) {
        deliver(s, p, &reply.answer);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct spf *s = context;
    char packet[SPF_WIRE_MOST];
    for (int i = 0; i < READS_A_TURN; i++) {
        ssize_t n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
        if (n <= 0) {
            break;
        }
        on_packet(s, (struct span){packet, (size_t)n});
    }
    arm_timer(s);
}

static void copy_words(char *to, struct span s)
{
    if (s.len > 0) {
        memcpy(to, s.at, s.len);
    }
}

static void insert(struct spf *s, struct pending *p)
{
    struct pending *before = TAILQ_LAST(&s->waiting, pending_list);
    while (before && before->due_ms > p->due_ms) {
        before = TAILQ_PREV(before, pending_list, next);
    }
    if (before) {
        TAILQ_INSERT_AFTER(&s->waiting, before, p, next);
    } else {
        TAILQ_INSERT_HEAD(&s->waiting, p, next);
    }
}

int spf_ask(
    struct spf *s, uint64_t ticket, const struct addr *client, struct span helo, struct span sender,
    uint32_t deadline_ms)
{
    struct pending *p = malloc(sizeof(*p) + helo.len + sender.len);
    uint64_t id = p ? idmap_add(&s->map, p) : IDMAP_NONE;
    if (id == IDMAP_NONE) {
        free(p);
        return -1;
    }
    int64_t now_ms = clock_monotonic_ms();
    *p = (struct pending){
        .id = id,
        .ticket = ticket,
        .due_ms = now_ms + deadline_ms,
        .client = *client,
        .helo_len = helo.len,
        .sender_len = sender.len};
    copy_words(p->words, helo);
    copy_words(p->words + helo.len, sender);
    if (!send_question(s, p)) {
        p->due_ms = now_ms;
    }
    insert(s, p);
    arm_timer(s);
    return 0;
}

uint64_t spf_heard(const struct spf *s)
{
    return s->heard;
}

struct spf *spf_new(struct event_base *base, int fd, spf_answer_cb answer, void *context)
{
    struct spf *s = calloc(1, sizeof(*s));
    if (!s) {
        return NULL;
    }
    s->fd = fd;
    s->asker = (uint32_t)getpid();
    s->answer = answer;
    s->context = context;
    TAILQ_INIT(&s->waiting);
    idmap_init(&s->map);
    event_assign(&s->readable, base, fd, EV_READ | EV_PERSIST, on_readable, s);
    event_assign(&s->timer, base, -1, 0, on_timer, s);
    if (event_add(&s->readable, NULL) < 0) {
        spf_free(s);
        return NULL;
    }
    return s;
}

void spf_free(struct spf *s)
{
    if (!s) {
        return;
    }
    event_del(&s->readable);
    event_del(&s->timer);
    for (struct pending *p = TAILQ_FIRST(&s->waiting), *after; p; p = after) {
        after = TAILQ_NEXT(p, next);
        free(p);
    }
    idmap_fini(&s->map);
    free(s);
}
