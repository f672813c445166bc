/* One line of the journal (svc/journal.h) in words. */
#ifndef GATE25_CTL_CTL_LOG_LINE_H
#define GATE25_CTL_CTL_LOG_LINE_H

#include "base/str.h"

/* Adds one readable line without its newline; a line that is no JSON object is added escaped. */
void ctl_log_line(struct span line, struct text *out);

#endif
