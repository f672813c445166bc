/* The table in nftables that gate25-bypassd owns: its text, and that of every change to it.
 *
 *   packets to and from port 25 -> is the subscriber's end in a set? -> the mark's bit is set
 *
 * The gate's own rules (contrib/routers) leave packets with that bit alone, so that the kernel
 * routes them on. Nothing else of the rules is touched, and nothing here depends on them. */
#ifndef GATE25_BYPASS_BYPASS_RULES_H
#define GATE25_BYPASS_BYPASS_RULES_H

#include "base/buf.h"
#include "bypass/bypass_sets.h"
#include "core/conf.h"

#define BYPASS_TABLE "gate25_bypass" /* of family inet */
#define BYPASS_FORM  128

#define BYPASS_RANGES4 "ranges4"
#define BYPASS_RANGES6 "ranges6"
/* Units lie in so many sets for each family, by their last bits: the kernel lists a set in time
 * that grows with the square of its size, and a million has to be read back within a second. */
#define BYPASS_PARTS 16
#define BYPASS_SET   16 /* room for a set's name */

unsigned bypass_part(const struct prefix *unit);
/* The set of the units of that family in that part. */
void bypass_units_set(uint8_t family, unsigned part, char out[BYPASS_SET]);

/* How the table looks, in a word: it stands in the table, as its comment. A table of another form
 * is made anew. `mode`: of the gate25d that runs, which a reload does not change. */
void bypass_form(const struct conf *conf, enum intercept_mode mode, char out[BYPASS_FORM]);

/* Each of these appends commands for nft. -1: out of memory. */

/* Makes what is missing of the table, and its rules anew, in one step; sets keep what they hold.
 * `replace`: deletes the table first. */
int bypass_rules_write(
    const struct conf *conf, enum intercept_mode mode, bool replace, struct buf *out)
    __attribute__((warn_unused_result));
/* Says that gate25-bypassd lives: new connections are let by for hold_ms from now on, and what is
 * open for an hour more. */
int bypass_rules_beat(uint32_t hold_ms, struct buf *out) __attribute__((warn_unused_result));
/* For how long that is. */
int64_t bypass_rules_open_s(uint32_t hold_ms);
/* While the sets are being filled packets within a connection that the gate holds no socket of are
 * let by, whosever they are: most belong to connections that were let by before. */
int bypass_rules_filling(bool filling, struct buf *out) __attribute__((warn_unused_result));

#endif
