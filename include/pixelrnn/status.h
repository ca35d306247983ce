/* Status codes and messages: how every function of the library reports a failure.
 *
 * A function that can fail returns a px_status. Where the fault is found it calls px_fail, which writes one line into
 * the caller's px_context and returns the status; every level above only passes the status on with PX_TRY. The library
 * never prints and never ends the process. */
#ifndef PIXELRNN_STATUS_H
#define PIXELRNN_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum px_status {
    PX_OK = 0,
    PX_ERR_USAGE,   /* wrong command line */
    PX_ERR_CONFIG,  /* an invalid config, or one that contradicts data or model */
    PX_ERR_FILE,    /* a failed file operation: missing, unreadable, disk full */
    PX_ERR_FORMAT,  /* a file that violates its format */
    PX_ERR_SHAPE,   /* incompatible sizes */
    PX_ERR_MEMORY,  /* not enough memory on the host or the device */
    PX_ERR_DEVICE,  /* a device or one of its libraries failed or is missing */
    PX_ERR_NUMERIC, /* a value is not finite */
    PX_STOPPED,     /* ended early by request (SIGTERM), with its state saved */
    PX_INTERRUPTED, /* the same, requested by Ctrl-C */
} px_status;

/* The message of the last failure. Use one context per thread. Objects keep a pointer to the context of their creator.
 */
typedef struct px_context {
    char message[1024]; /* one line, no newline; "" while nothing has failed */
} px_context;

/* Writes the formatted line into ctx->message, truncated to fit, and returns status. Control characters, which file
 * names may contain, become '?', so that the message is one line. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
px_status
px_fail(px_context *ctx, px_status status, const char *format, ...);

/* Writes "WHERE: out of memory, cannot allocate BYTES bytes" and returns PX_ERR_MEMORY. where: a file, or the name of
 * what needs the memory. bytes: 0 if the size is not known, and then not mentioned. */
px_status px_fail_memory(px_context *ctx, const char *where, size_t bytes);

/* The process's exit status: 0 for PX_OK, 2 for wrong arguments or a wrong config, 3 for PX_STOPPED, 130 for
 * PX_INTERRUPTED, 1 for everything that fails at run time. */
int px_exit_status(px_status status);

/* Returns from the calling function with the status of call unless it is PX_OK. */
#define PX_TRY(call)                                                                                                   \
    do {                                                                                                               \
        px_status px_try_ = (call);                                                                                    \
        if (px_try_ != PX_OK) return px_try_;                                                                          \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
