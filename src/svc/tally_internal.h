/* What gathering and reading share. */
#ifndef GATE25_SVC_TALLY_INTERNAL_H
#define GATE25_SVC_TALLY_INTERNAL_H

#include "svc/tally.h"

#define TALLY_HOUR_S 3600

struct span tally_key(int64_t hour, enum tally_kind kind, char out[STORE_KEY]);

#endif
