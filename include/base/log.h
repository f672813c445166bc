/* The daemon's own log: what an operator must know, one line each, on stderr.
 * What becomes of subscribers' sessions goes to the journal (svc/journal.h), never here. */
#ifndef GATE25_BASE_LOG_H
#define GATE25_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* `program` stands in front of every line; a literal or as long-lived as the process.
 * Under systemd (JOURNAL_STREAM is set) lines start with the level that journald reads. */
void log_open(const char *program, enum log_level most);
/* Bytes of the arguments that are not printable ASCII are escaped: one call, one line. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
