/* gate25-bypassd: keeps the table of nftables in step with the standings. */
#ifndef GATE25_BYPASS_BYPASS_H
#define GATE25_BYPASS_BYPASS_H

#include <event2/event.h>

#include "base/buf.h"
#include "core/conf.h"

struct bypass;

/* The table stands, and new connections of who is in the sets are let by. Called once. */
typedef void (*bypass_ready_cb)(void *context);

/* Begins; `conf` is held. The kernel's sets keep what they hold until the standings are known.
 * NULL: `error`. */
struct bypass *bypass_new(
    struct event_base *base, struct conf *conf, bypass_ready_cb ready, void *context,
    struct text *error) __attribute__((warn_unused_result));
/* The table stays: bypass.hold says for how long it lets new connections by. */
void bypass_free(struct bypass *b);
void bypass_set_conf(struct bypass *b, struct conf *conf); /* after a reload */

/* Deletes the table. -1: `error`. */
int bypass_remove(struct text *error) __attribute__((warn_unused_result));

/* What is wrong, in words, "; " between; true: nothing. */
bool bypass_is_well(const struct bypass *b, struct text *reasons);
/* One line of JSON on the heap; NULL: out of memory. `bypass` is a struct bypass. */
char *bypass_status_json(void *bypass);
/* What was let by of the subscriber that the address or prefix `who` belongs to. */
char *bypass_show_json(const struct bypass *b, const char *who);
/* Appends the page for Prometheus. -1: out of memory. */
int bypass_page_write(const struct bypass *b, struct buf *out) __attribute__((warn_unused_result));

/* Serves /metrics and /health at bypass.listen. NULL: `error`. */
struct bypass_http;
struct bypass_http *bypass_http_new(
    struct event_base *base, const struct conf *conf, const struct bypass *b, struct text *error)
    __attribute__((warn_unused_result));
void bypass_http_free(struct bypass_http *h);

#endif
