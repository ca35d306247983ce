/* The record of a start in metrics.jsonl, which describes the steps that follow it. */
#include "host/train/trainer.h"
#include "pixelrnn/version.h"
#include "host/device/backend.h"
#include <cjson/cJSON.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void add_time(cJSON *json) {
    char text[32] = "";
    struct tm parts;
    const time_t now = time(NULL);
    if (gmtime_r(&now, &parts)) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    cJSON_AddStringToObject(json, "time", text);
}

static void add_arguments(cJSON *json, const px_train_options *options) {
    cJSON *list = cJSON_AddArrayToObject(json, "command");
    for (int i = 0; i < options->argument_count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(options->arguments[i]));
}

/* Adds host, device, ranks, and the threads of each rank or the number of GPUs. */
static void add_machine(cJSON *json, const px_trainer *t) {
    char host[256] = "";
    const bool cpu = strcmp(t->device->kind, "cpu") == 0;
    const int ranks = px_ranks_count(t->ranks);
    gethostname(host, sizeof host - 1);
    cJSON_AddStringToObject(json, "host", host);
    cJSON_AddStringToObject(json, "device", t->device->kind);
    cJSON_AddStringToObject(json, "description", t->device->description);
    cJSON_AddNumberToObject(json, "ranks", ranks);
    cJSON_AddNumberToObject(json, cpu ? "threads" : "gpus", cpu ? omp_get_max_threads() : ranks);
}

static void add_change(void *json, const char *key, const char *before, const char *now) {
    const char *const both[] = {before, now};
    cJSON_AddItemToObject(json, key, cJSON_CreateStringArray(both, 2));
}

/* The record as JSON text, which the caller frees; NULL: out of memory. */
static char *record_text(const px_trainer *t, const char *config) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "start", (double)t->state.step);
    add_time(json);
    cJSON_AddStringToObject(json, "version", px_version());
    add_arguments(json, t->options);
    add_machine(json, t);
    px_state_add_data(json, &t->state);
    if (t->options->init && !t->resumed) cJSON_AddStringToObject(json, "init", t->options->init);
    cJSON *changed = t->resumed ? cJSON_AddObjectToObject(json, "changed") : NULL;
    if (changed) px_config_changes(&t->previous_config, t->config, add_change, changed);
    cJSON_AddStringToObject(json, "config", config);
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return text;
}

px_status px_trainer_write_record(px_trainer *t) {
    char *config = px_config_text(t->config);
    char *text = config ? record_text(t, config) : NULL;
    const px_status status = text ? px_metrics_record(t->metrics, text) : px_fail_memory(t->ctx, "metrics.jsonl", 0);
    free(text);
    free(config);
    return status;
}
