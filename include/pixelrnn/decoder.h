/* Incremental evaluation: a model's logits value by value, a whole image at the cost of about one pass.
 *
 * A decoder goes over the pixels of a batch of images in raster order, and keeps for each layer what later pixels will
 * read of it: one row of features. Per row it computes what the rows above give the whole row, per pixel what the pixels
 * beside give, both for all layers at once; then, for each channel, only the features of that colour group, which read
 * the groups up to it. Together that is the arithmetic of one pass, less what the masks leave out. The logits are the
 * full pass's up to rounding.
 *
 * Levels stand in px_decoder_images. The values of a pixel must be there before a later value is asked for; how they
 * come there (drawn on the device, uploaded as given) is the caller's matter. */
#ifndef PIXELRNN_DECODER_H
#define PIXELRNN_DECODER_H

#include "pixelrnn/model.h"

typedef struct px_decoder px_decoder;

/* For batches of at most `images` images; model is borrowed and needs no reservation. PX_ERR_MEMORY says what the plan
 * was. Destroy with px_decoder_destroy (NULL is allowed). */
px_status px_decoder_create(px_model *model, int images, px_decoder **decoder);
void px_decoder_destroy(px_decoder *decoder);

/* Bytes on the device that a decoder of so many images takes. */
px_status px_decoder_plan(px_model *model, int images, size_t *bytes);

px_model *px_decoder_model(const px_decoder *decoder);
int px_decoder_capacity(const px_decoder *decoder);
/* The batch on the device, PX_UINT8 (images reserved, H * W * C). */
px_map px_decoder_images(const px_decoder *decoder);
/* A sum for each image (images reserved, 1) PX_FLOAT64, for the caller's use. */
px_map px_decoder_nats(const px_decoder *decoder);

/* Starts over with `images` images, before their first pixel. */
px_status px_decoder_begin(px_decoder *decoder, int images);

/* Steps onto the next pixel in raster order; then either its logits are asked for, channel by channel, or it is passed. */
px_status px_decoder_next(px_decoder *decoder);
/* logits (images, C * L), of which columns channel * L .. are now those of this channel; read them before the next call.
 * Channels are asked for in order. */
px_status px_decoder_logits(px_decoder *decoder, int channel, px_map *logits);
/* Takes the pixel's values, all of which are given, without computing logits. */
px_status px_decoder_pass(px_decoder *decoder);

#endif
