/* What the commands share. */
#ifndef PIXELRNN_CLI_H
#define PIXELRNN_CLI_H

#include "host/io/lock.h"
#include "pixelrnn/config.h"
#include "pixelrnn/device.h"
#include "pixelrnn/model_file.h"
#include "pixelrnn/ranks.h"
#include "pixelrnn/source.h"
#include "pixelrnn/status.h"
#include "pixelrnn/stop.h"
#include <stdbool.h>
#include <stdio.h>

/* A command: parses its words (words[0] is its name), does its work, prints results to standard output. It has run, and
 * is then of one process, or together, and then divides its work over the ranks of a job. */
typedef struct px_command {
    const char *name, *usage, *summary;
    px_status (*run)(px_context *ctx, int count, char **words);
    px_status (*together)(px_context *ctx, px_ranks *ranks, int count, char **words);
} px_command;

enum { PX_MAX_ARGUMENTS = 256 };
typedef struct px_arguments {
    int count;
    const char *word[PX_MAX_ARGUMENTS];
} px_arguments;

/* One option of a command. Exactly one of text, integer, number, flag, each is set: where its value goes. */
typedef struct px_option {
    const char *name; /* "--seed" or "-n" */
    const char **text;
    int64_t *integer;
    double *number;
    bool *flag;
    px_arguments *each; /* every value in order: --set, or a list like --data FILE... (up to the next option) */
    bool list;          /* each takes all words up to the next option */
    bool required;
    int64_t least; /* smallest integer allowed */
} px_option;

/* Sorts words[1..] into options and the plain words. PX_ERR_USAGE: unknown option, missing or malformed value, too few
 * or too many plain words (least..most), each with the command's usage. */
px_status px_cli_parse(px_context *ctx, const px_command *command, int count, char **words, const px_option *options,
                       int option_count, px_arguments *plain, int least, int most);

/* Applies --set assignments to a config and checks it. */
px_status px_cli_override(px_context *ctx, const char *where, const px_arguments *settings, px_config *config);

/* Opens the device that a config asks for, in its precision: the host's number `place`; -1: whichever. */
px_status px_cli_open_device(px_context *ctx, const px_config *config, int place, px_device **device);

/* Loads the model that MODEL names, onto the device of its config after --set. */
px_status px_cli_load_model(px_context *ctx, const char *name, const px_arguments *settings, px_model_info *info,
                            px_device **device, px_model **model);

/* The same with the ranks of a job, each on a device of its own: they agree on what fails. */
px_status px_cli_load_model_on(px_context *ctx, px_ranks *ranks, const char *name, const px_arguments *settings,
                               px_model_info *info, px_device **device, px_model **model);

/* The request to stop that signals make: SIGINT PX_INTERRUPTED, and SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 PX_STOPPED. A
 * command that has caught them must poll it; the handlers stay until the process ends. A second SIGINT, half a second
 * after the first or later, ends the process at once; so does a request that is overdue. */
extern px_stop px_cli_stop;
void px_cli_catch_signals(void);
/* Of several ranks, the heartbeat monitor finds what is overdue, and ends all. */
void px_cli_leave_overdue_to_monitor(void);

/* Locks an output file OUT for this process, by OUT.lock. Says so where the file system has no locks. */
px_status px_cli_lock_output(px_context *ctx, const char *out, px_lock *lock);

/* Meets the other ranks, if there are any. How a command of several ranks begins, and how it ends: only rank 0 prints
 * what went wrong. */
px_status px_cli_join(px_context *ctx, px_ranks **ranks);
px_status px_cli_leave(px_context *ctx, px_ranks *ranks, px_status status);

/* Standard error on rank 0, which alone talks; elsewhere a stream that nobody reads. */
FILE *px_cli_talk(const px_ranks *ranks);

/* What a command does once its arguments are read, with the status of that: fails before any work is done if `path`,
 * its output, cannot be written by rank 0. NULL: no output was asked for. The ranks agree. */
px_status px_cli_check_output(px_context *ctx, px_ranks *ranks, px_status status, const char *path);

bool px_cli_ends_with(const char *path, const char *ending);

/* Images a pass of evaluation: eval.batch_size, or else train.batch_size. */
int px_cli_batch(const px_config *config);
/* Images that are drawn at a time: eval.batch_size, or else 64, which is enough to keep products wide. */
int px_cli_sampling_batch(const px_config *config);

/* Opens the sources that specs name as one, and says in a line on standard error what its images lose where they are
 * read as `levels` levels. ranks: NULL, or those of a job, of which rank 0 says it. */
px_status px_cli_open_data(px_context *ctx, const px_ranks *ranks, int count, const char *const *specs,
                           const px_source_options *options, int levels, px_source **source);
/* The same for a list as a config holds it. */
px_status px_cli_open_list(px_context *ctx, const px_ranks *ranks, const char *list, const px_source_options *options,
                           int levels, px_source **source);

/* What a command takes as the size of a config's images. Of height, width and channels each is, in this order: what an
 * option says; what the images of data.train have after data.size and data.channels, if data.train can be opened;
 * data.size and data.channels. */
typedef struct px_image_size {
    int64_t height, width, channels; /* 0: no option says */
} px_image_size;

/* Fills in what no option says; data that is opened for it is named as by px_cli_open_data. PX_ERR_USAGE if something
 * stays unknown; `options` are those that would say it. `where` names the config. */
px_status px_cli_image_size(px_context *ctx, const char *where, const px_config *config, const char *options,
                            px_image_size *size);

/* How a command that goes over a set of images once opens it. */
static inline px_source_options px_cli_pass(const px_config *config) {
    return px_source_options_of(config, PX_SPLIT_TEST, PX_ACCESS_IN_ORDER);
}

extern const px_command px_command_train, px_command_eval, px_command_sample, px_command_complete, px_command_pack,
    px_command_bench, px_command_info, px_command_keys;

/* Prints version, build options and the versions of the libraries in use. */
void px_cli_print_version(FILE *out);

/* No more OpenMP threads than processors that this process may use: says so on standard error if OMP_NUM_THREADS asked
 * for more. */
void px_cli_limit_threads(void);

#endif
