/* Running the program in the folder of settings.h, and reading what it prints. What goes wrong fails the running test.
 */
#ifndef PIXELRNN_TESTS_ORACLE_PROGRAM_H
#define PIXELRNN_TESTS_ORACLE_PROGRAM_H

/* Finds the program ($PIXELRNN, or build/pixelrnn) and the device under test ($PX_TEST_DEVICE, or cpu). Commands see
 * them as $PIXELRNN and $DEVICE. -1: there is no program. */
int program_find(void);

/* Runs a shell command; its output is in the files out and err. Its exit status is returned, or 128 and its signal. */
int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Runs the program with arguments on the device under test, and expects an exit status. */
void pixelrnn(int expected, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What a file holds, "" without one; the fourth call after it frees the text. */
const char *text_of(const char *file);

/* The number right before `unit`, or right behind it if `unit` ends with a space, on the first line that begins with
 * `line`. */
double printed(const char *file, const char *line, const char *unit);

/* The number `key` of the JSON object in out. */
double json_number(const char *key);

#endif
