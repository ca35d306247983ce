/* Incremental evaluation: a model's logits value by value, a whole image at the cost of about one pass.
 *
 * A decoder goes over the pixels of a batch of images in raster order, and keeps for each layer what later pixels will
 * read of it: one row of features. Per row it computes what the rows above give the whole row, per pixel what the
 * pixels beside give, both for all layers at once; then, for each channel, only the features of that colour group,
 * which read the groups up to it. Together that is the arithmetic of one pass, less what the masks leave out. The
 * logits are the full pass's up to rounding.
 *
 * Each call may run at once on the device, for all images together. Or calls are recorded, and replayed for groups of
 * images by the device's workers (px_execute_args), a few rows at a time: the way to draw images, where nobody looks at
 * the logits on the host. */
#ifndef PIXELRNN_DECODER_H
#define PIXELRNN_DECODER_H

#include "pixelrnn/model.h"

typedef struct px_decoder px_decoder;

typedef enum {
    PX_DECODER_DIRECT,   /* every call runs at once */
    PX_DECODER_RECORDED, /* calls run by px_decoder_finish at the latest; direct on a device without workers */
} px_decoder_mode;

/* For batches of at most `images` images; model is borrowed and needs no reservation. PX_ERR_MEMORY says what the plan
 * was. Destroy with px_decoder_destroy (NULL is allowed). */
px_status px_decoder_create(px_model *model, int images, px_decoder_mode mode, px_decoder **decoder);
void px_decoder_destroy(px_decoder *decoder);

/* Bytes on the device that a recorded decoder of so many images takes. */
px_status px_decoder_plan(px_model *model, int images, size_t *bytes);

const px_model_spec *px_decoder_spec(const px_decoder *decoder);
px_context *px_decoder_context(const px_decoder *decoder);
int px_decoder_capacity(const px_decoder *decoder);

/* Starts over with `images` images, before their first pixel. levels [images, H, W, C] are those that are given; NULL:
 * all 0. What is not given yet may be anything: the masks keep it from mattering. */
px_status px_decoder_begin(px_decoder *decoder, int images, const uint8_t *levels);

/* Steps onto the next pixel in raster order; then either its logits are asked for, channel by channel, or it is passed.
 */
px_status px_decoder_next(px_decoder *decoder);
/* logits (images, C * L), of which columns channel * L .. are now those of this channel; read them before the next
 * call. Channels are asked for in order, each when the one before has its level. */
px_status px_decoder_logits(px_decoder *decoder, int channel, px_tensor *logits);
/* The same, and draws the value: see px_sample_args. The nats of each image add up. */
px_status px_decoder_sample(px_decoder *decoder, int channel, double temperature, uint64_t seed, uint64_t first_image);
/* Takes the pixel's values, all of which are given, without computing logits. */
px_status px_decoder_skip(px_decoder *decoder);

/* Ends what is under way. levels [images, H, W, C] gets all values, nats, if not NULL, the sums of each image. */
px_status px_decoder_finish(px_decoder *decoder, uint8_t *levels, double *nats);

#endif
