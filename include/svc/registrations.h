/* Registrations in Redis: read, written when nobody else has meanwhile, listed. What becomes of one
 * is decided in core/registration.h. Keys: README, "State in Redis".
 *
 * A write touches keys of several slots, so that it is no single call: what must be whole, the
 * registration and its standing, is written at once; the lists behind it are written after it. The
 * id is put on the list of what is due before the first write and moved to its real place behind
 * the last, so that whatever a crash leaves undone is found and done by registrations_repair(). */
#ifndef GATE25_SVC_REGISTRATIONS_H
#define GATE25_SVC_REGISTRATIONS_H

#include "core/registration.h"
#include "svc/redis.h"

/* What is known of one line. */
struct registration_seen {
    bool found; /* there is a registration */
    struct registration registration;
    char class[CONF_NAME]; /* of the line's own standing in force; empty: it has none */
};

/* `seen` is NULL when Redis did not answer; else valid during the call. */
typedef void (*registrations_seen_cb)(void *context, const struct registration_seen *seen);

enum registrations_written {
    REGISTRATIONS_WRITTEN,
    REGISTRATIONS_CHANGED, /* somebody else was faster: read again */
    REGISTRATIONS_FAILED   /* Redis did not answer, or refuses; nobody knows what was written */
};
typedef void (*registrations_written_cb)(void *context, enum registrations_written result);

/* Called exactly once, from the loop or from within the call. */
void registrations_read(
    struct redis *redis, struct span id, registrations_seen_cb seen, void *context);

/* What registration_step() has made of `seen`. */
struct registration_change {
    struct span id;
    const struct registration_seen *seen; /* as it was read */
    const struct registration *now;
    const struct registration_effects *effects;
    int64_t due_s; /* registration_due() of it */
    int64_t now_s;
};

/* Writes the change and carries out its effect on the standing: gates follow within milliseconds.
 * Called exactly once, from the loop or from within the call. */
void registrations_write(
    struct redis *redis, const struct registration_change *change, registrations_written_cb written,
    void *context);

/* Sees to it that the lists say what the registration and the standing say. */
void registrations_repair(
    struct redis *redis, struct span id, const struct registration_seen *seen, int64_t due_s,
    int64_t now_s);

/* Valid during the call; ok false: Redis did not answer. */
typedef void (*registrations_list_cb)(void *context, const struct span *ids, size_t count, bool ok);
/* Those for which something is due at `now_s`, at most `most`. */
void registrations_list_due(
    struct redis *redis, int64_t now_s, unsigned most, registrations_list_cb callback,
    void *context);
/* Those that wait for the desk, the oldest first, from the `first`-th on. */
void registrations_list_pending(
    struct redis *redis, unsigned first, unsigned most, registrations_list_cb callback,
    void *context);

#endif
