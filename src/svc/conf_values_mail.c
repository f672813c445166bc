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

bool conf_set_smarthost(const struct option *o, const char *text, void *field, struct text *error)
{
    static const char allowed[] =
        "smtp://HOST[:PORT] or smtps://HOST[:PORT], with USER:PASSWORD@ before HOST where needed";
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
    if (!good || rest.at[rest.len - 1] == '@') {
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
