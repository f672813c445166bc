/* What a browser sends: forms and queries, cookies, X-Forwarded-For, Accept-Language. */
#include <stdlib.h>
#include <string.h>

#include "core/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_form(struct span in)
{
    char *room = malloc(in.len + 1);
    struct form f;
    size_t bytes = 0;
    require(room != NULL);
    bool good = form_decode(in, room, in.len, &f);
    require(good || f.count == 0);
    for (size_t i = 0; i < f.count; i++) {
        bytes += f.field[i].name.len + f.field[i].value.len;
        require(!memchr(f.field[i].name.at, 0, f.field[i].name.len));
        require(!memchr(f.field[i].value.at, 0, f.field[i].value.len));
    }
    require(bytes <= in.len);
    (void)form_value(&f, "a");
    free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char languages[][8] = {"en", "de"};
    struct span in = {(const char *)data, size}, value;
    struct addr peer, client;
    struct prefix trusted;
    check_form(in);
    if (cookie_find(in, "__Host-g25", &value)) {
        require(value.at >= in.at && value.at + value.len <= in.at + in.len);
        require(!value.len || !memchr(value.at, ';', value.len));
    }
    require(addr_parse(span_of("10.1.1.1"), &peer));
    require(prefix_parse(span_of("10.0.0.0/8"), &trusted) == PREFIX_OK);
    if (forwarded_client(&peer, in, &trusted, 1, &client)) {
        require(!prefix_contains(&trusted, &client));
    }
    int chosen = language_choose(in, languages, 2);
    require(chosen >= -1 && chosen < 2);
    require(text_is_plain(in, true) || !text_is_plain(in, false));
    return 0;
}
