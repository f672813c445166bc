#include "chart.h"

#include <stdio.h>
#include <time.h>

#define HOUR_S 3600
#define BAR    3

static int64_t hour_start_s(size_t i, int64_t now_s)
{
    return now_s / HOUR_S * HOUR_S - (int64_t)(TALLY_HOURS - 1 - i) * HOUR_S;
}

static void hour_text(size_t i, int64_t now_s, char day[32], char hour[32])
{
    time_t t = (time_t)hour_start_s(i, now_s);
    struct tm tm = {0};

    (void)gmtime_r(&t, &tm);
    strftime(day, 32, "%Y-%m-%d", &tm);
    strftime(hour, 32, "%H:%M", &tm);
}

static uint64_t held_in(const struct tally_row *row, size_t i)
{
    return (uint64_t)row->hour[TALLY_DEFERRALS][i] + row->hour[TALLY_REFUSALS][i];
}

static void add_bar(json_t *bars, const char *kind, size_t x, uint64_t n, uint64_t most)
{
    int height;

    if (n == 0) {
        return;
    }
    height = (int)(n * CHART_HEIGHT / most);
    height = height < 1 ? 1 : height;
    json_array_append_new(
        bars, json_pack(
                  "{s:s, s:i, s:i, s:i, s:i}", "kind", kind, "x", (int)x, "y",
                  CHART_HEIGHT - height, "w", BAR, "h", height));
}

json_t *chart_of(const struct tally_row *row, int64_t now_s)
{
    json_t *bars = json_array();
    uint64_t most = 1, held = 0;
    size_t peak = 0;
    char day[32], hour[32];

    for (size_t i = 0; i < TALLY_HOURS; i++) {
        uint64_t sessions = row->hour[TALLY_SESSIONS][i];

        held += held_in(row, i);
        most = sessions > most ? sessions : most;
        most = held_in(row, i) > most ? held_in(row, i) : most;
        peak = sessions > row->hour[TALLY_SESSIONS][peak] ? i : peak;
    }
    for (size_t i = 0; i < TALLY_HOURS; i++) {
        add_bar(bars, "sessions", i * CHART_STEP + 1, row->hour[TALLY_SESSIONS][i], most);
        add_bar(bars, "held", i * CHART_STEP + 1 + BAR, held_in(row, i), most);
    }
    hour_text(peak, now_s, day, hour);
    return json_pack(
        "{s:i, s:i, s:o, s:I, s:I, s:I, s:s, s:b}", "width", TALLY_HOURS * CHART_STEP, "height",
        CHART_HEIGHT, "bars", bars, "sessions", (json_int_t)row->total[TALLY_SESSIONS], "held",
        (json_int_t)held, "peak", (json_int_t)row->hour[TALLY_SESSIONS][peak], "peak_hour", hour,
        "empty", json_array_size(bars) == 0);
}

json_t *chart_table(const struct tally_row *row, int64_t now_s)
{
    json_t *table = json_array();

    for (size_t i = TALLY_HOURS; i-- > 0;) {
        char day[32], hour[32];
        uint64_t all = 0;

        for (enum tally_kind k = 0; k < TALLY_OF_SUBSCRIBERS; k++) {
            all += row->hour[k][i];
        }
        if (all == 0) {
            continue;
        }
        hour_text(i, now_s, day, hour);
        json_t *line = json_pack("{s:s, s:s}", "day", day, "hour", hour);

        for (enum tally_kind k = 0; k < TALLY_OF_SUBSCRIBERS; k++) {
            json_object_set_new(line, tally_kind_name(k), json_integer(row->hour[k][i]));
        }
        json_array_append_new(table, line);
    }
    return table;
}
