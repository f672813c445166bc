/* What Redis answers to the questions of the standings' mirror (svc/feed.h), read into a map. */
#ifndef GATE25_SVC_REGISTRY_FEED_H
#define GATE25_SVC_REGISTRY_FEED_H

#include "svc/feed.h"
#include "svc/standing_map.h"

/* Puts what one HSCAN brought into the map; ids that are no prefixes and no accounts are
 * left aside. */
bool feed_scan(
    const struct redis_reply *reply, struct class_names *names, struct prefix_map *map,
    struct span *cursor);
/* Applies what XREAD brought and moves the position on. */
bool feed_changes(
    const struct redis_reply *reply, struct class_names *names, struct prefix_map *map,
    char position[FEED_POSITION]);

#endif
