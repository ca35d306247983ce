#include "host/io/child.h"
#include "host/io/clock.h"
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

void *px_child_memory(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void px_child_memory_free(void *memory, size_t bytes) {
    if (memory) munmap(memory, bytes);
}

/* Waits for the end of the child; false if the time is over. */
static bool wait_for(pid_t child, double seconds, int *status) {
    const double deadline = px_clock_seconds() + seconds;
    for (;;) {
        const pid_t ended = waitpid(child, status, seconds > 0 ? WNOHANG : 0);
        if (ended == child) return true;
        if (ended < 0 && errno != EINTR) return false;
        if (seconds > 0 && px_clock_seconds() >= deadline) return false;
        if (seconds > 0) usleep(2000);
    }
}

px_status px_child_run(px_context *ctx, const char *name, void (*work)(void *argument), void *argument,
                       double seconds) {
    int status = 0;
    fflush(NULL); /* or the child would write what is buffered once more */
    const pid_t child = fork();
    if (child < 0) return px_fail(ctx, PX_ERR_DEVICE, "%s: cannot start a process: %s", name, strerror(errno));
    if (child == 0) {
        work(argument);
        fflush(NULL);
        _exit(0);
    }
    if (!wait_for(child, seconds, &status)) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        return px_fail(ctx, PX_ERR_DEVICE, "%s: did not end in %g seconds, and was killed", name, seconds);
    }
    if (WIFSIGNALED(status)) return px_fail(ctx, PX_ERR_DEVICE, "%s: ended by signal %d", name, WTERMSIG(status));
    if (status != 0) return px_fail(ctx, PX_ERR_DEVICE, "%s: ended with status %d", name, WEXITSTATUS(status));
    return PX_OK;
}
