/* Any template, with values that try to get out of their place: what is rendered outside of the
 * template's own bytes holds none of the characters that could. */
#include <stdlib.h>
#include <string.h>

#include "web/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOSTILE "<script>\"'&evil"

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static const struct template *find(void *context, const char *name)
{
    (void)name;
    return context;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char array[400];
    struct text error;
    text_init(&error, array, sizeof(array));
    struct span source = {(const char *)data, size};
    struct template *t = template_parse(source, &error);
    if (!t) {
        require(error.len > 0 && array[0] >= '1' && array[0] <= '9');
        return 0;
    }
    json_t *values =
        json_pack("{s:s, s:[s, s], s:{s:s}}", "a", HOSTILE, "b", "x", HOSTILE, "c", "a", HOSTILE);
    struct template_set set = {find, t};
    struct buf out = BUF_INIT;
    if (template_render(t, NULL, values, &set, &out) == 0 && buf_len(&out) > 0) {
        bool own = memmem(source.at, source.len, HOSTILE, strlen(HOSTILE)) ||
                   memmem(source.at, source.len, "<script>", 8);
        struct span page = buf_span(&out);
        require(own || !memmem(page.at, page.len, HOSTILE, strlen(HOSTILE)));
    }
    buf_clear(&out);
    json_decref(values);
    template_free(t);
    return 0;
}
