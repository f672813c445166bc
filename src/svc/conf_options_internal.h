/* What conf_options.c (the rows) and conf_values.c (their values) share. */
#ifndef GATE25_SVC_CONF_OPTIONS_INTERNAL_H
#define GATE25_SVC_CONF_OPTIONS_INTERNAL_H

#define MS     1000ull /* microseconds */
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define DAY    (24 * 60 * MINUTE)

#endif
