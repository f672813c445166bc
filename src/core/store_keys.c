#include "core/store_keys.h"

static const char *const prefixes[] = {
    [STORE_KEY_STANDING] = "g25:standing:{",
    [STORE_KEY_METER] = "g25:meter:{",
    [STORE_KEY_OPEN] = "g25:open:{",
    [STORE_KEY_SPREAD] = "g25:spread:{",
    [STORE_KEY_LOG] = "g25:log:{",
    [STORE_KEY_CASES] = "g25:cases:{",
    [STORE_KEY_NAMED] = "g25:named:{",
    [STORE_KEY_SIGNUP] = "g25:signup:{",
    [STORE_KEY_ASKED] = "g25:asked:{",
    [STORE_KEY_MAILED] = "g25:mailed:{",
    [STORE_KEY_REGISTRATION] = "g25:registration:{",
    [STORE_KEY_CONTACT] = "g25:contact:{",
};

struct span store_key(enum store_key key, struct span id, char out[STORE_KEY])
{
    struct text t;

    text_init(&t, out, STORE_KEY);
    text_add(&t, span_of(prefixes[key]));
    text_add(&t, id);
    text_add(&t, SPAN_LITERAL("}"));
    return text_span(&t);
}
