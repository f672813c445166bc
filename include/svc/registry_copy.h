/* The mirror's copy on disk: text, one line a standing, so that a node restarted while Redis is
 * away still knows every registered server. */
#ifndef GATE25_SVC_REGISTRY_COPY_H
#define GATE25_SVC_REGISTRY_COPY_H

#include <event2/event.h>

#include "svc/registry_feed.h"
#include "svc/standing_map.h"

/* Puts what `path` holds into the map, and which change it goes back to into `anchor`. Lines that
 * make no sense are left out with a warning; a file without its last line (torn) is used as far as
 * it goes, with a warning. No file: nothing. */
void registry_copy_read(
    const char *path, struct class_names *names, struct prefix_map *map,
    char anchor[FEED_POSITION]);

struct registry_copy;

/* Keeps a copy of *map and `anchor`, which outlive it, in slices and between other events of the
 * loop. NULL: out of memory. */
struct registry_copy *registry_copy_new(
    struct event_base *base, const struct prefix_map *map, const struct class_names *names,
    const char *anchor) __attribute__((warn_unused_result));
void registry_copy_free(struct registry_copy *c); /* writes what is not yet written */
/* Where to write from now on; NULL: nowhere. The path is copied. */
void registry_copy_set_path(struct registry_copy *c, const char *path);
/* The map has changed; `replaced`: it is another map altogether, and one being written starts over.
 */
void registry_copy_changed(struct registry_copy *c, bool replaced);

#endif
