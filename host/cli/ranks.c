/* Commands that run on several ranks: how they begin and end, and who talks. */
#include "host/cli/cli.h"
#include <unistd.h>

/* Ends this process from a thread of the watch, while the main one may be waiting for a rank that is gone. */
static void px_end_at_once(px_status status, const char *line) {
    if (line) fprintf(stderr, "pixelrnn: %s\n", line);
    _exit(px_exit_status(status));
}

px_status px_cli_join(px_context *ctx, px_ranks **ranks) {
    return px_ranks_open(ctx, px_end_at_once, ranks);
}

px_status px_cli_leave(px_context *ctx, px_ranks *ranks, px_status status) {
    if (ranks && status != PX_OK && px_ranks_rank(ranks) == 0) fprintf(stderr, "pixelrnn: %s\n", ctx->message);
    px_ranks_close(ranks, status);
    return status;
}

FILE *px_cli_talk(const px_ranks *ranks) {
    static FILE *nobody;
    if (px_ranks_rank(ranks) == 0) return stderr;
    if (!nobody) nobody = fopen("/dev/null", "w");
    return nobody ? nobody : stderr;
}
