/* Checkpoints: a folder is filled under a temporary name, synced and renamed, so that it appears whole or not at all.
 */
#include "pixelrnn/checkpoint.h"
#include "pixelrnn/file.h"
#include "pixelrnn/model_file.h"
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PX_STEP_DIGITS = 9 };

px_status px_checkpoint_path(px_context *ctx, const char *run, int64_t step, char path[PX_PATH]) {
    return px_file_path(ctx, path, "%s/checkpoints/%0*lld", run, PX_STEP_DIGITS, (long long)step);
}

/* --- What goes into which file ------------------------------------------------------------------------------------ */

/* The flat map that model.safetensors holds. */
static px_map px_model_flat(px_model *model, const px_optimizer *optimizer) {
    const px_map average = px_optimizer_average(optimizer);
    return average.data ? average : px_model_weights(model);
}

/* The flat maps that optimizer.safetensors holds: moments, and the weights where the model file has their average. */
static int px_optimizer_flats(px_model *model, const px_optimizer *optimizer,
                              px_named_flat flats[PX_OPTIMIZER_STATES]) {
    px_optimizer_state states[PX_OPTIMIZER_STATES];
    const int found = px_optimizer_states(optimizer, states);
    int count = 0;
    for (int i = 0; i < found; i++) {
        if (strcmp(states[i].name, "first") == 0) flats[count++] = (px_named_flat){"first.", states[i].map};
        if (strcmp(states[i].name, "second") == 0) flats[count++] = (px_named_flat){"second.", states[i].map};
        if (strcmp(states[i].name, "average") == 0)
            flats[count++] = (px_named_flat){"weights.", px_model_weights(model)};
    }
    return count;
}

/* Seventeen digits: cJSON's own fifteen lose the last bits, and a resumed run its equality. */
static void px_state_add(cJSON *json, const char *key, double value) {
    char text[32];
    snprintf(text, sizeof text, "%.17g", value);
    cJSON_AddRawToObject(json, key, text);
}

static char *px_state_text(const px_train_state *state) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "step", (double)state->step);
    if (isfinite(state->best_nats_per_image)) px_state_add(json, "best_nats_per_image", state->best_nats_per_image);
    cJSON_AddNumberToObject(json, "best_step", (double)state->best_step);
    if (state->evaluation_due) cJSON_AddTrueToObject(json, "evaluation_due");
    if (state->samples_due) cJSON_AddTrueToObject(json, "samples_due");
    px_state_add(json, "window_nats", state->window_nats);
    cJSON_AddNumberToObject(json, "window_steps", (double)state->window_steps);
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    return text;
}

static px_status px_state_save(px_context *ctx, const px_train_state *state, const char *path) {
    char *text = px_state_text(state);
    px_file_out out;
    px_status status = text ? px_file_create(ctx, path, &out) : px_fail(ctx, PX_ERR_MEMORY, "%s: no memory", path);
    if (status == PX_OK) {
        status = px_file_write(ctx, &out, text, strlen(text));
        if (status == PX_OK) status = px_file_commit(ctx, &out);
        px_file_abandon(&out);
    }
    free(text);
    return status;
}

static bool px_state_number(const cJSON *json, const char *key, double *value) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    if (cJSON_IsNumber(item)) *value = item->valuedouble;
    return cJSON_IsNumber(item);
}

static px_status px_state_load(px_context *ctx, const char *path, int64_t step, px_train_state *state) {
    char *text;
    PX_TRY(px_file_read_text(ctx, path, 1 << 16, &text));
    cJSON *json = cJSON_Parse(text);
    double found = -1, best_step = 0, window_steps = 0;
    *state = (px_train_state){.best_nats_per_image = INFINITY};
    const bool whole = px_state_number(json, "step", &found) && px_state_number(json, "best_step", &best_step) &&
                       px_state_number(json, "window_nats", &state->window_nats) &&
                       px_state_number(json, "window_steps", &window_steps);
    px_state_number(json, "best_nats_per_image", &state->best_nats_per_image);
    state->evaluation_due = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "evaluation_due"));
    state->samples_due = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "samples_due"));
    cJSON_Delete(json);
    free(text);
    state->step = (int64_t)found, state->best_step = (int64_t)best_step, state->window_steps = (int64_t)window_steps;
    if (whole && state->step == step) return PX_OK;
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found no whole state of step %lld", path, (long long)step);
}

/* --- Saving ------------------------------------------------------------------------------------------------------- */

/* Points RUN/checkpoints/name at a step's folder, in one move. */
static px_status px_checkpoint_link(px_context *ctx, const char *run, const char *name, int64_t step) {
    char link[PX_PATH], temporary[PX_PATH], target[32];
    PX_TRY(px_file_path(ctx, link, "%s/checkpoints/%s", run, name));
    PX_TRY(px_file_path(ctx, temporary, "%s.partial", link));
    snprintf(target, sizeof target, "%0*lld", PX_STEP_DIGITS, (long long)step);
    unlink(temporary);
    if (symlink(target, temporary) == 0 && rename(temporary, link) == 0) return PX_OK;
    return px_fail(ctx, PX_ERR_FILE, "%s: %s", link, strerror(errno));
}

px_status px_checkpoint_mark_best(px_context *ctx, const char *run, int64_t step) {
    return px_checkpoint_link(ctx, run, "best", step);
}

static px_status px_checkpoint_fill(const char *folder, px_model *model, const px_optimizer *optimizer,
                                    const px_config *config, const px_train_state *state) {
    px_context *ctx = px_model_device(model)->ctx;
    char path[PX_PATH];
    px_named_flat flats[PX_OPTIMIZER_STATES];
    const int count = px_optimizer_flats(model, optimizer, flats);
    PX_TRY(px_file_remove_folder(ctx, folder));
    PX_TRY(px_file_make_folder(ctx, folder));
    PX_TRY(px_file_path(ctx, path, "%s/model.safetensors", folder));
    PX_TRY(px_model_file_save(model, px_model_flat(model, optimizer), config, state->step, path));
    PX_TRY(px_file_path(ctx, path, "%s/optimizer.safetensors", folder));
    PX_TRY(px_flats_save(model, flats, count, NULL, 0, path));
    PX_TRY(px_file_path(ctx, path, "%s/state.json", folder));
    PX_TRY(px_state_save(ctx, state, path));
    return px_file_sync_folder(ctx, folder);
}

px_status px_checkpoint_save(const char *run, px_model *model, const px_optimizer *optimizer, const px_config *config,
                             const px_train_state *state) {
    px_context *ctx = px_model_device(model)->ctx;
    char folder[PX_PATH], temporary[PX_PATH], all[PX_PATH], json[PX_PATH];
    PX_TRY(px_checkpoint_path(ctx, run, state->step, folder));
    PX_TRY(px_file_path(ctx, temporary, "%s.partial", folder));
    PX_TRY(px_file_path(ctx, all, "%s/checkpoints", run));
    if (px_file_exists(folder)) {
        PX_TRY(px_file_path(ctx, json, "%s/state.json", folder));
        PX_TRY(px_state_save(ctx, state, json));
    } else {
        PX_TRY(px_checkpoint_fill(temporary, model, optimizer, config, state));
        if (rename(temporary, folder) != 0) return px_fail(ctx, PX_ERR_FILE, "%s: %s", folder, strerror(errno));
    }
    PX_TRY(px_checkpoint_link(ctx, run, "newest", state->step));
    return px_file_sync_folder(ctx, all);
}

/* --- Finding, loading, pruning ------------------------------------------------------------------------------------ */

/* A checkpoint's step from its folder's name; -1 for any other name. */
static int64_t px_checkpoint_step(const char *name) {
    char *end;
    const long long step = strtoll(name, &end, 10);
    return strlen(name) >= PX_STEP_DIGITS && name[0] >= '0' && name[0] <= '9' && *end == '\0' ? step : -1;
}

int64_t px_checkpoint_newest(const char *run) {
    return px_checkpoint_newest_before(run, INT64_MAX);
}

int64_t px_checkpoint_newest_before(const char *run, int64_t before) {
    px_context ignored;
    char path[PX_PATH];
    DIR *folder = px_file_path(&ignored, path, "%s/checkpoints", run) == PX_OK ? opendir(path) : NULL;
    int64_t newest = -1;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        const int64_t step = px_checkpoint_step(entry->d_name);
        if (step > newest && step < before) newest = step;
    }
    if (folder) closedir(folder);
    return newest;
}

px_status px_checkpoint_find_model(px_context *ctx, const char *model, char path[PX_PATH]) {
    if (!px_file_exists(model)) return px_fail(ctx, PX_ERR_FILE, "%s: no such file or folder", model);
    if (!px_file_is_folder(model)) return px_file_path(ctx, path, "%s", model);
    PX_TRY(px_file_path(ctx, path, "%s/model.safetensors", model));
    if (px_file_exists(path)) return PX_OK;
    PX_TRY(px_file_path(ctx, path, "%s/checkpoints/best/model.safetensors", model));
    if (px_file_exists(path)) return PX_OK;
    const int64_t newest = px_checkpoint_newest(model);
    if (newest < 0)
        return px_fail(ctx, PX_ERR_FILE, "%s: found no model.safetensors in it nor in its checkpoints", model);
    char folder[PX_PATH];
    PX_TRY(px_checkpoint_path(ctx, model, newest, folder));
    return px_file_path(ctx, path, "%s/model.safetensors", folder);
}

/* Weights fit images of any size, a run's figures do not. */
static px_status px_check_images(px_context *ctx, const char *path, const px_model_spec *found,
                                 const px_model_spec *want) {
    if (found->height == want->height && found->width == want->width && found->channels == want->channels) return PX_OK;
    return px_fail(ctx, PX_ERR_CONFIG,
                   "%s: found a model of images of %d x %d x %d, expected %d x %d x %d as in data.train", path,
                   found->height, found->width, found->channels, want->height, want->width, want->channels);
}

px_status px_checkpoint_resume(const char *run, px_model *model, const px_optimizer *optimizer, px_train_state *state) {
    px_context *ctx = px_model_device(model)->ctx;
    const int64_t step = px_checkpoint_newest(run);
    if (step < 0) return px_fail(ctx, PX_ERR_FILE, "%s: found no checkpoint to resume from", run);
    char folder[PX_PATH], path[PX_PATH];
    px_model_info info;
    px_named_flat flats[PX_OPTIMIZER_STATES];
    const int count = px_optimizer_flats(model, optimizer, flats);
    const px_named_flat weights = {"", px_model_flat(model, optimizer)};
    PX_TRY(px_checkpoint_path(ctx, run, step, folder));
    PX_TRY(px_file_path(ctx, path, "%s/model.safetensors", folder));
    PX_TRY(px_model_file_info(ctx, path, &info));
    PX_TRY(px_check_images(ctx, path, &info.spec, px_model_spec_of(model)));
    PX_TRY(px_flats_load(model, &weights, 1, path));
    PX_TRY(px_file_path(ctx, path, "%s/optimizer.safetensors", folder));
    PX_TRY(px_flats_load(model, flats, count, path));
    PX_TRY(px_file_path(ctx, path, "%s/state.json", folder));
    return px_state_load(ctx, path, step, state);
}

static int px_newer_first(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* Reads the names in a folder of checkpoints: steps into `steps` (at most `most`, the rest stays for the next time),
 * and removes what ends in .partial. */
static px_status px_checkpoint_list(px_context *ctx, const char *path, int64_t *steps, int most, int *count) {
    DIR *folder = opendir(path);
    px_status status = PX_OK;
    *count = 0;
    for (struct dirent *entry; folder && status == PX_OK && (entry = readdir(folder));) {
        const int64_t step = px_checkpoint_step(entry->d_name);
        const size_t length = strlen(entry->d_name);
        if (step >= 0 && *count < most) steps[(*count)++] = step;
        if (length < 8 || strcmp(entry->d_name + length - 8, ".partial") != 0) continue;
        char name[PX_PATH];
        status = px_file_path(ctx, name, "%s/%s", path, entry->d_name);
        if (status == PX_OK) status = px_file_remove_folder(ctx, name);
    }
    if (folder) closedir(folder);
    return status;
}

static px_status px_checkpoint_remove(px_context *ctx, const char *run, int64_t step) {
    char path[PX_PATH], gone[PX_PATH];
    PX_TRY(px_checkpoint_path(ctx, run, step, path));
    PX_TRY(px_file_path(ctx, gone, "%s.partial", path));
    if (rename(path, gone) != 0) return px_fail(ctx, PX_ERR_FILE, "%s: %s", path, strerror(errno));
    return px_file_remove_folder(ctx, gone);
}

px_status px_checkpoint_withdraw(px_context *ctx, const char *run, int64_t step) {
    char link[PX_PATH];
    if (px_checkpoint_newest(run) != step) return PX_OK;
    const int64_t before = px_checkpoint_newest_before(run, step);
    if (before >= 0) PX_TRY(px_checkpoint_link(ctx, run, "newest", before));
    PX_TRY(px_file_path(ctx, link, "%s/checkpoints/newest", run));
    if (before < 0) unlink(link);
    return px_checkpoint_remove(ctx, run, step);
}

px_status px_checkpoint_prune(px_context *ctx, const char *run, int64_t keep, int64_t best_step) {
    enum { MOST = 4096 };
    int64_t steps[MOST];
    int count;
    char path[PX_PATH];
    PX_TRY(px_file_path(ctx, path, "%s/checkpoints", run));
    PX_TRY(px_checkpoint_list(ctx, path, steps, MOST, &count));
    qsort(steps, (size_t)count, sizeof *steps, px_newer_first);
    for (int i = (int)(keep < MOST ? keep : MOST); keep > 0 && i < count; i++)
        if (steps[i] != best_step) PX_TRY(px_checkpoint_remove(ctx, run, steps[i]));
    return PX_OK;
}
