/* Every key of the configuration file, one row each; the checks, the defaults and the words of the
 * error messages come from the rows. Knows nothing of the file's syntax: see svc/conf_file.h. */
#ifndef GATE25_SVC_CONF_OPTIONS_H
#define GATE25_SVC_CONF_OPTIONS_H

#include "core/conf.h"

#define OPTION_CLASS "class" /* the section that may be there many times, each with a name */

enum option_type {
    OPTION_NUMBER,       /* unsigned */
    OPTION_MILLISECONDS, /* uint32_t; written as a duration */
    OPTION_SECONDS,      /* uint64_t; written as a duration */
    OPTION_CHOICE,       /* an enum; `choices` */
    OPTION_FLAG,         /* bool */
    OPTION_NAME,         /* char array of `most` bytes: letters, digits, ".", "-", "_" */
    OPTION_WEB,          /* char array of `most` bytes: an http or https URL */
    OPTION_FILE,         /* char array of `most` bytes: an absolute path */
    OPTION_SECRET,       /* char array of `most` bytes: printable ASCII, never shown */
    OPTION_PATH,         /* char *, on the heap: an absolute path */
    OPTION_REDIS,        /* struct conf_redis */
    OPTION_COUNT,        /* struct limit with one window and no period */
    OPTION_RATES,        /* struct limit; a list */
    OPTION_PREFIXES,     /* conf.prefixes; a list */
    OPTION_ENDPOINTS,    /* conf.listen; a list */
    OPTION_SERVERS,      /* conf.submission.own; a list */
    OPTION_ADDRESSES,    /* conf.submission.service; a list */
    OPTION_RESOLVERS,    /* struct conf_spf; a list */
    OPTION_TEXT,         /* char array of `most` bytes: one line of UTF-8 */
    OPTION_DATE,         /* char array of CONF_DATE bytes: YYYY-MM-DD */
    OPTION_SITE,         /* char array of `most` bytes: an https URL without "/" at its end */
    OPTION_RATE,         /* struct rate */
    OPTION_DOORS,        /* struct endpoint_list; a list */
    OPTION_PROXIES,      /* struct prefix_list; a list */
    OPTION_LANGUAGES,    /* struct language_list; a list */
    OPTION_LINKS,        /* struct link_list; a list */
    OPTION_CHECKS,       /* unsigned: bits of enum signup_check; a list */
    OPTION_SMARTHOST,    /* char array of `most` bytes: an smtp or smtps URL without a path */
    OPTION_MAILBOX,      /* char array of `most` bytes: a mail address */
    OPTION_TYPES
};

struct option_choice {
    const char *name; /* NULL: end */
    unsigned value;
};

struct option {
    const char *section;
    const char *name;
    enum option_type type;
    size_t offset;        /* of the field in struct conf, or in struct conf_class */
    uint64_t least, most; /* of numbers; of durations, microseconds */
    const char *fallback; /* as it would be written, list items with blanks between; NULL: none */
    const struct option_choice *choices;
};

/* All rows, those of one section together; the last one's name is NULL. */
extern const struct option conf_options[];

bool option_is_list(const struct option *o);
/* Checks `text` and puts it into its field of `target` (a struct conf or conf_class); of a list it
 * is one item more. False: `error` says what is wrong, and what is allowed. */
bool option_set(const struct option *o, const char *text, void *target, struct text *error)
    __attribute__((warn_unused_result));
/* Puts the default in, where there is one. */
bool option_set_default(const struct option *o, void *target, struct text *error)
    __attribute__((warn_unused_result));

#endif
