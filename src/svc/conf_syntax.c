#include "svc/conf_syntax.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "svc/conf_options.h"

#define FILE_MOST    (1u << 20)
#define SECTIONS     32 /* room in the tables for libConfuse */
#define SECTION_KEYS 48
#define MESSAGE      1024

/* A section of this name is in each class, where nobody asks for it: libConfuse gives it the line
 * where the class begins, and tells of the class itself that of its end only. */
#define START_MARK "\x01"
/* The key that is added behind the file. libConfuse takes the file's end for that of an open
 * section or comment too; then this key is not where it should be, and half a file is not taken for
 * whole. */
#define END_MARK "\x02"

/* Faults that libConfuse finds, by the start of its format, and what would be right. */
static const struct {
    const char *format, *allowed;
} faults[] = {
    {"premature end", "every brace and quotation mark closed again"},
    {"unterminated string", "every quotation mark closed again"},
    {"unexpected closing brace", "one closing brace for each opening one"},
    {"attempt to append", "\"=\" for a key that is no list"},
    {"missing equal sign", "KEY = VALUE or KEY = { VALUE, ... }"},
    {"missing opening brace", "SECTION { ... } or class NAME { ... }"},
    {"missing title", "class NAME { ... }"},
    {"found duplicate title", "one class of each name"},
    {"unexpected token", "KEY = VALUE, KEY = { VALUE, ... } or SECTION { ... }"},
    {"invalid octal", "escapes as in C"},
    {"bad escape", "escapes as in C"},
};

static void add_names(const cfg_t *cfg, bool sections, struct text *out)
{
    const char *between = "";

    for (const cfg_opt_t *opt = cfg->opts; opt->name; opt++) {
        if ((opt->type == CFGT_SEC) == sections) {
            text_addf(out, "%s%s", between, opt->name);
            between = ", ";
        }
    }
}

static void explain_unknown(const cfg_t *cfg, const char *name, struct text *out)
{
    bool root = strcmp(cfg->name, "root") == 0;

    if (strcmp(name, END_MARK) == 0) {
        text_addf(out, "premature end of file in %s; allowed: every brace closed again", cfg->name);
        return;
    }
    if (root) {
        text_addf(out, "section \"%s\" is unknown; allowed: ", name);
    } else {
        text_addf(
            out, "key \"%s\" is unknown in %s%s%s; allowed: ", name, cfg->name,
            cfg->title ? " " : "", cfg->title ? cfg->title : "");
    }
    add_names(cfg, root, out);
}

static void __attribute__((format(printf, 2, 0)))
explain(const cfg_t *cfg, const char *format, va_list arguments, struct text *out)
{
    char found[MESSAGE / 2];

    if (strncmp(format, "no such option", 14) == 0) {
        explain_unknown(cfg, va_arg(arguments, const char *), out);
        return;
    }
    if (vsnprintf(found, sizeof(found), format, arguments) < 0) {
        found[0] = '\0';
    }
    text_addf(out, "%s", found);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        if (strncmp(format, faults[i].format, strlen(faults[i].format)) == 0) {
            text_addf(out, "; allowed: %s", faults[i].allowed);
        }
    }
}

/* libConfuse gives its callbacks nothing but its own structures: the first message waits in the
 * section's comment, a string that cfg_free() frees and nobody else uses. */
static void __attribute__((format(printf, 2, 0)))
on_fault(cfg_t *cfg, const char *format, va_list arguments)
{
    char array[MESSAGE];
    struct text message;

    if (cfg->comment) {
        return;
    }
    text_init(&message, array, sizeof(array));
    text_addf(&message, "%d: ", cfg->line);
    explain(cfg, format, arguments, &message);
    for (size_t i = 0; i < message.len; i++) {
        if ((unsigned char)array[i] < ' ' || array[i] == 0x7f) {
            array[i] = '?';
        }
    }
    cfg->comment = strdup(array);
}

/* Keeps a value with its line. A key's comment, otherwise unused too, says that it was given. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
    size_t size = strlen(text) + 1;
    struct conf_value *value;

    if (opt->comment && opt->nvalues == 1) {
        cfg_error(cfg, "key \"%s\" is there twice; allowed: each key once", opt->name);
        return -1;
    }
    if (!opt->comment && !(opt->comment = strdup("given"))) {
        return -1;
    }
    value = malloc(sizeof(*value) + size);
    if (!value) {
        return -1;
    }
    value->line = cfg->line;
    memcpy(value->text, text, size);
    *(void **)result = value;
    return 0;
}

static const char *find_fault(const cfg_t *cfg)
{
    const char *fault = cfg->comment;

    for (const cfg_opt_t *opt = cfg->opts; !fault && opt->name; opt++) {
        for (unsigned i = 0; !fault && opt->type == CFGT_SEC && i < opt->nvalues; i++) {
            fault = find_fault(opt->values[i]->section);
        }
    }
    return fault;
}

/* libConfuse's tables out of ours. */
static cfg_t *make_parser(void)
{
    static cfg_opt_t none[] = {CFG_END()};
    cfg_opt_t root[SECTIONS] = {0};
    cfg_opt_t keys[SECTIONS][SECTION_KEYS] = {0};
    const char *section = "";
    size_t s = 0, k = 0;
    cfg_t *cfg;

    for (const struct option *o = conf_options; o->name; o++) {
        bool class = strcmp(o->section, OPTION_CLASS) == 0;
        cfg_flag_t flags = class ? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES : CFGF_NONE;

        if (strcmp(o->section, section) != 0) {
            section = o->section;
            k = 0;
            root[s] = (cfg_opt_t)CFG_SEC(section, keys[s], flags);
            if (class) {
                keys[s][k++] = (cfg_opt_t)CFG_SEC(START_MARK, none, CFGF_NONE);
            }
            s++;
        }
        assert(s < SECTIONS && k < SECTION_KEYS - 1);
        keys[s - 1][k++] = (cfg_opt_t)CFG_PTR_CB(
            o->name, NULL, option_is_list(o) ? CFGF_LIST : CFGF_NONE, on_value, free);
    }
    root[s] = (cfg_opt_t)CFG_PTR_CB(END_MARK, NULL, CFGF_NONE, on_value, free);
    cfg = cfg_init(root, CFGF_NONE);
    if (cfg) {
        cfg_set_error_function(cfg, on_fault);
    }
    return cfg;
}

/* Reads it whole: libConfuse's lexer ends the process when a read fails. */
static int read_descriptor(int fd, struct buf *out)
{
    struct stat status;
    char *room;
    ssize_t n;

    if (fd < 0 || fstat(fd, &status) != 0) {
        return -1;
    }
    if (!S_ISREG(status.st_mode)) {
        errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
        return -1;
    }
    do {
        room = buf_reserve(out, 4096);
        if (!room) {
            return -1;
        }
        n = read(fd, room, 4096);
        buf_grow(out, n > 0 ? (size_t)n : 0);
        if (buf_len(out) > FILE_MOST) {
            errno = EFBIG;
            return -1;
        }
    } while (n > 0);
    return n == 0 ? 0 : -1;
}

static int read_file(const char *file, struct buf *out, struct text *error)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int result = read_descriptor(fd, out);
    int fault = errno;

    if (fd >= 0) {
        close(fd);
    }
    if (result != 0) {
        text_addf(
            error,
            "%s:1: cannot be read: %s; allowed: a regular file of up to 1 MB that this user may "
            "read",
            file, strerror(fault));
        return -1;
    }
    if (buf_len(out) > 0 && memchr(buf_span(out).at, '\0', buf_len(out))) {
        text_addf(error, "%s:1: holds a zero byte; allowed: text", file);
        return -1;
    }
    return 0;
}

/* How many bytes at `s`, which is outside of comments, belong together: a quoted string, a comment
 * (`*comment`), or one byte. 0: a comment without an end. */
static size_t piece(struct span s, bool behind_word, bool *comment)
{
    bool two = s.len >= 2 && s.at[0] == '/';
    const char *end;

    *comment = true;
    if (two && s.at[1] == '*') {
        end = memmem(s.at + 2, s.len - 2, "*/", 2);
        return end ? (size_t)(end - s.at) + 2 : 0;
    }
    if (s.at[0] == '#' || (two && s.at[1] == '/' && !behind_word)) {
        end = memchr(s.at, '\n', s.len);
        return end ? (size_t)(end - s.at) : s.len;
    }
    *comment = false;
    if (s.at[0] != '"' && s.at[0] != '\'') {
        return 1;
    }
    for (size_t i = 1; i < s.len; i++) {
        if (s.at[i] == s.at[0]) {
            return i + 1;
        }
        i += s.at[i] == '\\';
    }
    return s.len;
}

/* Makes blanks of comments, since libConfuse 3.3 miscounts the lines that they stand on.
 * Returns the line of a comment that has no end, else 0. */
static int blank_comments(char *at, size_t len)
{
    bool behind_word = false, comment;
    int line = 1;
    size_t n;

    for (size_t i = 0; i < len; i += n) {
        n = piece((struct span){at + i, len - i}, behind_word, &comment);
        if (n == 0) {
            return line;
        }
        for (size_t k = i; k < i + n; k++) {
            line += at[k] == '\n';
            at[k] = comment && at[k] != '\n' ? ' ' : at[k];
        }
        behind_word = !comment && n == 1 && !strchr(" \t\r\n={}(),+", at[i]);
    }
    return 0;
}

/* -1: the fault is in the parser's tree. */
static int parse(cfg_t *cfg, struct buf *content)
{
    struct span text = buf_span(content);
    bool ended = text.len == 0 || text.at[text.len - 1] == '\n';
    FILE *stream;
    int result;

    if (buf_append(
            content, ended ? SPAN_LITERAL(END_MARK "=1") : SPAN_LITERAL("\n" END_MARK "=1"))) {
        return -1;
    }
    text = buf_span(content);
    stream = fmemopen(content->at + content->start, text.len, "r");
    if (!stream) {
        return -1;
    }
    result = cfg_parse_fp(cfg, stream);
    fclose(stream);
    return result == CFG_SUCCESS ? 0 : -1;
}

static cfg_t *parse_content(const char *file, struct buf *content, struct text *error)
{
    int open_comment = blank_comments(content->at + content->start, buf_len(content));
    cfg_t *cfg;
    const char *fault;

    if (open_comment > 0) {
        text_addf(error, "%s:%d: a comment has no end; allowed: /* ... */", file, open_comment);
        return NULL;
    }
    cfg = make_parser();
    if (cfg && parse(cfg, content) == 0) {
        return cfg;
    }
    fault = cfg ? find_fault(cfg) : NULL;
    text_addf(error, "%s:%s", file, fault ? fault : "1: out of memory");
    cfg_free(cfg);
    return NULL;
}

cfg_t *conf_syntax_read(const char *file, struct text *error)
{
    struct buf content = BUF_INIT;
    cfg_t *cfg = NULL;

    if (read_file(file, &content, error) == 0) {
        cfg = parse_content(file, &content, error);
    }
    buf_clear(&content);
    return cfg;
}

int conf_syntax_line(const cfg_t *section)
{
    for (const cfg_opt_t *opt = section->opts; opt->name; opt++) {
        if (strcmp(opt->name, START_MARK) == 0) {
            return opt->values[0]->section->line;
        }
    }
    return section->line;
}
