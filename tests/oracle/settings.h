/* Configs from settings, and the files of images that settings name: each 4 x 3 pixels unless said otherwise. */
#ifndef PIXELRNN_TESTS_ORACLE_SETTINGS_H
#define PIXELRNN_TESTS_ORACLE_SETTINGS_H

#include "pixelrnn/config.h"
#include "pixelrnn/source.h"
#include "tests/oracle/oracle.h"

/* Makes a folder of its own with all files; its path stands in settings_folder. To be removed again. */
extern char settings_folder[64];
int settings_make(void **state);
int settings_remove(void **state);

/* Writes all images of one split of builtin:ising to NAME.npy; their exact entropy is returned. */
double settings_write_ising(px_split split, uint64_t seed, int size, const char *name);

/* The path of a file of that name in it. Four calls may be in use at a time. */
const char *settings_path(const char *name);

/* The default config with settings applied: KEY=VALUE, separated by spaces. A value @NAME is the path of NAME.npy. What
 * is refused fails the running test. */
px_config settings_config(const char *settings, const char *further);
void settings_apply(px_config *config, const char *settings);

#endif
