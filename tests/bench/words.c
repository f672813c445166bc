#include "bench/words.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool words_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end;

    if (*text < '0' || *text > '9') {
        return false;
    }
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *out >= least && *out <= most;
}

static uint64_t number_of(
    const char *dashes, const char *name, const char *text, uint64_t least, uint64_t most)
{
    uint64_t number;

    if (!words_number(text, least, most, &number)) {
        words_wrong(
            "%s%s %s: it is a whole number from %ju to %ju", dashes, name, text, least, most);
    }
    return number;
}

uint64_t words_option(const char *option, const char *text, uint64_t least, uint64_t most)
{
    return number_of("--", option, text, least, most);
}

uint64_t words_argument(const char *name, const char *text, uint64_t least, uint64_t most)
{
    return number_of("", name, text, least, most);
}

double words_option_real(const char *option, const char *text, double least, double most)
{
    char *end;
    double number = strtod(text, &end);

    if (end == text || *end != '\0' || !(number >= least && number <= most)) {
        words_wrong("--%s %s: it is a number from %g to %g", option, text, least, most);
    }
    return number;
}

__attribute__((format(printf, 1, 0))) static void say(const char *format, va_list list)
{
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, list);
}

void words_wrong(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    say(format, list);
    va_end(list);
    fputc('\n', stderr);
    exit(2);
}

void words_failed(const char *format, ...)
{
    const int why = errno;
    va_list list;

    va_start(list, format);
    say(format, list);
    va_end(list);
    fprintf(stderr, ": %s\n", strerror(why));
    exit(1);
}
