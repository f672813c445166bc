/* The values of section `web`. */
#include <stdio.h>
#include <string.h>

#include "conf_options_internal.h"
#include "core/form.h"

bool conf_set_text(const struct option *o, const char *text, void *field, struct text *error)
{
    size_t len = strlen(text);
    char allowed[64];

    if (len == 0 || len >= o->most || !text_is_plain(span_of(text), false)) {
        snprintf(
            allowed, sizeof(allowed), "one line of UTF-8 of up to %u bytes", (unsigned)o->most - 1);
        return conf_wrong(error, text, "is not allowed", allowed);
    }
    memcpy(field, text, len + 1);
    return true;
}

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

bool conf_set_date(const struct option *o, const char *text, void *field, struct text *error)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    uint64_t year, month, day;

    (void)o;
    if (strlen(text) != CONF_DATE - 1 || text[4] != '-' || text[7] != '-' ||
        !span_number((struct span){text, 4}, 9999, &year) ||
        !span_number((struct span){text + 5, 2}, 12, &month) || month == 0 ||
        !span_number((struct span){text + 8, 2}, 31, &day) || day == 0 ||
        day > days[month - 1] + (month == 2 && is_leap((unsigned)year) ? 1u : 0u)) {
        return conf_wrong(error, text, "is no date", "YEAR-MONTH-DAY, such as \"2026-11-28\"");
    }
    memcpy(field, text, CONF_DATE);
    return true;
}

/* Cookies of the site are for https alone, and links are made by adding paths. */
bool conf_set_site(const struct option *o, const char *text, void *field, struct text *error)
{
    struct span url = span_of(text);
    struct span host = span_skip(url, 8);
    bool good = span_starts_nocase(url, SPAN_LITERAL("https://")) && host.len > 0 &&
                url.len < o->most && !memchr(host.at, '/', host.len);

    for (size_t i = 0; i < url.len; i++) {
        good = good && url.at[i] > ' ' && url.at[i] < 0x7f && !strchr("\"'<>?#@\\;,", url.at[i]);
    }
    if (!good) {
        return conf_wrong(
            error, text, "is not allowed", "https://HOST or https://HOST:PORT, without a path");
    }
    memcpy(field, text, url.len + 1);
    return true;
}

bool conf_add_door(const struct option *o, const char *text, void *field, struct text *error)
{
    struct endpoint_list *list = field;

    (void)o;
    return conf_add_endpoint(&list->at, &list->count, text, error);
}

bool conf_add_proxy(const struct option *o, const char *text, void *field, struct text *error)
{
    struct prefix_list *list = field;

    (void)o;
    return conf_add_prefix(&list->at, &list->count, text, error);
}

bool conf_add_language(const struct option *o, const char *text, void *field, struct text *error)
{
    struct language_list *list = field;

    (void)o;
    if (strlen(text) != 2 || strspn(text, "abcdefghijklmnopqrstuvwxyz") != 2) {
        return conf_wrong(error, text, "is no language", "two letters, such as \"en\", \"de\"");
    }
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->at[i], text) == 0) {
            return conf_wrong(error, text, "is there twice", "each language once");
        }
    }
    if (list->count == CONF_LANGUAGES) {
        return conf_wrong(error, text, "is one too many", "up to 8 in a list");
    }
    memcpy(list->at[list->count++], text, 3);
    return true;
}
