/* Messages and exit statuses. */
#include "pixelrnn/status.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

px_status px_fail(px_context *ctx, px_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(ctx->message, sizeof ctx->message, format, arguments);
    va_end(arguments);
    for (char *c = ctx->message; *c; c++)
        if (iscntrl((unsigned char)*c)) *c = '?';
    return status;
}

px_status px_fail_memory(px_context *ctx, const char *where, size_t bytes) {
    if (bytes == 0) return px_fail(ctx, PX_ERR_MEMORY, "%s: out of memory", where);
    return px_fail(ctx, PX_ERR_MEMORY, "%s: out of memory, cannot allocate %zu bytes", where, bytes);
}

int px_exit_status(px_status status) {
    switch (status) {
    case PX_OK: return 0;
    case PX_ERR_USAGE:
    case PX_ERR_CONFIG: return 2;
    case PX_STOPPED: return 3;
    case PX_INTERRUPTED: return 128 + 2; /* as a shell reports SIGINT */
    default: return 1;
    }
}
