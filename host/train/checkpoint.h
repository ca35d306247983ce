/* Run folders and their checkpoints.
 *
 *     RUN/config.yaml                 the resolved config of the start that last took a step
 *     RUN/metrics.jsonl, events.out.* figures of every so many steps; metrics.jsonl has a record of each start, too
 *     RUN/samples/STEP.png            pictures
 *     RUN/checkpoints/STEP/           STEP in nine digits; appears whole or not at all
 *         model.safetensors           the weights that eval and sample use (their average, where that is on)
 *         optimizer.safetensors       moments; the weights in training, where model.safetensors holds their average
 *         state.json                  step, best figure so far, running means, what is still due at this step, what
 *                                     identifies the images
 *     RUN/checkpoints/STEP.rejected   a checkpoint that was damaged, or whose weights gave a figure that is not finite
 *     RUN/checkpoints/best, newest    symbolic links to a STEP, for people; text files where there are no links
 *
 * The folders named by a step are the truth: the newest whole one says which step is the best. Links are never read.
 */
#ifndef PIXELRNN_CHECKPOINT_H
#define PIXELRNN_CHECKPOINT_H

#include "pixelrnn/config.h"
#include "host/io/file.h"
#include "host/train/optimizer.h"
#include "pixelrnn/source.h"

/* What training carries from step to step besides weights and moments. */
typedef struct px_train_state {
    int64_t step;               /* updates done */
    double best_nats_per_image; /* best evaluation so far; infinite: none yet */
    int64_t best_step;
    double window_nats; /* sum of the training nats per image since the last line of metrics */
    int64_t window_steps;
    bool evaluation_due, samples_due; /* of this step, and not made yet */
    px_source_digest train, test; /* the images that it was trained and evaluated on; images 0: none, or not known */
} px_train_state;

/* Saves a checkpoint of state->step and points newest at it. Of a complete checkpoint of that step only the state is
 * written anew. */
px_status px_checkpoint_save(const char *run, px_model *model, const px_optimizer *optimizer, const px_config *config,
                             const px_train_state *state);

/* Point best and newest at the checkpoint of a step. They replace whatever has the name: another link, a file, or the
 * folder that a copy with links followed leaves. Where no link can be made, a text file with the step takes its place.
 */
px_status px_checkpoint_mark_best(px_context *ctx, const char *run, int64_t step);
px_status px_checkpoint_mark_newest(px_context *ctx, const char *run, int64_t step);
/* PX_ERR_FILE, with the operating system's reason, where RUN/checkpoints cannot hold symbolic links. */
px_status px_checkpoint_try_link(px_context *ctx, const char *run);

/* Loads the checkpoint of a step into model and optimizer; config: the one that it was saved with. PX_ERR_FILE or
 * PX_ERR_FORMAT: it is damaged (a file is missing or torn, a number is not finite), and what was loaded is not to be
 * used. PX_ERR_CONFIG: it holds a model of images of another size. */
px_status px_checkpoint_load(const char *run, int64_t step, px_model *model, const px_optimizer *optimizer,
                             px_train_state *state, px_config *config);

/* The step of the newest checkpoint, or -1. Whether it is whole is not looked at. */
int64_t px_checkpoint_newest(const char *run);
/* The step of the newest one before `step`, or -1. */
int64_t px_checkpoint_newest_before(const char *run, int64_t step);
/* Whether there is a checkpoint of this step. */
bool px_checkpoint_exists(const char *run, int64_t step);

/* Renames the checkpoint of a step to STEP.rejected (STEP.rejected.2 and so on if that is taken), so that nothing takes
 * it for a checkpoint again; name: what it is called now. */
px_status px_checkpoint_reject(px_context *ctx, const char *run, int64_t step, char name[PX_PATH]);

/* The model file behind MODEL: a .safetensors file, a checkpoint folder, or a run folder: of its newest whole
 * checkpoint or, where there was an evaluation, of the one that this calls the best. PX_ERR_FILE names what was looked
 * for. */
px_status px_checkpoint_find_model(px_context *ctx, const char *model, char path[PX_PATH]);

/* Removes what an interruption left half-written, and all but the `keep` newest checkpoints and the best (keep 0: none
 * of them). */
px_status px_checkpoint_prune(px_context *ctx, const char *run, int64_t keep, int64_t best_step);

/* RUN/checkpoints/STEP. */
px_status px_checkpoint_path(px_context *ctx, const char *run, int64_t step, char path[PX_PATH]);

#endif
