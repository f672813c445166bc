/* A map's copy on disk: text, a line that says what it is, one line an entry, and a last line with
 * their number. It is written in slices between other events of the loop, into a file beside it
 * that takes its place when it is whole. */
#ifndef GATE25_SVC_MAP_COPY_H
#define GATE25_SVC_MAP_COPY_H

#include <event2/event.h>
#include <stdio.h>

#include "base/str.h"

#define MAP_COPY_LINE 200 /* no line is longer */

/* What is copied. `context` is map_copy_new()'s. */
struct map_copy_source {
    const char *what;                         /* for the log: "standings" */
    void (*begin)(void *context, FILE *file); /* writes the first line */
    size_t (*slots)(const void *context);     /* the map's capacity */
    void (*slice)(void *context); /* some slots are about to be written; NULL: nothing */
    bool (*write)(void *context, FILE *file, size_t slot); /* a line; false: nobody is there */
    unsigned settle_ms, again_ms; /* changes gather for so long; so long after a failure */
};

struct map_copy;

/* Nothing is written before map_copy_set_path(). `source` and `context` outlive it. NULL: out of
 * memory. */
struct map_copy *map_copy_new(
    struct event_base *base, const struct map_copy_source *source, void *context)
    __attribute__((warn_unused_result));
void map_copy_free(struct map_copy *c); /* writes what is not yet written; NULL is fine */
/* Where to write from now on; NULL: nowhere. The path is copied. True: it is a path, and another
 * one than before. Out of memory: nowhere. */
bool map_copy_set_path(struct map_copy *c, const char *path);
/* The map has changed; `replaced`: it is another map altogether, and one being written starts over.
 */
void map_copy_changed(struct map_copy *c, bool replaced);

/* What is made of a copy's lines, without their ends. False: it makes no sense. */
struct map_copy_reader {
    const char *what; /* for the log: "standings" */
    bool (*first)(void *context, struct span line);
    bool (*line)(void *context, struct span line);
};

/* Reads what `path` holds. Lines that make no sense are left out with a warning; a file without its
 * last line (torn) is used as far as it goes, with a warning. No file: nothing. */
void map_copy_read(const char *path, const struct map_copy_reader *reader, void *context);

#endif
