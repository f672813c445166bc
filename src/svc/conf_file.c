#include "svc/conf_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_file_internal.h"
#include "svc/conf_options.h"

bool __attribute__((format(printf, 3, 4)))
conf_fail(const struct conf_reader *r, int line, const char *format, ...)
{
    char array[CONF_MESSAGE];
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
    const struct conf_reader *r, const struct option *o, const cfg_t *section, const cfg_opt_t *opt,
    void *target)
{
    char array[CONF_MESSAGE];
    struct text error;

    text_init(&error, array, sizeof(array));
    if (opt->nvalues == 0) {
        return option_set_default(o, target, &error) ||
               conf_fail(r, conf_syntax_line(section), "%s", array);
    }
    for (unsigned i = 0; i < opt->nvalues; i++) {
        const struct conf_value *value = opt->values[i]->ptr;

        if (option_set(o, value->text, target, &error)) {
            continue;
        }
        return section->title
                   ? conf_fail(r, value->line, "class %s: %s: %s", section->title, o->name, array)
                   : conf_fail(r, value->line, "%s.%s: %s", section->name, o->name, array);
    }
    return true;
}

static bool set_section(const struct conf_reader *r, cfg_t *section, void *target)
{
    for (const struct option *o = conf_options; o->name; o++) {
        if (strcmp(o->section, section->name) == 0 &&
            !set_values(r, o, section, cfg_getopt(section, o->name), target)) {
            return false;
        }
    }
    return true;
}

static bool check_class(const struct conf_reader *r, cfg_t *section, const struct conf_class *class)
{
    const cfg_opt_t *action = cfg_getopt(section, "action");

    if (action->nvalues == 0) {
        return conf_fail(
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
    return conf_fail(
        r, ((const struct conf_value *)action->values[0]->ptr)->line,
        "class %s: action \"meter\" without any limit; allowed: one or more of sessions, messages, "
        "recipients, bytes, spread, concurrent",
        class->name);
}

static bool set_class(const struct conf_reader *r, cfg_t *section, struct conf_class *class)
{
    size_t len = strlen(section->title);

    if (len == 0 || len >= sizeof(class->name) ||
        strspn(section->title, "abcdefghijklmnopqrstuvwxyz0123456789-_") != len) {
        return conf_fail(
            r, conf_syntax_line(section),
            "class: this name is not allowed; allowed: 1 to %d of a-z, 0-9, \"-\", \"_\"",
            CONF_NAME - 1);
    }
    memcpy(class->name, section->title, len + 1);
    return set_section(r, section, class) && check_class(r, section, class);
}

static bool set_classes(const struct conf_reader *r)
{
    cfg_opt_t *opt = cfg_getopt(r->cfg, OPTION_CLASS);
    const struct conf_class *ordinary;

    r->conf->classes = calloc(opt->nvalues + 1, sizeof(*r->conf->classes));
    if (!r->conf->classes) {
        return conf_fail(r, 1, "out of memory");
    }
    for (unsigned i = 0; i < opt->nvalues; i++) {
        if (!set_class(r, opt->values[i]->section, &r->conf->classes[i])) {
            return false;
        }
        r->conf->class_count++;
    }
    ordinary = conf_class_named(r->conf, SPAN_LITERAL(CONF_DEFAULT_CLASS));
    if (!ordinary) {
        return conf_fail(
            r, 1,
            "class " CONF_DEFAULT_CLASS " is missing, which is that of every subscriber of "
            "whom nothing else is known; allowed: class " CONF_DEFAULT_CLASS " { ... }");
    }
    r->conf->default_class = (size_t)(ordinary - r->conf->classes);
    return true;
}

static bool set_all(const struct conf_reader *r)
{
    for (cfg_opt_t *opt = r->cfg->opts; opt->name; opt++) {
        if (opt->type == CFGT_SEC && strcmp(opt->name, OPTION_CLASS) != 0 &&
            !set_section(r, opt->values[0]->section, r->conf)) {
            return false;
        }
    }
    if (r->conf->prefix_count == 0) {
        return conf_fail(
            r, conf_syntax_line(cfg_getsec(r->cfg, "subscribers")),
            "subscribers.prefixes: is missing; allowed: prefixes = { \"192.0.2.0/24\", ... }, the "
            "subscribers' address space");
    }
    if (!r->conf->node[0] && gethostname(r->conf->node, sizeof(r->conf->node) - 1) != 0) {
        memcpy(r->conf->node, "localhost", sizeof("localhost"));
    }
    return conf_check_options(r) && set_classes(r) && conf_check_registration(r);
}

struct conf *conf_file_read(const char *file, struct text *error)
{
    struct conf_reader r = {.file = file, .error = error, .cfg = conf_syntax_read(file, error)};
    bool good;

    if (!r.cfg) {
        return NULL;
    }
    r.conf = calloc(1, sizeof(*r.conf));
    if (r.conf) {
        r.conf->references = 1;
    }
    good = r.conf ? set_all(&r) : conf_fail(&r, 1, "out of memory");
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
    free(c->leased.at);
    free(c->submission.own);
    free(c->submission.service);
    free(c->listen);
    free(c->classes);
    free(c->journal_file);
    free(c->registry_copy);
    free(c->control_socket);
    free(c->metrics.at);
    free(c->bypass.control_socket);
    free(c->bypass.listen.at);
    free(c->web.listen.at);
    free(c->web.garden.at);
    free(c->web.trusted.at);
    free(c->desk.from.at);
    free(c->web.certificate);
    free(c->web.key);
    free(c->web.pages);
    explicit_bzero(c, sizeof(*c));
    free(c);
}
