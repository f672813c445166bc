#include <stdio.h>
#include <string.h>
#include <time.h>

#include "site_internal.h"

#define TEXT_MOST 4096

json_t *visit_text(struct span s)
{
    char array[TEXT_MOST];
    json_t *text = json_stringn(s.at, s.len);

    if (text) {
        return text;
    }
    s.len = s.len < sizeof(array) ? s.len : sizeof(array);
    for (size_t i = 0; i < s.len; i++) {
        array[i] = s.at[i] >= ' ' && s.at[i] <= '~' ? s.at[i] : '?';
    }
    return json_stringn(array, s.len);
}

json_t *visit_time(int64_t unix_ms)
{
    char iso[32], words[32], date[16], clock[16];
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;

    if (unix_ms <= 0 || !gmtime_r(&seconds, &tm)) {
        return json_null();
    }
    strftime(iso, sizeof(iso), "%Y-%m-%dT%H:%M:%SZ", &tm);
    strftime(words, sizeof(words), "%Y-%m-%d %H:%M UTC", &tm);
    strftime(date, sizeof(date), "%Y-%m-%d", &tm);
    strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
    return json_pack(
        "{s:s, s:s, s:s, s:s}", "iso", iso, "text", words, "date", date, "clock", clock);
}

const char *visit_word(const struct visit *v, const char *key)
{
    return pages_word(v->site->pages, v->lang, key);
}

const char *visit_class_name(const struct visit *v, const char *class)
{
    char key[CONF_NAME + 8];
    const char *word;

    snprintf(key, sizeof(key), "class-%s", class);
    word = visit_word(v, key);
    return strcmp(word, key) == 0 ? class : word;
}

json_t *visit_duration(const struct visit *v, uint64_t us)
{
    static const struct {
        uint64_t s;
        const char *one, *many;
    } units[] = {
        {86400, "day", "days"},
        {3600, "hour", "hours"},
        {60, "minute", "minutes"},
        {1, "second", "seconds"}};
    uint64_t s = us / 1000000 + (us % 1000000 != 0), n;
    size_t i = 0;

    /* Two digits say enough: "3 hours" rather than "9876 seconds"; rounded up, nobody comes early.
     */
    while (i < 3 && s < 2 * units[i].s && s != units[i].s) {
        i++;
    }
    n = (s + units[i].s - 1) / units[i].s;
    return json_sprintf(
        "%llu %s", (unsigned long long)n, visit_word(v, n == 1 ? units[i].one : units[i].many));
}
