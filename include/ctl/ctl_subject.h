/* The SUBSCRIBER of a command line. */
#ifndef GATE25_CTL_CTL_SUBJECT_H
#define GATE25_CTL_CTL_SUBJECT_H

#include "core/conf.h"

struct ctl_subject {
    struct prefix prefix;
    char id[PREFIX_TEXT];
};

/* An address stands for its unit, a prefix for exactly itself; both must lie within the
 * subscribers' prefixes. False: `error` says why not, and what is allowed. */
bool ctl_subject_parse(
    const struct conf *conf, struct span s, struct ctl_subject *out, struct text *error);

#endif
