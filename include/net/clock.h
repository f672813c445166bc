/* The two clocks of the shells. */
#ifndef GATE25_NET_CLOCK_H
#define GATE25_NET_CLOCK_H

#include <stdint.h>

int64_t clock_monotonic_ms(void); /* for deadlines and durations: never jumps */
int64_t clock_monotonic_us(void); /* the same, for what is short */
int64_t clock_unix_ms(void);      /* for the journal and for standings that end */

#endif
