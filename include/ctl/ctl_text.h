/* Text of foreign origin on an operator's terminal and in JSON. */
#ifndef GATE25_CTL_CTL_TEXT_H
#define GATE25_CTL_CTL_TEXT_H

#include <jansson.h>

#include "base/str.h"

/* Readable UTF-8 as it is; control characters, what turns the writing direction, what cannot be
 * seen, and what is no UTF-8 as \xHH, a backslash doubled: nothing reaches the terminal but text.
 */
void ctl_text_escape(struct span s, struct text *out);

/* The same as a JSON string; only what is no UTF-8 is escaped by us. NULL: out of memory. */
json_t *ctl_text_json(struct span s);
/* An empty span gives null. */
json_t *ctl_text_json_or_null(struct span s);
/* ISO 8601, or null for 0. */
json_t *ctl_time_json(int64_t unix_s);
/* Prints one line and lets go of the value. -1: out of memory. */
int ctl_json_print(json_t *value);

/* "name      value" with the name padded to a column; the value is escaped. Empty: nothing. */
void ctl_print_row(const char *name, struct span value);
/* The same for our own words. */
void ctl_print_rowf(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* "gate25ctl: ..." on stderr; the whole is escaped. */
void ctl_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
