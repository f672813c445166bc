/* What a call for a connection fails with when it is this machine that has no room. */
#ifndef GATE25_NET_SHORTAGE_H
#define GATE25_NET_SHORTAGE_H

#include <errno.h>
#include <stdbool.h>

/* There is no descriptor or no memory for it. */
static inline bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

#endif
