#include "ctl/ctl_log_line.h"

#include <jansson.h>
#include <string.h>

#include "core/conf.h"
#include "ctl/ctl_text.h"

static struct span string(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);

    return json_is_string(value)
               ? (struct span){json_string_value(value), json_string_length(value)}
               : (struct span){"", 0};
}

static json_int_t integer(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static void add_text(struct text *out, const char *before, const json_t *o, const char *key)
{
    struct span s = string(o, key);

    if (s.len > 0) {
        text_add(out, span_of(before));
        /* The journal has escaped it once; what it let pass is not trusted for that. */
        ctl_text_escape(s, out);
    }
}

static void add_count(struct text *out, const json_t *o, const char *key, const char *one)
{
    json_int_t n = integer(o, key);

    if (n > 0) {
        text_addf(out, ", %" JSON_INTEGER_FORMAT " %s%s", n, one, n == 1 ? "" : "s");
    }
}

static void add_verdict(struct text *out, struct span verdict, bool shadow)
{
    static const struct {
        const char *name, *done;
    } verdicts[] = {{"forward", "forwarded"}, {"defer", "deferred"}, {"refuse", "refused"}};

    if (verdict.len == 0) {
        return;
    }
    text_addf(out, shadow ? "  would " : "  ");
    for (size_t i = 0; !shadow && i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
        if (span_equal(verdict, span_of(verdicts[i].name))) {
            verdict = span_of(verdicts[i].done);
        }
    }
    ctl_text_escape(verdict, out);
}

/* Rules of core/verdict.h; a limit ("messages:10/1m") speaks for itself. */
static void add_rule(struct text *out, struct span rule)
{
    static const struct {
        const char *name, *words;
    } rules[] = {
        {"class", "its class may not send mail"},
        {"store-down", "Redis was away"},
        {"direct", "it connected to the gate itself"},
        {"loop", "the gate's own connection came back to it"},
        {"source", "it is no subscriber's address"},
        {"destination", "it asked for an address that takes no mail"},
        {"connect", "the mail server could not be connected to"},
        {"timeout", "the session timed out"},
        {"line", "it sent a line that is too long"},
        {"newline", "it sent a line whose end servers read differently"},
        {"chunk", "it sent a BDAT that servers read differently"},
        {"sequence", "it sent a command that has no place there"},
        {"starttls", "it sent text between STARTTLS and the handshake"},
        {"tls", "it began TLS without STARTTLS"},
        {"no-starttls", "its class may not use STARTTLS"},
        {"sender", "it named a sender that mail servers read differently"},
        {"spf", "SPF forbids the sender's domain"},
        {"spf-helo", "SPF forbids its HELO name"},
        {"reply", "the server's replies are no SMTP"},
        {"shutdown", "the gate was stopped"},
        {"resources", "the gate was out of resources"},
    };

    if (rule.len == 0 || span_equal(rule, SPAN_LITERAL("none"))) {
        return;
    }
    text_addf(out, ": ");
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (span_equal(rule, span_of(rules[i].name))) {
            text_addf(out, "%s (%s)", rules[i].words, rules[i].name);
            return;
        }
    }
    ctl_text_escape(rule, out);
}

/* ", 3 to 5 messages in 9 turns": what an encrypted session can have carried. */
static void add_bounds(struct text *out, const json_t *o)
{
    if (json_is_integer(json_object_get(o, "turns"))) {
        text_addf(
            out,
            ", %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT
            " messages in %" JSON_INTEGER_FORMAT " turns",
            integer(o, "messages_least"), integer(o, "messages_most"), integer(o, "turns"));
    }
}

static void add_what_happened(struct text *out, const json_t *o)
{
    bool shadow = json_is_true(json_object_get(o, "shadow"));
    json_int_t retry_s = integer(o, "retry_after_s");

    add_verdict(out, string(o, "verdict"), shadow);
    add_rule(out, string(o, "rule"));
    if (integer(o, "cost") > 1) {
        text_addf(
            out, ", SPF fails the mail, which counts as %" JSON_INTEGER_FORMAT, integer(o, "cost"));
    }
    if (retry_s > 0) {
        text_addf(out, ", again in ");
        conf_duration_words((uint64_t)retry_s * 1000000, out);
    }
}

/* An entry may stand for several lines: the newest's case is told, and how many others there are.
 */
static void add_repeats(struct text *out, const json_t *o)
{
    size_t servers = json_array_size(json_object_get(o, "servers"));

    if (integer(o, "times") > 1) {
        text_addf(out, ", %" JSON_INTEGER_FORMAT " times", integer(o, "times"));
        add_text(out, " since ", o, "since");
    }
    if (servers > 1) {
        text_addf(out, ", to %zu servers", servers);
    }
}

static void add_cases(struct text *out, const json_t *o)
{
    size_t cases = json_array_size(json_object_get(o, "cases"));

    add_text(out, ", case ", o, "case");
    if (cases > 1) {
        text_addf(out, " and %zu other%s", cases - 1, cases == 2 ? "" : "s");
    }
}

void ctl_log_line(struct span line, struct text *out)
{
    json_t *o = json_loadb(line.at, line.len, 0, NULL);

    if (!json_is_object(o)) {
        ctl_text_escape(line, out);
        json_decref(o);
        return;
    }
    ctl_text_escape(string(o, "time"), out);
    add_text(out, "  ", o, "event");
    add_what_happened(out, o);
    add_repeats(out, o);
    add_text(out, "  ", o, "client");
    add_text(out, " -> ", o, "server");
    add_text(out, ", class ", o, "class");
    add_text(out, ", helo ", o, "helo");
    add_text(out, ", from ", o, "from");
    add_text(out, ", to ", o, "to");
    add_count(out, o, "messages", "message");
    add_count(out, o, "recipients", "recipient");
    add_count(out, o, "bytes_up", "byte");
    if (json_is_true(json_object_get(o, "tls"))) {
        text_addf(out, ", TLS");
        add_bounds(out, o);
    }
    add_text(out, ", ", o, "detail");
    add_cases(out, o);
    json_decref(o);
}
