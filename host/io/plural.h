/* Nouns after numbers, for messages. */
#ifndef PIXELRNN_PLURAL_H
#define PIXELRNN_PLURAL_H

/* The ending of a regular noun after a number: "1 image", "2 images". */
static inline const char *px_plural(long long count) { return count == 1 ? "" : "s"; }

#endif
