/* How a command with several ranks begins, ends and prints. */
#include "host/cli/cli.h"
#include <unistd.h>

static void log_line(const char *line) { fprintf(stderr, "pixelrnn: %s\n", line); }

/* Called by the heartbeat thread while the main thread may wait for a rank that is gone, so exit handlers do not run.
 */
static void exit_now(px_status status) { _exit(px_exit_status(status)); }

px_status px_cli_join(px_context *ctx, px_ranks **ranks) {
    static const px_ranks_callbacks callbacks = {log_line, exit_now, &px_cli_stop};
    PX_TRY(px_ranks_open(ctx, &callbacks, ranks));
    if (*ranks) px_cli_leave_overdue_to_monitor();
    return PX_OK;
}

px_status px_cli_leave(px_context *ctx, px_ranks *ranks, px_status status) {
    if (ranks && ctx->message[0] && status != PX_OK && px_ranks_rank(ranks) == 0) log_line(ctx->message);
    fflush(stdout); /* a launcher may end all ranks as soon as one exits with a failure */
    px_ranks_close(ranks, status);
    return status;
}

FILE *px_cli_talk(const px_ranks *ranks) {
    static FILE *discard;
    if (px_ranks_rank(ranks) == 0) return stderr;
    if (!discard) discard = fopen("/dev/null", "w");
    return discard ? discard : stderr;
}
