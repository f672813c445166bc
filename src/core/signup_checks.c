#include "core/signup_checks.h"

#include <stdio.h>
#include <string.h>

void signup_addresses_add(struct signup_addresses *a, struct span bytes)
{
    struct addr *next = &a->at[a->count];

    if (a->count == SIGNUP_ADDRESSES || (bytes.len != 4 && bytes.len != 16)) {
        return;
    }
    *next = (struct addr){.family = bytes.len == 4 ? ADDR_IPV4 : ADDR_IPV6};
    memcpy(next->bytes, bytes.at, bytes.len);
    a->count++;
}

static bool contains(const struct signup_addresses *list, const struct addr *a)
{
    for (size_t i = 0; i < list->count; i++) {
        if (addr_equal(&list->at[i], a)) {
            return true;
        }
    }
    return false;
}

enum signup_result signup_judge_host(
    const struct signup_addresses *found, const struct prefix *unit, const struct addr *visitor,
    struct addr *server)
{
    *server = *visitor;
    if (contains(found, visitor)) {
        return SIGNUP_RESULT_GOOD;
    }
    for (size_t i = 0; i < found->count; i++) {
        if (prefix_contains(unit, &found->at[i])) {
            *server = found->at[i];
            return SIGNUP_RESULT_GOOD;
        }
    }
    if (found->failed) {
        return SIGNUP_RESULT_UNKNOWN;
    }
    return found->count == 0 ? SIGNUP_RESULT_NONE : SIGNUP_RESULT_BAD;
}

enum signup_result signup_judge_reverse(
    bool failed, size_t names, const struct signup_addresses *back, const struct addr *server)
{
    if (names > 0 && contains(back, server)) {
        return SIGNUP_RESULT_GOOD;
    }
    if (failed || (names > 0 && back->failed)) {
        return SIGNUP_RESULT_UNKNOWN;
    }
    return names == 0 ? SIGNUP_RESULT_NONE : SIGNUP_RESULT_BAD;
}

enum signup_result signup_judge_spf(enum spf_result spf)
{
    static const enum signup_result results[SPF_RESULTS] = {
        [SPF_NOT_ASKED] = SIGNUP_RESULT_UNKNOWN, [SPF_UNKNOWN] = SIGNUP_RESULT_UNKNOWN,
        [SPF_NONE] = SIGNUP_RESULT_NONE,         [SPF_NEUTRAL] = SIGNUP_RESULT_NONE,
        [SPF_PASS] = SIGNUP_RESULT_GOOD,         [SPF_FAIL] = SIGNUP_RESULT_BAD,
        [SPF_SOFTFAIL] = SIGNUP_RESULT_BAD,      [SPF_TEMPERROR] = SIGNUP_RESULT_UNKNOWN,
        [SPF_PERMERROR] = SIGNUP_RESULT_BAD,
    };
    return results[spf];
}

void signup_reverse_name(const struct addr *a, char out[SIGNUP_REVERSE_NAME])
{
    struct text t;

    text_init(&t, out, SIGNUP_REVERSE_NAME);
    for (unsigned i = addr_bits(a->family) / 8; i-- > 0;) {
        if (a->family == ADDR_IPV4) {
            text_addf(&t, "%u.", a->bytes[i]);
        } else {
            text_addf(&t, "%x.%x.", a->bytes[i] & 15u, a->bytes[i] >> 4u);
        }
    }
    text_addf(&t, "%s", a->family == ADDR_IPV4 ? "in-addr.arpa" : "ip6.arpa");
}

bool signup_reverse_take(struct span name, char out[SIGNUP_DOMAIN])
{
    struct text t;

    text_init(&t, out, SIGNUP_DOMAIN);
    if (name.len > 0 && name.at[name.len - 1] == '.') {
        name.len--;
    }
    /* It will stand on a page and in Redis, and is what a stranger's server says. */
    bool good = name.len > 0 && name.len < SIGNUP_DOMAIN;
    for (size_t i = 0; good && i < name.len; i++) {
        char c = name.at[i];
        c = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
        good = c != '\0' && strchr("abcdefghijklmnopqrstuvwxyz0123456789.-_", c);
        text_add(&t, (struct span){&c, 1});
    }
    if (!good) {
        out[0] = '\0';
    }
    return good;
}

bool signup_checks_hold(const struct signup_checks *c, unsigned required)
{
    for (unsigned i = 0; i < SIGNUP_CHECKS; i++) {
        if ((required & 1u << i) != 0 && c->result[i] != SIGNUP_RESULT_GOOD) {
            return false;
        }
    }
    return true;
}

const char *signup_check_name(enum signup_check c)
{
    static const char *const names[] = {
        [SIGNUP_CHECK_HOST] = "host",
        [SIGNUP_CHECK_REVERSE] = "reverse",
        [SIGNUP_CHECK_SPF] = "spf"};
    return names[c];
}

static const char *const result_names[] = {
    [SIGNUP_RESULT_UNKNOWN] = "unknown",
    [SIGNUP_RESULT_GOOD] = "good",
    [SIGNUP_RESULT_NONE] = "none",
    [SIGNUP_RESULT_BAD] = "bad",
};

const char *signup_result_name(enum signup_result r)
{
    return result_names[r];
}

bool signup_result_named(struct span name, enum signup_result *out)
{
    for (unsigned i = 0; i < SIGNUP_RESULTS; i++) {
        if (span_equal(name, span_of(result_names[i]))) {
            *out = i;
            return true;
        }
    }
    return false;
}
