/* Configs from lists of settings, and the image files that settings name. Images have 4 x 3 pixels unless settings.c
 * says otherwise. */
#ifndef PIXELRNN_TESTS_ORACLE_SETTINGS_H
#define PIXELRNN_TESTS_ORACLE_SETTINGS_H

#include "pixelrnn/config.h"
#include "pixelrnn/source.h"
#include "tests/oracle/oracle.h"

/* The set-up of a test group creates settings_folder with all files, and its tear-down removes the folder. */
extern char settings_folder[64];
int settings_make(void **state);
int settings_remove(void **state);

/* Writes all images of a split of builtin:ising to NAME.npy, and returns their exact entropy. */
double settings_write_ising(px_split split, uint64_t seed, int size, const char *name);

/* The path of a file in settings_folder. The result is valid until the fourth call after this one. */
const char *settings_path(const char *name);

/* Applies settings to the default config: KEY=VALUE, separated by spaces. A value @NAME is the path of NAME.npy. An
 * error fails the running test. */
px_config settings_config(const char *settings, const char *further);
void settings_apply(px_config *config, const char *settings);

#endif
