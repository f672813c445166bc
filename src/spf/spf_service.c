#include "spf/spf_service.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/idmap.h"
#include "core/spf_wire.h"
#include "net/resolver.h"
#include "spf/spf_check.h"
#include "spf/spf_death.h"

#define READS_A_TURN  32 /* questions of one socket before others have their turn */
#define SEND_AGAIN_MS 20
#define SENDS_MOST    100

/* The names that a question is about. With an empty reverse-path they are one (RFC 7208 2.4). */
enum identity { IDENTITY_HELO, IDENTITY_SENDER, IDENTITIES };

struct job {
    TAILQ_ENTRY(job) next;
    struct spf_service *service;
    struct spf_check *check[IDENTITIES]; /* NULL: not asked about */
    bool done[IDENTITIES];
    uint64_t id;
    int socket;
    uint32_t asker;
    uint64_t asker_id;
    unsigned awaited; /* answers of the DNS */
    unsigned sends;   /* of the answer, in vain */
    bool due;         /* to be run in the loop's next turn */
    struct event deadline;
};

TAILQ_HEAD(jobs, job);

/* Names what an answer of the DNS is for: a job may be gone when it comes. */
struct awaited {
    uint64_t job;
    enum identity identity;
    size_t question;
};

struct spf_service {
    struct event_base *base;
    struct resolver *resolver;
    struct idmap map;    /* jobs */
    struct idmap awaits; /* struct awaited */
    struct jobs jobs;
    struct event run;
    struct event *readable; /* one a socket */
    size_t readable_count;
};

/* False: whoever asked has no room for it now. */
static bool send_reply(int socket, uint32_t asker, uint64_t id, const struct spf_answer *answer)
{
    struct spf_reply reply = {asker, id, *answer};
    uint8_t packet[SPF_WIRE_MOST];
    size_t size = spf_reply_encode(&reply, packet);
    return send(socket, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size ||
           errno != EAGAIN;
}

static void job_free(struct job *j)
{
    struct spf_service *s = j->service;
    event_del(&j->deadline);
    TAILQ_REMOVE(&s->jobs, j, next);
    idmap_remove(&s->map, j->id);
    for (enum identity i = 0; i < IDENTITIES; i++) {
        if (j->check[i]) {
            spf_check_free(j->check[i]);
        }
    }
    free(j);
}

static void take(const struct job *j, enum identity i, enum spf_result *result, struct span *words)
{
    *result = j->done[i] ? spf_check_result(j->check[i]) : SPF_TEMPERROR;
    *words = j->done[i] ? spf_check_explanation(j->check[i])
                        : SPAN_LITERAL("the DNS did not answer in time");
}

/* What is known by now. */
static struct spf_answer answer_of(const struct job *j)
{
    struct spf_answer answer;
    take(j, IDENTITY_HELO, &answer.helo, &answer.helo_words);
    take(
        j, j->check[IDENTITY_SENDER] ? IDENTITY_SENDER : IDENTITY_HELO, &answer.sender,
        &answer.sender_words);
    return answer;
}

/* Says it, and that is the end of it. Hundreds of answers at once may be more than a busy gate has
 * room for; who does not read them for long will not miss this one. */
static void finish(struct job *j)
{
    static const struct timeval wait = {.tv_usec = SEND_AGAIN_MS * 1000};
    const struct spf_answer answer = answer_of(j);
    if (!send_reply(j->socket, j->asker, j->asker_id, &answer) && j->sends++ < SENDS_MOST) {
        event_add(&j->deadline, &wait);
        return;
    }
    job_free(j);
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    finish(context);
}

static void run_later(struct job *j)
{
    j->due = true;
    event_active(&j->service->run, EV_TIMEOUT, 1);
}

static void ask_dns(struct job *j, enum identity identity, size_t question)
{
    struct spf_service *s = j->service;
    struct awaited *a = malloc(sizeof(*a));
    uint64_t ticket = a ? idmap_add(&s->awaits, a) : IDMAP_NONE;
    if (ticket == IDMAP_NONE) {
        free(a);
        spf_check_answer(j->check[identity], question, SPF_DNS_FAILED);
        return;
    }
    *a = (struct awaited){j->id, identity, question};
    j->awaited++;
    resolver_ask(
        s->resolver, ticket, spf_check_name(j->check[identity], question),
        spf_check_type(j->check[identity], question));
}

/* A run that ends this process is the record's fault, and the answer is permerror. What is known of
 * the other name by then counts all the same. */
static bool run_safely(struct job *j, enum identity identity)
{
    static uint8_t packet[SPF_WIRE_MOST];
    const struct span fatal = SPAN_LITERAL("the record cannot be evaluated");
    struct spf_answer answer = answer_of(j);
    if (identity == IDENTITY_SENDER || !j->check[IDENTITY_SENDER]) {
        answer.sender = SPF_PERMERROR;
        answer.sender_words = fatal;
    }
    if (identity == IDENTITY_HELO) {
        answer.helo = SPF_PERMERROR;
        answer.helo_words = fatal;
    }
    const struct spf_reply reply = {j->asker, j->asker_id, answer};
    spf_death_say(j->socket, packet, spf_reply_encode(&reply, packet));
    bool done = spf_check_run(j->check[identity]);
    spf_death_say_nothing();
    return done;
}

static void ask_for_missing(struct job *j, enum identity identity)
{
    const struct spf_check *c = j->check[identity];
    for (size_t i = 0; i < spf_check_count(c); i++) {
        if (spf_check_state(c, i) == SPF_DNS_WANTED) {
            ask_dns(j, identity, i);
        }
    }
}

static void run_check(struct job *j, enum identity identity)
{
    j->done[identity] = !j->check[identity] || j->done[identity] || run_safely(j, identity);
    if (!j->done[identity]) {
        ask_for_missing(j, identity);
    }
}

/* Who brings a HELO name that ends this process must not take the answer about the sender along:
 * until that is there the name's record is fetched, and not read. Answers that come at once are
 * seen in the loop's next turn like all others. */
static void run(struct job *j)
{
    j->due = false;
    run_check(j, IDENTITY_SENDER);
    if (j->done[IDENTITY_SENDER]) {
        run_check(j, IDENTITY_HELO);
    } else {
        ask_for_missing(j, IDENTITY_HELO);
    }
    if (j->done[IDENTITY_HELO] && j->done[IDENTITY_SENDER]) {
        finish(j);
    } else if (j->awaited == 0) {
        run_later(j);
    }
}

static void on_run(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct spf_service *s = context;
    for (struct job *j = TAILQ_FIRST(&s->jobs), *after; j; j = after) {
        after = TAILQ_NEXT(j, next);
        if (j->due && j->awaited == 0) {
            run(j);
        }
    }
}

static void on_resolved(void *context, uint64_t ticket, const struct resolved *answer)
{
    static const enum spf_dns_state states[] = {
        [RESOLVED] = SPF_DNS_FOUND,
        [RESOLVED_EMPTY] = SPF_DNS_EMPTY,
        [RESOLVE_FAILED] = SPF_DNS_FAILED,
    };
    struct spf_service *s = context;
    struct awaited *a = idmap_get(&s->awaits, ticket);
    struct job *j = a ? idmap_get(&s->map, a->job) : NULL;
    if (j && !answer->end) {
        spf_check_add(j->check[a->identity], a->question, answer->record);
    }
    if (j && answer->end) {
        spf_check_answer(j->check[a->identity], a->question, states[answer->state]);
        if (--j->awaited == 0) {
            run_later(j);
        }
    }
    if (a && answer->end) {
        idmap_remove(&s->awaits, ticket);
        free(a);
    }
}

/* False: out of memory. */
static bool make_checks(struct job *j, const struct spf_question *q)
{
    struct span nobody = SPAN_LITERAL("");
    j->check[IDENTITY_HELO] = spf_check_new(&q->client, q->helo, nobody);
    if (q->sender.len == 0) {
        return j->check[IDENTITY_HELO] != NULL;
    }
    j->check[IDENTITY_SENDER] = spf_check_new(&q->client, q->helo, q->sender);
    return j->check[IDENTITY_HELO] && j->check[IDENTITY_SENDER];
}

/* False: there is no room for one more. */
static bool begin(struct spf_service *s, int socket, const struct spf_question *q)
{
    struct job *j = s->map.count < SPF_SERVICE_CHECKS ? calloc(1, sizeof(*j)) : NULL;
    if (!j) {
        return false;
    }
    *j = (struct job){.service = s, .socket = socket, .asker = q->asker, .asker_id = q->id};
    j->id = idmap_add(&s->map, j);
    event_assign(&j->deadline, s->base, -1, 0, on_deadline, j);
    TAILQ_INSERT_TAIL(&s->jobs, j, next);
    if (j->id == IDMAP_NONE || !make_checks(j, q)) {
        job_free(j);
        return false;
    }
    struct timeval wait = {
        .tv_sec = q->deadline_ms / 1000, .tv_usec = q->deadline_ms % 1000 * 1000};
    event_add(&j->deadline, &wait);
    run_later(j);
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct spf_service *s = context;
    char packet[SPF_WIRE_MOST];
    for (int i = 0; i < READS_A_TURN; i++) {
        ssize_t n = recv(fd, packet, sizeof(packet), MSG_DONTWAIT);
        if (n == 0) { /* nobody is left to answer to */
            event_base_loopbreak(s->base);
        }
        if (n <= 0) {
            return;
        }
        struct spf_question q;
        if (spf_question_decode((struct span){packet, (size_t)n}, &q) && !begin(s, fd, &q)) {
            const struct spf_answer full = {
                SPF_UNKNOWN, SPF_UNKNOWN, SPAN_LITERAL("too many questions"), SPAN_LITERAL("")};
            (void)send_reply(fd, q.asker, q.id, &full);
        }
    }
}

/* What was asked before is asked again, for the one that it was sent to has gone: maybe by that
 * very question. */
static void greet(int socket)
{
    char packet[SPF_WIRE_MOST];
    uint8_t greeting[SPF_WIRE_GREETING];
    while (recv(socket, packet, sizeof(packet), MSG_DONTWAIT) > 0) {
    }
    (void)send(socket, greeting, spf_greeting_encode(greeting), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int listen_to(struct spf_service *s, const int *sockets, size_t count)
{
    s->readable = calloc(count, sizeof(*s->readable));
    for (size_t i = 0; s->readable && i < count; i++) {
        if (event_assign(
                &s->readable[i], s->base, sockets[i], EV_READ | EV_PERSIST, on_readable, s) < 0 ||
            event_add(&s->readable[i], NULL) < 0) {
            return -1;
        }
        s->readable_count++;
        greet(sockets[i]);
    }
    return s->readable ? 0 : -1;
}

struct spf_service *spf_service_new(
    struct event_base *base, const int *sockets, size_t socket_count,
    const struct endpoint *servers, size_t server_count, struct text *error)
{
    struct spf_service *s = calloc(1, sizeof(*s));
    if (!s) {
        text_addf(error, "out of memory");
        return NULL;
    }
    s->base = base;
    TAILQ_INIT(&s->jobs);
    idmap_init(&s->map);
    idmap_init(&s->awaits);
    event_assign(&s->run, base, -1, 0, on_run, s);
    spf_check_setup();
    s->resolver = resolver_new(base, servers, server_count, on_resolved, s, error);
    if (!s->resolver) {
        spf_service_free(s);
        return NULL;
    }
    if (listen_to(s, sockets, socket_count) < 0) {
        text_addf(error, "cannot listen to the gate");
        spf_service_free(s);
        return NULL;
    }
    return s;
}

static void free_awaited(void *object, void *context)
{
    (void)context;
    free(object);
}

void spf_service_free(struct spf_service *s)
{
    for (struct job *j = TAILQ_FIRST(&s->jobs), *after; j; j = after) {
        after = TAILQ_NEXT(j, next);
        job_free(j);
    }
    for (size_t i = 0; i < s->readable_count; i++) {
        event_del(&s->readable[i]);
    }
    event_del(&s->run);
    free(s->readable);
    if (s->resolver) {
        resolver_free(s->resolver);
    }
    idmap_each(&s->awaits, free_awaited, NULL);
    idmap_fini(&s->awaits);
    idmap_fini(&s->map);
    free(s);
}
