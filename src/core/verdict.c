#include "core/verdict.h"

#include <inttypes.h>

/* How a rule is told. `enhanced` follows the class digit of RFC 3463. Rules with a `code` are
 * spoken with it wherever they fall, the others with the code of their place. */
static const struct {
    const char *name;
    const char *enhanced;
    unsigned code; /* 0: of the place */
    const char *words;
} rules[RULE_COUNT] = {
    [RULE_NONE] = {"none", "0.0", 0, ""},
    [RULE_LIMIT] = {"limit", "7.1", 0, ""},
    [RULE_CLASS] = {"class", "7.1", 0, "may not send mail on port 25"},
    [RULE_STORE_DOWN] = {"store-down", "3.2", 0, "cannot be checked against its limits now"},
    [RULE_DIRECT] = {"direct", "7.1", 554, "is connected to the gate itself, which is no relay"},
    [RULE_LOOP] = {"loop", "4.6", 554, "came back to the gate: routing loop"},
    [RULE_SOURCE] = {"source", "7.1", 554, "is not an address of this network's subscribers"},
    [RULE_DESTINATION] = {"destination", "7.1", 554, "asked for an address that takes no mail"},
    [RULE_CONNECT] = {"connect", "4.1", 421, "could not be connected to the mail server"},
    [RULE_TIMEOUT] = {"timeout", "4.2", 421, "has a session that timed out"},
    [RULE_LINE] = {"line", "5.2", 500, "sent a line that is too long"},
    [RULE_NEWLINE] = {"newline", "6.0", 554, "sent a line whose end servers read differently"},
    [RULE_CHUNK] = {"chunk", "5.4", 554, "sent a BDAT that servers read differently"},
    [RULE_SEQUENCE] = {"sequence", "5.1", 503, "sent a command that has no place here"},
    [RULE_STARTTLS] = {"starttls", "5.1", 554, "has text between STARTTLS and the handshake"},
    [RULE_TLS] = {"tls", "5.1", 554, "began TLS where no STARTTLS was answered with 220"},
    [RULE_NO_STARTTLS] = {"no-starttls", "7.1", 554, "may not use STARTTLS on port 25"},
    [RULE_REPLY] = {"reply", "5.0", 421, "reached a server whose replies are no SMTP"},
    [RULE_SHUTDOWN] = {"shutdown", "3.2", 421, "can connect again at once: the gate is restarting"},
    [RULE_STANDING] =
        {"standing", "7.1", 421,
         "has another standing since this session began: the next one is told more"},
    [RULE_RESOURCES] = {"resources", "3.1", 421, "finds the gate out of resources"},
    [RULE_HALF_CLOSE] = {"half-close", "4.2", 421, "ended its connection within a line"},
    [RULE_SENDER] =
        {"sender", "1.7", 501,
         "named a sender that mail servers read differently: write MAIL FROM:<user@domain>"},
    [RULE_SPF] = {"spf", "7.23", 0, "may not send for this sender, says its domain's SPF record"},
    [RULE_SPF_HELO] =
        {"spf-helo", "7.23", 0, "may not use this HELO name, says its domain's SPF record"},
};

static const struct {
    unsigned defer, refuse;
} place_code[] = {
    [PLACE_GREETING] = {421, 554}, [PLACE_MAIL] = {450, 550},    [PLACE_RCPT] = {452, 550},
    [PLACE_DATA] = {450, 554},     [PLACE_SESSION] = {421, 554},
};

static const struct {
    const char *one, *many;
} unit_words[LIMIT_KINDS] = {
    [LIMIT_SESSIONS] = {"session", "sessions"},
    [LIMIT_MESSAGES] = {"message", "messages"},
    [LIMIT_RECIPIENTS] = {"recipient", "recipients"},
    [LIMIT_BYTES] = {"byte", "bytes"},
    [LIMIT_SPREAD] = {"destination", "destinations"},
    [LIMIT_CONCURRENT] = {"session at once", "sessions at once"},
};

void case_format(uint64_t random, char out[CASE_TEXT])
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    for (int i = 0; i < CASE_TEXT - 1; i++) {
        out[i] = alphabet[random & 31];
        random >>= 5;
    }
    out[CASE_TEXT - 1] = '\0';
}

const char *verdict_action_name(enum verdict_action a)
{
    static const char *const names[] = {
        [VERDICT_FORWARD] = "forward",
        [VERDICT_DEFER] = "defer",
        [VERDICT_REFUSE] = "refuse",
        [VERDICT_SUBMIT] = "submit"};
    return names[a];
}

const char *verdict_rule_name(enum rule r)
{
    return rules[r].name;
}

static const struct rate *rate_of(const struct verdict *v, const struct conf_class *class)
{
    const struct limit *limit = &class->limit[v->limit];
    return v->window < limit->windows ? &limit->window[v->window] : NULL;
}

void verdict_rule_text(const struct verdict *v, const struct conf_class *class, struct text *out)
{
    const struct rate *rate = v->rule == RULE_LIMIT && class ? rate_of(v, class) : NULL;
    if (!rate) {
        text_addf(out, "%s", rules[v->rule].name);
        return;
    }
    text_addf(out, "%s:%" PRIu64, limit_kind_name(v->limit), rate->count);
    if (v->limit != LIMIT_CONCURRENT) {
        text_addf(out, "/");
        conf_duration_text(rate->period_us, out);
    }
}

static void add_limit_words(
    const struct verdict *v, const struct conf_class *class, struct text *out)
{
    const struct rate *rate = class ? rate_of(v, class) : NULL;
    if (!rate) {
        text_addf(out, "has reached a limit");
        return;
    }
    const char *unit = rate->count == 1 ? unit_words[v->limit].one : unit_words[v->limit].many;
    text_addf(out, "has reached its limit of %" PRIu64 " %s", rate->count, unit);
    if (v->limit != LIMIT_CONCURRENT) {
        text_addf(out, " in ");
        conf_duration_words(rate->period_us, out);
    } else { /* a worker that died has given no slot back: SLOT_MS in meter_keys.lua */
        text_addf(out, " (one that was broken off may count for 15 minutes more)");
    }
    if (v->cost > 1) {
        text_addf(out, ", and SPF fails this mail, which counts as %" PRIu32, v->cost);
    }
}

/* Too many recipients has an enhanced status code of its own; at the session's door 4.7.0 is used.
 */
static const char *enhanced_of(const struct verdict *v, unsigned code)
{
    if (v->rule == RULE_LIMIT && code == 452) {
        return "5.3";
    }
    if (v->rule == RULE_LIMIT && code == 421) {
        return "7.0";
    }
    return rules[v->rule].enhanced;
}

/* Most rules have one code wherever they fall; what is only deferred never gets a 5xx. */
static unsigned code_of(const struct verdict *v, enum verdict_place place)
{
    unsigned code = rules[v->rule].code;
    if (code != 0 && (v->action == VERDICT_REFUSE || code < 500)) {
        return code;
    }
    return v->action == VERDICT_REFUSE ? place_code[place].refuse : place_code[place].defer;
}

static void add_code(const struct verdict *v, enum verdict_place place, struct text *out)
{
    unsigned code = code_of(v, place);
    text_addf(out, "%u %u.%s ", code, code / 100, enhanced_of(v, code));
}

/* RFC 5321 4.2: the text of a reply is printable ASCII, whatever somebody typed in as a reason. */
static void add_printable(const char *s, struct text *out)
{
    for (; *s; s++) {
        text_addf(out, "%c", *s >= ' ' && *s <= '~' ? *s : '?');
    }
}

/* Ahead of the detail, which may be cut: it is what the person at the mail program can do. */
static void add_advice(const struct conf_submission *submission, struct text *out)
{
    bool named = submission->host[0];
    unsigned port = named ? submission->port : SUBMISSION_PORT;
    text_addf(out, "; use %s", named ? submission->host : "your mail provider's server");
    if (port != SUBMISSION_TLS_PORT) {
        text_addf(out, " port %u with STARTTLS or", port);
    }
    text_addf(out, " port %u with TLS", SUBMISSION_TLS_PORT);
}

void verdict_reply(
    const struct verdict *v, enum verdict_place place, const struct verdict_context *context,
    struct text *out)
{
    /* The end of the line is what the subscriber needs most: it is kept, the middle is cut. */
    char end_array[VERDICT_REPLY / 2 + 64];
    struct text end;
    text_init(&end, end_array, sizeof end_array);
    if (v->retry_after_s > 0) {
        text_addf(
            &end, "; retry in %" PRIu32 " second%s", v->retry_after_s,
            v->retry_after_s == 1 ? "" : "s");
    }
    if (context->help_url[0]) {
        text_addf(&end, "; see %s", context->help_url);
    }
    text_addf(&end, " (case %s)\r\n", context->case_id);

    char start_array[VERDICT_REPLY];
    struct text start;
    text_init(&start, start_array, VERDICT_REPLY - end.len);
    add_code(v, place, &start);
    text_addf(&start, "%s ", context->subscriber);
    if (v->rule == RULE_LIMIT) {
        add_limit_words(v, context->class, &start);
    } else {
        text_addf(&start, "%s", rules[v->rule].words);
    }
    if (v->rule == RULE_CLASS && context->class) {
        text_addf(&start, " (%s)", context->class->name);
    }
    if (v->advise) {
        add_advice(context->submission, &start);
    }
    if (context->detail) {
        text_addf(&start, v->advise ? " - " : ": ");
        add_printable(context->detail, &start);
    }
    text_add(out, text_span(&start));
    text_add(out, text_span(&end));
}
