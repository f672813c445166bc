#include "svc/registration_codec.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum field_type {
    FIELD_TEXT,
    FIELD_TIME,
    FIELD_STATE,
    FIELD_RESULT,
    FIELD_SPF,
    FIELD_ADDRESS,
    FIELD_VERSION /* read, never written: Redis counts */
};

#define AT(field)   offsetof(struct registration, field)
#define SIZE(field) sizeof(((struct registration *)NULL)->field)
#define TEXT(name, field)                                                                          \
    {                                                                                              \
        name, FIELD_TEXT, AT(field), SIZE(field)                                                   \
    }
#define OTHER(name, type, field)                                                                   \
    {                                                                                              \
        name, type, AT(field), 0                                                                   \
    }

static const struct {
    const char *name;
    enum field_type type;
    size_t offset, size;
} fields[] = {
    OTHER("version", FIELD_VERSION, version),
    OTHER("state", FIELD_STATE, state),
    TEXT("contact", request.contact),
    TEXT("domain", request.domain),
    TEXT("host", request.host),
    TEXT("reason", request.reason),
    OTHER("check-host", FIELD_RESULT, checks.result[SIGNUP_CHECK_HOST]),
    OTHER("check-reverse", FIELD_RESULT, checks.result[SIGNUP_CHECK_REVERSE]),
    OTHER("check-spf", FIELD_RESULT, checks.result[SIGNUP_CHECK_SPF]),
    OTHER("server", FIELD_ADDRESS, checks.server),
    TEXT("reverse", checks.reverse),
    OTHER("spf", FIELD_SPF, checks.spf),
    TEXT("language", language),
    OTHER("confirmed", FIELD_TIME, confirmed_s),
    OTHER("decided", FIELD_TIME, decided_s),
    OTHER("probation-until", FIELD_TIME, probation_until_s),
    OTHER("until", FIELD_TIME, until_s),
    OTHER("reminded", FIELD_TIME, reminded_s),
    TEXT("class", class),
    TEXT("by", by),
    TEXT("why", why),
};

#define FIELDS (sizeof(fields) / sizeof(*fields))

void registration_words_init(struct registration_words *w)
{
    w->count = w->used = 0;
}

void registration_words_add(struct registration_words *w, const char *field, struct span value)
{
    if (value.len > 0 && w->count + 2 <= REGISTRATION_WORDS) {
        w->at[w->count++] = span_of(field);
        w->at[w->count++] = value;
    }
}

/* A copy of our own, for what is made up here. */
static struct span keep(struct registration_words *w, const char *text)
{
    struct text t;

    text_init(&t, w->text + w->used, sizeof(w->text) - w->used);
    text_add(&t, span_of(text));
    w->used += t.len + 1;
    return text_span(&t);
}

static struct span value_of(struct registration_words *w, size_t i, const struct registration *r)
{
    const void *field = (const char *)r + fields[i].offset;
    char made[ADDR_TEXT] = "";
    const char *name = NULL;

    switch (fields[i].type) {
    case FIELD_TEXT:
        return span_of(field);
    case FIELD_TIME:
        if (*(const int64_t *)field > 0) {
            snprintf(made, sizeof(made), "%" PRId64, *(const int64_t *)field);
        }
        break;
    case FIELD_STATE:
        name = registration_state_name(*(const enum registration_state *)field);
        break;
    case FIELD_RESULT:
        name = signup_result_name(*(const enum signup_result *)field);
        break;
    case FIELD_SPF:
        name = spf_result_name(*(const enum spf_result *)field);
        break;
    case FIELD_ADDRESS:
        if (((const struct addr *)field)->family != ADDR_NONE) {
            addr_format(field, made);
        }
        break;
    case FIELD_VERSION:
        break;
    }
    return name ? span_of(name) : keep(w, made);
}

void registration_words_of(struct registration_words *w, const struct registration *r)
{
    for (size_t i = 0; i < FIELDS; i++) {
        registration_words_add(w, fields[i].name, value_of(w, i, r));
    }
}

static void take_spf(struct span value, enum spf_result *out)
{
    for (unsigned s = 0; s < SPF_RESULTS; s++) {
        const char *name = spf_result_name(s);
        if (name && span_equal(value, span_of(name))) {
            *out = s;
        }
    }
}

static void take_value(size_t i, struct span value, struct registration *r)
{
    void *field = (char *)r + fields[i].offset;
    struct text t;
    uint64_t number;

    switch (fields[i].type) {
    case FIELD_TEXT:
        text_init(&t, field, fields[i].size);
        text_add(&t, value);
        break;
    case FIELD_TIME:
    case FIELD_VERSION:
        if (span_number(value, INT64_MAX, &number)) {
            *(uint64_t *)field = number; /* the two types' common values */
        }
        break;
    case FIELD_STATE:
        (void)registration_state_named(value, field);
        break;
    case FIELD_RESULT:
        (void)signup_result_named(value, field);
        break;
    case FIELD_SPF:
        take_spf(value, field);
        break;
    case FIELD_ADDRESS:
        (void)addr_parse(value, field);
        break;
    }
}

bool registration_decode(const struct redis_reply *reply, struct registration *out)
{
    size_t count = redis_reply_count(reply);

    *out = (struct registration){.version = 0};
    for (size_t at = 0; at + 1 < count; at += 2) {
        struct span name, value;
        if (!redis_reply_text(redis_reply_at(reply, at), &name) ||
            !redis_reply_text(redis_reply_at(reply, at + 1), &value)) {
            continue;
        }
        for (size_t i = 0; i < FIELDS; i++) {
            if (span_equal(name, span_of(fields[i].name))) {
                take_value(i, value, out);
            }
        }
    }
    return count > 0;
}
