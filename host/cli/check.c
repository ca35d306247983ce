/* pixelrnn check: compares this device with the plain paths of the CPU, and decides whether recurrences on clusters are
 * used.
 *
 * A child process runs these recurrences, which could hang, before this process opens a device: CUDA does not survive a
 * fork. */
#include "host/check/check.h"
#include "host/cli/cli.h"
#include "host/device/verdict.h"
#include "host/io/child.h"
#include "host/io/clock.h"
#include <cjson/cJSON.h>
#include <string.h>

typedef struct check_values {
    int device; /* px_device_kind */
    bool json, brief, clusters;
    double limit; /* seconds */
    px_arguments positionals;
} check_values;

static const px_option options[] = {
    {"--device", "auto|cpu|cuda", PX_OPTION_WORD, offsetof(check_values, device), .initial = "auto",
     .help = "the device to check; auto: the GPU if there is one, otherwise the CPU"},
    {"--brief", NULL, PX_OPTION_FLAG, offsetof(check_values, brief), .help = "fewer recurrences, of small images"},
    {"--clusters", NULL, PX_OPTION_FLAG, offsetof(check_values, clusters), .help = "recurrences on clusters alone"},
    {"--limit", "SECONDS", PX_OPTION_NUMBER, offsetof(check_values, limit), .initial = "60",
     .help = "time for the recurrences on clusters, which could hang"},
    {"--json", NULL, PX_OPTION_FLAG, offsetof(check_values, json), .help = "print one JSON object"},
    {0},
};

/* ---- Rows ---- */

/* The report so far. */
typedef struct check_progress {
    cJSON *rows; /* NULL: rows are printed */
    int count, failed;
} check_progress;

static void print_row(const px_check_row *row) {
    printf("%-26s %-32s %6d %9.1e %9.1e %7.2f  %s\n", row->name, row->mode, row->cases, row->worst, row->tolerance,
           row->seconds, row->failure[0] ? "differs" : "agrees");
    if (row->failure[0]) printf("  %s\n", row->failure);
    fflush(stdout);
}

static void add_row(void *user, const px_check_row *row) {
    check_progress *progress = user;
    progress->count++;
    progress->failed += row->failure[0] != '\0';
    if (!progress->rows) {
        print_row(row);
        return;
    }
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "name", row->name);
    cJSON_AddStringToObject(json, "precision", row->mode);
    cJSON_AddNumberToObject(json, "cases", row->cases);
    cJSON_AddNumberToObject(json, "error", row->worst);
    cJSON_AddNumberToObject(json, "tolerance", row->tolerance);
    cJSON_AddNumberToObject(json, "seconds", row->seconds);
    cJSON_AddBoolToObject(json, "agrees", !row->failure[0]);
    if (row->failure[0]) cJSON_AddStringToObject(json, "failure", row->failure);
    cJSON_AddItemToArray(progress->rows, json);
}

/* ---- Recurrences on clusters ---- */

/* What the child finds. */
typedef struct cluster_findings {
    bool possible, done; /* the GPU has them; the check came to its end */
    px_check_row row;
    double step, fused_step;
} cluster_findings;

static void check_clusters(void *argument) {
    cluster_findings *found = argument;
    px_context ctx = {""};
    px_device *device;
    if (px_device_open(&ctx, PX_DEVICE_CUDA, PX_BF16, &device) != PX_OK) return;
    found->possible = device->clusters[0] > 0;
    px_device_close(device);
    if (found->possible) found->done = px_check_clusters(&ctx, &found->row, &found->step, &found->fused_step) == PX_OK;
}

/* The verdict on what the child found; ended: how it ended. */
static px_verdict judge(const cluster_findings *found, px_status ended, const px_context *ctx) {
    px_verdict verdict = {PX_VERDICT_AVOID, ""};
    const double slower = found->fused_step > 0 ? found->step / found->fused_step : 0;
    if (ended != PX_OK)
        snprintf(verdict.reason, sizeof verdict.reason, "%.200s", ctx->message);
    else if (!found->done || found->row.failure[0] || found->step == 0)
        snprintf(verdict.reason, sizeof verdict.reason, "%.200s",
                 found->row.failure[0] ? found->row.failure : "the check did not come to its end");
    else {
        verdict.answer = slower > 1.1 ? PX_VERDICT_AVOID : PX_VERDICT_USE;
        snprintf(verdict.reason, sizeof verdict.reason, "%.2f us a step, forward and backward; fused %.2f us",
                 1e6 * found->step, 1e6 * found->fused_step);
    }
    return verdict;
}

/* Runs the child. verdict->answer is NONE if the device has no such recurrences. */
static px_status try_clusters(px_context *ctx, double limit, cluster_findings *found, px_verdict *verdict) {
    const size_t bytes = sizeof(cluster_findings);
    cluster_findings *shared = px_child_memory(bytes);
    *verdict = (px_verdict){PX_VERDICT_NONE, ""};
    if (!shared) return px_fail_memory(ctx, "check", bytes);
    const px_status ended = px_child_run(ctx, "recurrences on clusters", check_clusters, shared, limit);
    *found = *shared;
    if (found->possible) *verdict = judge(found, ended, ctx);
    ctx->message[0] = '\0';
    px_child_memory_free(shared, bytes);
    return PX_OK;
}

/* ---- The report ---- */

static void print_heading(const px_device *device, bool no_gpu) {
    printf("%s: %s%s%s\n", device->kind, device->description, device->versions[0] ? "; " : "", device->versions);
    if (no_gpu)
        printf("no GPU was found: the CPU's fast paths (oneDNN, fused recurrences) are compared with its plain ones\n");
    printf("\n%-26s %-32s %6s %9s %9s %7s\n", "operation", "precision", "cases", "error", "tolerance", "seconds");
}

/* Prints the verdict on clusters and stores it. A folder that cannot be written is reported, and no failure. */
static void settle_clusters(px_device *device, const px_verdict *verdict, cJSON *json) {
    char path[PX_PATH], stored[PX_PATH + 64];
    const bool use = verdict->answer == PX_VERDICT_USE;
    if (px_verdict_write(device, verdict, path) == PX_OK)
        snprintf(stored, sizeof stored, "stored in %s", path);
    else
        snprintf(stored, sizeof stored, "not stored, so not heeded: %.900s", device->ctx->message);
    device->ctx->message[0] = '\0';
    if (!json) {
        printf("\nrecurrences on clusters: %s (%s)\n%s\n", use ? "will be used" : "will not be used", verdict->reason,
               stored);
        return;
    }
    cJSON_AddBoolToObject(json, "clusters", use);
    cJSON_AddStringToObject(json, "clusters_reason", verdict->reason);
    cJSON_AddStringToObject(json, "verdict", stored);
}

static void print_json(cJSON *json, const px_device *device, const check_progress *progress) {
    cJSON_AddStringToObject(json, "device", device->kind);
    cJSON_AddStringToObject(json, "description", device->description);
    cJSON_AddStringToObject(json, "versions", device->versions);
    cJSON_AddBoolToObject(json, "agrees", progress->failed == 0);
    char *text = cJSON_Print(json);
    if (text) printf("%s\n", text);
    cJSON_free(text);
}

static px_status check_opened(px_context *ctx, const check_values *w, px_device *device, const px_verdict *verdict,
                              const cluster_findings *found, cJSON *json) {
    check_progress progress = {json ? cJSON_AddArrayToObject(json, "rows") : NULL, 0, 0};
    const px_check_report report = {add_row, &progress};
    const bool cuda = strcmp(device->kind, "cuda") == 0;
    if (!json) print_heading(device, !cuda && w->device == PX_DEVICE_AUTO);
    if (!w->clusters) PX_TRY(px_check_device(ctx, cuda ? PX_DEVICE_CUDA : PX_DEVICE_CPU, w->brief, &report));
    if (found->done) add_row(&progress, &found->row);
    if (verdict->answer != PX_VERDICT_NONE) settle_clusters(device, verdict, json);
    if (json) print_json(json, device, &progress);
    if (progress.failed > 0)
        return px_fail(ctx, PX_ERR_DEVICE, "check: %d of %d comparisons differ", progress.failed, progress.count);
    if (!json) printf("\nall %d comparisons agree\n", progress.count);
    return PX_OK;
}

static px_status check_run(px_context *ctx, int count, char **arguments) {
    check_values w = {0};
    cluster_findings found = {0};
    px_verdict verdict = {PX_VERDICT_NONE, ""};
    px_device *device;
    PX_TRY(px_cli_parse(ctx, &px_command_check, count, arguments, &w, &w.positionals));
    if (w.device != PX_DEVICE_CPU) PX_TRY(try_clusters(ctx, w.limit, &found, &verdict));
    PX_TRY(px_device_open(ctx, (px_device_kind)w.device, PX_BF16, &device));
    px_cli_print_warning(NULL, device);
    cJSON *json = w.json ? cJSON_CreateObject() : NULL;
    const px_status status = check_opened(ctx, &w, device, &verdict, &found, json);
    cJSON_Delete(json);
    px_device_close(device);
    return status;
}

const px_command px_command_check = {
    .name = "check",
    .positionals = "",
    .summary = "compare every operation, fast path and kind of model on this device with the CPU's plain paths",
    .details = "Exit status 0 if all agree. On GPUs of compute capability 9.0 it also decides whether recurrences on "
               "clusters are used, and remembers that for this GPU, its driver and this program.",
    .example = "check --device cpu --json",
    .options = options,
    .run = check_run,
};
