#include "base/metrics_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE 512

void metrics_text_add(struct metrics_text *t, const char *format, ...)
{
    char line[LINE];
    va_list arguments;

    va_start(arguments, format);
    int len = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    size_t size = len < 0 ? 0 : len < LINE ? (size_t)len : LINE - 1;
    t->failed = t->failed || len < 0 || buf_append(t->out, (struct span){line, size}) < 0;
}

void metrics_text_head(struct metrics_text *t, const char *name, const char *help, const char *type)
{
    metrics_text_add(t, "# HELP gate25_%s %s\n# TYPE gate25_%s %s\n", name, help, name, type);
}

/* Whoever names a metric says with its ending that it only rises. */
static const char *type_of(const char *name)
{
    static const char ending[] = "_total";
    size_t len = strlen(name), of_ending = sizeof(ending) - 1;
    bool counter = len > of_ending && strcmp(name + len - of_ending, ending) == 0;

    return counter ? "counter" : "gauge";
}

void metrics_text_value(struct metrics_text *t, const char *name, const char *help, uint64_t value)
{
    metrics_text_head(t, name, help, type_of(name));
    metrics_text_add(t, "gate25_%s %" PRIu64 "\n", name, value);
}
