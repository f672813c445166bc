#include "ctl/ctl_bypass.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/control.h"
#include "ctl/ctl_text.h"

#define BYPASS_MS 5000

json_t *ctl_bypass_ask(const struct ctl *c, const char *verb)
{
    char why[512], *line;
    struct text error;
    json_t *answer;

    if (c->conf->bypass.control_socket == NULL) {
        return NULL;
    }
    text_init(&error, why, sizeof(why));
    if (control_ask(c->conf->bypass.control_socket, verb, BYPASS_MS, &line, &error) != 0) {
        return json_pack("{s:o}", "error", ctl_text_json(span_of(why)));
    }
    answer = json_loads(line, 0, NULL);
    free(line);
    if (!json_is_object(answer)) {
        json_decref(answer);
        return json_pack("{s:s}", "error", "its answer makes no sense");
    }
    return answer;
}

json_t *ctl_bypass_show(const struct ctl *c, const struct prefix *who)
{
    char text[PREFIX_TEXT], verb[PREFIX_TEXT + 8];

    if (who->addr.family == ADDR_NONE) { /* an account */
        return NULL;
    }
    prefix_format(who, text);
    snprintf(verb, sizeof(verb), "show %s", text);
    return ctl_bypass_ask(c, verb);
}

static long long number(const json_t *shown, const char *name)
{
    return (long long)json_integer_value(json_object_get(shown, name));
}

void ctl_bypass_print(const json_t *shown)
{
    const char *error = json_string_value(json_object_get(shown, "error"));

    if (shown == NULL) {
        return;
    }
    if (error != NULL) {
        ctl_print_rowf("bypass", "gate25-bypassd does not answer: %s", error);
        return;
    }
    ctl_print_rowf(
        "bypass",
        "%s; since gate25-bypassd's start %lld connections, %lld bytes to servers, %lld from them",
        json_is_true(json_object_get(shown, "let_by")) ? "let by in the kernel" : "not let by",
        number(shown, "connections"), number(shown, "bytes_up"), number(shown, "bytes_down"));
}

void ctl_bypass_add_health(const struct ctl *c, json_t *health)
{
    json_t *status = ctl_bypass_ask(c, "status");
    const char *before = json_string_value(json_object_get(health, "reasons"));
    const char *said = json_string_value(json_object_get(health, "health"));
    const char *error = json_string_value(json_object_get(status, "error"));
    const char *reasons = json_string_value(json_object_get(status, "reasons"));
    char text[2048];
    struct text t;

    if (status != NULL && said != NULL && !json_is_true(json_object_get(status, "well"))) {
        bool first = before == NULL || before[0] == '\0';

        text_init(&t, text, sizeof(text));
        text_addf(
            &t, "%s%sbypass: %s%s", first ? "" : before, first ? "" : "; ",
            error != NULL ? "gate25-bypassd does not answer: " : "",
            error != NULL     ? error
            : reasons != NULL ? reasons
                              : "its answer makes no sense");
        json_object_set_new(health, "reasons", ctl_text_json(text_span(&t)));
        if (strcmp(said, "good") == 0) {
            json_object_set_new(health, "health", json_string("impaired"));
        }
    }
    json_decref(status);
}
