/* What the targets share. */
#ifndef GATE25_TESTS_FUZZ_H
#define GATE25_TESTS_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold; where it does not, the finding says what it was. */
#define require(holds) require_at((holds), #holds, __FILE__, __LINE__)

static inline void require_at(bool holds, const char *what, const char *file, int line)
{
    if (!holds) {
        (void)fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
        abort();
    }
}

/* `part` lies within `whole`, or is empty. */
static inline bool inside(struct span part, struct span whole)
{
    return part.len == 0 || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len);
}

#endif
