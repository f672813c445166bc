/* The small languages of the configuration and of operators: durations, sizes, rates, prefixes. */
#include <stdlib.h>
#include <string.h>

#include "core/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* What was understood can be written, and what was written is understood the same. */
static void check_prefix(struct span in)
{
    struct prefix p;
    struct prefix again;
    char text[PREFIX_TEXT];
    enum prefix_error error = prefix_parse(in, &p);
    if (error == PREFIX_OK || error == PREFIX_HOST_BITS) {
        prefix_format(&p, text);
        require(prefix_parse(span_of(text), &again) == PREFIX_OK && prefix_equal(&p, &again));
        require(prefix_contains(&p, &p.addr));
    }
}

static void check_endpoint(struct span in)
{
    struct endpoint e;
    struct endpoint again;
    char text[ENDPOINT_TEXT];
    if (endpoint_parse(in, &e)) {
        endpoint_format(&e, text);
        require(endpoint_parse(span_of(text), &again) && endpoint_equal(&e, &again));
    }
}

static void check_duration(struct span in)
{
    uint64_t us = 0;
    uint64_t again = 0;
    char array[64];
    struct text t;
    text_init(&t, array, sizeof array);
    if (conf_parse_duration(in, &us) && us % 1000 == 0 && us > 0) {
        conf_duration_text(us, &t);
        require(conf_parse_duration(text_span(&t), &again) && again == us);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = {(const char *)data, size};
    struct rate rate;
    check_prefix(in);
    check_endpoint(in);
    check_duration(in);
    if (conf_parse_rate(in, &rate)) {
        require(rate.count > 0 && rate.period_us > 0);
    }
    return 0;
}
