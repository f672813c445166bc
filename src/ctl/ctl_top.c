/* gate25ctl top: the busiest subscribers, those held back most, the busiest destinations. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ctl_terminal.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_time.h"
#include "ctl/ctl_top_view.h"
#include "ctl/ctl_verbs.h"

#define TABLES 3
#define ASIDE  2 /* lines of a terminal above the tables */
#define ABOVE  3 /* lines of a table without its rows: a blank one, title, head */

static const struct {
    const char *title, *name;
    enum tally_kind by;
} kinds[TABLES] = {
    {"Busiest subscribers", "subscribers", TALLY_SESSIONS},
    {"Held back most", "deferred", TALLY_DEFERRALS},
    {"Busiest destinations", "destinations", TALLY_DESTINATIONS},
};

struct top;

struct look {
    struct top *top;
    struct ctl_top_table table, before;
    size_t asked; /* rows of the last look */
    bool known;   /* `before` was read */
    bool whole;   /* ... and held everybody */
};

struct top {
    struct ctl *ctl;
    struct ctl_terminal terminal;
    bool live, ended;
    unsigned looks; /* that were shown */
    unsigned waiting;
    bool failed;     /* of the look that is under way */
    char fault[256]; /* ... and what Redis said */
    bool silent;     /* the last look failed: what is shown is older */
    struct look look[TABLES];
    struct event *tick, *key, *resized, *ends[3];
    enum ctl_exit result;
};

static const char *trouble(const struct top *t)
{
    const char *why = redis_trouble(t->ctl->redis);

    return why[0] ? why : t->fault[0] ? t->fault : "no answer in time";
}

/* The first word counts: a table that could not be written is not shown. */
static void end(struct top *t, enum ctl_exit result)
{
    if (!t->ended) {
        t->result = result;
    }
    t->ended = true;
    event_base_loopbreak(t->ctl->base);
}

/* --- reading --- */

/* What has come since the look before. Of who was not in a table that was full nobody knows. */
static uint64_t grown(const struct look *l, const struct ctl_top_row *row, enum tally_kind by)
{
    uint64_t now = row->total[by];
    uint64_t then = l->whole ? 0 : now;

    for (size_t i = 0; i < l->before.count; i++) {
        if (strcmp(l->before.rows[i].id, row->id) == 0) {
            then = l->before.rows[i].total[by];
        }
    }
    /* An hour that is over leaves the sum. */
    return l->known && now > then ? now - then : 0;
}

static void take_rows(struct look *l, const struct tally_row *rows, size_t count)
{
    struct ctl_top_table *t = &l->table;

    l->before = *t;
    t->count = count < TALLY_TOP_MOST ? count : TALLY_TOP_MOST;
    for (size_t i = 0; i < t->count; i++) {
        struct ctl_top_row *row = &t->rows[i];

        memcpy(row->id, rows[i].id, sizeof(row->id));
        memcpy(row->total, rows[i].total, sizeof(row->total));
        row->grown = grown(l, row, t->by);
    }
    l->known = true;
    l->whole = count < l->asked;
}

static void show(struct top *t);

static void looked(struct top *t)
{
    if (t->failed && !t->live) {
        char array[CTL_TOP_LINE];
        struct text words;

        text_init(&words, array, sizeof(array));
        ctl_text_escape(span_of(trouble(t)), &words);
        ctl_say("Redis does not tell of the tally: %s", array);
        end(t, CTL_REFUSED);
        return;
    }
    t->silent = t->failed;
    t->looks += t->failed ? 0 : 1;
    show(t);
    if (t->ctl->options->counted && t->looks >= t->ctl->options->count) {
        end(t, CTL_DONE);
    }
}

static void on_rows(void *context, const struct tally_row *rows, size_t count, struct span fault)
{
    struct look *l = context;
    struct top *t = l->top;

    t->waiting--;
    if (rows == NULL) {
        struct text why;

        t->failed = true;
        text_init(&why, t->fault, sizeof(t->fault));
        text_add(&why, fault);
    } else if (!t->ended) {
        take_rows(l, rows, count);
    }
    if (t->waiting == 0 && !t->ended) {
        looked(t);
    }
}

static size_t rows_wanted(const struct top *t)
{
    size_t columns, lines;

    if (t->ctl->options->rows > 0) {
        return t->ctl->options->rows;
    }
    if (!t->live) {
        return CTL_ROWS_DEFAULT;
    }
    ctl_terminal_size(&columns, &lines);
    size_t room = lines > ASIDE ? (lines - ASIDE) / TABLES : 0;
    room = room > ABOVE + 1 ? room - ABOVE : 1;
    return room < TALLY_TOP_MOST ? room : TALLY_TOP_MOST;
}

static void look(struct top *t)
{
    if (t->waiting > 0) {
        return;
    }
    t->ctl->now_s = time(NULL);
    t->failed = false;
    t->waiting = 1; /* ours, so that no answer ends the look before all are asked */
    for (size_t i = 0; i < TABLES; i++) {
        t->waiting++;
        t->look[i].asked = rows_wanted(t);
        if (tally_read_top(
                t->ctl->redis, kinds[i].by, t->look[i].asked, t->ctl->options->hours, t->ctl->now_s,
                CTL_ANSWER_MS, on_rows, &t->look[i]) != 0) {
            t->waiting--;
            t->failed = true;
        }
    }
    if (--t->waiting == 0) {
        looked(t);
    }
}

/* --- showing --- */

static json_t *table_json(const struct ctl_top_table *t)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < t->count; i++) {
        const struct ctl_top_row *row = &t->rows[i];
        json_t *json = json_object();

        json_object_set_new(json, "id", ctl_text_json(span_of(row->id)));
        for (enum tally_kind k = 0; k < TALLY_OF_SUBSCRIBERS && t->by != TALLY_DESTINATIONS; k++) {
            json_object_set_new(json, tally_kind_name(k), json_integer((json_int_t)row->total[k]));
        }
        if (t->by == TALLY_DESTINATIONS) {
            json_object_set_new(json, "sessions", json_integer((json_int_t)row->total[t->by]));
        }
        json_array_append_new(rows, json);
    }
    return rows;
}

static void show_json(struct top *t)
{
    json_t *all = json_pack(
        "{s:o, s:i}", "time", ctl_time_json(t->ctl->now_s), "hours", (int)t->ctl->options->hours);

    for (size_t i = 0; i < TABLES; i++) {
        json_object_set_new(all, kinds[i].name, table_json(&t->look[i].table));
    }
    if (ctl_json_print(all) != 0 || fflush(stdout) != 0) {
        end(t, CTL_REFUSED);
    }
}

/* Tables one below the other, for a pipe or to be left standing. */
static void show_plain(struct top *t)
{
    size_t columns = 0, lines;
    char array[CTL_TOP_LINE], now[CTL_TIME_TEXT];
    struct text line;

    if (isatty(STDOUT_FILENO)) {
        ctl_terminal_size(&columns, &lines);
    }
    if (t->looks > 1) {
        ctl_time_format(t->ctl->now_s, now);
        printf("\n%s\n\n", now);
    }
    for (size_t i = 0; i < TABLES; i++) {
        text_init(&line, array, sizeof(array));
        for (size_t n = 0; ctl_top_line(&t->look[i].table, n, columns, &line); n++) {
            puts(array);
            text_init(&line, array, sizeof(array));
        }
        if (i + 1 < TABLES) {
            putchar('\n');
        }
    }
    if (fflush(stdout) != 0) {
        end(t, CTL_REFUSED);
    }
}

static void add_heading(const struct top *t, struct text *out)
{
    char now[CTL_TIME_TEXT], every[32];
    struct text interval;

    ctl_time_format(t->ctl->now_s, now);
    text_init(&interval, every, sizeof(every));
    conf_duration_text((uint64_t)t->ctl->options->interval_ms * 1000, &interval);
    text_addf(out, "gate25  %s  last %u h  every %s  q ends", now, t->ctl->options->hours, every);
    if (t->silent) {
        text_init(out, out->at, out->cap);
        text_addf(out, "waiting for Redis: ");
        ctl_text_escape(span_of(trouble(t)), out);
    }
}

static struct span first_columns(const struct text *t, size_t columns)
{
    return (struct span){t->at, t->len < columns ? t->len : columns};
}

/* As many lines as the terminal has: those that have no table are empty. */
static void show_live(struct top *t)
{
    size_t columns, lines, shown = 0;
    char array[CTL_TOP_LINE];
    struct text line;

    ctl_terminal_size(&columns, &lines);
    ctl_terminal_frame();
    text_init(&line, array, sizeof(array));
    add_heading(t, &line);
    ctl_terminal_line(first_columns(&line, columns), ++shown == lines);
    for (size_t i = 0; i < TABLES; i++) {
        if (shown < lines) {
            ctl_terminal_line((struct span){"", 0}, ++shown == lines);
        }
        text_init(&line, array, sizeof(array));
        for (size_t n = 0; shown < lines && ctl_top_line(&t->look[i].table, n, columns, &line);
             n++) {
            ctl_terminal_line(text_span(&line), ++shown == lines);
            text_init(&line, array, sizeof(array));
        }
    }
    while (shown < lines) {
        ctl_terminal_line((struct span){"", 0}, ++shown == lines);
    }
    if (ctl_terminal_shown() != 0) {
        end(t, CTL_REFUSED);
    }
}

static void show(struct top *t)
{
    if (t->ctl->options->json) {
        show_json(t);
    } else if (t->live) {
        show_live(t);
    } else {
        show_plain(t);
    }
}

/* --- the loop --- */

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    look(context);
}

static void on_key(evutil_socket_t fd, short what, void *context)
{
    struct top *t = context;
    char keys[64];
    size_t count;

    (void)fd, (void)what;
    if (!ctl_terminal_read(keys, sizeof(keys), &count)) {
        end(t, CTL_DONE);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (keys[i] == 'q' || keys[i] == 'Q') {
            end(t, CTL_DONE);
        }
    }
}

static void on_resized(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct top *t = context;

    if (t->looks > 0 || t->silent) {
        show(t);
    }
    look(t); /* there may be room for more */
}

static void on_end(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    end(context, CTL_DONE);
}

static int watch(struct top *t)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct event_base *base = t->ctl->base;
    unsigned ms = t->ctl->options->interval_ms;
    const struct timeval interval = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        t->ends[i] = evsignal_new(base, signals[i], on_end, t);
        if (t->ends[i] == NULL || event_add(t->ends[i], NULL) != 0) {
            return -1;
        }
    }
    t->tick = event_new(base, -1, EV_PERSIST, on_tick, t);
    t->resized = evsignal_new(base, SIGWINCH, on_resized, t);
    t->key =
        t->terminal.keys ? event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_key, t) : NULL;
    if (t->tick == NULL || t->resized == NULL || (t->terminal.keys && t->key == NULL) ||
        event_add(t->tick, &interval) != 0 || (t->live && event_add(t->resized, NULL) != 0) ||
        (t->key != NULL && event_add(t->key, NULL) != 0)) {
        return -1;
    }
    return 0;
}

static void unwatch(struct top *t)
{
    struct event *const all[] = {t->tick, t->key, t->resized, t->ends[0], t->ends[1], t->ends[2]};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i] != NULL) {
            event_free(all[i]);
        }
    }
}

static void run(struct top *t)
{
    if (t->live) {
        ctl_terminal_begin(&t->terminal);
    }
    if (watch(t) == 0) {
        look(t);
        /* A connection that comes back breaks the loop, ctl_store.c. */
        while (!t->ended && event_base_dispatch(t->ctl->base) == 0) {
        }
    } else {
        ctl_say("out of memory");
    }
    ctl_terminal_end(&t->terminal);
    unwatch(t);
}

enum ctl_exit ctl_top(struct ctl *c)
{
    const struct ctl_options *given = c->options;
    struct ctl_options options = *given;
    struct top *t = calloc(1, sizeof(*t));
    enum ctl_exit result = CTL_REFUSED;

    if (t == NULL) {
        ctl_say("out of memory");
        return result;
    }
    t->ctl = c;
    t->live = !options.once && !options.json && ctl_terminal_is_live();
    t->result = CTL_REFUSED;
    if (options.once || (!t->live && !options.counted)) {
        options.counted = true;
        options.count = 1;
    }
    c->options = &options;
    for (size_t i = 0; i < TABLES; i++) {
        t->look[i].top = t;
        t->look[i].table.title = kinds[i].title;
        t->look[i].table.by = kinds[i].by;
        t->look[i].table.live = t->live || options.count > 1;
    }
    if (ctl_connect(c, NULL) == 0) {
        run(t);
        result = t->result;
    }
    c->options = given;
    /* Answers that are still due come back to `t`. */
    if (c->redis != NULL) {
        t->ended = true;
        redis_free(c->redis);
        c->redis = NULL;
    }
    free(t);
    return result;
}
