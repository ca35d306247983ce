#include "host/device/verdict.h"
#include <cjson/cJSON.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* ---- What a verdict is about ---- */

/* The CRC-32 of a file; 0 if it cannot be read. */
static unsigned long checksum_of(const char *path) {
    unsigned char buffer[1 << 16];
    size_t count;
    FILE *file = path ? fopen(path, "rb") : NULL;
    unsigned long checksum = crc32(0, NULL, 0);
    if (!file) return 0;
    while ((count = fread(buffer, 1, sizeof buffer, file)) > 0) checksum = crc32(checksum, buffer, (unsigned)count);
    fclose(file);
    return checksum;
}

/* Device, versions of the libraries, and checksums of the program and of the library that holds the kernels. */
static void write_subject(const px_device *device, char subject[512]) {
    Dl_info backend = {0};
    dladdr(*(void *const *)&device->ops->gemm, &backend);
    snprintf(subject, 512, "%s; %s; program %08lx, kernels %08lx", device->description, device->versions,
             checksum_of("/proc/self/exe"), checksum_of(backend.dli_fname));
}

static px_status find_path(const px_device *device, char folder[PX_PATH], char path[PX_PATH]) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && cache[0] == '/')
        PX_TRY(px_file_path(device->ctx, folder, "%s/pixelrnn", cache));
    else if (home && home[0] == '/')
        PX_TRY(px_file_path(device->ctx, folder, "%s/.cache/pixelrnn", home));
    else
        return px_fail(device->ctx, PX_ERR_FILE, "verdict: neither XDG_CACHE_HOME nor HOME is an absolute path");
    return px_file_path(device->ctx, path, "%s/verdict-%s.json", folder, device->identity);
}

/* ---- The file ---- */

static const char *const answers[] = {
    [PX_VERDICT_NONE] = "none", [PX_VERDICT_USE] = "use", [PX_VERDICT_AVOID] = "avoid"};

/* Fills in the verdict if the JSON is one on this subject. */
static void parse(const char *text, const char *subject, px_verdict *verdict) {
    cJSON *json = cJSON_Parse(text);
    const char *about = cJSON_GetStringValue(cJSON_GetObjectItem(json, "subject"));
    const char *answer = cJSON_GetStringValue(cJSON_GetObjectItem(json, "clusters"));
    const char *reason = cJSON_GetStringValue(cJSON_GetObjectItem(json, "reason"));
    if (about && answer && reason && strcmp(about, subject) == 0)
        for (int i = PX_VERDICT_USE; i <= PX_VERDICT_AVOID; i++)
            if (strcmp(answer, answers[i]) == 0) {
                verdict->answer = (px_verdict_answer)i;
                snprintf(verdict->reason, sizeof verdict->reason, "%s", reason);
            }
    cJSON_Delete(json);
}

void px_verdict_read(px_device *device, px_verdict *verdict) {
    enum { LIMIT = 4096 };
    char folder[PX_PATH], path[PX_PATH], subject[512], *text = NULL;
    *verdict = (px_verdict){PX_VERDICT_NONE, ""};
    if (find_path(device, folder, path) == PX_OK && px_file_exists(path) &&
        px_file_read_text(device->ctx, path, LIMIT, &text) == PX_OK) {
        write_subject(device, subject);
        parse(text, subject, verdict);
    }
    free(text);
    device->ctx->message[0] = '\0';
}

px_status px_verdict_write(px_device *device, const px_verdict *verdict, char path[PX_PATH]) {
    char folder[PX_PATH], subject[512];
    PX_TRY(find_path(device, folder, path));
    PX_TRY(px_file_make_folder(device->ctx, folder));
    write_subject(device, subject);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "subject", subject);
    cJSON_AddStringToObject(json, "clusters", answers[verdict->answer]);
    cJSON_AddStringToObject(json, "reason", verdict->reason);
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    const px_status status = text ? px_file_write_text(device->ctx, path, text)
                                  : px_fail_memory(device->ctx, "verdict", sizeof subject);
    cJSON_free(text);
    return status;
}
