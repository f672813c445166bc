#include "core/account.h"

#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_allowed(struct span s)
{
    static const char others[] = "._@+-:/=#";

    if (s.len == 0 || s.len >= ACCOUNT_TEXT || (!is_letter(s.at[0]) && !is_digit(s.at[0]))) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];

        if (!is_letter(c) && !is_digit(c) && !memchr(others, c, sizeof(others) - 1)) {
            return false;
        }
    }
    return true;
}

/* What stands before a "/" with nothing but digits behind it, else all of it. */
static struct span without_length(struct span s)
{
    const char *slash = memchr(s.at, '/', s.len);

    if (!slash) {
        return s;
    }
    for (const char *c = slash + 1; c < s.at + s.len; c++) {
        if (!is_digit(*c)) {
            return s;
        }
    }
    return (struct span){s.at, (size_t)(slash - s.at)};
}

/* Pairs or fours of digits with something between: "00:1b:44:11:3a:b7", "001b.4411.3ab7". */
static bool is_mac(struct span s, size_t group, char between)
{
    if (s.len != 12 + 12 / group - 1) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (i % (group + 1) == group ? s.at[i] != between : !is_hex(s.at[i])) {
            return false;
        }
    }
    return true;
}

/* An IPv4 address, or what was meant to be one. */
static bool is_like_ipv4(struct span s)
{
    bool dot = false;

    for (size_t i = 0; i < s.len; i++) {
        dot = dot || s.at[i] == '.';
        if (!is_digit(s.at[i]) && s.at[i] != '.') {
            return false;
        }
    }
    return dot;
}

static bool is_like_ipv6(struct span s)
{
    bool colon = false;

    for (size_t i = 0; i < s.len; i++) {
        colon = colon || s.at[i] == ':';
        if (!is_hex(s.at[i]) && s.at[i] != ':' && s.at[i] != '.') {
            return false;
        }
    }
    return colon;
}

static bool looks_like_address(struct span s)
{
    struct span address = without_length(s);

    return (is_like_ipv4(address) && !is_mac(s, 4, '.')) ||
           (is_like_ipv6(address) && !is_mac(s, 2, ':'));
}

bool account_parse(struct span s, char out[ACCOUNT_TEXT])
{
    if (!is_allowed(s) || looks_like_address(s)) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];

        out[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    out[s.len] = '\0';
    return true;
}
