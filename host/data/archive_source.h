/* Tars and zips of images, and the tars of CIFAR's binary versions. Internal to host/data/. */
#ifndef PIXELRNN_DATA_ARCHIVE_SOURCE_H
#define PIXELRNN_DATA_ARCHIVE_SOURCE_H

#include "host/data/archive.h"
#include "host/data/formats.h"

/* Opens an archive whose images are read in any order. format is PX_ARCHIVE_TAR or PX_ARCHIVE_ZIP.
 *   file  its input, taken over, and freed after a failure; all zero: a compressed tar, which is read by its path */
px_status px_archive_source_open(px_context *ctx, px_archive_format format, const char *path, px_byte_source file,
                                 const px_source_options *options, px_source **source);

/* Finds out whether a zip is a set of images: it has image files, of any format, and no .npy. */
px_status px_zip_holds_images(px_context *ctx, const char *path, const px_byte_source *zip, bool *has_images);

/* Opens a compressed tar or a zip whose images are read in order, in constant memory. If there are no images in it,
 * returns PX_OK and leaves *source unchanged. */
px_status px_archive_stream_open(px_context *ctx, px_archive_format format, const char *path,
                                 const px_source_options *options, px_source **source);

#endif
