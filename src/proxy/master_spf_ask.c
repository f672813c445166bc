/* The master's own questions to gate25-spfd: gate25ctl's, and whether it still answers at all. */
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "master_internal.h"

/* It hangs when it has answered nobody's sign of life for so many ticks of the master's own: one
 * that is merely slow answers, if late. Setting up takes longer than an answer. */
#define WATCH_MS     1000
#define SILENT_MOST  5
#define SETTING_MOST 30

#define SIGN_OF_LIFE UINT64_MAX /* the ticket of a question that needs no DNS */

static char *answer_line(const struct spf_answer *a)
{
    char words[2][SPF_EXPLANATION];
    const struct span raw[2] = {a->sender_words, a->helo_words};
    for (size_t k = 0; k < 2; k++) { /* a stranger's words: JSON wants UTF-8 */
        struct text t;
        text_init(&t, words[k], sizeof(words[k]));
        for (size_t i = 0; i < raw[k].len; i++) {
            bool plain = raw[k].at[i] >= ' ' && raw[k].at[i] <= '~';
            text_addf(&t, "%c", plain ? raw[k].at[i] : '?');
        }
    }
    json_t *said = json_pack(
        "{s:s, s:s, s:s, s:s}", "result", spf_result_name(a->sender), "explanation", words[0],
        "helo", spf_result_name(a->helo), "helo_explanation", words[1]);
    char *line = said ? json_dumps(said, JSON_COMPACT) : NULL;
    json_decref(said);
    return line;
}

static void on_answer(void *context, uint64_t ticket, const struct spf_answer *answer)
{
    struct master *m = context;
    if (ticket == SIGN_OF_LIFE) {
        return;
    }
    char *line = answer_line(answer);
    m->spf.answer(m->spf.answer_context, ticket, line ? line : "{\"error\": \"out of memory\"}");
    free(line);
}

static void arm_watch(struct master_spf *s)
{
    const struct timeval wait = {.tv_sec = WATCH_MS / 1000, .tv_usec = WATCH_MS % 1000 * 1000};
    if (event_add(&s->watch, &wait) < 0) {
        log_error("gate25-spfd is not watched: out of memory");
    }
}

static void ask_for_sign_of_life(struct master_spf *s)
{
    const struct addr nobody = {.family = ADDR_IPV4};
    struct span nothing = SPAN_LITERAL("");
    /* Without memory for it there is a tick without a question: it counts as silence. */
    (void)!spf_ask(s->ask, SIGN_OF_LIFE, &nobody, nothing, nothing, WATCH_MS);
}

/* Ticks are counted, not time: a master that did not run itself blames nobody. */
static void on_watch(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct master *m = context;
    struct master_spf *s = &m->spf;
    if (s->pid == 0 || s->told_to_end || m->stops > 0) {
        return;
    }
    uint64_t heard = spf_heard(s->ask);
    s->answers = s->answers || heard != s->heard;
    s->silent = heard != s->heard ? 0 : s->silent + 1;
    s->heard = heard;
    if (s->silent > (s->answers ? SILENT_MOST : SETTING_MOST)) {
        log_error("gate25-spfd (pid %ld) hangs: it is killed", (long)s->pid);
        kill(s->pid, SIGKILL); /* its end starts another one */
        return;
    }
    ask_for_sign_of_life(s);
    arm_watch(s);
}

int master_spf_open_ask(struct master *m, int socket)
{
    struct master_spf *s = &m->spf;
    if (evtimer_assign(&s->watch, m->base, on_watch, m) < 0) {
        return -1;
    }
    s->ask = spf_new(m->base, socket, on_answer, m);
    return s->ask ? 0 : -1;
}

void master_spf_close_ask(struct master *m)
{
    spf_free(m->spf.ask);
}

void master_spf_watch(struct master *m)
{
    struct master_spf *s = &m->spf;
    s->silent = 0;
    s->answers = false;
    s->heard = spf_heard(s->ask);
    arm_watch(s);
}

/* The word behind the last blank; `rest` goes in front of it, where there may be more blanks: a
 * quoted local part has some. */
static struct span last_word(struct span *rest)
{
    const char *blank = rest->len > 0 ? memrchr(rest->at, ' ', rest->len) : NULL;
    struct span word = span_skip(*rest, blank ? (size_t)(blank - rest->at) + 1 : rest->len);
    rest->len = blank ? (size_t)(blank - rest->at) : rest->len;
    return word;
}

void master_spf_json(
    void *master, const char *arguments, master_answer_cb answer, void *context, uint64_t ticket)
{
    struct master *m = master;
    struct span rest = span_of(arguments);
    struct span address = span_word(&rest), helo = last_word(&rest), sender = rest;
    struct addr client;
    if (!addr_parse(address, &client) || sender.len == 0 || helo.len == 0 ||
        sender.len >= SPF_WIRE_SENDER || helo.len >= SPF_WIRE_HELO) {
        answer(context, ticket, "{\"error\": \"wanted: ADDRESS SENDER HELO\"}");
        return;
    }
    if (m->conf->spf.use == SPF_USE_OFF) {
        answer(context, ticket, "{\"error\": \"SPF is not in use (spf { use = \\\"off\\\" })\"}");
        return;
    }
    if (span_equal(sender, SPAN_LITERAL("<>"))) {
        sender = SPAN_LITERAL("");
    }
    m->spf.answer = answer;
    m->spf.answer_context = context;
    if (spf_ask(m->spf.ask, ticket, &client, helo, sender, m->conf->spf.deadline_ms) < 0) {
        answer(context, ticket, "{\"error\": \"out of memory\"}");
    }
}
