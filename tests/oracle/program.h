/* Runs the program in the folder of settings.h and reads its output. Errors fail the running test. */
#ifndef PIXELRNN_TESTS_ORACLE_PROGRAM_H
#define PIXELRNN_TESTS_ORACLE_PROGRAM_H

/* Finds the program ($PIXELRNN, or build/pixelrnn) and the device under test ($PX_TEST_DEVICE, or cpu), and exports
 * them as $PIXELRNN and $DEVICE. Returns -1 if the program is not found. */
int program_find(void);

/* Runs a shell command with its output in the files out and err. Returns its exit status, or 128 + its signal. */
int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Runs the program on the device under test and checks its exit status. */
void pixelrnn(int expected, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The contents of a file, or "" if it does not exist. The text is valid until the fourth call after this one. */
const char *text_of(const char *file);

/* The number before `unit`, or after it if `unit` ends with a space, on the first line that begins with `line`. */
double printed(const char *file, const char *line, const char *unit);

/* The number `key` of the JSON object in the file out. */
double json_number(const char *key);

#endif
