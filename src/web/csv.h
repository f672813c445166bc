/* Tables for a spreadsheet (RFC 4180). */
#ifndef GATE25_WEB_CSV_H
#define GATE25_WEB_CSV_H

#include <jansson.h>

#include "base/buf.h"

/* One line for the names in `columns` (ends with NULL) and one for each object of `list`. Of a time
 * ({iso ...}) its ISO form, of a list its strings with blanks between; what is not there is empty.
 * Every cell is quoted, and none begins with what a spreadsheet takes for a formula: a "'" stands
 * before it then. -1: out of memory. */
int csv_write(const json_t *list, const char *const *columns, struct buf *out)
    __attribute__((warn_unused_result));

#endif
