#include "bench/load_tally.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/machine.h"

static const char *const place_names[PLACES] = {
    [PLACE_CONNECT] = "connect",   [PLACE_BANNER] = "banner", [PLACE_EHLO] = "ehlo",
    [PLACE_STARTTLS] = "starttls", [PLACE_TLS] = "tls",       [PLACE_HOLD] = "hold",
    [PLACE_MAIL] = "mail",         [PLACE_RCPT] = "rcpt",     [PLACE_DATA] = "data",
    [PLACE_MESSAGE] = "message",   [PLACE_QUIT] = "quit",
};

static const char *failure_name(unsigned failure)
{
    switch (failure) {
    case FAILED_END:
        return "end";
    case FAILED_TIMEOUT:
        return "timeout";
    case FAILED_NO_REPLY:
        return "no reply";
    default: {
        const char *name = strerrorname_np((int)failure);
        return name ? name : "unknown error";
    }
    }
}

static json_t *count(uint64_t number)
{
    return json_integer((json_int_t)number);
}

static json_t *refusals(const struct tally *t)
{
    json_t *all = json_object();
    char name[32];

    for (unsigned place = 0; place < PLACES; place++) {
        for (unsigned code = 0; code < CODES; code++) {
            if (t->refused[place][code] > 0) {
                (void)snprintf(name, sizeof name, "%s %u", place_names[place], code);
                json_object_set_new(all, name, count(t->refused[place][code]));
            }
        }
    }
    return all;
}

static json_t *failures(const struct tally *t)
{
    json_t *all = json_object();
    char name[48];

    for (unsigned place = 0; place < PLACES; place++) {
        for (unsigned failure = 0; failure < FAILURES; failure++) {
            if (t->failed[place][failure] > 0) {
                (void)snprintf(
                    name, sizeof name, "%s %s", place_names[place], failure_name(failure));
                json_object_set_new(all, name, count(t->failed[place][failure]));
            }
        }
    }
    return all;
}

/* To a tenth of a microsecond: more digits would only look exact. */
static json_t *microseconds(double us)
{
    return json_real(round(us * 10) / 10);
}

static json_t *times(const struct latency *l)
{
    return json_pack(
        "{so so so so so so}", "count", count(l->count), "p50",
        microseconds(latency_quantile_us(l, 0.5)), "p90", microseconds(latency_quantile_us(l, 0.9)),
        "p99", microseconds(latency_quantile_us(l, 0.99)), "p999",
        microseconds(latency_quantile_us(l, 0.999)), "mean", microseconds(latency_mean_us(l)));
}

void tally_report(const struct tally *t)
{
    double seconds = (double)(t->closed_ns - t->opened_ns) / SECOND_NS;
    double per_second = seconds > 0 ? 1 / seconds : 0;
    json_t *latency = json_pack(
        "{so so so so so}", "hop", times(&t->hop), "connect", times(&t->connect), "banner",
        times(&t->banner), "tls", times(&t->tls), "session", times(&t->session));
    json_t *all = json_pack(
        "{so so so so so sf sf sf so so so so sf}", "sessions", count(t->sessions), "messages",
        count(t->messages), "recipients", count(t->recipients), "refused", refusals(t), "failed",
        failures(t), "seconds", seconds, "rate", (double)t->sessions * per_second, "message_rate",
        (double)t->messages * per_second, "missed", count(t->missed), "open", count(t->open),
        "silent", count(t->silent), "latency_us", latency, "cpu_s",
        t->closed_cpu_s - t->opened_cpu_s);

    (void)json_dumpf(all, stdout, JSON_REAL_PRECISION(9));
    (void)putchar('\n');
    json_decref(all);
}
