#include "ctl/ctl_time.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/conf.h"

static bool read_date(const char *text, const char *format, int64_t *out_s)
{
    struct tm tm = {0}, same;
    const char *end = strptime(text, format, &tm);
    time_t t;

    if (end == NULL || *end != '\0') {
        return false;
    }
    same = tm;
    t = timegm(&same);
    /* timegm() takes 31 February for 3 March. */
    if (same.tm_mday != tm.tm_mday || same.tm_mon != tm.tm_mon || same.tm_hour != tm.tm_hour) {
        return false;
    }
    *out_s = t;
    return true;
}

static bool read_any(struct span s, int64_t now_s, int64_t *out_s)
{
    char text[CTL_TIME_TEXT];
    uint64_t us;

    if (conf_parse_duration(s, &us)) {
        *out_s = now_s + (int64_t)(us / 1000000);
        return true;
    }
    if (s.len >= sizeof(text) || memchr(s.at, '\0', s.len) != NULL) {
        return false;
    }
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    return read_date(text, "%Y-%m-%d", out_s) || read_date(text, "%Y-%m-%dT%H:%M:%SZ", out_s);
}

/* A duration but for its size. */
static bool is_too_long(struct span s)
{
    char one[8];
    struct text t;
    uint64_t us;
    size_t digits = 0;

    while (digits < s.len && s.at[digits] >= '0' && s.at[digits] <= '9') {
        digits++;
    }
    text_init(&t, one, sizeof(one));
    text_addf(&t, "1");
    text_add(&t, span_skip(s, digits));
    return digits > 0 && !t.cut && conf_parse_duration(text_span(&t), &us) &&
           !conf_parse_duration(s, &us);
}

bool ctl_until_parse(struct span s, int64_t now_s, int64_t *out_s, struct text *error)
{
    int64_t until_s;

    if (is_too_long(s)) {
        text_addf(
            error,
            "\"%.*s\" is too far in the future: " CTL_UNTIL_MOST
            " at most, or a date up to 9999-12-31; without --until there is no end",
            (int)s.len, s.at);
        return false;
    }
    if (s.len == 0 || !read_any(s, now_s, &until_s)) {
        text_addf(
            error, "\"%.*s\" is no end that is understood: " CTL_UNTIL_FORMAT, (int)s.len, s.at);
        return false;
    }
    if (until_s <= now_s) {
        text_addf(error, "\"%.*s\" is not in the future", (int)s.len, s.at);
        return false;
    }
    *out_s = until_s;
    return true;
}

void ctl_time_format(int64_t unix_s, char out[CTL_TIME_TEXT])
{
    time_t t = unix_s;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(out, CTL_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        snprintf(out, CTL_TIME_TEXT, "%lld", (long long)unix_s);
    }
}
