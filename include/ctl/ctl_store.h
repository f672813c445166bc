/* Redis as gate25ctl asks it: one question at a time, waiting for the answer. */
#ifndef GATE25_CTL_CTL_STORE_H
#define GATE25_CTL_CTL_STORE_H

#include "core/conf.h"
#include "ctl/ctl_options.h"
#include "ctl/ctl_subject.h"
#include "svc/redis.h"
#include "svc/standings.h"

#define CTL_CONNECT_MS  2000
#define CTL_DISCOVER_MS 5000
#define CTL_ANSWER_MS   5000
#define CTL_TROUBLE     300

/* One run of the program. */
struct ctl {
    const struct ctl_options *options;
    struct conf *conf;
    struct event_base *base;
    struct redis *redis; /* NULL before ctl_connect() */
    int64_t now_s;
    bool waiting;
    int answered;              /* of the question that is out: 0, or -1 */
    char trouble[CTL_TROUBLE]; /* why the last question failed */
};

/* Connects; `functions` as in struct redis_options. -1: not in time, and said so. */
int ctl_connect(struct ctl *c, const char *functions) __attribute__((warn_unused_result));

/* Uses an answer that is no error, while it is there. */
typedef void (*ctl_reply_cb)(void *context, const struct redis_reply *reply);

/* Asks and waits. deadline_ms 0: as long as it takes. -1: no answer or an error, and said so. */
int ctl_call(
    struct ctl *c, const struct span *words, size_t count, uint32_t deadline_ms, ctl_reply_cb use,
    void *context) __attribute__((warn_unused_result));
/* The same without a word; -1: `trouble` says why. */
int ctl_ask(
    struct ctl *c, const struct span *words, size_t count, uint32_t deadline_ms, ctl_reply_cb use,
    void *context) __attribute__((warn_unused_result));

/* Writes a standing, or removes it. -1: it failed, and said so. */
int ctl_standing_set(struct ctl *c, const struct standing *s) __attribute__((warn_unused_result));
int ctl_standing_remove(struct ctl *c, const struct standing *s)
    __attribute__((warn_unused_result));

#define CTL_FIELD (CTL_WORDS_MOST + 1)

/* A standing as it was read. */
struct ctl_standing {
    bool found;
    char id[CTL_ID];
    char class[CONF_NAME];
    int64_t since_s, until_s; /* 0: not known; no end */
    char by[CTL_FIELD], reason[CTL_FIELD], note[CTL_FIELD];
};

/* Does the configuration know the class? Standings of other classes are passed over. */
bool ctl_class_known(const struct ctl *c, const char *class);
/* The classes of the configuration, with commas between. */
void ctl_class_list(const struct ctl *c, struct text *out);
#define CTL_CLASS_UNKNOWN "class unknown to the configuration: passed over"

bool ctl_standing_ended(const struct ctl *c, const struct ctl_standing *s);
/* The standing of exactly this id, ended or not. -1: said why. */
int ctl_standing_read(struct ctl *c, const char *id, struct ctl_standing *out)
    __attribute__((warn_unused_result));
/* The standing that holds for the subscriber now, on the terms of svc/registry.h. Details are read
 * too. `passed`, unless NULL, becomes the longest prefix's that would hold before it if its class
 * were known (without details). -1: said why. */
int ctl_standing_over(
    struct ctl *c, const struct ctl_subject *who, struct ctl_standing *out,
    struct ctl_standing *passed) __attribute__((warn_unused_result));

#endif
