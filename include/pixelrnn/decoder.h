/* Incremental decoding: the logits of one value at a time, at the cost of about one forward pass for a whole image.
 *
 * Sampling needs the logits of a value when all values before it are known, and those after it are not. Running the
 * network again for each value would cost H * W * C forward passes. A decoder instead visits the pixels of a batch in
 * raster order and caches, for every layer, the features that later pixels read (as a KV cache does for a Transformer):
 *   - at the start of a row, it adds the products of all kernel taps in earlier rows, for all pixels of the row;
 *   - at each pixel, it adds the products of the taps beside it, for all blocks in one batched product;
 *   - for each channel, it computes the features of that colour group, with the remaining taps at the pixel itself.
 * The logits equal those of px_model_logits up to rounding.
 *
 *     px_decoder_begin(decoder, images, NULL, conditions);
 *     for each row of pixels: px_decoder_sample_row(decoder, NULL, temperature, seed, first_image);
 *     px_decoder_finish(decoder, levels, nats);
 *
 * px_sample (sample.h) is this loop, with a decoder a thread. A batch of which all levels are known can instead be
 * visited pixel by pixel:
 *
 *     px_decoder_begin(decoder, images, levels, conditions);
 *     for each pixel in raster order:
 *         px_decoder_next(decoder);
 *         for each channel: px_decoder_logits(decoder, channel, &logits); or once: px_decoder_skip(decoder);
 *
 * Notation: H, W, C, L as in model.h. All functions return PX_ERR_DEVICE if an operation fails. */
#ifndef PIXELRNN_DECODER_H
#define PIXELRNN_DECODER_H

#include "pixelrnn/model.h"

typedef struct px_decoder px_decoder;

/* Creates a decoder for batches of up to `images` images and allocates its caches. The model is borrowed; it needs no
 * reservation. Decoders of one model may run in different threads on the CPU. PX_ERR_MEMORY with the bytes needed and
 * the config keys to lower. Destroy with px_decoder_destroy, which accepts NULL. */
px_status px_decoder_create(px_model *model, int images, px_decoder **decoder);
void px_decoder_destroy(px_decoder *decoder);

/* Gives the bytes on the device that a decoder of this capacity needs. PX_ERR_MEMORY. */
px_status px_decoder_plan(px_model *model, int images, size_t *bytes);

/* Begins a batch of `images` images, before its first pixel. levels: host memory [images, H, W, C] with the known
 * values, copied; values that are not known yet may be anything. NULL: no value is known. conditions: those of the
 * images, copied (condition.h); NULL for a model without a condition. May be called at any time. */
px_status px_decoder_begin(px_decoder *decoder, int images, const uint8_t *levels, const uint8_t *conditions);

/* Samples the next row of pixels: for each channel of each pixel, computes the logits, samples the level from
 * softmax(logits / temperature), and adds -ln p of the level at temperature 1 to the nats of the image. The random
 * number depends on the seed, the index first_image + n of image n (below 2^53), and the position of the value (see
 * sample.h). given: W flags, nonzero for the pixels whose levels are known and are not sampled; NULL: none.
 * A device with graphs captures the operations of a row, unless some of its pixels are given and some are not. Batches
 * of the same size then launch one graph a row. */
px_status px_decoder_sample_row(px_decoder *decoder, const uint8_t *given, double temperature, uint64_t seed,
                                uint64_t first_image);

/* Moves to the next pixel in raster order. To be followed by px_decoder_logits for each channel in order, or by one
 * px_decoder_skip. */
px_status px_decoder_next(px_decoder *decoder);
/* Computes the logits of a channel of the current pixel. logits: (images, C * L) in the type of the activations, on the
 * device and owned by the decoder. Columns channel * L .. channel * L + L - 1 are valid until the next call. */
px_status px_decoder_logits(px_decoder *decoder, int channel, px_tensor *logits);
/* Computes what later pixels read of the current pixel, all values of which are known, without its logits. */
px_status px_decoder_skip(px_decoder *decoder);

/* Waits for the device and copies the images and their nats to the host. levels:
 * [images, H, W, C]. nats: one for each image, the sum over its sampled values; may be NULL. */
px_status px_decoder_finish(px_decoder *decoder, uint8_t *levels, double *nats);

#endif
