#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/control.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_verbs.h"

#define GATE_MS 5000
#define COLUMN  28

/* Asks the gate over its control socket. NULL: said why. */
static json_t *ask_gate(struct ctl *c, const char *verb)
{
    char why[512];
    struct text error;
    char *line;
    json_t *answer;

    text_init(&error, why, sizeof(why));
    if (c->conf->control_socket == NULL) {
        ctl_say("the configuration names no control socket (control { socket = ... })");
        return NULL;
    }
    if (control_ask(c->conf->control_socket, verb, GATE_MS, &line, &error) != 0) {
        ctl_say("no answer from the gate: %s", why);
        return NULL;
    }
    answer = json_loads(line, 0, NULL);
    free(line);
    if (!json_is_object(answer)) {
        ctl_say("the gate's answer makes no sense");
        json_decref(answer);
        return NULL;
    }
    return answer;
}

static void print_value(const char *name, json_t *value);

static void print_object(const char *before, json_t *object)
{
    const char *key;
    json_t *value;

    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        char name[256];

        key = json_object_iter_key(i);
        value = json_object_iter_value(i);
        snprintf(name, sizeof(name), "%s%s%s", before, before[0] == '\0' ? "" : ".", key);
        print_value(name, value);
    }
}

/* One line a value; what is inside others has their names in front. */
static void print_value(const char *name, json_t *value)
{
    char text[4096];
    struct text t;

    if (json_is_object(value)) {
        print_object(name, value);
        return;
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        char inner[300];

        snprintf(inner, sizeof(inner), "%s.%zu", name, i);
        print_value(inner, json_array_get(value, i));
    }
    if (json_is_array(value)) {
        return;
    }
    text_init(&t, text, sizeof(text));
    if (json_is_string(value)) {
        ctl_text_escape((struct span){json_string_value(value), json_string_length(value)}, &t);
    } else if (json_is_integer(value)) {
        text_addf(&t, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        text_addf(&t, "%g", json_real_value(value));
    } else {
        text_addf(&t, "%s", json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
    }
    printf("%-*s %s\n", COLUMN, name, text);
}

/* Prints an answer for programs, or what went wrong. */
static enum ctl_exit print_answer(struct ctl *c, json_t *answer, void (*print)(json_t *))
{
    const char *error = json_string_value(json_object_get(answer, "error"));
    enum ctl_exit result = error == NULL ? CTL_DONE : CTL_REFUSED;

    if (c->options->json) {
        return ctl_json_print(answer) == 0 ? result : CTL_REFUSED;
    }
    if (error != NULL) {
        ctl_say("%s", error);
    } else {
        print(answer);
    }
    json_decref(answer);
    return result;
}

static void print_status(json_t *answer)
{
    print_object("", answer);
}

enum ctl_exit ctl_status(struct ctl *c)
{
    json_t *answer = ask_gate(c, "status");

    return answer == NULL ? CTL_REFUSED : print_answer(c, answer, print_status);
}

static void print_reload(json_t *answer)
{
    const char *restart = json_string_value(json_object_get(answer, "restart"));

    puts("the configuration is read anew");
    if (restart != NULL && restart[0] != '\0') {
        printf("but these take a restart: %s\n", restart);
    }
}

enum ctl_exit ctl_reload(struct ctl *c)
{
    json_t *answer = ask_gate(c, "reload");

    return answer == NULL ? CTL_REFUSED : print_answer(c, answer, print_reload);
}

static void print_spf(json_t *answer)
{
    const char *result = json_string_value(json_object_get(answer, "result"));
    const char *words = json_string_value(json_object_get(answer, "explanation"));

    printf("%s", result != NULL ? result : "-");
    if (words != NULL && words[0] != '\0') {
        printf(": %s", words);
    }
    puts("");
}

/* One line, words between single blanks: none may have one itself. */
enum ctl_exit ctl_spf(struct ctl *c)
{
    char line[1024];
    struct text t;
    json_t *answer;

    text_init(&t, line, sizeof(line));
    text_addf(&t, "spf");
    for (size_t i = 0; i < 3; i++) {
        const char *word = c->options->arguments[i];

        if (strpbrk(word, " \r\n") != NULL) {
            ctl_say("\"%s\": no blanks are allowed", word);
            return CTL_USAGE;
        }
        text_addf(&t, " %s", word[0] != '\0' ? word : "<>");
    }
    if (t.cut) {
        ctl_say("this is too long");
        return CTL_USAGE;
    }
    answer = ask_gate(c, line);
    return answer == NULL ? CTL_REFUSED : print_answer(c, answer, print_spf);
}
