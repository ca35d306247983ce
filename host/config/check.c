/* Checks of a config as a whole: contradictions between keys, and differences between two configs. */
#include "host/config/keys.h"
#include <string.h>

px_status px_config_check(px_context *ctx, const char *where, const px_config *config) {
    if (config->precision == PX_PRECISION_BFLOAT16 && sizeof(px_real) != sizeof(float))
        return px_fail(ctx, PX_ERR_CONFIG,
                       "%s: precision: found bfloat16, expected float32 in a build with BUILD=double", where);
    if (config->train.warmup_steps > config->train.steps)
        return px_fail(ctx, PX_ERR_CONFIG, "%s: train.warmup_steps: found %lld, expected at most train.steps, %lld",
                       where, (long long)config->train.warmup_steps, (long long)config->train.steps);
    if (config->train.batch_size % config->train.accumulate != 0)
        return px_fail(ctx, PX_ERR_CONFIG,
                       "%s: train.accumulate: found %lld, expected a divisor of train.batch_size, %lld", where,
                       (long long)config->train.accumulate, (long long)config->train.batch_size);
    if (config->model.scale & (config->model.scale - 1))
        return px_fail(ctx, PX_ERR_CONFIG, "%s: model.scale: found %lld, expected a power of two", where,
                       (long long)config->model.scale);
    if (config->data.binarize && config->data.levels != 2)
        return px_fail(ctx, PX_ERR_CONFIG, "%s: data.levels: found %lld, expected 2 with data.binarize", where,
                       (long long)config->data.levels);
    if (config->data.channels == 2)
        return px_fail(ctx, PX_ERR_CONFIG, "%s: data.channels: found 2, expected 0, 1 or 3", where);
    return PX_OK;
}

/* The first key from `key` on whose values differ, and both values as text; NULL if there is none. fixed: only keys
 * that a resumed run cannot change. */
static const px_key *config_difference(const px_key *key, const px_config *a, const px_config *b, bool fixed,
                                       char of_a[PX_CONFIG_STRING], char of_b[PX_CONFIG_STRING]) {
    for (; key->name; key++) {
        px_key_write(key, a, of_a);
        px_key_write(key, b, of_b);
        if ((key->fixed || !fixed) && strcmp(of_a, of_b) != 0) return key;
    }
    return NULL;
}

void px_config_changes(const px_config *before, const px_config *now, px_config_visitor visit, void *context) {
    char of_before[PX_CONFIG_STRING], of_now[PX_CONFIG_STRING];
    for (const px_key *key = px_keys; (key = config_difference(key, before, now, false, of_before, of_now)); key++)
        visit(context, key->name, of_before, of_now);
}

px_status px_config_check_ranks(px_context *ctx, const px_config *first, const px_config *mine) {
    char expected[PX_CONFIG_STRING], found[PX_CONFIG_STRING];
    px_config same_data = *mine; /* px_ranks_same compares images and labels; paths may differ */
    memcpy(same_data.data.train, first->data.train, sizeof first->data.train);
    memcpy(same_data.data.validation, first->data.validation, sizeof first->data.validation);
    memcpy(same_data.data.test, first->data.test, sizeof first->data.test);
    memcpy(same_data.data.train_labels, first->data.train_labels, sizeof first->data.train_labels);
    memcpy(same_data.data.validation_labels, first->data.validation_labels, sizeof first->data.validation_labels);
    memcpy(same_data.data.test_labels, first->data.test_labels, sizeof first->data.test_labels);
    const px_key *key = config_difference(px_keys, first, &same_data, false, expected, found);
    if (!key) return PX_OK;
    return px_fail(ctx, PX_ERR_CONFIG, "%s: found %.200s, expected %.200s as on rank 0", key->name, found, expected);
}

px_status px_config_check_resume(px_context *ctx, const char *where, const px_config *started, const px_config *given) {
    char before[PX_CONFIG_STRING], now[PX_CONFIG_STRING];
    const px_key *key = config_difference(px_keys, started, given, true, before, now);
    if (!key) return PX_OK;
    return px_fail(ctx, PX_ERR_CONFIG, "%s: %s: found %.200s, expected %.200s as when the run was started", where,
                   key->name, now, before);
}
