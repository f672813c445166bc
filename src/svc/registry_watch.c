/* The mirror for those who keep something made of all standings. */
#include <stdlib.h>

#include "registry_internal.h"

void registry_watch(struct registry *r, registry_changed_cb changed, void *context)
{
    r->changed = changed;
    r->changed_context = context;
}

uint64_t registry_changes(const struct registry *r)
{
    return r->changes;
}

/* Ids that are no prefixes are no units. */
static void tell_one(const struct registry *r, const struct redis_reply *fields)
{
    struct prefix unit;

    if (prefix_parse(redis_reply_field(fields, "id"), &unit) == PREFIX_OK) {
        r->changed(r->changed_context, &unit);
    }
}

void registry_tell(const struct registry *r, const struct redis_reply *reply)
{
    const struct redis_reply *entries;

    if (r->changed == NULL) {
        return;
    }
    if (reply == NULL) {
        r->changed(r->changed_context, NULL);
        return;
    }
    entries = redis_reply_at(redis_reply_at(reply, 0), 1);
    for (size_t i = 0; i < redis_reply_count(entries); i++) {
        tell_one(r, redis_reply_at(redis_reply_at(entries, i), 1));
    }
}

bool registry_get(
    const struct registry *r, const struct conf *conf, const struct prefix *unit,
    const struct conf_class **class, int64_t *until_s)
{
    const struct prefix_slot *s = prefix_map_get(&r->map, unit);

    if (s == NULL) {
        return false;
    }
    *class = conf_class_named(conf, class_names_at(&r->names, s->value));
    *until_s = s->until_s;
    return true;
}

int registry_each(
    const struct registry *r, const struct conf *conf, registry_each_cb each, void *context)
{
    const struct conf_class **classes =
        calloc(r->names.count > 0 ? r->names.count : 1, sizeof(const struct conf_class *));

    if (classes == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < r->names.count; i++) {
        classes[i] = conf_class_named(conf, class_names_at(&r->names, i));
    }
    for (size_t i = 0; i < r->map.capacity; i++) {
        const struct prefix_slot *s = &r->map.slots[i];

        if (s->family == ADDR_IPV4 || s->family == ADDR_IPV6) { /* accounts are no units */
            struct prefix unit = prefix_map_prefix(s);

            each(context, &unit, classes[s->value], s->until_s);
        }
    }
    free(classes);
    return 0;
}
