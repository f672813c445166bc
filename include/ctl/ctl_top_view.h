/* The tables of gate25ctl top as text: pure, for a terminal of any width. */
#ifndef GATE25_CTL_CTL_TOP_VIEW_H
#define GATE25_CTL_CTL_TOP_VIEW_H

#include "svc/tally.h"

#define CTL_TOP_LINE 1536 /* room for a line, and its terminator, where no width bounds it */

struct ctl_top_row {
    char id[TALLY_ID]; /* anything */
    uint64_t total[TALLY_KINDS];
    uint64_t grown; /* by so much since the last look */
};

struct ctl_top_table {
    const char *title;
    enum tally_kind by; /* its column comes first */
    bool live;          /* has a column for what has grown */
    struct ctl_top_row rows[TALLY_TOP_MOST];
    size_t count;
};

/* What a line of a table may be. */
enum { CTL_TOP_TITLE, CTL_TOP_HEAD, CTL_TOP_ROWS }; /* rows count on from here */

/* Writes line `line` of the table, without its end, in at most `width` columns (0: as many as it
 * takes). Ids are printable ASCII afterwards, anything else being \xHH. Columns that find no room
 * are left away, the last ones first; an id that is too long ends in "~". False: there is no such
 * line. A table without rows has one that says so. */
bool ctl_top_line(const struct ctl_top_table *t, size_t line, size_t width, struct text *out);

#endif
