/* Event files of TensorBoard. */
#ifndef PIXELRNN_LOGGING_EVENTS_H
#define PIXELRNN_LOGGING_EVENTS_H

#include "pixelrnn/config.h"
#include "pixelrnn/status.h"
#include <stddef.h>
#include <stdint.h>

typedef struct px_events px_events;

/* Creates a new folder/events.out.tfevents.*. TensorBoard discards events of later steps than `step` in older files.
 * After a failure *events must still be closed; it may be NULL. */
px_status px_events_open(px_context *ctx, const char *folder, int64_t step, px_events **events);
void px_events_close(px_events *events);

/* Each of these appends an event, which px_events_flush hands to the file. */
px_status px_events_scalar(px_events *events, int64_t step, const char *tag, double number);
px_status px_events_image(px_events *events, int64_t step, const char *tag, const void *png, size_t bytes, int height,
                          int width, int channels);
/* Appends the config as a text "config", and all keys as hyperparameters of this run for the HPARAMS table. */
px_status px_events_config(px_events *events, int64_t step, const px_config *config);
px_status px_events_flush(px_events *events);

#endif
