/* What conf_options.c (the rows) and conf_values.c (their values) share. */
#ifndef GATE25_SVC_CONF_OPTIONS_INTERNAL_H
#define GATE25_SVC_CONF_OPTIONS_INTERNAL_H

#define MS     1000ull /* microseconds */
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define DAY    (24 * 60 * MINUTE)

#include "svc/conf_options.h"

/* conf_values.c */
bool conf_wrong(struct text *error, const char *text, const char *what, const char *allowed);
bool conf_add_prefix(struct prefix **list, size_t *count, const char *text, struct text *error);
bool conf_add_endpoint(struct endpoint **list, size_t *count, const char *text, struct text *error);

/* conf_values_web.c: each a setter, see option_set(). */
bool conf_set_text(const struct option *o, const char *text, void *field, struct text *error);
bool conf_set_date(const struct option *o, const char *text, void *field, struct text *error);
bool conf_set_site(const struct option *o, const char *text, void *field, struct text *error);
bool conf_set_rate(const struct option *o, const char *text, void *field, struct text *error);
bool conf_add_door(const struct option *o, const char *text, void *field, struct text *error);
bool conf_add_proxy(const struct option *o, const char *text, void *field, struct text *error);
bool conf_add_language(const struct option *o, const char *text, void *field, struct text *error);

/* conf_values_mail.c */
bool conf_add_check(const struct option *o, const char *text, void *field, struct text *error);
bool conf_set_smarthost(const struct option *o, const char *text, void *field, struct text *error);
bool conf_set_mailbox(const struct option *o, const char *text, void *field, struct text *error);

#endif
