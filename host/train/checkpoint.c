/* Checkpoints. A folder is written under a temporary name and renamed, so that it appears complete or not at all. */
#include "host/train/trainer.h"
#include "pixelrnn/model_file.h"
#include "host/model/flat_file.h"
#include "host/device/backend.h"
#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_DIGITS = 9 };

px_status px_checkpoint_path(px_context *ctx, const char *run, int64_t step, const char *suffix, char path[PX_PATH]) {
    return px_file_path(ctx, path, "%s/checkpoints/%0*lld%s", run, STEP_DIGITS, (long long)step, suffix);
}

bool px_checkpoint_exists(const char *run, int64_t step) {
    px_context ignored;
    char path[PX_PATH];
    return px_checkpoint_path(&ignored, run, step, "", path) == PX_OK && px_file_is_folder(path);
}

/* ---- Contents of the files ---- */

/* The weights that model.safetensors holds. */
static px_tensor model_flat(px_model *model, const px_optimizer *optimizer) {
    const px_tensor average = px_optimizer_average(optimizer);
    return average.data ? average : px_model_weights(model);
}

/* The tensors that optimizer.safetensors holds: moments, and the weights if the model file holds their average. */
static int flats_of(const px_model *model, const px_optimizer_state *states, int found,
                    px_named_flat flats[PX_OPTIMIZER_STATES]) {
    int count = 0;
    for (int i = 0; i < found; i++) {
        if (strcmp(states[i].name, "first") == 0) flats[count++] = (px_named_flat){"first.", states[i].tensor};
        if (strcmp(states[i].name, "second") == 0) flats[count++] = (px_named_flat){"second.", states[i].tensor};
        if (strcmp(states[i].name, "average") == 0)
            flats[count++] = (px_named_flat){"weights.", px_model_weights(model)};
    }
    return count;
}

static int optimizer_flats(px_model *model, const px_optimizer *optimizer, px_named_flat flats[PX_OPTIMIZER_STATES]) {
    px_optimizer_state states[PX_OPTIMIZER_STATES];
    return flats_of(model, states, px_optimizer_states(optimizer, states), flats);
}

px_status px_checkpoint_bytes(const px_model *model, const px_config *config, int64_t step,
                              px_checkpoint_sizes *sizes) {
    const px_optimizer_spec spec = px_optimizer_spec_from(config);
    px_optimizer_state states[PX_OPTIMIZER_STATES];
    px_named_flat flats[PX_OPTIMIZER_STATES];
    const int count = flats_of(model, states, px_optimizer_plan_states(model, &spec, states), flats);
    PX_TRY(px_model_file_bytes(model, config, step, &sizes->model));
    return px_flat_file_bytes(model, flats, count, NULL, 0, &sizes->optimizer);
}

/* Adds a double with 17 digits, which preserve all its bits. cJSON writes 15, with which a resumed run would differ. */
static void state_add(cJSON *json, const char *key, double value) {
    char text[32];
    snprintf(text, sizeof text, "%.17g", value);
    cJSON_AddRawToObject(json, key, text);
}

static void digest_add(cJSON *json, const char *name, const px_source_digest *digest) {
    char checksum[16];
    if (digest->images == 0) return;
    cJSON *item = cJSON_AddObjectToObject(json, name);
    snprintf(checksum, sizeof checksum, "%08llx", (unsigned long long)digest->checksum);
    cJSON_AddNumberToObject(item, "images", (double)digest->images);
    cJSON_AddNumberToObject(item, "height", (double)digest->height);
    cJSON_AddNumberToObject(item, "width", (double)digest->width);
    cJSON_AddNumberToObject(item, "channels", (double)digest->channels);
    cJSON_AddStringToObject(item, "checksum", checksum);
}

void px_state_add_data(cJSON *json, const px_train_state *state) {
    cJSON *data = cJSON_AddObjectToObject(json, "data");
    for (px_split split = 0; split < PX_SPLITS; split++) digest_add(data, px_split_name(split), &state->data[split]);
}

static void evaluation_add(cJSON *json, const char *name, const px_evaluation *e) {
    if (e->images == 0) return;
    cJSON *item = cJSON_AddObjectToObject(json, name);
    cJSON_AddNumberToObject(item, "images", (double)e->images);
    state_add(item, "nats_per_image", e->nats_per_image);
    state_add(item, "bits_per_dim", e->bits_per_dim);
    state_add(item, "standard_error", e->standard_error);
}

static void figures_add(cJSON *json, const px_train_figures *f) {
    if (isfinite(f->best_nats_per_image)) state_add(json, "best_nats_per_image", f->best_nats_per_image);
    cJSON_AddNumberToObject(json, "best_step", (double)f->best_step);
    evaluation_add(json, "evaluation", &f->evaluation);
    evaluation_add(json, "independent", &f->independent);
    evaluation_add(json, "test", &f->test);
}

static px_status state_save(px_context *ctx, const px_train_state *state, const char *path) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "step", (double)state->step);
    figures_add(json, &state->figures);
    if (state->evaluation_due) cJSON_AddTrueToObject(json, "evaluation_due");
    if (state->samples_due) cJSON_AddTrueToObject(json, "samples_due");
    state_add(json, "window_nats", state->window_nats);
    cJSON_AddNumberToObject(json, "window_steps", (double)state->window_steps);
    if (state->clusters) cJSON_AddTrueToObject(json, "clusters");
    px_state_add_data(json, state);
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    const px_status status = text ? px_file_write_text(ctx, path, text) : px_fail_memory(ctx, path, 0);
    free(text);
    return status;
}

static bool state_number(const cJSON *json, const char *key, double *value) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    if (cJSON_IsNumber(item)) *value = item->valuedouble;
    return cJSON_IsNumber(item);
}

/* The digest of a split; images is 0 if the state has none, as older versions saved it. */
static px_source_digest digest_read(const cJSON *json, const char *name) {
    static const char *const keys[] = {"images", "height", "width", "channels"};
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(json, "data"), name);
    const char *checksum = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "checksum"));
    uint64_t number[4];
    for (int i = 0; i < 4; i++) {
        double value = -1;
        if (!state_number(item, keys[i], &value) || !(value >= 0 && value <= 1e15)) return (px_source_digest){0};
        number[i] = (uint64_t)value;
    }
    return (px_source_digest){number[0], number[1], number[2], number[3], checksum ? strtoull(checksum, NULL, 16) : 0};
}

/* An evaluation; images is 0 if the state has none. */
static px_evaluation evaluation_read(const cJSON *json, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    px_evaluation e = {0};
    double images = 0;
    const bool complete = state_number(item, "images", &images) && images >= 1 && images <= 1e15 &&
                          state_number(item, "nats_per_image", &e.nats_per_image) &&
                          state_number(item, "bits_per_dim", &e.bits_per_dim) &&
                          state_number(item, "standard_error", &e.standard_error);
    e.images = complete ? (size_t)images : 0;
    return e;
}

static px_train_figures figures_read(const cJSON *json) {
    px_train_figures f = {.evaluation = evaluation_read(json, "evaluation"),
                          .independent = evaluation_read(json, "independent"),
                          .test = evaluation_read(json, "test"),
                          .best_nats_per_image = INFINITY};
    double best_step = 0;
    state_number(json, "best_nats_per_image", &f.best_nats_per_image);
    state_number(json, "best_step", &best_step);
    f.best_step = (int64_t)best_step;
    return f;
}

static px_status state_load(px_context *ctx, const char *path, int64_t step, px_train_state *state) {
    char *text;
    PX_TRY(px_file_read_text(ctx, path, 1 << 16, &text));
    cJSON *json = cJSON_Parse(text);
    double found = -1, window_steps = 0;
    *state = (px_train_state){.figures = figures_read(json)};
    const bool complete = state_number(json, "step", &found) && cJSON_HasObjectItem(json, "best_step") &&
                          state_number(json, "window_nats", &state->window_nats) &&
                          state_number(json, "window_steps", &window_steps);
    state->evaluation_due = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "evaluation_due"));
    state->samples_due = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "samples_due"));
    state->clusters = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "clusters"));
    for (px_split split = 0; split < PX_SPLITS; split++) state->data[split] = digest_read(json, px_split_name(split));
    cJSON_Delete(json);
    free(text);
    state->step = (int64_t)found, state->window_steps = (int64_t)window_steps;
    if (complete && state->step == step) return PX_OK;
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found no whole state of step %lld", path, (long long)step);
}

/* ---- Saving ---- */

/* Renames a folder to PATH.rejected, PATH.rejected.2 and so on. name: the new path. */
static px_status reject_folder(px_context *ctx, const char *path, char name[PX_PATH]) {
    PX_TRY(px_file_path(ctx, name, "%s.rejected", path));
    for (int i = 2; px_file_exists(name); i++) PX_TRY(px_file_path(ctx, name, "%s.rejected.%d", path, i));
    return rename(path, name) == 0 ? PX_OK : px_fail(ctx, PX_ERR_FILE, "%s: %s", path, strerror(errno));
}

/* Removes or renames a folder that has the name of a link. A copy of an existing checkpoint is removed. */
static px_status clear_folder(px_context *ctx, const char *run, const char *link, const char *temporary) {
    char path[PX_PATH];
    px_model_info info;
    struct stat found;
    if (lstat(link, &found) != 0 || !S_ISDIR(found.st_mode)) return PX_OK;
    PX_TRY(px_file_path(ctx, path, "%s/model.safetensors", link));
    const bool copy = px_model_file_info(ctx, path, &info) == PX_OK && px_checkpoint_exists(run, info.step);
    if (!copy) return reject_folder(ctx, link, path);
    if (rename(link, temporary) != 0) return px_fail(ctx, PX_ERR_FILE, "%s: %s", link, strerror(errno));
    return px_file_remove_folder(ctx, temporary);
}

px_status px_checkpoint_mark(px_context *ctx, const char *run, const char *name, int64_t step) {
    char link[PX_PATH], temporary[PX_PATH], target[32];
    PX_TRY(px_file_path(ctx, link, "%s/checkpoints/%s", run, name));
    PX_TRY(px_file_path(ctx, temporary, "%s.partial", link));
    snprintf(target, sizeof target, "%0*lld", STEP_DIGITS, (long long)step);
    PX_TRY(clear_folder(ctx, run, link, temporary));
    unlink(temporary);
    if (symlink(target, temporary) == 0) {
        if (rename(temporary, link) != 0) return px_fail(ctx, PX_ERR_FILE, "%s: %s", link, strerror(errno));
        PX_TRY(px_file_path(ctx, temporary, "%s/checkpoints", run));
        return px_file_sync_folder(ctx, temporary); /* also makes the new name of the step's folder durable */
    }
    unlink(link); /* px_file_write_text refuses a folder, and thus a link to one */
    return px_file_write_text(ctx, link, target);
}

px_status px_checkpoint_try_link(px_context *ctx, const char *run) {
    char link[PX_PATH];
    PX_TRY(px_file_path(ctx, link, "%s/checkpoints/link.partial", run));
    unlink(link);
    if (symlink("none", link) != 0)
        return px_fail(ctx, PX_ERR_FILE, "%s/checkpoints: found no symbolic links (%s)", run, strerror(errno));
    unlink(link);
    return PX_OK;
}

static px_status write_files(const char *folder, px_model *model, const px_optimizer *optimizer,
                             const px_config *config, const px_train_state *state) {
    px_context *ctx = px_model_device(model)->ctx;
    char path[PX_PATH];
    px_named_flat flats[PX_OPTIMIZER_STATES];
    const int count = optimizer_flats(model, optimizer, flats);
    PX_TRY(px_file_remove_folder(ctx, folder));
    PX_TRY(px_file_make_folder(ctx, folder));
    PX_TRY(px_file_path(ctx, path, "%s/model.safetensors", folder));
    PX_TRY(px_model_file_save(model, model_flat(model, optimizer), config, state->step, path));
    PX_TRY(px_file_path(ctx, path, "%s/optimizer.safetensors", folder));
    PX_TRY(px_flat_file_save(model, flats, count, NULL, 0, path));
    PX_TRY(px_file_path(ctx, path, "%s/state.json", folder));
    return state_save(ctx, state, path);
}

px_status px_checkpoint_save(const char *run, px_model *model, const px_optimizer *optimizer, const px_config *config,
                             const px_train_state *state) {
    px_context *ctx = px_model_device(model)->ctx;
    char folder[PX_PATH], temporary[PX_PATH], json[PX_PATH];
    PX_TRY(px_checkpoint_path(ctx, run, state->step, "", folder));
    PX_TRY(px_checkpoint_path(ctx, run, state->step, ".partial", temporary));
    PX_TRY(px_checkpoint_path(ctx, run, state->step, "/state.json", json));
    if (px_file_exists(folder)) {
        PX_TRY(state_save(ctx, state, json));
    } else {
        PX_TRY(write_files(temporary, model, optimizer, config, state));
        if (rename(temporary, folder) != 0) return px_fail(ctx, PX_ERR_FILE, "%s: %s", folder, strerror(errno));
    }
    return px_checkpoint_mark(ctx, run, "newest", state->step);
}

/* ---- Finding, loading, pruning ---- */

/* The step of a checkpoint from the name of its folder; -1 for any other name. */
static int64_t step_of_name(const char *name) {
    char *end;
    const long long step = strtoll(name, &end, 10);
    return strlen(name) >= STEP_DIGITS && name[0] >= '0' && name[0] <= '9' && *end == '\0' ? step : -1;
}

int64_t px_checkpoint_newest(const char *run, int64_t before) {
    px_context ignored;
    char path[PX_PATH];
    DIR *folder = px_file_path(&ignored, path, "%s/checkpoints", run) == PX_OK ? opendir(path) : NULL;
    int64_t newest = -1;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        const int64_t step = step_of_name(entry->d_name);
        if (step > newest && step < before) newest = step;
    }
    if (folder) closedir(folder);
    return newest;
}

/* Checks the model file, and reads the state. */
static px_status check_checkpoint(px_context *ctx, const char *run, int64_t step, px_train_state *state) {
    char path[PX_PATH];
    px_model_info info;
    PX_TRY(px_checkpoint_path(ctx, run, step, "/model.safetensors", path));
    PX_TRY(px_model_file_info(ctx, path, &info));
    PX_TRY(px_checkpoint_path(ctx, run, step, "/state.json", path));
    return state_load(ctx, path, step, state);
}

int64_t px_checkpoint_newest_state(const char *run, px_train_state *state) {
    px_context ignored;
    int64_t step = px_checkpoint_newest(run, INT64_MAX);
    while (step >= 0 && check_checkpoint(&ignored, run, step, state) != PX_OK) step = px_checkpoint_newest(run, step);
    return step;
}

/* The best step according to the newest complete checkpoint if it still exists, else the step of that checkpoint.
 * Without a complete one it is the newest, so that opening it reports the fault. -1: there is no checkpoint. */
static int64_t best_step_of(const char *run) {
    px_train_state state;
    const int64_t step = px_checkpoint_newest_state(run, &state);
    if (step < 0) return px_checkpoint_newest(run, INT64_MAX);
    const px_train_figures *f = &state.figures;
    return isfinite(f->best_nats_per_image) && px_checkpoint_exists(run, f->best_step) ? f->best_step : step;
}

px_status px_checkpoint_find_model(px_context *ctx, const char *model, char path[PX_PATH]) {
    if (!px_file_exists(model)) return px_fail(ctx, PX_ERR_FILE, "%s: no such file or folder", model);
    if (!px_file_is_folder(model)) return px_file_path(ctx, path, "%s", model);
    PX_TRY(px_file_path(ctx, path, "%s/model.safetensors", model));
    if (px_file_exists(path)) return PX_OK;
    const int64_t best = best_step_of(model);
    if (best < 0)
        return px_fail(ctx, PX_ERR_FILE, "%s: found no model.safetensors in it nor in its checkpoints", model);
    return px_checkpoint_path(ctx, model, best, "/model.safetensors", path);
}

px_status px_checkpoint_load(const char *run, int64_t step, px_model *model, const px_optimizer *optimizer,
                             px_train_state *state, px_config *config) {
    px_context *ctx = px_model_device(model)->ctx;
    char path[PX_PATH];
    px_model_info info;
    px_named_flat flats[PX_OPTIMIZER_STATES];
    const int count = optimizer_flats(model, optimizer, flats);
    const px_named_flat weights = {"", model_flat(model, optimizer)};
    const px_model_spec *found = &info.spec, *want = px_model_spec_of(model);
    PX_TRY(px_checkpoint_path(ctx, run, step, "/model.safetensors", path));
    PX_TRY(px_model_file_info(ctx, path, &info));
    /* The same weights fit images of any size, but the NLLs of a run are for images of one size. */
    if (found->height != want->height || found->width != want->width || found->channels != want->channels)
        return px_fail(ctx, PX_ERR_CONFIG,
                       "%s: found a model of images of %d x %d x %d, expected %d x %d x %d as in data.train", path,
                       found->height, found->width, found->channels, want->height, want->width, want->channels);
    PX_TRY(px_flat_file_load(model, &weights, 1, path));
    PX_TRY(px_checkpoint_path(ctx, run, step, "/optimizer.safetensors", path));
    PX_TRY(px_flat_file_load(model, flats, count, path));
    PX_TRY(px_checkpoint_path(ctx, run, step, "/state.json", path));
    *config = info.config;
    return state_load(ctx, path, step, state);
}

px_status px_checkpoint_reject(px_context *ctx, const char *run, int64_t step, char name[PX_PATH]) {
    char folder[PX_PATH];
    PX_TRY(px_checkpoint_path(ctx, run, step, "", folder));
    return reject_folder(ctx, folder, name);
}

static int newer_first(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* Lists the steps in a folder of checkpoints (at most `max` of them), and removes names that end in .partial. */
static px_status list_steps(px_context *ctx, const char *path, int64_t *steps, int max, int *count) {
    DIR *folder = opendir(path);
    px_status status = PX_OK;
    *count = 0;
    for (struct dirent *entry; folder && status == PX_OK && (entry = readdir(folder));) {
        const int64_t step = step_of_name(entry->d_name);
        const size_t length = strlen(entry->d_name);
        if (step >= 0 && *count < max) steps[(*count)++] = step;
        if (length < 8 || strcmp(entry->d_name + length - 8, ".partial") != 0) continue;
        char name[PX_PATH];
        status = px_file_path(ctx, name, "%s/%s", path, entry->d_name);
        if (status == PX_OK) status = px_file_remove_folder(ctx, name);
    }
    if (folder) closedir(folder);
    return status;
}

static px_status remove_checkpoint(px_context *ctx, const char *run, int64_t step) {
    char path[PX_PATH], temporary[PX_PATH];
    PX_TRY(px_checkpoint_path(ctx, run, step, "", path));
    PX_TRY(px_checkpoint_path(ctx, run, step, ".partial", temporary));
    if (rename(path, temporary) != 0) return px_fail(ctx, PX_ERR_FILE, "%s: %s", path, strerror(errno));
    return px_file_remove_folder(ctx, temporary);
}

px_status px_checkpoint_prune(px_context *ctx, const char *run, int64_t keep, int64_t best_step) {
    enum { MAX_STEPS = 4096 }; /* further checkpoints are pruned the next time */
    int64_t steps[MAX_STEPS];
    int count;
    char path[PX_PATH];
    PX_TRY(px_file_path(ctx, path, "%s/checkpoints", run));
    PX_TRY(list_steps(ctx, path, steps, MAX_STEPS, &count));
    qsort(steps, (size_t)count, sizeof *steps, newer_first);
    for (int i = (int)(keep < MAX_STEPS ? keep : MAX_STEPS); keep > 0 && i < count; i++)
        if (steps[i] != best_step) PX_TRY(remove_checkpoint(ctx, run, steps[i]));
    return PX_OK;
}
