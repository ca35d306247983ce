/* .npy files: mapping images, writing headers. */
#include "pixelrnn/npy.h"
#include "host/data/npy_header.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static px_status read_images(px_context *ctx, const char *path, const px_contents *file, px_npy *npy) {
    px_npy_header h;
    PX_TRY(px_npy_header_parse(ctx, path, file->bytes, file->size, &h));
    PX_TRY(px_npy_header_images(ctx, path, &h, file->size));
    npy->data = file->bytes + h.elements;
    npy->dimensions = h.dimensions;
    memcpy(npy->shape, h.shape, (size_t)h.dimensions * sizeof *h.shape);
    return PX_OK;
}

px_status px_npy_open(px_context *ctx, const char *path, px_npy *npy) {
    px_contents file;
    *npy = (px_npy){0};
    PX_TRY(px_contents_map(ctx, path, &file));
    px_status status = read_images(ctx, path, &file, npy);
    if (status != PX_OK) {
        px_contents_free(&file);
        *npy = (px_npy){0};
        return status;
    }
    close(file.file);
    npy->mapping = file.bytes;
    npy->mapped = file.size;
    return PX_OK;
}

void px_npy_close(px_npy *npy) {
    if (npy->mapping) munmap(npy->mapping, npy->mapped);
    *npy = (px_npy){0};
}

px_status px_npy_write_header(px_context *ctx, const char *path, FILE *file, const char *descr, int dimensions,
                              const size_t *shape) {
    enum { PREFIX = 10, ROOM = PX_NPY_HEADER - PREFIX }; /* magic, version, length; the dictionary */
    char text[256];
    int used = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int d = 0; d < dimensions; d++)
        used += snprintf(text + used, sizeof text - (size_t)used, d ? " %zu," : "%zu,", shape[d]);
    used += snprintf(text + used, sizeof text - (size_t)used, "), }");
    if (used >= ROOM)
        return px_fail(ctx, PX_ERR_SHAPE, "%s: a header of %d bytes has no room for %s", path, ROOM, text);
    const uint8_t prefix[PREFIX] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, ROOM, 0};
    if (fwrite(prefix, sizeof prefix, 1, file) != 1 || fprintf(file, "%s%*s\n", text, ROOM - used - 1, "") != ROOM)
        return px_fail(ctx, PX_ERR_FILE, "%s: cannot be written: %s", path, strerror(errno));
    return PX_OK;
}
