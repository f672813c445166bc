/* The part of the configuration that the desk reads: section `desk`. */
#ifndef GATE25_CORE_CONF_DESK_H
#define GATE25_CORE_CONF_DESK_H

#include "core/conf_web.h"

struct conf_desk {
    struct prefix_list from;    /* whence it is answered; none: from everywhere */
    uint64_t session_s, idle_s; /* a log-in ends after so long, and when it rests for so long */
    char sso_header[64];        /* in which a trusted proxy names the operator; empty: none does */
};

#endif
