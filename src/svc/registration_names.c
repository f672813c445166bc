#include "svc/registration_names.h"

#define ANSWER_MS 2000
#define NAME_MOST SIGNUP_CONTACT

bool registration_names_key(struct span name, char array[STORE_KEY], struct span *out)
{
    char lower[NAME_MOST];

    if (name.len == 0 || name.len > sizeof(lower)) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];

        lower[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    *out = store_key(STORE_KEY_NAMED, (struct span){lower, name.len}, array);
    return true;
}

bool registration_names_fit(const struct registration *r, struct span name)
{
    return span_equal_nocase(span_of(r->request.domain), name) ||
           span_equal_nocase(span_of(r->request.host), name) ||
           span_equal_nocase(span_of(r->request.contact), name);
}

void registration_names_add(struct redis *redis, struct span id, const struct registration *r)
{
    const struct span names[] = {
        span_of(r->request.domain), span_of(r->request.host), span_of(r->request.contact)};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char key[STORE_KEY];
        struct span words[] = {SPAN_LITERAL("SADD"), {"", 0}, id};

        if (registration_names_key(names[i], key, &words[1])) {
            (void)redis_call(redis, words, 3, ANSWER_MS, NULL, NULL, 0);
        }
    }
}
