#include "svc/journal.h"

#include <string.h>

#include "base/json_line.h"
#include "svc/journal_repeats.h"

/* The keys, numbers, addresses and words of a line: all that is not a text from outside. */
#define FIXED     2048
#define TIME_TEXT (NUMBER_DIGITS + sizeof("-00-00T00:00:00.000Z"))

/* --- time --- */

static bool is_leap(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from the beginning of 1970 to that of `year`. */
static uint64_t days_before(unsigned year)
{
    unsigned whole = year - 1; /* years of the era that have ended */
    unsigned leap_days_to_1970 = 1969 / 4 - 1969 / 100 + 1969 / 400;

    return 365ull * (year - 1970) + (whole / 4 - whole / 100 + whole / 400) - leap_days_to_1970;
}

static unsigned year_of(uint64_t days)
{
    unsigned year = 1970 + (unsigned)(days / 366);

    while (days_before(year + 1) <= days) {
        year++;
    }
    return year;
}

/* The month, from 1, of day `*day` of the year, which becomes the day of the month, from 1. */
static unsigned month_of(unsigned year, unsigned *day)
{
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned month = 0;

    for (;; month++) {
        unsigned length = lengths[month] + (month == 1 && is_leap(year));
        if (*day < length) {
            break;
        }
        *day -= length;
    }
    ++*day;
    return month + 1;
}

/* `n` with leading zeros. Returns what is behind it. */
static char *write_padded(char *to, unsigned n, unsigned width)
{
    for (unsigned i = width; i > 0; n /= 10) {
        to[--i] = (char)('0' + n % 10);
    }
    return to + width;
}

/* As RFC 3339 has it, in UTC, with milliseconds. What is before 1970 is taken for 1970. The C
 * library's way asks for the time zone each time. */
static struct span write_time(int64_t unix_ms, char out[TIME_TEXT])
{
    uint64_t ms = unix_ms > 0 ? (uint64_t)unix_ms : 0;
    uint64_t days = ms / 86400000;
    unsigned rest = (unsigned)(ms % 86400000);
    unsigned year = year_of(days);
    unsigned day = (unsigned)(days - days_before(year));
    unsigned month = month_of(year, &day);
    const struct {
        char before;
        unsigned n, width;
    } parts[] = {
        {'-', month, 2},
        {'-', day, 2},
        {'T', rest / 3600000, 2},
        {':', rest / 60000 % 60, 2},
        {':', rest / 1000 % 60, 2},
        {'.', rest % 1000, 3},
    };
    char *at = out + number_write(year, out);

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        *at++ = parts[i].before;
        at = write_padded(at, parts[i].n, parts[i].width);
    }
    *at++ = 'Z';
    return (struct span){out, (size_t)(at - out)};
}

/* --- fields --- */

static void put_time(struct json_line *l, struct span key, int64_t unix_ms)
{
    char text[TIME_TEXT];

    json_line_plain(l, key, write_time(unix_ms, text));
}

static void put_endpoint(struct json_line *l, struct span key, const struct endpoint *e)
{
    char text[ENDPOINT_TEXT];

    if (e->addr.family == ADDR_NONE) {
        json_line_null(l, key);
        return;
    }
    endpoint_format(e, text);
    json_line_plain(l, key, span_of(text));
}

static void put_path(
    struct json_line *l, struct span key, const struct conf *conf, const char *mailbox)
{
    const char *at;

    if (conf->envelope == ENVELOPE_NONE) {
        json_line_null(l, key);
        return;
    }
    if (conf->envelope == ENVELOPE_FULL) {
        json_line_string(l, key, mailbox);
        return;
    }
    at = strrchr(mailbox, '@');
    json_line_string(l, key, at ? at + 1 : "");
}

static void put_number_if(struct json_line *l, struct span key, bool there, uint64_t n)
{
    if (there) {
        json_line_number(l, key, n);
    } else {
        json_line_null(l, key);
    }
}

static void put_rule(struct json_line *l, struct span key, const struct journal_line *line)
{
    char array[128];
    struct text text;

    if (line->verdict.rule == RULE_NONE) {
        json_line_null(l, key);
        return;
    }
    text_init(&text, array, sizeof(array));
    verdict_rule_text(&line->verdict, line->class, &text);
    json_line_plain(l, key, text_span(&text));
}

static void put_verdict(struct json_line *l, const struct journal_line *line)
{
    const struct verdict *v = &line->verdict;
    enum verdict_action action = v->shadow ? v->would : v->action;

    json_line_string(l, JSON_KEY("class"), line->class ? line->class->name : NULL);
    json_line_plain(l, JSON_KEY("verdict"), span_of(verdict_action_name(action)));
    put_rule(l, JSON_KEY("rule"), line);
    put_number_if(l, JSON_KEY("retry_after_s"), v->retry_after_s > 0, v->retry_after_s);
}

static void put_turns(struct json_line *l, const struct turns *t)
{
    put_number_if(l, JSON_KEY("turns"), t, t ? t->count : 0);
    put_number_if(l, JSON_KEY("messages_least"), t, t ? t->least : 0);
    put_number_if(l, JSON_KEY("messages_most"), t, t ? turns_most(t) : 0);
}

static void put_dialog(
    struct json_line *l, const struct conf *conf, const struct journal_line *line)
{
    static const struct dialog_record nothing;
    const struct dialog_record *d = line->dialog ? line->dialog : &nothing;

    json_line_string(l, JSON_KEY("helo"), line->helo && line->helo[0] ? line->helo : NULL);
    if (line->dialog) {
        put_path(l, JSON_KEY("from"), conf, line->from ? line->from : "");
    } else {
        json_line_null(l, JSON_KEY("from"));
    }
    json_line_number(l, JSON_KEY("messages"), d->messages);
    json_line_number(l, JSON_KEY("recipients"), d->recipients);
    json_line_number(l, JSON_KEY("bytes_up"), line->bytes_up);
    json_line_number(l, JSON_KEY("bytes_down"), line->bytes_down);
    json_line_bool(l, JSON_KEY("tls"), d->tls);
    put_turns(l, line->turns);
    json_line_number(l, JSON_KEY("duration_ms"), (uint64_t)line->duration_ms);
    json_line_string(l, JSON_KEY("spf"), spf_result_name(d->spf));
    json_line_string(l, JSON_KEY("spf_helo"), spf_result_name(d->spf_helo));
    json_line_string(l, JSON_KEY("node"), conf->node);
    if (line->event == JOURNAL_REFUSAL && line->to && line->to[0] &&
        conf->envelope != ENVELOPE_NONE) {
        put_path(l, JSON_KEY("to"), conf, line->to);
    }
    if (line->verdict.cost > 1) {
        json_line_number(l, JSON_KEY("cost"), line->verdict.cost);
    }
}

static void put_line(struct json_line *l, const struct conf *conf, const struct journal_line *line)
{
    bool refusal = line->event == JOURNAL_REFUSAL;

    put_time(l, JSON_KEY("time"), line->time_ms);
    json_line_plain(
        l, JSON_KEY("event"), refusal ? SPAN_LITERAL("refusal") : SPAN_LITERAL("session"));
    json_line_string(l, JSON_KEY("case"), line->case_id);
    json_line_string(l, JSON_KEY("id"), line->id);
    put_endpoint(l, JSON_KEY("client"), &line->client);
    put_endpoint(l, JSON_KEY("server"), &line->server);
    put_verdict(l, line);
    put_dialog(l, conf, line);
    if (line->detail) {
        json_line_string(l, JSON_KEY("detail"), line->detail);
    }
    if (line->verdict.shadow) {
        json_line_bool(l, JSON_KEY("shadow"), true);
    }
    json_line_end(l);
}

/* --- outside --- */

/* More than a line can be. */
static size_t most_of(const struct conf *conf, const struct journal_line *line)
{
    const char *const texts[] = {
        line->case_id, line->id,   line->detail, line->class ? line->class->name : NULL,
        line->helo,    line->from, line->to,     conf->node,
    };
    size_t most = FIXED;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        most += texts[i] ? JSON_LINE_GROWTH * strlen(texts[i]) : 0;
    }
    return most;
}

int journal_format(const struct conf *conf, const struct journal_line *line, struct buf *out)
{
    size_t most = most_of(conf, line);
    char *array = buf_reserve(out, most);
    struct json_line l;
    struct text text;

    if (!array) {
        return -1;
    }
    text_init(&text, array, most);
    json_line_begin(&l, &text);
    put_line(&l, conf, line);
    if (text.cut) {
        return -1;
    }
    buf_grow(out, text.len);
    return 0;
}

/* Where there is but one it is the line's own. */
static void put_servers(struct json_line *l, const struct journal_repeat *repeat)
{
    char text[ENDPOINT_TEXT];

    if (repeat->server_count < 2) {
        return;
    }
    json_line_list(l, JSON_KEY("servers"));
    for (size_t i = 0; i < repeat->server_count; i++) {
        endpoint_format(&repeat->servers[i], text);
        json_line_item(l, text);
    }
    json_line_list_end(l);
}

struct span journal_format_repeat(const struct journal_repeat *repeat, char out[JOURNAL_ENTRY])
{
    char since[TIME_TEXT];
    struct json_line l;
    struct text text;

    if (repeat->times == 1) {
        return repeat->line;
    }
    text_init(&text, out, JOURNAL_ENTRY);
    json_line_go_on(&l, &text, repeat->line);
    json_line_number(&l, JSON_KEY("times"), repeat->times);
    json_line_plain(&l, JSON_KEY("since"), write_time(repeat->since_ms, since));
    json_line_list(&l, JSON_KEY("cases"));
    for (size_t i = 0; i < repeat->case_count; i++) {
        json_line_item(&l, repeat->cases[i]);
    }
    json_line_list_end(&l);
    put_servers(&l, repeat);
    json_line_end(&l);
    return (struct span){text.at, text.len - 1}; /* without its newline */
}
