/* Writing the headers of .npy files. */
#include "host/data/npy.h"
#include <errno.h>
#include <stdint.h>
#include <string.h>

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
