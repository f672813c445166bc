#include "svc/journal.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Room for "\xNN" in place of each byte. */
#define ESCAPED 4

struct object {
    json_t *json;
    bool failed; /* out of memory somewhere */
};

static void put(struct object *o, const char *key, json_t *value)
{
    if (json_object_set_new(o->json, key, value) != 0) {
        o->failed = true;
    }
}

/* Bytes of the character at `s` that is fit to print and no backslash; 0: escape the first byte. */
static size_t printable(struct span s)
{
    /* RFC 3629 section 4: the first byte tells the length, and the range of the second byte. */
    static const struct {
        uint8_t first, last, length, second_from, second_to;
    } rows[] = {
        {0x20, 0x5b, 1, 0, 0},       {0x5d, 0x7e, 1, 0, 0},
        {0xc2, 0xc2, 2, 0xa0, 0xbf}, /* U+0080 to U+009F are controls */
        {0xc3, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
        {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f},
        {0xee, 0xef, 3, 0x80, 0xbf}, {0xf0, 0xf0, 4, 0x90, 0xbf},
        {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
    };
    const uint8_t *at = (const uint8_t *)s.at;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (at[0] < rows[i].first || at[0] > rows[i].last) {
            continue;
        }
        if (rows[i].length > s.len ||
            (rows[i].length > 1 && (at[1] < rows[i].second_from || at[1] > rows[i].second_to))) {
            return 0;
        }
        for (size_t k = 2; k < rows[i].length; k++) {
            if ((at[k] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return rows[i].length;
    }
    return 0;
}

static json_t *escaped(struct span s)
{
    char *array = malloc(s.len * ESCAPED + 1);
    struct text text;
    json_t *value;
    size_t n;

    if (!array) {
        return NULL;
    }
    text_init(&text, array, s.len * ESCAPED + 1);
    for (; s.len > 0; s = span_skip(s, n)) {
        n = printable(s);
        if (n > 0) {
            text_add(&text, (struct span){s.at, n});
            continue;
        }
        text_addf(&text, "\\x%02X", (unsigned)(uint8_t)s.at[0]);
        n = 1;
    }
    value = json_stringn(array, text.len);
    free(array);
    return value;
}

/* NULL becomes null. */
static json_t *string(const char *s)
{
    return s ? escaped(span_of(s)) : json_null();
}

static json_t *endpoint(const struct endpoint *e)
{
    char text[ENDPOINT_TEXT];

    if (e->addr.family == ADDR_NONE) {
        return json_null();
    }
    endpoint_format(e, text);
    return json_string(text);
}

static json_t *timestamp(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    char text[64];
    struct tm tm;
    size_t n;

    if (!gmtime_r(&seconds, &tm)) {
        return json_null();
    }
    n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof(text) - n, ".%03uZ", (unsigned)(ms % 1000));
    return json_string(text);
}

static json_t *path(const struct conf *conf, const char *mailbox)
{
    const char *at;

    if (conf->envelope == ENVELOPE_NONE) {
        return json_null();
    }
    if (conf->envelope == ENVELOPE_FULL) {
        return string(mailbox);
    }
    at = strrchr(mailbox, '@');
    return string(at ? at + 1 : "");
}

static json_t *rule(const struct journal_line *line)
{
    char array[128];
    struct text text;

    if (line->verdict.rule == RULE_NONE) {
        return json_null();
    }
    text_init(&text, array, sizeof(array));
    verdict_rule_text(&line->verdict, line->class, &text);
    return json_string(array);
}

static void put_verdict(struct object *o, const struct journal_line *line)
{
    const struct verdict *v = &line->verdict;

    put(o, "class", line->class ? json_string(line->class->name) : json_null());
    put(o, "verdict", json_string(verdict_action_name(v->shadow ? v->would : v->action)));
    put(o, "rule", rule(line));
    put(o, "retry_after_s", v->retry_after_s > 0 ? json_integer(v->retry_after_s) : json_null());
}

static void put_turns(struct object *o, const struct turns *t)
{
    put(o, "turns", t ? json_integer(t->count) : json_null());
    put(o, "messages_least", t ? json_integer(t->least) : json_null());
    put(o, "messages_most", t ? json_integer(turns_most(t)) : json_null());
}

static void put_dialog(struct object *o, const struct conf *conf, const struct journal_line *line)
{
    static const struct dialog_record nothing;
    const struct dialog_record *d = line->dialog ? line->dialog : &nothing;

    put(o, "helo", string(line->helo && line->helo[0] ? line->helo : NULL));
    put(o, "from", line->dialog ? path(conf, line->from ? line->from : "") : json_null());
    put(o, "messages", json_integer(d->messages));
    put(o, "recipients", json_integer(d->recipients));
    put(o, "bytes_up", json_integer((json_int_t)line->bytes_up));
    put(o, "bytes_down", json_integer((json_int_t)line->bytes_down));
    put(o, "tls", json_boolean(d->tls));
    put_turns(o, line->turns);
    put(o, "duration_ms", json_integer(line->duration_ms));
    put(o, "spf", string(spf_result_name(d->spf)));
    put(o, "spf_helo", string(spf_result_name(d->spf_helo)));
    put(o, "node", string(conf->node));
    if (line->event == JOURNAL_REFUSAL && line->to && line->to[0] && conf->envelope != ENVELOPE_NONE) {
        put(o, "to", path(conf, line->to));
    }
    if (line->verdict.cost > 1) {
        put(o, "cost", json_integer(line->verdict.cost));
    }
}

static char *dump(const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    char *line = NULL;

    if (text && asprintf(&line, "%s\n", text) < 0) {
        line = NULL;
    }
    free(text);
    return line;
}

char *journal_format(const struct conf *conf, const struct journal_line *line)
{
    struct object o = {.json = json_object()};
    char *text = NULL;

    put(&o, "time", timestamp(line->time_ms));
    put(&o, "event", json_string(line->event == JOURNAL_REFUSAL ? "refusal" : "session"));
    put(&o, "case", string(line->case_id));
    put(&o, "id", string(line->id));
    put(&o, "client", endpoint(&line->client));
    put(&o, "server", endpoint(&line->server));
    put_verdict(&o, line);
    put_dialog(&o, conf, line);
    if (line->detail) {
        put(&o, "detail", string(line->detail));
    }
    if (line->verdict.shadow) {
        put(&o, "shadow", json_true());
    }
    if (!o.failed) {
        text = dump(o.json);
    }
    json_decref(o.json);
    return text;
}
