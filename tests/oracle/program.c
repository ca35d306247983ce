/* Runs the program in the folder of settings.h and reads its output. */
#include "tests/oracle/program.h"
#include "tests/oracle/oracle.h"
#include "tests/oracle/settings.h"
#include "tests/support/support.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

int program_find(void) {
    const char *name = getenv("PIXELRNN"), *device = getenv("PX_TEST_DEVICE");
    char *program = realpath(name ? name : "build/pixelrnn", NULL);
    if (!program) return -1;
    setenv("PIXELRNN", program, 1);
    setenv("DEVICE", device ? device : "cpu", 1);
    setenv("OMP_NUM_THREADS", "1", 0); /* the models are tiny, so more threads would only wait for each other */
    setenv("OPENBLAS_NUM_THREADS", "1", 0);
    free(program);
    return 0;
}

__attribute__((format(printf, 1, 0))) static int shell_with(const char *format, va_list list) {
    char *command, *line;
    assert_true(vasprintf(&command, format, list) >= 0);
    assert_true(asprintf(&line, "cd %s && { %s\n} >out 2>err </dev/null", settings_folder, command) >= 0);
    const int status = system(line);
    free(command);
    free(line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int shell(const char *format, ...) {
    va_list list;
    va_start(list, format);
    const int status = shell_with(format, list);
    va_end(list);
    return status;
}

const char *text_of(const char *file) {
    static char *texts[4];
    static int next;
    char **text = &texts[next++ % 4];
    free(*text);
    *text = oracle_read_text(settings_path(file));
    return *text ? *text : "";
}

void pixelrnn(int expected, const char *format, ...) {
    char *arguments;
    va_list list;
    va_start(list, format);
    assert_true(vasprintf(&arguments, format, list) >= 0);
    va_end(list);
    const int status = shell("\"$PIXELRNN\" %s --set device=\"$DEVICE\"", arguments);
    if (status != expected)
        fail_msg("%s: exit status %d, expected %d\n%s%s", arguments, status, expected, text_of("out"), text_of("err"));
    free(arguments);
}

double printed(const char *file, const char *line, const char *unit) {
    const char *text = text_of(file), *at = text;
    while (at && strncmp(at, line, strlen(line)) != 0) at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL;
    const char *end = at ? strchr(at, '\n') : NULL, *found = at ? strstr(at, unit) : NULL;
    if (!found || !end || found >= end)
        fail_msg("%s: found no number by \"%s\" on a line \"%s...\"\n%s", file, unit, line, text);
    if (unit[strlen(unit) - 1] == ' ') return strtod(found + strlen(unit), NULL);
    while (found > at && found[-1] == ' ') found--;
    while (found > at && strchr("0123456789.eE+-", found[-1])) found--;
    return strtod(found, NULL);
}

double json_number(const char *key) {
    cJSON *json = cJSON_Parse(text_of("out"));
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    if (!cJSON_IsNumber(item)) fail_msg("found no number %s in %s", key, text_of("out"));
    const double value = item->valuedouble;
    cJSON_Delete(json);
    return value;
}
