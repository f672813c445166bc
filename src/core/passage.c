#include "core/passage.h"

#define TTL_FIRST 230
#define TTL_STEP  20 /* what routers between two gates may take off */

int passages_of_ttl(unsigned ttl)
{
    for (int i = 0; i < PASSAGES_MOST; i++) {
        unsigned most = TTL_FIRST - TTL_STEP * (unsigned)i;
        if (ttl <= most && ttl > most - TTL_STEP) {
            return i + 1;
        }
    }
    return 0;
}

int passages_to_ttl(int passages)
{
    int before = passages > 0 ? passages : 0;
    return TTL_FIRST - TTL_STEP * (before < PASSAGES_MOST ? before : PASSAGES_MOST - 1);
}
