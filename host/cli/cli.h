/* Declarations that the commands share: tables of commands and options, opening of models and data, ranks, signals. */
#ifndef PIXELRNN_CLI_H
#define PIXELRNN_CLI_H

#include "host/io/lock.h"
#include "host/io/plural.h"
#include "pixelrnn/config.h"
#include "pixelrnn/device.h"
#include "pixelrnn/model_file.h"
#include "pixelrnn/ranks.h"
#include "pixelrnn/source.h"
#include "pixelrnn/status.h"
#include "pixelrnn/stop.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* ---- Commands and their options ---- */

enum { PX_MAX_ARGUMENTS = 256 };

typedef struct px_arguments {
    int count;
    const char *value[PX_MAX_ARGUMENTS];
} px_arguments;

/* The type of an option, and the type of the field that its value is stored in. */
typedef enum {
    PX_OPTION_FLAG,     /* bool: whether the option is given; it takes no argument */
    PX_OPTION_TEXT,     /* const char * */
    PX_OPTION_PATH,     /* const char *, a file or folder */
    PX_OPTION_WORD,     /* int: index of one of the words of `argument`, which are separated by '|' */
    PX_OPTION_INTEGER,  /* int64_t in min .. max, or one of the words of `argument` */
    PX_OPTION_NUMBER,   /* double above 0 */
    PX_OPTION_PATHS,    /* px_arguments: all arguments up to the next option */
    PX_OPTION_SETTINGS, /* px_arguments: one "key=value" each time the option is given */
} px_option_type;

/* One option of a command. Parsing, --help, the man page and shell completion read this table. */
typedef struct px_option {
    const char *name;     /* "--seed" or "-n"; NULL ends a table */
    const char *argument; /* as the usage line names it; NULL for a flag */
    px_option_type type;
    size_t offset;    /* of the field in the command's struct of values */
    int64_t min, max; /* of an integer; max 0: no upper bound */
    bool required;
    const char *initial;   /* the default as a user would type it; px_cli_parse stores it. NULL: see otherwise */
    const char *otherwise; /* the default in words, such as "the seed of the model"; NULL: see initial */
    const char *help;      /* one sentence without a full stop and without the default */
} px_option;

/* The option --set, which is stored in the field `field` of the struct `type`. */
#define PX_OPTION_SET(type, field)                                                                                     \
    {                                                                                                                  \
        "--set", "key=value", PX_OPTION_SETTINGS, offsetof(type, field),                                               \
            .otherwise = "the config's values", .help = "override a config key, one of `pixelrnn keys`"                \
    }

/* A command. Exactly one of run and run_distributed is set. The results go to standard output.
 *
 * run is for a single process. run_distributed divides its work over the ranks of a job; ranks is NULL without one.
 * arguments[0] is the name of the command. */
typedef struct px_command {
    const char *name;
    const char *positionals; /* as in usage: "MODEL"; "[PREFIX]": none or one; "SOURCE...": several; "": none */
    const char *summary;     /* one sentence */
    const char *details;     /* further sentences for --help and the man page, or NULL */
    const char *example;     /* a command line for --help and the man page, without "pixelrnn " */
    const px_option *options;
    px_status (*run)(px_context *ctx, int count, char **arguments);
    px_status (*run_distributed)(px_context *ctx, px_ranks *ranks, int count, char **arguments);
} px_command;

extern const px_command px_command_train, px_command_eval, px_command_sample, px_command_complete, px_command_pack,
    px_command_bench, px_command_info, px_command_keys, px_command_check, px_command_compare;

/* All commands; NULL ends them. */
extern const px_command *const px_commands[];

/* Parses arguments[1 .. count - 1] by the table of the command: options into the fields of *values, other arguments
 * into *positionals. Options and positionals may come in any order. Options with an `initial` are set to it first.
 * PX_ERR_USAGE, with the usage of the command: unknown option, missing or malformed value, too few or too many
 * positionals. */
px_status px_cli_parse(px_context *ctx, const px_command *command, int count, char **arguments, void *values,
                       px_arguments *positionals);

/* Prints the usage line of a command without "pixelrnn NAME": positionals and options. */
enum { PX_USAGE_TEXT = 512 };
void px_cli_usage(const px_command *command, char usage[PX_USAGE_TEXT]);

/* Print the help of the program or of one command, the man page (troff), and the completion script for bash. */
void px_cli_print_help(FILE *out);
void px_cli_print_command_help(FILE *out, const px_command *command);
void px_cli_print_man(FILE *out);
void px_cli_print_completion(FILE *out);

/* Prints version, build options and the versions of the libraries in use. */
void px_cli_print_version(FILE *out);

/* ---- Text for a terminal ---- */

/* Columns for text on a stream: the environment variable COLUMNS, or the terminal's width, at least 20; or `piped`
 * without either. */
int px_cli_columns(FILE *out, int piped);
enum { PX_PIPED_COLUMNS = 100, PX_FULL_LINES = 1 << 20 /* breaks no line */ };

/* The lines of a paragraph after its first one. */
typedef struct px_cli_margin {
    int columns;        /* a line is broken before a word that would end after this column */
    int indent;         /* blanks at the beginning of a line */
    const char *prefix; /* text after them, such as "# "; NULL: none */
} px_cli_margin;

/* Prints a paragraph of words and a line feed. column: where its first line starts; the caller has filled it so far.
 * Words in brackets stay together. A word that is longer than a line is not broken. */
void px_cli_wrap(FILE *out, const px_cli_margin *margin, int column, const char *text);

/* ---- Configs, devices, models ---- */

/* Applies --set assignments to a config and checks it. where: the config's name in messages. */
px_status px_cli_override(px_context *ctx, const char *where, const px_arguments *settings, px_config *config);

/* Opens the device that a config asks for, in its precision, and prints its warning. Each rank of a host gets a GPU of
 * its own. */
px_status px_cli_open_device(px_context *ctx, const px_config *config, const px_ranks *ranks, px_device **device);
/* Prints the device's warning on rank 0, if there is one. NULL is allowed. */
void px_cli_print_warning(const px_ranks *ranks, px_device *device);

/* Images of an evaluation pass: eval.batch_size, or else train.batch_size. */
int px_cli_batch(const px_config *config);
/* Images sampled at a time: eval.batch_size, or else 64, which is enough for efficient matrix products. */
int px_cli_sampling_batch(const px_config *config);

bool px_cli_ends_with(const char *path, const char *ending);
/* Whether a path ends with .yaml or .yml. */
bool px_cli_is_config(const char *path);

/* ---- Data ---- */

/* Opens the sources that specs name as one source, or without any (specs may be NULL) those of a tab-separated list, as
 * a config holds it. options->label_files belong to that list alone. Prints a line on standard error if its images are
 * converted (size, channels, levels). ranks: of the job, of which rank 0 prints; NULL without one. */
px_status px_cli_open_data(px_context *ctx, const px_ranks *ranks, const px_arguments *specs, const char *list,
                           const px_source_options *options, int levels, px_source **source);

/* The image size of a config, for commands that need no data. 0: not given by an option. */
typedef struct px_image_size {
    int64_t height, width, channels;
    int64_t images; /* in data.train, unless an option gives their number; 0: not known */
} px_image_size;

/* Fills the fields of *size that are 0: from the images of data.train after data.size and data.channels, if data.train
 * can be opened, else from data.size and data.channels. PX_ERR_USAGE if a dimension stays unknown; the message names
 * `options`, which would set it. where: names the config. */
px_status px_cli_image_size(px_context *ctx, const char *where, const px_config *config, const char *options,
                            px_image_size *size);

/* ---- Outputs ---- */

/* Locks an output file OUT for this process, by OUT.lock. Prints a warning if the file system has no locks. */
px_status px_cli_lock_output(px_context *ctx, const char *out, px_lock *lock);

/* ---- Commands that load a model ---- */

/* What the commands that load a model have in common: eval, sample and complete. It is the first member of each
 * command's struct of values, so that the tables of options refer to its fields, and its functions receive that struct.
 */
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
    px_arguments models; /* the positionals: MODEL; of sample, a chain */
    px_arguments settings, data;
    const char *out; /* the output file, or NULL */

    /* Set by px_cli_run_model before run is called. */
    char path[PX_PATH]; /* of the model file */
    px_model_info info;
    px_device *device;
    px_model *model;
    px_source *source; /* NULL unless reads_data */
} px_model_command;

/* Parses the arguments, checks that the output can be written, loads the last MODEL onto the device of its config,
 * opens the data, calls run, and closes everything. The ranks agree on each failure. */
px_status px_cli_run_model(px_model_command *c, int count, char **arguments);

/* Loads a model that `name` names, with the settings of --set, and writes the path of its file and its metadata. Opens
 * c->device by its config unless it is open. After an error *model is NULL. Destroy with px_model_destroy. */
px_status px_cli_load_model(px_model_command *c, const char *name, char path[PX_PATH], px_model_info *info,
                            px_model **model);

/* Prints a blank and a word of a command line, in quotes if a shell would change it. */
void px_cli_print_word(FILE *out, const char *word);

/* ---- Ranks and signals ---- */

/* Returns standard error on rank 0, and on other ranks a stream that discards its output. */
FILE *px_cli_talk(const px_ranks *ranks);

/* The stop request that signals set: PX_INTERRUPTED for SIGINT, PX_STOPPED for SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2.
 *
 * A command that catches signals must poll it; the handlers stay until the process ends. A second SIGINT ends the
 * process at once, if it comes at least half a second after the first. So does a request that is overdue. */
extern px_stop px_cli_stop;
void px_cli_catch_signals(void);
/* With several ranks, the heartbeat monitor ends all ranks when a request is overdue. */
void px_cli_leave_overdue_to_monitor(void);

#endif
