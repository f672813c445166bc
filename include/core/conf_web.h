/* The part of the configuration that the site reads: section `web`. */
#ifndef GATE25_CORE_CONF_WEB_H
#define GATE25_CORE_CONF_WEB_H

#include "core/prefix.h"
#include "core/rate.h"

#define CONF_LANGUAGES 8
#define CONF_DATE      11 /* "2026-11-28" */

struct endpoint_list {
    struct endpoint *at;
    size_t count;
};

struct prefix_list {
    struct prefix *at;
    size_t count;
};

struct language_list {
    char at[CONF_LANGUAGES][8]; /* two-letter tags */
    size_t count;
};

struct conf_web {
    struct endpoint_list listen;    /* none: there is no site */
    struct endpoint_list garden;    /* plain doors that lead all to the quarantine page */
    char url[256];                  /* what every link begins with; no "/" at its end */
    char *certificate, *key;        /* PEM; NULL: plain, behind a trusted proxy */
    struct prefix_list trusted;     /* proxies whose X-Forwarded-For counts */
    char *pages;                    /* folder of templates */
    struct language_list languages; /* folders in it besides "en" */
    unsigned connections, connections_each;
    uint32_t deadline_ms;        /* for a request, from its first byte to the answer's last */
    struct rate requests, posts; /* of one subscriber */
    unsigned self_releases;      /* a subscriber's own, from quarantine, within ... */
    uint64_t release_period_s;
    char since[CONF_DATE], review[CONF_DATE]; /* of the policy; empty: not said */
    char decides[256], contact[256];
};

#endif
