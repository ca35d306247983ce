/* Contradictions between keys. */
#include "host/config/keys.h"
#include <string.h>

px_status px_config_check(px_context *ctx, const char *where, const px_config *config) {
    if (config->precision == PX_PRECISION_BFLOAT16 && sizeof(px_real) != sizeof(float))
        return px_fail(ctx, PX_ERR_CONFIG,
                       "%s: precision: found bfloat16, expected float32: this is a build of float64", where);
    if (config->train.warmup_steps > config->train.steps)
        return px_fail(ctx, PX_ERR_CONFIG, "%s: train.warmup_steps: found %lld, expected at most train.steps, %lld",
                       where, (long long)config->train.warmup_steps, (long long)config->train.steps);
    if (config->data.binarize && config->data.levels != 2)
        return px_fail(ctx, PX_ERR_CONFIG, "%s: data.levels: found %lld, expected 2 with data.binarize", where,
                       (long long)config->data.levels);
    if (config->data.channels == 2)
        return px_fail(ctx, PX_ERR_CONFIG, "%s: data.channels: found 2, expected 0, 1 or 3", where);
    return PX_OK;
}

px_status px_config_check_resume(px_context *ctx, const char *where, const px_config *held, const px_config *given) {
    for (const px_key *key = px_keys; key->name; key++) {
        char before[PX_CONFIG_STRING], now[PX_CONFIG_STRING];
        px_key_write(key, held, before);
        px_key_write(key, given, now);
        if (key->fixed && strcmp(before, now) != 0)
            return px_fail(ctx, PX_ERR_CONFIG, "%s: %s: found %.200s, expected %.200s as the run was begun with", where,
                           key->name, now, before);
    }
    return PX_OK;
}
