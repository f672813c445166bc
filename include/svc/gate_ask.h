/* One question to gate25d, over its control socket. */
#ifndef GATE25_SVC_GATE_ASK_H
#define GATE25_SVC_GATE_ASK_H

#include <event2/event.h>

#include "base/str.h"

/* The answer's line without its end; empty: there was none in time. Valid during the call. */
typedef void (*gate_answer_cb)(void *context, uint64_t ticket, struct span line);

/* Asks `question` (one line, without its end) at the socket `path`. The answer comes from the loop,
 * never from within this call, once. -1: out of memory, or no such path; no answer will come. */
int gate_ask(
    struct event_base *base, const char *path, const char *question, uint32_t deadline_ms,
    gate_answer_cb answer, void *context, uint64_t ticket) __attribute__((warn_unused_result));

#endif
