/* The skeleton of the commands that load a model: eval, sample and complete. */
#ifndef PIXELRNN_CLI_MODEL_COMMAND_H
#define PIXELRNN_CLI_MODEL_COMMAND_H

#include "host/cli/cli.h"

/* What these commands have in common. It is the first member of each command's struct of values, so that the tables of
 * options refer to its fields, and the functions below receive that struct. */
typedef struct px_model_command {
    /* Set by the command. */
    const px_command *command;
    px_context *ctx;
    px_ranks *ranks;                               /* NULL in a single process */
    px_status (*check)(struct px_model_command *); /* checks the options; NULL: nothing is left to check */
    px_status (*run)(struct px_model_command *);   /* does the work; all ranks return the same status */
    bool reads_data;                               /* the command reads --data, or else data.test of the config */
    px_access access;                              /* how it reads them */

    /* Values of options. */
    px_arguments settings, data;
    const char *out; /* the output file, or NULL */

    /* Set by px_cli_run_model before run is called. */
    px_model_info info;
    px_device *device;
    px_model *model;
    px_source *source; /* NULL unless reads_data */
} px_model_command;

/* Parses the arguments, checks that the output can be written, loads MODEL onto the device of its config, opens the
 * data, calls run, and closes everything. The ranks agree on each failure. */
px_status px_cli_run_model(px_model_command *c, int count, char **arguments);

#endif
