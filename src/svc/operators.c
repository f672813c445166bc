#include "svc/operators.h"

#include <inttypes.h>
#include <string.h>

#include "core/store_keys.h"

#define NO_HASH "-"

static const char *const roles[OPERATOR_ROLES] = {
    [OPERATOR_NONE] = "none",
    [OPERATOR_VIEWER] = "viewer",
    [OPERATOR_AGENT] = "agent",
    [OPERATOR_ADMIN] = "admin",
};

const char *operator_role_name(enum operator_role r)
{
    return roles[r];
}

bool operator_role_parse(struct span s, enum operator_role *out)
{
    for (enum operator_role r = OPERATOR_VIEWER; r < OPERATOR_ROLES; r++) {
        if (span_equal(s, span_of(roles[r]))) {
            *out = r;
            return true;
        }
    }
    return false;
}

bool operator_name_is_good(struct span name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@";

    if (name.len == 0 || name.len >= OPERATOR_NAME) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (memchr(allowed, name.at[i], sizeof(allowed) - 1) == NULL) {
            return false;
        }
    }
    return true;
}

bool operator_parse(struct span value, struct operator_record *out)
{
    struct span role = span_word(&value), since = span_word(&value);
    uint64_t since_s;

    if (!operator_role_parse(role, &out->role) || !span_number(since, INT64_MAX, &since_s) ||
        value.len == 0) {
        return false;
    }
    out->since_s = (int64_t)since_s;
    out->hash = span_equal(value, SPAN_LITERAL(NO_HASH)) ? (struct span){"", 0} : value;
    return true;
}

struct span operator_format(const struct operator_record *r, char out[OPERATOR_RECORD])
{
    struct text t;

    text_init(&t, out, OPERATOR_RECORD);
    text_addf(&t, "%s %" PRId64 " ", roles[r->role], r->since_s);
    text_add(&t, r->hash.len == 0 ? SPAN_LITERAL(NO_HASH) : r->hash);
    return text_span(&t);
}

int operators_ask(
    struct redis *r, struct span name, uint32_t deadline_ms, redis_reply_cb reply, void *context,
    uint64_t ticket)
{
    const struct span words[] = {SPAN_LITERAL("HGET"), SPAN_LITERAL(STORE_OPERATORS), name};

    return redis_call(r, words, 3, deadline_ms, reply, context, ticket);
}
