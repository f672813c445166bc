#include "ctl/ctl_passed.h"

#include <stdio.h>

#include "ctl/ctl_text.h"

void ctl_passed_print(const struct ctl_standing *passed)
{
    char line[CTL_ID + CONF_NAME + 100], name[CTL_ID];

    if (passed->found) {
        snprintf(
            line, sizeof(line), "the standing of %s, class %s (" CTL_CLASS_UNKNOWN ")",
            ctl_name(passed->id, name), passed->class);
        ctl_print_row("besides", span_of(line));
    }
}

json_t *ctl_passed_json(const struct ctl_standing *passed)
{
    if (!passed->found) {
        return json_null();
    }
    return json_pack(
        "{s:s, s:o, s:o}", "id", passed->id, "class", ctl_text_json(span_of(passed->class)),
        "until", ctl_time_json(passed->until_s));
}
