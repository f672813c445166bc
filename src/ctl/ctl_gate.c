#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/prefix.h"
#include "core/smtp_path.h"
#include "core/spf_wire.h"
#include "ctl/control.h"
#include "ctl/ctl_bypass.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_verbs.h"

#define GATE_MS    5000
#define UPGRADE_MS 90000
#define COLUMN     28

/* Asks the gate over its control socket. NULL: said why. */
static json_t *ask_gate_for(struct ctl *c, const char *verb, unsigned ms)
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
    if (control_ask(c->conf->control_socket, verb, ms, &line, &error) != 0) {
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

static json_t *ask_gate(struct ctl *c, const char *verb)
{
    return ask_gate_for(c, verb, GATE_MS);
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

/* Asks the gate, and prints what it says. */
static enum ctl_exit ask_and_print(struct ctl *c, const char *verb, void (*print)(json_t *))
{
    json_t *answer = ask_gate(c, verb);

    return answer == NULL ? CTL_REFUSED : print_answer(c, answer, print);
}

static void print_status(json_t *answer)
{
    print_object("", answer);
}

enum ctl_exit ctl_status(struct ctl *c)
{
    json_t *answer = ask_gate(c, "status");
    json_t *bypass = answer == NULL ? NULL : ctl_bypass_ask(c, "status");

    if (bypass != NULL) {
        json_object_set_new(answer, "bypass", bypass);
    }
    return answer == NULL ? CTL_REFUSED : print_answer(c, answer, print_status);
}

static void print_read_anew(const char *who, const json_t *answer)
{
    const char *restart = json_string_value(json_object_get(answer, "restart"));

    printf("%sthe configuration is read anew\n", who);
    if (restart != NULL && restart[0] != '\0') {
        printf("%sbut these take a restart: %s\n", who, restart);
    }
}

static void print_reload(json_t *answer)
{
    const json_t *bypass = json_object_get(answer, "bypass");

    print_read_anew("", answer);
    if (bypass != NULL && json_object_get(bypass, "error") == NULL) {
        print_read_anew("gate25-bypassd: ", bypass);
    }
}

/* The gate and gate25-bypassd read one file: an operator who has changed it means both. */
enum ctl_exit ctl_reload(struct ctl *c)
{
    json_t *answer = ask_gate(c, "reload"), *bypass;
    bool failed = false;

    if (answer == NULL) {
        return CTL_REFUSED;
    }
    bypass = json_object_get(answer, "error") == NULL ? ctl_bypass_ask(c, "reload") : NULL;
    if (bypass != NULL) {
        const char *error = json_string_value(json_object_get(bypass, "error"));

        failed = error != NULL;
        if (failed && !c->options->json) {
            ctl_say("gate25-bypassd has not read it: %s", error);
        }
        json_object_set_new(answer, "bypass", bypass);
    }
    return print_answer(c, answer, print_reload) == CTL_DONE && !failed ? CTL_DONE : CTL_REFUSED;
}

static void print_health(json_t *answer)
{
    const char *health = json_string_value(json_object_get(answer, "health"));
    const char *reasons = json_string_value(json_object_get(answer, "reasons"));
    bool why = reasons != NULL && reasons[0] != '\0';

    printf("%s%s%s\n", health != NULL ? health : "-", why ? ": " : "", why ? reasons : "");
}

enum ctl_exit ctl_health(struct ctl *c)
{
    json_t *answer = ask_gate(c, "health");
    const char *health = json_string_value(json_object_get(answer, "health"));
    bool fit = health != NULL && strcmp(health, "bad") != 0;

    if (answer != NULL) {
        ctl_bypass_add_health(c, answer);
    }

    if (answer == NULL || print_answer(c, answer, print_health) != CTL_DONE) {
        return CTL_REFUSED;
    }
    return fit ? CTL_DONE : CTL_REFUSED;
}

static void print_drain(json_t *answer)
{
    (void)answer;
    puts("the gate's health is bad now; it serves what still comes (sessions_open in status)");
}

enum ctl_exit ctl_drain(struct ctl *c)
{
    return ask_and_print(c, "drain", print_drain);
}

static void print_undrain(json_t *answer)
{
    (void)answer;
    puts("the gate wants traffic again");
}

enum ctl_exit ctl_undrain(struct ctl *c)
{
    return ask_and_print(c, "undrain", print_undrain);
}

static void print_upgrade(json_t *answer)
{
    printf(
        "pid %" JSON_INTEGER_FORMAT " has taken over; the older gate ends with its sessions\n",
        json_integer_value(json_object_get(answer, "pid")));
}

enum ctl_exit ctl_upgrade(struct ctl *c)
{
    json_t *answer = ask_gate_for(c, "upgrade", UPGRADE_MS);

    return answer == NULL ? CTL_REFUSED : print_answer(c, answer, print_upgrade);
}

static void print_spf_result(
    const json_t *answer, const char *of, const char *result, const char *words)
{
    const char *name = json_string_value(json_object_get(answer, result));
    const char *why = json_string_value(json_object_get(answer, words));
    bool told = why != NULL && why[0] != '\0';

    printf("%-9s  %s%s%s\n", of, name != NULL ? name : "-", told ? ": " : "", told ? why : "");
}

static void print_spf(json_t *answer)
{
    print_spf_result(answer, "MAIL FROM", "result", "explanation");
    print_spf_result(answer, "HELO", "helo", "helo_explanation");
}

/* As it stands in MAIL, with brackets or without. */
static struct span spf_path(const char *word)
{
    struct span path = span_of(word);

    if (path.len >= 2 && path.at[0] == '<' && path.at[path.len - 1] == '>') {
        path = (struct span){path.at + 1, path.len - 2};
    }
    return path;
}

static bool check_spf_length(const char *word, const char *what, size_t most)
{
    if (strlen(word) > most) {
        ctl_say("%s: is too long; allowed: up to %zu bytes", what, most);
        return false;
    }
    return true;
}

/* The gate reads one line: the HELO name is its last word. */
static bool check_spf_names(const char *sender, const char *helo)
{
    if (!smtp_path_is_plain(spf_path(sender))) {
        ctl_say(
            "\"%s\" is no SENDER that all mail servers read alike; allowed: user@domain", sender);
        return false;
    }
    if (strpbrk(helo, " \t\r\n") != NULL) {
        ctl_say("\"%s\" is no HELO; allowed: one word", helo);
        return false;
    }
    return check_spf_length(sender, "SENDER", SPF_WIRE_SENDER - 1) &&
           check_spf_length(helo, "HELO", SPF_WIRE_HELO - 1);
}

static bool check_spf_words(char *const words[3])
{
    struct addr client;

    if (!addr_parse(span_of(words[0]), &client)) {
        ctl_say(
            "\"%s\" is no address; allowed: spf ADDRESS SENDER HELO, such as spf 192.0.2.7 "
            "user@example.org pc.example.org",
            words[0]);
        return false;
    }
    if (addr_is_v4_mapped(&client)) {
        ctl_say("\"%s\" is an IPv4 address in an IPv6 one; allowed: the IPv4 address", words[0]);
        return false;
    }
    if (words[2][0] == '\0') {
        ctl_say("HELO is empty; allowed: the name that the client calls itself");
        return false;
    }
    return check_spf_names(words[1], words[2]);
}

enum ctl_exit ctl_spf(struct ctl *c)
{
    char line[1024];
    struct text t;
    json_t *answer;
    char *const *words = c->options->arguments;
    struct span sender = spf_path(words[1]);

    if (!check_spf_words(words)) {
        return CTL_USAGE;
    }
    if (sender.len == 0) {
        sender = SPAN_LITERAL("<>");
    }
    text_init(&t, line, sizeof(line));
    text_addf(&t, "spf %s %.*s %s", words[0], (int)sender.len, sender.at, words[2]);
    answer = ask_gate(c, line);
    return answer == NULL ? CTL_REFUSED : print_answer(c, answer, print_spf);
}
