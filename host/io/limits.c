/* Limits on memory and processors: resource limits and control groups. */
#include "host/io/limits.h"
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LONGEST = 4096 }; /* bytes of a path or of a line */

/* Reads up to two numbers from a file and returns how many it found. The word "max" counts as no number. */
static int read_numbers(const char *folder, const char *file, double numbers[2]) {
    char path[LONGEST + 64];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *in = fopen(path, "r");
    if (!in) return 0;
    const int count = fscanf(in, "%lf %lf", &numbers[0], &numbers[1]);
    fclose(in);
    return count > 0 ? count : 0;
}

/* ---- Control groups ---- */

/* Reads the limit of the control group whose files lie in `folder`, and stores it in `limit` if it is tighter. */
typedef void group_reader(const char *folder, void *limit);

/* Calls read for the control group `path` of the hierarchy mounted at `mount`, and for all its parents. In a container
 * some of these folders may be missing; then there is nothing to read in them. */
static void visit_groups(const char *mount, const char *path, group_reader *read, void *limit) {
    char folder[LONGEST];
    const size_t top = strlen(mount);
    snprintf(folder, sizeof folder, "%s%s", mount, path);
    for (;;) {
        read(folder, limit);
        char *slash = strrchr(folder + top, '/');
        if (!slash) return;
        *slash = 0;
    }
}

/* Calls visit_groups for this process's control groups: of cgroup v2, and of `controller` in v1. A line of
 * /proc/self/cgroup is "0::PATH" (v2) or "NUMBER:CONTROLLERS:PATH" (v1). */
static void visit_own_groups(const char *root, const char *controller, group_reader *read, void *limit) {
    char name[LONGEST], line[LONGEST], mount[LONGEST];
    snprintf(name, sizeof name, "%s/proc/self/cgroup", root);
    FILE *list = fopen(name, "r");
    while (list && fgets(line, sizeof line, list)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0;
        controllers++;
        const bool v2 = !*controllers;
        bool listed = v2;
        for (const char *item; (item = strsep(&controllers, ","));) listed |= strcmp(item, controller) == 0;
        if (!listed) continue;
        snprintf(mount, sizeof mount, "%.2000s/sys/fs/cgroup%s%s", root, v2 ? "" : "/", v2 ? "" : controller);
        visit_groups(mount, path, read, limit);
    }
    if (list) fclose(list);
}

/* ---- Memory ---- */

typedef struct memory_search {
    const char *root;
    double resident; /* bytes of resident memory of this process */
    px_memory_limit *tightest;
} memory_search;

/* Stores the limit, minus the bytes already used of it, if that is tighter than what was found so far. */
static void tighten(px_memory_limit *tightest, double limit, double used, const char *name) {
    const double left = limit > used ? limit - used : 0;
    if (left >= (double)tightest->bytes) return;
    tightest->bytes = (size_t)left;
    snprintf(tightest->name, sizeof tightest->name, "%.*s", PX_LIMIT_NAME - 1, name);
}

static void read_group_memory(const char *folder, void *limit) {
    static const char *const files[] = {"memory.max", "memory.limit_in_bytes"};
    const memory_search *search = limit;
    for (int i = 0; i < 2; i++) {
        char name[LONGEST + 64];
        double numbers[2];
        if (!read_numbers(folder, files[i], numbers)) continue;
        snprintf(name, sizeof name, "the memory limit %s/%s", folder + strlen(search->root), files[i]);
        tighten(search->tightest, numbers[0], search->resident, name);
    }
}

px_memory_limit px_limit_memory(const char *root) {
    const double page = (double)sysconf(_SC_PAGE_SIZE);
    char process[LONGEST];
    double pages[2] = {0, 0}; /* mapped, resident */
    struct rlimit space;
    px_memory_limit tightest = {.bytes = SIZE_MAX};
    snprintf(process, sizeof process, "%.2000s/proc/self", root);
    if (read_numbers(process, "statm", pages) < 2) pages[0] = pages[1] = 0;
    const memory_search search = {root, pages[1] * page, &tightest};
    tighten(&tightest, (double)sysconf(_SC_PHYS_PAGES) * page, search.resident, "this machine's memory");
    visit_own_groups(root, "memory", read_group_memory, (void *)&search);
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
        tighten(&tightest, (double)space.rlim_cur, pages[0] * page, "the address space limit (ulimit -v)");
    return tightest;
}

/* ---- Processors ---- */

static void read_group_quota(const char *folder, void *limit) {
    int *processors = limit;
    double quota[2], period[2];
    if (read_numbers(folder, "cpu.max", quota) < 2) {
        if (!read_numbers(folder, "cpu.cfs_quota_us", quota) || !read_numbers(folder, "cpu.cfs_period_us", period))
            return;
        quota[1] = period[0];
    }
    const double share = ceil(quota[0] / quota[1]);
    if (share >= 1 && share < *processors) *processors = (int)share;
}

int px_limit_processors(const char *root) {
    int processors = INT_MAX;
    visit_own_groups(root, "cpu", read_group_quota, &processors);
    return processors;
}
