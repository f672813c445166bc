/* A load generator for SMTP: sessions from many addresses, as fast as they go or at a rate. See
 * load_options.c for its use. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/load_pace.h"
#include "bench/load_session.h"
#include "bench/machine.h"
#include "bench/words.h"

#define EVENTS_AT_ONCE 256
#define LOOK_AROUND_NS (SECOND_NS / 4) /* how often deadlines are looked at */

/* The sessions that are open, and the places for those that are not. */
struct crowd {
    struct session *session;
    struct session **free; /* a stack */
    uint32_t size;
    uint32_t open;
    uint32_t taken; /* places that have had a session */
};

struct run {
    struct load load;
    struct pace pace;
    struct crowd crowd;
    bool was_told; /* `holding` was printed */
    bool was_released;
    int64_t looks_ns;
};

static void tell(const char *word)
{
    puts(word);
    (void)fflush(stdout);
}

static void crowd_init(struct crowd *c, uint32_t size)
{
    c->session = calloc(size, sizeof *c->session);
    c->free = calloc(size, sizeof(struct session *));
    if (!c->session || !c->free) {
        words_failed("cannot keep so many sessions");
    }
    c->size = size;
    for (uint32_t i = 0; i < size; i++) {
        c->session[i].channel.fd = -1;
        c->free[i] = &c->session[size - 1 - i];
    }
}

/* A place that has had a session is taken before one that has not: it is on top. */
static struct session *crowd_take(struct crowd *c, bool *is_first)
{
    *is_first = c->open == c->taken;
    c->taken += *is_first;
    return c->free[c->size - ++c->open];
}

static void crowd_give_back(struct crowd *c, struct session *s)
{
    c->free[c->size - c->open--] = s;
}

static void open_interval(struct run *run, int64_t now_ns)
{
    struct tally *t = &run->load.tally;

    t->is_open = true;
    t->opened_ns = now_ns;
    t->opened_cpu_s = machine_cpu_s();
    if (run->load.options->seconds_ns) {
        run->pace.ends_ns = now_ns + run->load.options->seconds_ns;
    }
    if (!run->load.options->hold) {
        tell("measuring");
    }
}

/* For the server; since a moment. */
static bool waits_since(const struct session *s, int64_t since_ns)
{
    return s->channel.fd >= 0 && s->place != PLACE_HOLD && s->pauses_until_ns == 0 &&
           s->moved_ns <= since_ns;
}

/* Who hangs now may go on later, and will not have failed then. */
static void count_silent(struct run *run, int64_t now_ns)
{
    int64_t half_ns = run->load.options->seconds_ns / 2;
    int64_t since_ns = now_ns - (half_ns > SECOND_NS ? half_ns : SECOND_NS);

    run->load.tally.open = run->crowd.open;
    for (uint32_t i = 0; i < run->crowd.size; i++) {
        run->load.tally.silent += waits_since(&run->crowd.session[i], since_ns);
    }
}

static void close_interval(struct run *run, int64_t now_ns)
{
    struct tally *t = &run->load.tally;

    if (t->opened_ns == 0) {
        open_interval(run, now_ns); /* all was over before the warm-up was: nothing counts */
    }
    t->is_open = false;
    t->closed_ns = now_ns;
    t->closed_cpu_s = machine_cpu_s();
    count_silent(run, now_ns);
    if (!run->load.options->hold) {
        tell("measured");
    }
}

/* The warm-up is not over before the crowd is complete. */
static bool is_warm(const struct run *run, int64_t now_ns)
{
    const struct load_options *options = run->load.options;
    bool is_complete = options->rate > 0 || run->crowd.taken == run->crowd.size;

    return options->warmup_ns == 0 ||
           (is_complete && now_ns >= run->pace.begins_ns + options->warmup_ns);
}

static void keep_interval(struct run *run, int64_t now_ns)
{
    const struct load_options *options = run->load.options;
    const struct tally *t = &run->load.tally;

    if (t->opened_ns == 0 && is_warm(run, now_ns)) {
        open_interval(run, now_ns);
    }
    if (t->closed_ns == 0 && pace_is_over(&run->pace, now_ns) &&
        (options->seconds_ns || run->crowd.open == 0)) {
        close_interval(run, now_ns);
    }
}

static void begin_due(struct run *run, int64_t now_ns)
{
    struct crowd *crowd = &run->crowd;
    uint64_t missed = run->pace.missed;

    if (pace_is_over(&run->pace, now_ns)) {
        return;
    }
    struct pace_state state = {crowd->open, crowd->taken, run->load.arriving};
    for (uint32_t due = pace_due(&run->pace, state, now_ns); due > 0; due--) {
        struct session_ends ends;
        bool is_first;
        pace_begin(&run->pace, &ends);
        struct session *s = crowd_take(crowd, &is_first);
        if (!session_begin(&run->load, s, &ends, is_first, machine_now_ns())) {
            crowd_give_back(crowd, s);
        }
    }
    run->load.tally.missed += run->load.tally.is_open ? run->pace.missed - missed : 0;
}

static void end_late(struct run *run, int64_t now_ns)
{
    int64_t since_ns = now_ns - run->load.options->timeout_ns;

    for (uint32_t i = 0; i < run->crowd.size; i++) {
        struct session *s = &run->crowd.session[i];
        if (waits_since(s, since_ns)) {
            session_give_up(&run->load, s);
            crowd_give_back(&run->crowd, s);
        }
    }
}

/* Takes what stdin has to say. False: it has ended. */
static bool hear_stdin(void)
{
    char rest[512];

    return read(STDIN_FILENO, rest, sizeof rest) > 0;
}

/* Has all that are held say QUIT. */
static void release(struct run *run)
{
    for (uint32_t i = 0; i < run->crowd.size; i++) {
        struct session *s = &run->crowd.session[i];
        if (s->channel.fd >= 0 && s->place == PLACE_HOLD && !session_release(&run->load, s)) {
            crowd_give_back(&run->crowd, s);
        }
    }
}

/* Says so when all that are to be held are there, or have failed; from then on the end of stdin is
 * waited for. */
static void tell_holding(struct run *run)
{
    struct epoll_event event = {.events = EPOLLIN};

    if (run->was_told || run->crowd.open > run->load.holding || !pace_is_over(&run->pace, 0)) {
        return;
    }
    run->was_told = true;
    printf("holding %u\n", run->load.holding);
    (void)fflush(stdout);
    if (epoll_ctl(run->load.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) == 0) {
        return;
    }
    if (errno != EPERM) {
        words_failed("cannot read stdin");
    }
    /* A file, or /dev/null: epoll knows none, as they never make one wait. */
    while (hear_stdin()) {
    }
    release(run);
}

static int64_t earlier(int64_t a_ns, int64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

/* How long nothing needs to be done unless something comes. */
static struct timespec patience(const struct run *run, int64_t now_ns)
{
    int64_t until_ns = run->looks_ns;

    int64_t warm_ns = run->pace.begins_ns + run->load.options->warmup_ns;
    const struct session *pausing = TAILQ_FIRST(&run->load.pausing);

    if (warm_ns > now_ns) {
        until_ns = earlier(until_ns, warm_ns);
    }
    if (pausing) {
        until_ns = earlier(until_ns, pausing->pauses_until_ns);
    }
    if (!pace_is_over(&run->pace, now_ns)) {
        until_ns = earlier(until_ns, earlier(pace_next_ns(&run->pace), run->pace.ends_ns));
    }
    int64_t ns = until_ns > now_ns ? until_ns - now_ns : 0;
    return (struct timespec){.tv_sec = ns / SECOND_NS, .tv_nsec = ns % SECOND_NS};
}

static void serve(struct run *run, const struct epoll_event *event, int64_t now_ns)
{
    struct session *s = event->data.ptr;

    if (!s) {
        if (!hear_stdin()) {
            (void)epoll_ctl(run->load.epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
            release(run);
        }
    } else if (!session_serve(&run->load, s, event->events, now_ns)) {
        crowd_give_back(&run->crowd, s);
    }
}

static void go_on(struct run *run, int64_t now_ns)
{
    struct session *s;

    while ((s = session_rested(&run->load, now_ns))) {
        if (!session_go_on(&run->load, s)) {
            crowd_give_back(&run->crowd, s);
        }
    }
}

static void take_turn(struct run *run, int64_t now_ns)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    struct timespec wait = patience(run, now_ns);
    int count = epoll_pwait2(run->load.epoll, events, EVENTS_AT_ONCE, &wait, NULL);

    now_ns = machine_now_ns();
    for (int i = 0; i < count; i++) {
        serve(run, &events[i], now_ns);
    }
    go_on(run, now_ns);
    if (now_ns >= run->looks_ns) {
        run->looks_ns = now_ns + LOOK_AROUND_NS;
        end_late(run, now_ns);
    }
    if (run->load.options->hold) {
        tell_holding(run);
    }
}

static void prepare(struct run *run, const struct load_options *options)
{
    (void)signal(SIGPIPE, SIG_IGN);
    run->load.options = options;
    TAILQ_INIT(&run->load.pausing);
    run->load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (run->load.epoll < 0) {
        words_failed("cannot start");
    }
    if (options->starttls && !(run->load.tls = channel_client_tls())) {
        words_failed("cannot prepare TLS");
    }
    script_init(&run->load.script, options->recipients, options->size);
    crowd_init(&run->crowd, options->concurrent);
}

int main(int argc, char **argv)
{
    static struct load_options options;
    static struct run run;

    load_options_read(argc, argv, &options);
    prepare(&run, &options);
    int64_t now_ns = machine_now_ns();
    pace_init(&run.pace, &options, now_ns);
    keep_interval(&run, now_ns);
    while (run.load.tally.closed_ns == 0 || run.crowd.open > 0) {
        begin_due(&run, now_ns);
        take_turn(&run, now_ns);
        now_ns = machine_now_ns();
        keep_interval(&run, now_ns);
    }
    tally_report(&run.load.tally);
    return 0;
}
