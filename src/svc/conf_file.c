#include "svc/conf_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/submission.h"
#include "svc/conf_options.h"
#include "svc/conf_syntax.h"

#define MESSAGE 1024

struct reader {
    const char *file;
    cfg_t *cfg;
    struct conf *conf;
    struct text *error;
};

static bool __attribute__((format(printf, 3, 4)))
fail(const struct reader *r, int line, const char *format, ...)
{
    char array[MESSAGE];
    va_list arguments;

    va_start(arguments, format);
    if (vsnprintf(array, sizeof(array), format, arguments) < 0) {
        array[0] = '\0';
    }
    va_end(arguments);
    text_addf(r->error, "%s:%d: %s", r->file, line > 0 ? line : 1, array);
    return false;
}

static bool set_values(
    const struct reader *r, const struct option *o, const cfg_t *section, const cfg_opt_t *opt,
    void *target)
{
    char array[MESSAGE];
    struct text error;

    text_init(&error, array, sizeof(array));
    if (opt->nvalues == 0) {
        return option_set_default(o, target, &error) ||
               fail(r, conf_syntax_line(section), "%s", array);
    }
    for (unsigned i = 0; i < opt->nvalues; i++) {
        const struct conf_value *value = opt->values[i]->ptr;

        if (option_set(o, value->text, target, &error)) {
            continue;
        }
        return section->title
                   ? fail(r, value->line, "class %s: %s: %s", section->title, o->name, array)
                   : fail(r, value->line, "%s.%s: %s", section->name, o->name, array);
    }
    return true;
}

static bool set_section(const struct reader *r, cfg_t *section, void *target)
{
    for (const struct option *o = conf_options; o->name; o++) {
        if (strcmp(o->section, section->name) == 0 &&
            !set_values(r, o, section, cfg_getopt(section, o->name), target)) {
            return false;
        }
    }
    return true;
}

static bool check_class(const struct reader *r, cfg_t *section, const struct conf_class *class)
{
    const cfg_opt_t *action = cfg_getopt(section, "action");

    if (action->nvalues == 0) {
        return fail(
            r, conf_syntax_line(section),
            "class %s: has no action; allowed: action = \"pass\", \"meter\", \"submit\" or "
            "\"refuse\"",
            class->name);
    }
    if (class->action != ACTION_METER) {
        return true;
    }
    for (unsigned kind = 0; kind < LIMIT_KINDS; kind++) {
        if (class->limit[kind].windows > 0) {
            return true;
        }
    }
    return fail(
        r, ((const struct conf_value *)action->values[0]->ptr)->line,
        "class %s: action \"meter\" without any limit; allowed: one or more of sessions, messages, "
        "recipients, bytes, spread, concurrent",
        class->name);
}

static bool set_class(const struct reader *r, cfg_t *section, struct conf_class *class)
{
    size_t len = strlen(section->title);

    if (len == 0 || len >= sizeof(class->name) ||
        strspn(section->title, "abcdefghijklmnopqrstuvwxyz0123456789-_") != len) {
        return fail(
            r, conf_syntax_line(section),
            "class: this name is not allowed; allowed: 1 to %d of a-z, 0-9, \"-\", \"_\"",
            CONF_NAME - 1);
    }
    memcpy(class->name, section->title, len + 1);
    return set_section(r, section, class) && check_class(r, section, class);
}

static bool set_classes(const struct reader *r)
{
    cfg_opt_t *opt = cfg_getopt(r->cfg, OPTION_CLASS);
    const struct conf_class *ordinary;

    r->conf->classes = calloc(opt->nvalues + 1, sizeof(*r->conf->classes));
    if (!r->conf->classes) {
        return fail(r, 1, "out of memory");
    }
    for (unsigned i = 0; i < opt->nvalues; i++) {
        if (!set_class(r, opt->values[i]->section, &r->conf->classes[i])) {
            return false;
        }
        r->conf->class_count++;
    }
    ordinary = conf_class_named(r->conf, SPAN_LITERAL(CONF_DEFAULT_CLASS));
    if (!ordinary) {
        return fail(
            r, 1,
            "class " CONF_DEFAULT_CLASS " is missing, which is that of every subscriber of "
            "whom nothing else is known; allowed: class " CONF_DEFAULT_CLASS " { ... }");
    }
    r->conf->default_class = (size_t)(ordinary - r->conf->classes);
    return true;
}

/* A session keeps its family on its way: the subscriber's own address is of one. */
static bool check_submission(const struct reader *r)
{
    const struct conf_submission *s = &r->conf->submission;
    char server[PREFIX_TEXT];

    for (size_t i = 0; i < s->own_count; i++) {
        if (!submission_service(s, s->own[i].addr.family)) {
            prefix_format(&s->own[i], server);
            return fail(
                r, conf_syntax_line(cfg_getsec(r->cfg, "submission")),
                "submission.for: %s has no submission service of its family; allowed: with `for`, "
                "address = { ... } with an address of the service for each family in it",
                server);
        }
    }
    return true;
}

static bool set_all(const struct reader *r)
{
    for (cfg_opt_t *opt = r->cfg->opts; opt->name; opt++) {
        if (opt->type == CFGT_SEC && strcmp(opt->name, OPTION_CLASS) != 0 &&
            !set_section(r, opt->values[0]->section, r->conf)) {
            return false;
        }
    }
    if (r->conf->prefix_count == 0) {
        return fail(
            r, conf_syntax_line(cfg_getsec(r->cfg, "subscribers")),
            "subscribers.prefixes: is missing; allowed: prefixes = { \"192.0.2.0/24\", ... }, the "
            "subscribers' address space");
    }
    if (!r->conf->node[0] && gethostname(r->conf->node, sizeof(r->conf->node) - 1) != 0) {
        memcpy(r->conf->node, "localhost", sizeof("localhost"));
    }
    return check_submission(r) && set_classes(r);
}

struct conf *conf_file_read(const char *file, struct text *error)
{
    struct reader r = {.file = file, .error = error, .cfg = conf_syntax_read(file, error)};
    bool good;

    if (!r.cfg) {
        return NULL;
    }
    r.conf = calloc(1, sizeof(*r.conf));
    if (r.conf) {
        r.conf->references = 1;
    }
    good = r.conf ? set_all(&r) : fail(&r, 1, "out of memory");
    cfg_free(r.cfg);
    if (good) {
        return r.conf;
    }
    conf_release(r.conf);
    return NULL;
}

struct conf *conf_hold(struct conf *c)
{
    c->references++;
    return c;
}

void conf_release(struct conf *c)
{
    if (!c || --c->references > 0) {
        return;
    }
    free(c->prefixes);
    free(c->submission.own);
    free(c->submission.service);
    free(c->listen);
    free(c->classes);
    free(c->journal_file);
    free(c->registry_copy);
    free(c->control_socket);
    explicit_bzero(c, sizeof(*c));
    free(c);
}

static bool same_intercept(const struct conf *a, const struct conf *b)
{
    if (a->mode != b->mode || a->workers != b->workers || a->max_sessions != b->max_sessions ||
        a->listen_count != b->listen_count) {
        return false;
    }
    for (size_t i = 0; i < a->listen_count; i++) {
        if (!endpoint_equal(&a->listen[i], &b->listen[i])) {
            return false;
        }
    }
    return true;
}

static bool same_redis(const struct conf_redis *a, const struct conf_redis *b)
{
    return strcmp(a->path, b->path) == 0 && strcmp(a->host, b->host) == 0 && a->port == b->port &&
           strcmp(a->user, b->user) == 0 && strcmp(a->password, b->password) == 0 &&
           a->database == b->database;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

void conf_needs_restart(const struct conf *old, const struct conf *new, struct text *out)
{
    const struct {
        const char *name;
        bool same;
    } parts[] = {
        {"intercept", same_intercept(old, new)},
        {"redis", same_redis(&old->redis, &new->redis)},
        {"control", same_text(old->control_socket, new->control_socket)},
    };
    const char *between = "";

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (!parts[i].same) {
            text_addf(out, "%s%s", between, parts[i].name);
            between = ", ";
        }
    }
}
