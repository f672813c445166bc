/* The abuse desk: pages for operators, below /desk. */
#ifndef GATE25_WEB_DESK_H
#define GATE25_WEB_DESK_H

#include "web/site.h"

extern const struct site_module desk_module;

#endif
