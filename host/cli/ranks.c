/* Commands that run on several ranks: how they begin and end, and who talks. */
#include "host/cli/cli.h"
#include <unistd.h>

static void px_say(const char *line) {
    fprintf(stderr, "pixelrnn: %s\n", line);
}

/* Called from a thread of the watch, while the main one may be waiting for a rank that is gone: nothing is tidied up.
 */
static void leave(px_status status) {
    _exit(px_exit_status(status));
}

px_status px_cli_join(px_context *ctx, px_ranks **ranks) {
    static const px_ranks_end end = {px_say, leave, &px_cli_stop};
    PX_TRY(px_ranks_open(ctx, &end, ranks));
    if (*ranks) px_cli_leave_overdue_to_monitor();
    return PX_OK;
}

px_status px_cli_leave(px_context *ctx, px_ranks *ranks, px_status status) {
    if (ranks && ctx->message[0] && status != PX_OK && px_ranks_rank(ranks) == 0) px_say(ctx->message);
    fflush(stdout); /* a launcher may end all ranks as soon as one has ended with another status than 0 */
    px_ranks_close(ranks, status);
    return status;
}

FILE *px_cli_talk(const px_ranks *ranks) {
    static FILE *nobody;
    if (px_ranks_rank(ranks) == 0) return stderr;
    if (!nobody) nobody = fopen("/dev/null", "w");
    return nobody ? nobody : stderr;
}
