/* The choice among a recurrence's strategies: one table, first come, first served. */
#include "host/device/recurrence.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A strategy and all that it asks for. If the environment variable PX_RECURRENCE names a strategy, the others are not
 * taken. */
typedef struct recurrence_row {
    const char *name;
    px_recurrence_strategy strategy;
    bool narrow;                              /* for bfloat16 alone */
    int capability_from, capability_to;       /* 90 is 9.0; a CPU has 0 */
    int hidden_from, hidden_to, hidden_steps; /* hidden features, and what they are a multiple of */
    int lanes;                                /* at most */
} recurrence_row;
static const recurrence_row recurrence_table[PX_RECURRENCE_STRATEGIES] = {
    {"cluster", PX_RECURRENCE_CLUSTER, true, 90, 90, 16, 512, PX_CLUSTER_CHANNEL_MULTIPLE, PX_CLUSTER_POSITIONS},
    {"stepwise", PX_RECURRENCE_STEPWISE, false, 0, INT_MAX, 0, INT_MAX, 1, INT_MAX},
};

static bool is_aligned(const px_tensor *tensor) {
    return (uintptr_t)tensor->data % PX_CHUNK_BYTES == 0;
}

/* bfloat16 wherever clusters want it, and all tensors where 16 bytes can be moved at a time. Only backward has a dh. */
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

/* Clusters that are under way at once: a block takes a multiprocessor, and the blocks of a cluster share a GPC, which
 * on sm_90 has 16 or 18 multiprocessors; of 16 each, no size of cluster leaves any over. (Predicted, not yet seen.) */
enum { PX_GPC = 16 };
static int clusters_at_once(const px_device *device, int blocks) {
    return device->multiprocessors / PX_GPC * (PX_GPC / blocks);
}

/* The fewest images a cluster with which all clusters are under way at once; 0 if that cannot be. With fewer, clusters
 * would wait until others end: that lanes drain, and that weights are read again, costs more than lanes' rests. */
static int cluster_images(const px_device *device, const px_recurrence_args *s, int blocks) {
    const int queues = clusters_at_once(device, blocks) / s->directions;
    const int images = s->grid.images > 0 ? s->grid.images : 1; /* none is refused elsewhere */
    return queues > 0 ? (images + queues - 1) / queues : 0;
}

/* Cycles that a recurrence takes on such clusters: its steps follow each other, and in each of them the block
 * - waits, for memory, barriers and the other blocks, however large it is: taken as PX_WAIT, some 1.2 us;
 * - works on the cells of its slots: 16 a thread, some 40 instructions each, of which a scheduler issues one a cycle;
 * - multiplies 64 lanes with taps * D values of K and a slot's 128 columns forward, 2048 products a cycle; backward K
 *   and columns change places.
 * (Predicted, not yet measured.) The bytes that the tensors move are the same however the recurrence is split. */
enum { PX_WAIT = 2000, PX_SLOT_CELLS = 16 * 40 };
static long cluster_cycles(const px_recurrence_args *s, const px_cluster *c) {
    const int product = PX_CLUSTER_POSITIONS * s->taps * s->hidden * PX_TILE_GATES / 2048;
    return (long)px_cluster_steps(s, c->images) * (PX_WAIT + c->warpgroups * (PX_SLOT_CELLS + product));
}

/* Of the clusters whose blocks hold their weights the one that takes the fewest cycles, the smallest of equals. groups
 * is 0 if none fits. */
static px_cluster cluster_choose(const px_device *device, const px_recurrence_args *s, bool backward, size_t *bytes) {
    px_cluster best = {0};
    for (int blocks = 1; blocks <= PX_CLUSTER_MAX_BLOCKS; blocks *= 2) {
        const px_cluster c = px_cluster_split(s, blocks, cluster_images(device, s, blocks));
        if (c.warpgroups == 0 || c.images == 0) continue;
        const size_t need = (backward ? px_backward_shared(&c) : px_forward_shared(&c)).bytes;
        if (need > device->shared) continue;
        if (best.warpgroups > 0 && cluster_cycles(s, &c) >= cluster_cycles(s, &best)) continue;
        best = c;
        *bytes = need;
    }
    return best;
}

/* What the kernels take for granted: an image at least, and taps onto neighbours, which with a delay lead to the lane
 * above and the lane itself (px_pipeline_pixel). */
static bool cluster_takes(const px_recurrence_args *s) {
    const int last_tap = s->first_tap + s->taps - 1;
    return s->grid.images > 0 && s->steps > 0 && s->first_tap >= -1 && last_tap <= 1 && s->skew * s->first_tap >= -1 &&
           s->skew * last_tap <= 0;
}

/* Adds to a list of words. */
static void list_arguments(char list[PX_RECURRENCE_TEXT], const char *words) {
    const size_t used = strlen(list);
    snprintf(list + used, PX_RECURRENCE_TEXT - used, "%s%s", used ? ", " : "", words);
}

/* Whether a condition is met; noted, if anyone takes notes. */
static bool recurrence_asks(px_recurrence_option *notes, bool met, const char *format, ...) {
    if (!notes) return met;
    char words[PX_RECURRENCE_TEXT];
    va_list numbers;
    va_start(numbers, format);
    vsnprintf(words, sizeof words, format, numbers);
    va_end(numbers);
    list_arguments(notes->asks, words);
    if (!met) list_arguments(notes->lacks, words);
    return met;
}

/* Whether all that a row asks for is given, and how the work would be split. Each condition is looked at, so that notes
 * are complete. */
static bool recurrence_row_allows(const recurrence_row *row, const px_device *device, const px_recurrence_args *s,
                                  bool backward, px_recurrence_choice *choice, px_recurrence_option *notes) {
    const char *named = getenv("PX_RECURRENCE");
    bool all = true;
    if (named && strcmp(named, row->name) != 0 && row->strategy != PX_RECURRENCE_STEPWISE)
        all &= recurrence_asks(notes, false, "PX_RECURRENCE=%s", row->name);
    if (row->capability_from > 0)
        all &= recurrence_asks(notes,
                               device->capability >= row->capability_from && device->capability <= row->capability_to,
                               "compute capability %d.%d", row->capability_from / 10, row->capability_from % 10);
    if (row->narrow) all &= recurrence_asks(notes, recurrence_tensors_are_bf16(s, backward), "bfloat16");
    if (row->hidden_from > 0)
        all &= recurrence_asks(
            notes, s->hidden >= row->hidden_from && s->hidden <= row->hidden_to && s->hidden % row->hidden_steps == 0,
            "%d to %d features in steps of %d", row->hidden_from, row->hidden_to, row->hidden_steps);
    if (row->lanes < INT_MAX) all &= recurrence_asks(notes, s->positions <= row->lanes, "up to %d lanes", row->lanes);
    if (row->strategy != PX_RECURRENCE_CLUSTER) return all;
    all &= recurrence_asks(notes, cluster_takes(s), "images and taps onto neighbours");
    choice->cluster = cluster_choose(device, s, backward, &choice->shared);
    return recurrence_asks(notes, choice->cluster.warpgroups > 0, "weights that fit in the shared memory of its blocks") &&
           all;
}

px_recurrence_choice px_recurrence_choose(const px_device *device, const px_recurrence_args *s, bool backward) {
    px_recurrence_choice choice = {.strategy = PX_RECURRENCE_STEPWISE,
                                   .words = "stepwise: a product and a cell kernel a step"};
    for (const recurrence_row *row = recurrence_table; row->strategy != PX_RECURRENCE_STEPWISE; row++) {
        if (!recurrence_row_allows(row, device, s, backward, &choice, NULL)) continue;
        choice.strategy = row->strategy;
        snprintf(choice.words, sizeof choice.words,
                 "cluster: %d x %d blocks of %d threads, %zu bytes shared each, %d image%s a cluster",
                 px_cluster_count(s, &choice.cluster), choice.cluster.blocks, choice.cluster.warpgroups * PX_WARPGROUP_THREADS,
                 choice.shared, choice.cluster.images, choice.cluster.images == 1 ? "" : "s");
        break;
    }
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
        if (row->strategy == choice.strategy) e->taken = i;
    }
}
