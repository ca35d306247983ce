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
    PX_ERR_USAGE,   /* the words of a command are wrong */
    PX_ERR_CONFIG,  /* a config is wrong, or contradicts its data or model */
    PX_ERR_FILE,    /* the operating system refused: missing, unreadable, full */
    PX_ERR_FORMAT,  /* a file's content is not what its format promises */
    PX_ERR_SHAPE,   /* sizes that do not fit each other */
    PX_ERR_MEMORY,  /* not enough memory on the host or the device */
    PX_ERR_DEVICE,  /* a device or one of its libraries failed, or is not there */
    PX_ERR_NUMERIC, /* a figure is not finite */
    PX_STOPPED,     /* ended early because it was asked to; what there was to keep is kept */
    PX_INTERRUPTED, /* the same, asked for by Ctrl-C */
} px_status;

/* Where the message of a failure is written. One per thread of control; objects keep a pointer to their creator's. */
typedef struct px_context {
    char message[1024]; /* one line, no newline; "" while nothing has failed */
} px_context;

/* Writes the formatted line into ctx->message (cut to fit) and returns status. Files and paths may bring any bytes into
 * it: a control character becomes '?', so that it stays one line. */
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
