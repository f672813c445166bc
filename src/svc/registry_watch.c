/* The mirror for those who keep something made of all standings. */
#include <stdlib.h>

#include "registry_internal.h"

void registry_watch(struct registry *r, registry_changed_cb changed, void *context)
{
    r->changed = changed;
    r->changed_context = context;
}

void registry_tell(const struct registry *r)
{
    if (r->changed != NULL) {
        r->changed(r->changed_context);
    }
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

        if (s->family != ADDR_NONE) {
            struct prefix unit = prefix_map_prefix(s);

            each(context, &unit, classes[s->value], s->until_s);
        }
    }
    free(classes);
    return 0;
}
