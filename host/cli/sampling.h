/* What sample and complete share: images drawn batch by batch into a journal, then put into their file. With several
 * ranks each draws its share of a round, and rank 0 alone has the journal and writes. */
#ifndef PIXELRNN_CLI_DRAWING_H
#define PIXELRNN_CLI_DRAWING_H

#include "host/io/lock.h"
#include "host/io/file.h"
#include "host/io/resume_file.h"
#include "pixelrnn/model.h"
#include "pixelrnn/ranks.h"
#include "host/logging/logging.h"
#include "pixelrnn/sample.h"

typedef struct px_sampling {
    px_context *ctx;
    px_model *model;
    px_ranks *ranks;
    const char *command, *out;
    int count, batch; /* images in all, and at a time on each rank */
    uint64_t seed;
    double temperature;
    /* Completions: the pixels to keep [H, W], the 8-bit image that drawing `index` completes, and what else the given
     * pixels depend on. Without: NULL. */
    const uint8_t *keep;
    px_status (*given)(void *context, int index, uint8_t *pixels);
    void *context;
    const char *given_name;

    px_lock lock;            /* rank 0's, of out */
    px_resume_file *journal; /* rank 0's; after px_sampling_run: `count` records */
} px_sampling;

/* PX_ERR_USAGE unless out ends with .png or .npy. */
px_status px_sampling_check_path(px_context *ctx, const char *out);

/* Draws what the journal lacks; an interrupted drawing goes on where it stopped. Stopped, it leaves the batches that
 * were finished in the journal, and says so. */
px_status px_sampling_run(px_sampling *drawing);
/* What follows is rank 0's.
 *
 * Writes all images as [count, H, W, C]. */
px_status px_sampling_write_npy(px_sampling *drawing);
/* 8-bit pixels of images first .. first + count - 1. */
px_status px_sampling_read(px_sampling *drawing, int first, int count, uint8_t *pixels);
/* The journal has served: removes it, and prints what was drawn with its NLL. */
px_status px_sampling_finish(px_sampling *drawing, const char *what);
/* Closes what was opened; an unfinished journal stays. */
void px_sampling_close(px_sampling *drawing);

/* Bytes of an image, one a value. */
static inline size_t px_image_bytes(const px_model_spec *spec) {
    return (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels;
}

#endif
