#include "core/submission.h"

const struct addr *submission_service(const struct conf_submission *conf, enum addr_family family)
{
    for (size_t i = 0; i < conf->service_count; i++) {
        if (conf->service[i].family == family) {
            return &conf->service[i];
        }
    }
    return NULL;
}

static bool is_own(const struct conf_submission *conf, const struct addr *server)
{
    for (size_t i = 0; i < conf->own_count; i++) {
        if (prefix_contains(&conf->own[i], server)) {
            return true;
        }
    }
    return false;
}

void submission_target(
    const struct conf_submission *conf, const struct endpoint *wanted,
    struct submission_target *out)
{
    const struct addr *service = submission_service(conf, wanted->addr.family);
    *out = (struct submission_target){.server = {wanted->addr, SUBMISSION_PORT}};
    if (service && is_own(conf, &wanted->addr)) {
        out->server = (struct endpoint){*service, (uint16_t)conf->port};
        out->proxy_header = conf->proxy_protocol;
    }
}
