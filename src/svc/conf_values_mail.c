/* The values of sections `registration` and `mail`. */
#include <string.h>

#include "conf_options_internal.h"
#include "core/mail_message.h"
#include "core/signup_checks.h"

bool conf_add_check(const struct option *o, const char *text, void *field, struct text *error)
{
    (void)o;
    for (unsigned c = 0; c < SIGNUP_CHECKS; c++) {
        if (strcmp(text, signup_check_name(c)) == 0) {
            *(unsigned *)field |= 1u << c;
            return true;
        }
    }
    return conf_wrong(error, text, "is no check", "host, reverse, spf");
}

/* HOST or HOST:PORT; an IPv6 address as HOST stands in brackets. */
static bool is_host_and_port(struct span s)
{
    bool bracket = s.len > 0 && s.at[0] == '[';
    const char *end = s.len > 0 ? memchr(s.at, bracket ? ']' : ':', s.len) : NULL;
    size_t len = end ? (size_t)(end - s.at) + (bracket ? 1 : 0) : s.len;
    struct span port = span_skip(s, len);
    uint64_t number;

    if (s.len == 0 || len == 0 || (bracket && !end)) {
        return false;
    }
    return port.len == 0 ||
           (port.at[0] == ':' && span_number(span_skip(port, 1), 65535, &number) && number > 0);
}

static struct span without_user(struct span s)
{
    const char *at = s.len > 0 ? memrchr(s.at, '@', s.len) : NULL;

    return at ? span_skip(s, (size_t)(at - s.at) + 1) : s;
}

bool conf_set_smarthost(const struct option *o, const char *text, void *field, struct text *error)
{
    static const char allowed[] =
        "smtp://HOST[:PORT] or smtps://HOST[:PORT], with USER:PASSWORD@ before HOST where needed; "
        "PORT from 1 to 65535";
    struct span url = span_of(text);
    bool tls = span_starts_nocase(url, SPAN_LITERAL("smtps://"));
    struct span rest = span_skip(url, tls ? 8 : 7);
    bool good = (tls || span_starts_nocase(url, SPAN_LITERAL("smtp://"))) && rest.len > 0 &&
                url.len < o->most;

    for (size_t i = 0; i < url.len; i++) {
        good = good && url.at[i] > ' ' && url.at[i] < 0x7f;
    }
    for (size_t i = 0; i < rest.len; i++) {
        good = good && !strchr("/?#\"<>\\", rest.at[i]);
    }
    if (!good || !is_host_and_port(without_user(rest))) {
        /* Not the URL itself: it may hold a password. */
        return conf_wrong(error, tls ? "smtps://..." : "...", "is not allowed", allowed);
    }
    memcpy(field, text, url.len + 1);
    return true;
}

bool conf_set_mailbox(const struct option *o, const char *text, void *field, struct text *error)
{
    size_t len = strlen(text);

    if (len >= o->most || !mail_address_is_plain(span_of(text))) {
        return conf_wrong(
            error, text, "is no mail address", "NAME@DOMAIN, such as \"port25@isp.example\"");
    }
    memcpy(field, text, len + 1);
    return true;
}
