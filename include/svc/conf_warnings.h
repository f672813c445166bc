/* What a configuration says that has no effect, or leaves out that subscribers will miss. None of
 * it keeps the gate from running. */
#ifndef GATE25_SVC_CONF_WARNINGS_H
#define GATE25_SVC_CONF_WARNINGS_H

#include "core/conf.h"

/* Takes one sentence, "submission.address: has no effect; ...", valid during the call. */
typedef void (*conf_warning_cb)(void *context, const char *words);

void conf_warnings(const struct conf *c, conf_warning_cb say, void *context);

#endif
