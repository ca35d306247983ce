#include "host/check/check.h"
#include "host/check/cases.h"
#include "host/check/cluster_trial.h"
#include "host/check/sides.h"
#include "host/device/recurrence.h"
#include "host/io/clock.h"
#include <stdio.h>
#include <string.h>

/* Begins a row: clears the results of the row before. */
static double begin_row(px_sides *sides) {
    sides->failure[0] = '\0';
    sides->cases = 0;
    sides->worst = 0;
    return px_clock_seconds();
}

static px_check_row end_row(const px_sides *sides, const char *name, double began) {
    px_check_row row = {
        name, sides->mode->name, sides->cases, sides->worst, sides->tolerance, px_clock_seconds() - began, ""};
    memcpy(row.failure, sides->failure, sizeof row.failure);
    return row;
}

static void check_operations(px_sides *sides, const px_check_report *report) {
    static void (*const checks[])(px_sides *) = {
#define ENTRY(name) px_check_##name,
        PX_DEVICE_OPS(ENTRY)};
    for (int i = 0; i < PX_OPS; i++) {
        const double began = begin_row(sides);
        checks[i](sides);
        const px_check_row row = end_row(sides, px_op_names[i], began);
        report->row(report->user, &row);
    }
}

static void check_models(px_sides *sides, const px_check_report *report) {
    for (int i = 0; i < PX_MODEL_CASES; i++) {
        const double began = begin_row(sides);
        px_check_model(sides, &px_model_cases[i]);
        const px_check_row row = end_row(sides, px_model_cases[i].name, began);
        report->row(report->user, &row);
    }
}

static px_status check_mode(px_context *ctx, const px_check_mode *mode, px_device_kind kind,
                            const px_check_report *report) {
    px_sides sides;
    const px_status status = px_sides_open(&sides, mode, kind, true);
    if (status == PX_OK) {
        check_operations(&sides, report);
        check_models(&sides, report);
    }
    *ctx = sides.ctx;
    px_sides_close(&sides);
    return status;
}

/* Compute capability 8.0 is what the CUDA backend requires, so that the fused recurrence can always run there. */
static px_status check_fused(px_context *ctx, bool brief, const px_check_report *report) {
    px_sides sides;
    const px_status status = px_sides_open(&sides, &px_check_modes[PX_CHECK_BFLOAT16_FLOAT32], PX_DEVICE_CUDA, brief);
    if (status == PX_OK) {
        const double began = begin_row(&sides);
        px_check_fused_path(&sides, 2);
        const px_check_row row = end_row(&sides, "fused recurrence", began);
        report->row(report->user, &row);
    }
    *ctx = sides.ctx;
    px_sides_close(&sides);
    return status;
}

px_status px_check_device(px_context *ctx, px_device_kind kind, bool brief, const px_check_report *report) {
    PX_TRY(check_mode(ctx, &px_check_modes[PX_CHECK_FLOAT32], kind, report));
    if (kind == PX_DEVICE_CUDA) PX_TRY(check_mode(ctx, &px_check_modes[PX_CHECK_TF32], kind, report));
    PX_TRY(check_mode(ctx, &px_check_modes[PX_CHECK_BFLOAT16], kind, report));
    return kind == PX_DEVICE_CUDA ? check_fused(ctx, brief, report) : PX_OK;
}

px_status px_check_clusters(px_context *ctx, px_check_row *row, double *step, double *fused_step) {
    px_sides sides;
    *step = *fused_step = 0;
    const px_status status = px_sides_open(&sides, &px_check_modes[PX_CHECK_BFLOAT16_FLOAT32], PX_DEVICE_CUDA, false);
    if (status == PX_OK) {
        const double began = begin_row(&sides);
        px_check_cluster_path(&sides, px_cluster_trial.repeats);
        *row = end_row(&sides, "cluster recurrence", began);
        *step = px_check_path_seconds(&sides, PX_PATH_CLUSTER);
        *fused_step = px_check_path_seconds(&sides, PX_PATH_FUSED);
    }
    *ctx = sides.ctx;
    px_sides_close(&sides);
    return status;
}
