/* The pages for subscribers: Home, Activity, Quarantine, Policy, Feedback. */
#ifndef GATE25_WEB_SUBSCRIBER_H
#define GATE25_WEB_SUBSCRIBER_H

#include "web/site.h"

extern const struct site_module subscriber_module;

#endif
