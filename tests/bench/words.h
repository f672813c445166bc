/* The words of a command line, and what is said when they are wrong. */
#ifndef GATE25_BENCH_WORDS_H
#define GATE25_BENCH_WORDS_H

#include <stdbool.h>
#include <stdint.h>

/* Reads a whole number of digits alone, from `least` to `most`. */
bool words_number(const char *text, uint64_t least, uint64_t most, uint64_t *out);

/* The number that an option gives, or the end of the program that says what is allowed. */
uint64_t words_option(const char *option, const char *text, uint64_t least, uint64_t most);

/* The same for an argument that is no option's. */
uint64_t words_argument(const char *name, const char *text, uint64_t least, uint64_t most);

/* As words_option() for a number that may have a fraction. */
double words_option_real(const char *option, const char *text, double least, double most);

/* Says what is wrong and ends the program with status 2, as for all wrong command lines. */
_Noreturn void words_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says why the program cannot go on, with errno's text, and ends it with status 1. */
_Noreturn void words_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
