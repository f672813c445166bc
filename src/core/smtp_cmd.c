#include "core/smtp_cmd.h"

static const struct {
    const char *name;
    enum smtp_verb verb;
} verbs[] = {
    {"HELO", VERB_HELO},
    {"EHLO", VERB_EHLO},
    {"MAIL", VERB_MAIL},
    {"RCPT", VERB_RCPT},
    {"DATA", VERB_DATA},
    {"BDAT", VERB_BDAT},
    {"RSET", VERB_RSET},
    {"NOOP", VERB_NOOP},
    {"VRFY", VERB_VRFY},
    {"EXPN", VERB_EXPN},
    {"HELP", VERB_HELP},
    {"AUTH", VERB_AUTH},
    {"STARTTLS", VERB_STARTTLS},
    {"QUIT", VERB_QUIT},
    /* RFC 821's other ways to begin a mail transaction, which some servers still know. */
    {"SEND", VERB_MAIL},
    {"SOML", VERB_MAIL},
    {"SAML", VERB_MAIL},
    {"BURL", VERB_BURL},
};

/* Postfix and others split at any isspace(); a server built on C strings stops at NUL. */
static bool is_separator(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0';
}

static struct span skip_separators(struct span s)
{
    while (s.len > 0 && is_separator(s.at[0])) {
        s = span_skip(s, 1);
    }
    return s;
}

/* What stands in front of a verb: blanks for one server, for another whatever isspace() says in its
 * locale, or a byte order mark. */
static struct span skip_to_verb(struct span s)
{
    while (s.len > 0 && (is_separator(s.at[0]) || (unsigned char)s.at[0] > '~')) {
        s = span_skip(s, 1);
    }
    return s;
}

static struct span take_word(struct span *rest)
{
    struct span word = skip_separators(*rest);
    size_t len = 0;
    while (len < word.len && !is_separator(word.at[len])) {
        len++;
    }
    *rest = skip_separators(span_skip(word, len));
    return (struct span){word.at, len};
}

/* "MAIL:", "RCPT<": some servers look at a verb's letters alone. */
static struct span letters_of(struct span word)
{
    size_t len = 0;
    while (len < word.len && ((word.at[len] | 32) >= 'a' && (word.at[len] | 32) <= 'z')) {
        len++;
    }
    return (struct span){word.at, len};
}

/* Some servers compare four letters only: what may begin a transaction, or name a recipient, is
 * counted by these. */
static bool is_verb(struct span word, struct span name, enum smtp_verb verb)
{
    if (verb == VERB_MAIL || verb == VERB_RCPT) {
        return span_starts_nocase(word, name);
    }
    return span_equal_nocase(word, name);
}

/* `word` is of letters alone. */
static enum smtp_verb verb_of(struct span word)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs && word.len > 0; i++) {
        bool same_letter = (word.at[0] | 32) == (verbs[i].name[0] | 32);
        if (same_letter && is_verb(word, span_of(verbs[i].name), verbs[i].verb)) {
            return verbs[i].verb;
        }
    }
    return VERB_UNKNOWN;
}

/* The length of what `s` holds in front of `stop`, a quoted string's contents not counting. */
static size_t length_before(struct span s, char stop)
{
    bool quoted = false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] == '\\') {
            i++;
        } else if (s.at[i] == '"') {
            quoted = !quoted;
        } else if (s.at[i] == stop && !quoted) {
            return i;
        }
    }
    return s.len;
}

/* "@a.example,@b.example:user@c.example" names the way; only its end is the mailbox. */
static struct span without_route(struct span path)
{
    if (path.len == 0 || path.at[0] != '@') {
        return path;
    }
    size_t colon = length_before(path, ':');
    return colon < path.len ? span_skip(path, colon + 1) : path;
}

/* Servers pass over comments and blanks around the brackets, and inside them. */
static struct span path_of(struct span argument)
{
    struct span rest = span_skip(argument, length_before(argument, ':') + 1);
    size_t bracket = length_before(rest, '<');
    if (bracket < rest.len) {
        rest = span_skip(rest, bracket + 1);
        rest.len = length_before(rest, '>');
        return span_trim(without_route(span_trim(rest)));
    }
    return without_route(take_word(&rest));
}

/* draft-hall-prdr: the parameter is a word of its own, behind the path. */
static bool has_prdr(struct span argument)
{
    static const struct span name = SPAN_LITERAL("PRDR");
    while (argument.len > 0) {
        if (span_equal_nocase(take_word(&argument), name)) {
            return true;
        }
    }
    return false;
}

/* RFC 3030's own spelling and no other: to a server that does not know a BDAT for one (Exim, with a
 * tab behind the verb), its octets are commands. */
static void parse_chunk(struct span line, struct smtp_cmd *cmd)
{
    static const struct span verb = SPAN_LITERAL("BDAT ");
    static const struct span mark = SPAN_LITERAL(" LAST");
    struct span size = span_skip(line, verb.len);
    cmd->last =
        size.len > mark.len && span_equal_nocase(span_skip(size, size.len - mark.len), mark);
    size.len -= cmd->last ? mark.len : 0;
    cmd->chunk_valid =
        span_starts_nocase(line, verb) && span_number(size, SMTP_CMD_CHUNK_MAX, &cmd->chunk);
}

static bool ends_in_last(struct span argument)
{
    static const struct span mark = SPAN_LITERAL("LAST");
    while (argument.len > 0 && is_separator(argument.at[argument.len - 1])) {
        argument.len--;
    }
    return argument.len > mark.len && is_separator(argument.at[argument.len - mark.len - 1]) &&
           span_equal_nocase(span_skip(argument, argument.len - mark.len), mark);
}

/* "XEXCH50 SIZE VERSION" ([MS-XEXCH50] 2.2.1). Its name does not end with its letters. */
static void parse_blob(struct span line, struct smtp_cmd *cmd)
{
    static const struct span verb = SPAN_LITERAL("XEXCH50");
    struct span rest = skip_to_verb(line);
    if (!span_starts_nocase(rest, verb)) {
        return;
    }
    rest = span_skip(rest, verb.len);
    struct span size = take_word(&rest);
    cmd->verb = VERB_XEXCH50;
    cmd->chunk_valid = span_number(size, SMTP_CMD_CHUNK_MAX, &cmd->chunk);
}

void smtp_cmd_parse(struct span line, struct smtp_cmd *out)
{
    struct span rest = skip_to_verb(line);
    struct span word = letters_of(rest);
    rest = skip_separators(span_skip(rest, word.len));
    *out = (struct smtp_cmd){.verb = verb_of(word), .argument = span_trim(rest)};
    if (out->verb == VERB_MAIL || out->verb == VERB_RCPT) {
        out->path = path_of(out->argument);
        out->prdr = out->verb == VERB_MAIL && has_prdr(out->argument);
    } else if (out->verb == VERB_BDAT) {
        parse_chunk(line, out);
    } else if (out->verb == VERB_BURL) {
        out->last = ends_in_last(out->argument);
    } else if (out->verb == VERB_UNKNOWN) {
        parse_blob(line, out);
    }
}
