#include "ctl/ctl_top_view.h"

#include <inttypes.h>
#include <string.h>

#include "ctl/ctl_subject.h"

#define NUMBER     11 /* columns of a number, one of them the blank before it */
#define ID_LEAST   15
#define ID_USUAL   24             /* an IPv6 prefix */
#define ID_ESCAPED (4 * TALLY_ID) /* a length behind an address needs less */
#define COLUMNS    (TALLY_OF_SUBSCRIBERS + 1)

/* A column of numbers. */
struct column {
    const char *name;
    bool grown; /* the kind's growth */
    enum tally_kind kind;
};

static const char *const names[TALLY_KINDS] = {
    [TALLY_SESSIONS] = "SESSIONS",     [TALLY_MESSAGES] = "MESSAGES",
    [TALLY_DEFERRALS] = "DEFERRED",    [TALLY_REFUSALS] = "REFUSED",
    [TALLY_DESTINATIONS] = "SESSIONS",
};

static size_t columns_of(const struct ctl_top_table *t, struct column out[COLUMNS])
{
    size_t count = 0;

    out[count++] = (struct column){names[t->by], false, t->by};
    if (t->live) {
        out[count++] = (struct column){"NEW", true, t->by};
    }
    for (enum tally_kind k = 0; k < TALLY_OF_SUBSCRIBERS && t->by != TALLY_DESTINATIONS; k++) {
        if (k != t->by) {
            out[count++] = (struct column){names[k], false, k};
        }
    }
    return count;
}

static void add_escaped(const char *id, struct text *out)
{
    for (; *id; id++) {
        if (*id == '\\') {
            text_addf(out, "\\\\");
        } else if (*id >= ' ' && *id <= '~') {
            text_addf(out, "%c", *id);
        } else {
            text_addf(out, "\\x%02x", (uint8_t)*id);
        }
    }
}

/* A destination is an address and nothing but one. */
static void add_name(const struct ctl_top_table *t, const char *id, struct text *out)
{
    add_escaped(id, out);
    if (t->by != TALLY_DESTINATIONS) {
        text_add(out, span_of(ctl_id_length(id)));
    }
}

static size_t id_width(const struct ctl_top_table *t)
{
    char array[ID_ESCAPED];
    size_t longest = ID_LEAST;

    for (size_t i = 0; i < t->count; i++) {
        struct text id;

        text_init(&id, array, sizeof(array));
        add_name(t, t->rows[i].id, &id);
        longest = id.len > longest ? id.len : longest;
    }
    return longest;
}

/* How many columns stand, and what is then left for the id. All but the first give way to ids of
 * usual length, the first to the shortest. */
static size_t fit(size_t width, size_t *id, size_t columns)
{
    size_t usual = *id < ID_USUAL ? *id : ID_USUAL;

    if (width == 0) {
        return columns;
    }
    while (columns > 1 && columns * NUMBER + usual > width) {
        columns--;
    }
    if (columns * NUMBER + ID_LEAST > width) {
        columns = 0;
    }
    if (*id + columns * NUMBER > width) {
        *id = width - columns * NUMBER;
    }
    return columns;
}

static void add_first(const char *words, size_t width, struct text *out)
{
    if (strlen(words) <= width) {
        text_addf(out, "%-*s", (int)width, words);
    } else if (width > 0) {
        text_addf(out, "%.*s~", (int)width - 1, words);
    }
}

/* Never more than NUMBER - 1 characters, so that a blank is left. */
static void add_number(uint64_t n, bool grown, struct text *out)
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    char array[32];
    struct text t;
    size_t unit = 0;

    for (; n >= 100000000 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++) {
        n /= 1000;
    }
    text_init(&t, array, sizeof(array));
    if (!grown || n > 0) {
        text_addf(&t, "%s%" PRIu64 "%s", grown ? "+" : "", n, units[unit]);
    }
    text_addf(out, "%*s", NUMBER, array);
}

static void add_row(
    const struct ctl_top_table *t, const struct ctl_top_row *row, const struct column *columns,
    size_t count, size_t id, struct text *out)
{
    char array[ID_ESCAPED];
    struct text name;

    text_init(&name, array, sizeof(array));
    add_name(t, row->id, &name);
    add_first(array, id, out);
    for (size_t i = 0; i < count; i++) {
        add_number(
            columns[i].grown ? row->grown : row->total[columns[i].kind], columns[i].grown, out);
    }
}

/* Our own words, cut where the terminal ends. */
static void add_words(const char *words, size_t width, struct text *out)
{
    size_t len = strlen(words);

    text_add(out, (struct span){words, width > 0 && width < len ? width : len});
}

bool ctl_top_line(const struct ctl_top_table *t, size_t line, size_t width, struct text *out)
{
    struct column columns[COLUMNS];
    size_t id = id_width(t);
    size_t count = fit(width, &id, columns_of(t, columns));

    if (line == CTL_TOP_TITLE) {
        add_words(t->title, width, out);
        return true;
    }
    if (line == CTL_TOP_HEAD) {
        add_first(t->by == TALLY_DESTINATIONS ? "DESTINATION" : "SUBSCRIBER", id, out);
        for (size_t i = 0; i < count; i++) {
            text_addf(out, "%*s", NUMBER, columns[i].name);
        }
        return true;
    }
    if (t->count == 0 && line == CTL_TOP_ROWS) {
        add_words("(none)", width, out);
        return true;
    }
    if (line - CTL_TOP_ROWS >= t->count) {
        return false;
    }
    add_row(t, &t->rows[line - CTL_TOP_ROWS], columns, count, id, out);
    return true;
}
