#include "core/conf.h"

#include <inttypes.h>
#include <string.h>

#define CONF_MOST (1ull << 53) /* what a double, and so Redis, carries exactly */

struct unit {
    const char *suffix;
    uint64_t factor;
    const char *word;
};

static const struct unit times[] = {
    {"d", 86400000000, "day"}, {"h", 3600000000, "hour"},   {"m", 60000000, "minute"},
    {"s", 1000000, "second"},  {"ms", 1000, "millisecond"},
};
#define TIMES (sizeof(times) / sizeof(times[0]))

static const struct unit sizes[] = {
    {"", 1, NULL},        {"k", 1000, NULL},       {"K", 1000, NULL},
    {"M", 1000000, NULL}, {"G", 1000000000, NULL}, {"T", 1000000000000, NULL},
};

static size_t digits(struct span s)
{
    size_t n = 0;

    while (n < s.len && s.at[n] >= '0' && s.at[n] <= '9') {
        n++;
    }
    return n;
}

static bool parse_scaled(struct span s, const struct unit *units, size_t count, uint64_t *out)
{
    size_t n = digits(s);
    uint64_t number;

    for (size_t i = 0; i < count; i++) {
        if (!span_equal(span_skip(s, n), span_of(units[i].suffix))) {
            continue;
        }
        if (!span_number((struct span){s.at, n}, CONF_MOST / units[i].factor, &number)) {
            return false;
        }
        *out = number * units[i].factor;
        return true;
    }
    return false;
}

bool conf_parse_duration(struct span s, uint64_t *out_us)
{
    return parse_scaled(s, times, TIMES, out_us);
}

bool conf_parse_size(struct span s, uint64_t *out)
{
    return parse_scaled(s, sizes, sizeof(sizes) / sizeof(sizes[0]), out);
}

bool conf_parse_rate(struct span s, struct rate *out)
{
    const char *slash = s.len ? memchr(s.at, '/', s.len) : NULL;
    struct rate rate;
    size_t n;

    if (!slash) {
        return false;
    }
    n = (size_t)(slash - s.at);
    if (!conf_parse_size((struct span){s.at, n}, &rate.count) ||
        !conf_parse_duration(span_skip(s, n + 1), &rate.period_us) || rate.count == 0 ||
        rate.period_us == 0) {
        return false;
    }
    *out = rate;
    return true;
}

/* The largest unit that `us` is a whole number of; what is finer than the finest is rounded up. */
static const struct unit *unit_of(uint64_t us, uint64_t *number)
{
    const struct unit *unit = &times[TIMES - 1];

    for (size_t i = 0; us > 0 && i < TIMES; i++) {
        if (us % times[i].factor == 0) {
            unit = &times[i];
            break;
        }
    }
    *number = us / unit->factor + (us % unit->factor != 0);
    return unit;
}

void conf_duration_words(uint64_t us, struct text *out)
{
    uint64_t number;
    const struct unit *unit = unit_of(us, &number);

    text_addf(out, "%" PRIu64 " %s%s", number, unit->word, number == 1 ? "" : "s");
}

void conf_duration_text(uint64_t us, struct text *out)
{
    uint64_t number;
    const struct unit *unit = unit_of(us, &number);

    text_addf(out, "%" PRIu64 "%s", number, unit->suffix);
}

const char *limit_kind_name(enum limit_kind k)
{
    static const char *const names[LIMIT_KINDS] = {
        [LIMIT_SESSIONS] = "sessions",     [LIMIT_MESSAGES] = "messages",
        [LIMIT_RECIPIENTS] = "recipients", [LIMIT_BYTES] = "bytes",
        [LIMIT_SPREAD] = "spread",         [LIMIT_CONCURRENT] = "concurrent",
    };

    return names[k];
}

bool limit_kind_counts_up(enum limit_kind k)
{
    return k == LIMIT_SPREAD || k == LIMIT_CONCURRENT;
}

void limit_amount_words(enum limit_kind k, uint64_t n, struct text *out)
{
    static const struct {
        uint64_t size;
        const char *name;
    } units[] = {{1000000000, "GB"}, {1000000, "MB"}, {1000, "kB"}};

    for (size_t i = 0; k == LIMIT_BYTES && i < sizeof(units) / sizeof(units[0]); i++) {
        if (n >= units[i].size) {
            text_addf(out, "%.4g %s", (double)n / (double)units[i].size, units[i].name);
            return;
        }
    }
    text_addf(out, "%" PRIu64 "%s", n, k == LIMIT_BYTES ? " B" : "");
}

const char *class_action_name(enum class_action a)
{
    static const char *const names[] = {
        [ACTION_PASS] = "pass",
        [ACTION_METER] = "meter",
        [ACTION_REFUSE] = "refuse",
        [ACTION_SUBMIT] = "submit"};

    return names[a];
}

bool conf_is_leased(const struct conf *c, const struct addr *a)
{
    for (size_t i = 0; i < c->leased.count; i++) {
        if (prefix_contains(&c->leased.at[i], a)) {
            return true;
        }
    }
    return false;
}

const struct conf_class *conf_class_named(const struct conf *c, struct span name)
{
    for (size_t i = 0; i < c->class_count; i++) {
        if (span_equal(span_of(c->classes[i].name), name)) {
            return &c->classes[i];
        }
    }
    return NULL;
}
