/* The daemon's inside, shared by bypass.c (clocks, outside), bypass_table.c, bypass_work.c (the
 * table's sets), bypass_commit.c (transactions), bypass_count.c (readings) and bypass_report.c. */
#ifndef GATE25_BYPASS_BYPASS_INTERNAL_H
#define GATE25_BYPASS_BYPASS_INTERNAL_H

#include "bypass/bypass.h"
#include "bypass/bypass_change.h"
#include "bypass/bypass_counts.h"
#include "bypass/bypass_wanted.h"
#include "bypass/fast_path.h"
#include "bypass/nft_dump.h"
#include "bypass/nft_run.h"
#include "bypass/nft_watch.h"
#include "svc/registry.h"
#include "svc/tally.h"

#define BYPASS_ERROR 512
/* So many connections that nothing came back on are no chance: somebody else has taken them. */
#define BYPASS_UNANSWERED_MOST 20

/* What happened so far. */
enum bypass_event {
    EVENT_ADDED, /* units and ranges */
    EVENT_REMOVED,
    EVENT_MADE,      /* the table */
    EVENT_FOREIGN,   /* somebody else changed rules */
    EVENT_FAILED,    /* the kernel did not take a change */
    EVENT_FORGOTTEN, /* tracked connections, see conntrack_end.h */
    EVENTS
};

/* The fast path, where the configuration wants one. */
struct bypass_fast {
    struct bypass_listener listener; /* to what the table's sets come to hold */
    bool may;               /* it was wanted at the start: else the right to it was given up */
    bool doubtful;          /* the sets were read anew: it may let by what is in none */
    struct fast_path *path; /* NULL: there is none */
    size_t links;           /* on which it stands */
    int64_t look_ms;        /* monotonic: when these were looked at last */
    int64_t read_ms, read_took_ms; /* the last reading of all counters */
    uint64_t moved[BYPASS_COUNTS];
    char trouble[BYPASS_ERROR]; /* why it does not stand; empty: nothing is wrong */
};

struct bypass {
    struct event_base *base;
    struct conf *conf;
    enum intercept_mode mode; /* of the first configuration, as gate25d's */
    struct registry *registry;
    struct redis *store; /* of the tally, which the desk reads */
    struct tally *tally;
    struct nft_run *run;
    struct nft_dump *dump;
    struct nft_watch *watch;
    struct event *tick, *soon, *step;
    bypass_ready_cb ready; /* NULL: was called */
    void *ready_context;

    bool stands; /* the table does, as far as we know */
    struct nft_table table;
    uint32_t generation; /* of the rules, after what we did last */
    bool suspicious;     /* somebody else has changed rules since */

    struct bypass_sets held;    /* what the kernel's sets hold */
    struct buf strays;          /* ... and must not: a command for each that takes it out */
    struct bypass_sets wanted;  /* being brought about, while `working` */
    struct bypass_sets part;    /* of `held`, what is looked at; while `partial` */
    struct bypass_entries odd;  /* the prefixes that are no units, when all was looked at last */
    struct bypass_sets touched; /* units whose standings have changed since */
    struct bypass_sets gone;    /* what was let by and is no more, in this work */
    struct bypass_change change;
    bool known;   /* the standings are: until then the sets are left as they are */
    bool dirty;   /* all standings have to be looked at */
    bool working; /* `step` goes on */
    bool partial; /* ... with what was touched alone */
    bool filling; /* a table that was made anew */
    bool refused; /* the kernel did not take one of the last changes, though it took others */
    bool split;   /* it has refused a batch: of the next that it refuses each part is tried */
    size_t batch; /* how many elements are tried at once */

    int64_t next_end_s;                             /* Unix seconds; 0: no standing ends */
    int64_t clocks_apart_ms;                        /* Unix time less monotonic time */
    int64_t started_ms, beat_ms, sync_ms, count_ms; /* monotonic: when each was done last */
    int64_t sync_took_ms;

    struct bypass_fast fast;
    struct bypass_counts counts;
    uint64_t kernel[BYPASS_COUNTS];  /* what the table's own counters said last */
    uint64_t carried[BYPASS_COUNTS]; /* what those of tables that were removed had said */
    uint64_t unanswered; /* connections that the table let by since a server's bytes were */
    uint64_t asked;      /* ... those of this reading */
    bool answered;       /* bytes of a server were let by, in this reading */
    uint64_t events[EVENTS];
    char trouble[BYPASS_ERROR]; /* why the table does not stand, or could not be changed */
};

/* bypass_table.c */

/* Makes the table where it is missing, and reads what its sets hold. */
void bypass_sync(struct bypass *b);
/* Says that we live. */
void bypass_beat(struct bypass *b);
/* Has somebody else changed rules, and what is left of ours? */
void bypass_look(struct bypass *b);

/* bypass_work.c */

/* Begins to bring about what the standings say; does nothing while that is under way. */
void bypass_work(struct bypass *b);
void bypass_stop_work(struct bypass *b);
/* `step`'s callback. */
void bypass_step(evutil_socket_t fd, short what, void *bypass);

/* bypass_commit.c */

/* Runs and forgets the commands. False: `error` says why. */
bool bypass_run(struct bypass *b, struct buf *commands, struct text *error);
/* The same; bypass_fail() is told where they fail. */
bool bypass_commit(struct bypass *b, struct buf *commands, const char *doing);
/* Each of the commands by itself, a line each. Whether all were taken. */
bool bypass_commit_each(struct bypass *b, struct span lines, const char *doing);
/* Says once what is wrong, and notes it as the trouble there is. */
void bypass_fail(struct bypass *b, const char *doing, const char *why);

/* bypass_read.c */

/* What the sets hold becomes `held`, and `strays`. False: bypass_fail() was told. */
bool bypass_read(struct bypass *b) __attribute__((warn_unused_result));

/* bypass_count.c */

void bypass_count(struct bypass *b);
/* Whose traffic it is: of the standing that lets the unit by. */
struct prefix bypass_subscriber(const struct bypass *b, const struct prefix *unit);
/* What a counter of the unit's says: what is new goes to the subscriber. Returns that. */
uint64_t bypass_count_one(
    struct bypass *b, enum bypass_reading reading, const struct prefix *unit, uint64_t value,
    const struct prefix *subscriber);
/* All that the kernel has counted, in this table and those before it, and in the fast path. */
uint64_t bypass_total(const struct bypass *b, enum bypass_count kind);

/* bypass_fast.c: each does nothing where there is no fast path */

/* Makes it, and puts it on its links, where it is wanted and does not stand. */
void bypass_fast_look(struct bypass *b);
/* Says that we live. */
void bypass_fast_beat(struct bypass *b);
/* Before the first change of the sets. */
void bypass_fast_begin(struct bypass *b);
/* b->conf is another one. */
void bypass_fast_set_conf(struct bypass *b, const struct conf *old);
/* The sets hold what they shall, as far as the kernel takes it. */
void bypass_fast_settle(struct bypass *b);
void bypass_fast_count(struct bypass *b);
/* Takes it off all links: the table does its work. One of an earlier process goes with it. */
void bypass_fast_drop(struct bypass *b);

#endif
