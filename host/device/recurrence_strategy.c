/* Chooses how a recurrence runs: the first strategy of a table whose requirements are met. */
#include "host/device/recurrence.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A strategy and its requirements. */
typedef struct recurrence_row {
    const char *name;
    px_recurrence_strategy strategy;
    unsigned path;                            /* the px_path that px_device.paths must have */
    const char *allowed_by;                   /* how a GPU gets that path */
    bool narrow;                              /* requires bfloat16 tensors */
    int capability_from, capability_to;       /* 90 for 9.0; the CPU has 0, and every GPU more */
    int hidden_from, hidden_to, hidden_steps; /* hidden channels, in multiples of hidden_steps */
    int positions;                            /* maximum number of positions */
} recurrence_row;
static const recurrence_row recurrence_table[PX_RECURRENCE_STRATEGIES] = {
    {"cluster", PX_RECURRENCE_CLUSTER, PX_PATH_CLUSTER, " and a verdict of `pixelrnn check`", true, 90, 90, 16, 512,
     PX_CLUSTER_CHANNEL_MULTIPLE, PX_CLUSTER_POSITIONS},
    {"fused", PX_RECURRENCE_FUSED, PX_PATH_FUSED, " and agreement with the stepwise recurrence", true, 80, INT_MAX,
     PX_STEP_CHANNEL_MULTIPLE, INT_MAX, PX_STEP_CHANNEL_MULTIPLE, INT_MAX},
    {"stepwise", PX_RECURRENCE_STEPWISE, 0, "", false, 0, INT_MAX, 0, INT_MAX, 1, INT_MAX},
};

static bool is_aligned(const px_tensor *tensor) { return (uintptr_t)tensor->data % PX_CHUNK_BYTES == 0; }

/* Whether all tensors but c are bfloat16, and all are aligned for 16-byte accesses. Only backward has a dh. */
static bool recurrence_tensors_are_bf16(const px_recurrence_args *s, bool backward) {
    for (int d = 0; d < s->directions; d++) {
        const px_recurrence_direction *line = &s->direction[d];
        const px_tensor *narrow[] = {&line->weight, &line->gates, &line->h, &line->dh};
        for (int i = 0; i < (backward ? 4 : 3); i++)
            if (narrow[i]->type != PX_BF16 || !is_aligned(narrow[i])) return false;
        if (!is_aligned(&line->c)) return false;
    }
    return true;
}

/* The minimum number of images per cluster with which all clusters run at the same time; 0 if there is none. With fewer
 * images, some clusters would start only when others end. Reloading weights and draining positions then costs more than
 * the gaps between images. (A prediction; not measured.) */
static int cluster_images(const px_device *device, const px_recurrence_args *s, int blocks) {
    const int size = blocks == 1 ? 0 : blocks == 2 ? 1 : blocks == 4 ? 2 : 3;
    const int clusters = device->clusters[size] / s->directions;
    const int images = s->grid.images > 0 ? s->grid.images : 1; /* cluster_supports refuses 0 images */
    return clusters > 0 ? (images + clusters - 1) / clusters : 0;
}

/* The estimated cycles of a recurrence on such clusters. Steps are sequential. In each step, a block
 * - waits for memory, barriers and other blocks, for WAIT_CYCLES cycles (1.2 us) whatever its size;
 * - computes the LSTM cells of its tiles: 16 a thread, some 40 instructions each, one a cycle and scheduler;
 * - multiplies 64 positions by taps * D values of K and the 128 columns of a tile at 2048 multiply-adds a cycle.
 *   Backward, K and the columns change places;
 * - sends its states or partial sums to the other blocks, 11 bytes a cycle: 2.65 TB/s for all multiprocessors.
 * (A prediction; not measured.) The memory traffic does not depend on the split. */
enum { WAIT_CYCLES = 2000, CELL_CYCLES = 16 * 40, SENT_BYTES_PER_CYCLE = 11 };
static long cluster_cycles(const px_recurrence_args *s, const px_cluster *c, bool backward) {
    const int product = PX_CLUSTER_POSITIONS * s->taps * s->hidden * PX_TILE_GATES / 2048;
    const int others = c->blocks - 1; /* also the last block, to which px_cluster_split gives the most channels */
    const long sent = backward ? px_receive_bytes(c) : (long)px_forward_copy_bytes(c, others) * others;
    const long step = WAIT_CYCLES + c->warpgroups * (CELL_CYCLES + product) + sent / SENT_BYTES_PER_CYCLE;
    return px_cluster_steps(s, c->images) * step;
}

/* The split with the lowest estimate among those whose weights fit in shared memory; the smallest of equals. warpgroups
 * is 0 if none fits. *bytes is the shared memory of a block. */
static px_cluster cluster_choose(const px_device *device, const px_recurrence_args *s, bool backward, size_t *bytes) {
    px_cluster best = {0};
    for (int blocks = 1; blocks <= PX_CLUSTER_MAX_BLOCKS; blocks *= 2) {
        const px_cluster c = px_cluster_split(s, blocks, cluster_images(device, s, blocks));
        if (c.warpgroups == 0 || c.images == 0) continue;
        const size_t need = (backward ? px_backward_shared(&c) : px_forward_shared(&c)).bytes;
        if (need > device->shared) continue;
        if (best.warpgroups > 0 && cluster_cycles(s, &c, backward) >= cluster_cycles(s, &best, backward)) continue;
        best = c;
        *bytes = need;
    }
    return best;
}

/* Whether the kernels support this recurrence: at least one image, and taps that read neighbours only. With skew, these
 * are the position before and the position itself (px_pipeline_pixel). */
static bool cluster_supports(const px_recurrence_args *s) {
    const int last_tap = s->first_tap + s->taps - 1;
    return s->grid.images > 0 && s->steps > 0 && s->first_tap >= -1 && last_tap <= 1 && s->skew * s->first_tap >= -1 &&
           s->skew * last_tap <= 0;
}

/* Whether the kernel of CUDA supports this recurrence: at least one image, at most three taps, pixels with 32-bit
 * numbers, and a temporary tensor for vectors of float32. */
static bool fused_supports(const px_recurrence_args *s) {
    return s->grid.images > 0 && s->steps > 0 && s->taps <= PX_MAX_STEP_TAPS && px_grid_pixels(&s->grid) <= INT_MAX &&
           is_aligned(&s->temporary);
}

/* Appends to a comma-separated list. */
static void list_append(char list[PX_RECURRENCE_TEXT], const char *words) {
    const size_t used = strlen(list);
    snprintf(list + used, PX_RECURRENCE_TEXT - used, "%s%s", used ? ", " : "", words);
}

/* Returns whether a requirement is met. Adds its text to notes, unless notes is NULL. */
static bool require(px_recurrence_option *notes, bool met, const char *format, ...) {
    if (!notes) return met;
    char words[PX_RECURRENCE_TEXT];
    va_list numbers;
    va_start(numbers, format);
    vsnprintf(words, sizeof words, format, numbers);
    va_end(numbers);
    list_append(notes->requires, words);
    if (!met) list_append(notes->missing, words);
    return met;
}

/* Whether all requirements of a row are met; sets the split in *choice. All are checked, so that notes are complete. */
static bool recurrence_row_allows(const recurrence_row *row, const px_device *device, const px_recurrence_args *s,
                                  bool backward, px_recurrence_choice *choice, px_recurrence_option *notes) {
    bool all = true;
    if (row->path)
        all &= require(notes, device->paths & row->path, "paths: auto%s",
                       device->capability > 0 ? row->allowed_by : "");
    if (row->strategy == PX_RECURRENCE_FUSED && device->capability == 0) return all; /* the CPU's needs nothing more */
    if (row->capability_from > 0)
        all &= require(notes, device->capability >= row->capability_from && device->capability <= row->capability_to,
                       row->capability_to < INT_MAX ? "compute capability %d.%d" : "compute capability %d.%d or later",
                       row->capability_from / 10, row->capability_from % 10);
    if (row->narrow) all &= require(notes, recurrence_tensors_are_bf16(s, backward), "bfloat16");
    const bool features = s->hidden >= row->hidden_from && s->hidden <= row->hidden_to &&
                          s->hidden % row->hidden_steps == 0;
    if (row->hidden_to < INT_MAX)
        all &= require(notes, features, "%d to %d features in steps of %d", row->hidden_from, row->hidden_to,
                       row->hidden_steps);
    else if (row->hidden_from > 0)
        all &= require(notes, features, "features in multiples of %d", row->hidden_steps);
    if (row->positions < INT_MAX)
        all &= require(notes, s->positions <= row->positions, "up to %d positions", row->positions);
    if (row->strategy == PX_RECURRENCE_FUSED) return require(notes, fused_supports(s), "images and 1 to 3 taps") && all;
    if (row->strategy != PX_RECURRENCE_CLUSTER) return all;
    all &= require(notes, cluster_supports(s), "images and taps onto neighbours");
    choice->cluster = cluster_choose(device, s, backward, &choice->shared);
    return require(notes, choice->cluster.warpgroups > 0, "weights that fit in the shared memory of its blocks") && all;
}

/* Describes a choice for users. */
static void write_words(px_recurrence_choice *choice, const px_device *device, const px_recurrence_args *s) {
    const px_cluster *cluster = &choice->cluster;
    if (choice->strategy == PX_RECURRENCE_CLUSTER)
        snprintf(choice->words, sizeof choice->words,
                 "cluster: %d x %d blocks of %d threads, %zu bytes shared each, %d image%s a cluster",
                 px_cluster_count(s, cluster), cluster->blocks, cluster->warpgroups * PX_WARPGROUP_THREADS,
                 choice->shared, cluster->images, cluster->images == 1 ? "" : "s");
    else if (choice->strategy == PX_RECURRENCE_FUSED)
        snprintf(choice->words, sizeof choice->words, "fused: %s",
                 device->capability > 0 ? "one kernel a step" : "all steps of a group of images on one thread");
    else
        snprintf(choice->words, sizeof choice->words,
                 "stepwise: skewed rows, a product a tap and a cell kernel a step");
}

px_recurrence_choice px_recurrence_choose(const px_device *device, const px_recurrence_args *s, bool backward) {
    px_recurrence_choice choice = {0};
    const recurrence_row *row = recurrence_table;
    while (row->strategy != PX_RECURRENCE_STEPWISE && !recurrence_row_allows(row, device, s, backward, &choice, NULL))
        row++;
    choice.strategy = row->strategy;
    write_words(&choice, device, s);
    return choice;
}

void px_recurrence_explain(const px_device *device, const px_recurrence_args *s, bool backward,
                           px_recurrence_explanation *e) {
    px_recurrence_choice choice = px_recurrence_choose(device, s, backward);
    *e = (px_recurrence_explanation){0};
    snprintf(e->words, sizeof e->words, "%s", choice.words);
    for (int i = 0; i < PX_RECURRENCE_STRATEGIES; i++) {
        const recurrence_row *row = &recurrence_table[i];
        e->option[i].name = row->name;
        recurrence_row_allows(row, device, s, backward, &choice, &e->option[i]);
        if (row->strategy == choice.strategy) e->chosen = i;
    }
}
