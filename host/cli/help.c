/* Help, man page and bash completion, all generated from the tables of commands and options. */
#include "host/cli/cli.h"
#include "pixelrnn/version.h"
#include <stdarg.h>
#include <string.h>

static const char about_model[] =
    "MODEL is a model.safetensors file, a checkpoint folder, or a run folder (then its best checkpoint).";
static const char about_set[] = "--set key=value overrides a config key in every command, e.g. --set device=cpu.";

/* ---- Usage and --help ---- */

/* Appends formatted text to a string of PX_USAGE_TEXT bytes; what does not fit is cut. */
static void append(char *text, const char *format, ...) {
    const size_t length = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + length, PX_USAGE_TEXT - length, format, arguments);
    va_end(arguments);
}

void px_cli_usage(const px_command *command, char usage[PX_USAGE_TEXT]) {
    usage[0] = '\0';
    append(usage, "%s", command->positionals);
    for (const px_option *o = command->options; o->name; o++) {
        append(usage, "%s%s%s", usage[0] ? " " : "", o->required ? "" : "[", o->name);
        if (o->argument) append(usage, " %s%s", o->argument, o->type == PX_OPTION_PATHS ? "..." : "");
        append(usage, "%s%s", o->required ? "" : "]", o->type == PX_OPTION_SETTINGS ? "..." : "");
    }
}

/* Writes the range of an option, as " (an integer from 1 to 3)", or "". */
static void option_range(const px_option *option, char range[PX_USAGE_TEXT]) {
    range[0] = '\0';
    if (option->argument && strchr(option->argument, '|')) return;
    if (option->type == PX_OPTION_NUMBER)
        append(range, " (a number above 0)");
    else if (option->type == PX_OPTION_INTEGER && option->max == 0)
        append(range, " (an integer of %lld or more)", (long long)option->min);
    else if (option->type == PX_OPTION_INTEGER)
        append(range, " (an integer from %lld to %lld)", (long long)option->min, (long long)option->max);
}

void px_cli_print_help(FILE *out) {
    fprintf(out,
            "pixelrnn trains, evaluates, samples and compares PixelCNN, Row LSTM and Diagonal BiLSTM image models.\n\n"
            "usage:\n");
    for (const px_command *const *c = px_commands; *c; c++) {
        char usage[PX_USAGE_TEXT];
        px_cli_usage(*c, usage);
        fprintf(out, "  pixelrnn %-8s %s\n           %s\n", (*c)->name, usage, (*c)->summary);
        if ((*c)->details) fprintf(out, "           %s\n", (*c)->details);
    }
    fprintf(out,
            "  pixelrnn COMMAND --help\n           the options of a command\n"
            "  pixelrnn --version\n           version, build options, versions of the libraries in use\n\n%s\n%s\n",
            about_model, about_set);
}

void px_cli_print_command_help(FILE *out, const px_command *command) {
    char usage[PX_USAGE_TEXT], range[PX_USAGE_TEXT], name[80];
    px_cli_usage(command, usage);
    fprintf(out, "usage: pixelrnn %s %s\n%s\n", command->name, usage, command->summary);
    if (command->details) fprintf(out, "%s\n", command->details);
    if (strstr(command->positionals, "MODEL")) fprintf(out, "%s\n", about_model);
    for (const px_option *o = command->options; o->name; o++) {
        if (o == command->options) fprintf(out, "\noptions:\n");
        option_range(o, range);
        snprintf(name, sizeof name, "%s %s%s", o->name, o->argument ? o->argument : "",
                 o->type == PX_OPTION_PATHS ? "..." : "");
        fprintf(out, strlen(name) <= 22 ? "  %-22s %s%s\n" : "  %s\n                         %s%s\n", name, o->help,
                range);
    }
}

/* ---- Man page ---- */

/* Prints text for troff: a hyphen as "\-", a backslash as "\e", and no control line. */
static void print_troff(FILE *out, const char *text) {
    if (*text == '.' || *text == '\'') fputs("\\&", out);
    for (; *text; text++) {
        if (*text == '-') fputc('\\', out);
        fputs((char[2]){*text, '\0'}, out);
        if (*text == '\\') fputc('e', out);
    }
}

static void print_paragraph(FILE *out, const char *text) {
    fputs(".PP\n", out);
    print_troff(out, text);
    fputc('\n', out);
}

static void print_man_command(FILE *out, const px_command *command) {
    char usage[PX_USAGE_TEXT], range[PX_USAGE_TEXT];
    px_cli_usage(command, usage);
    fprintf(out, ".SS %s\n.B pixelrnn %s\n", command->name, command->name);
    print_troff(out, usage);
    fputc('\n', out);
    print_paragraph(out, command->summary);
    if (command->details) print_paragraph(out, command->details);
    for (const px_option *o = command->options; o->name; o++) {
        fputs(".TP\n.B ", out);
        print_troff(out, o->name);
        if (o->argument) fputc(' ', out);
        print_troff(out, o->argument ? o->argument : "");
        fputs(o->type == PX_OPTION_PATHS ? "...\n" : "\n", out);
        option_range(o, range);
        print_troff(out, o->help);
        print_troff(out, range);
        fputs("\n", out);
    }
}

void px_cli_print_man(FILE *out) {
    fprintf(out, ".TH PIXELRNN 1 \"\" \"pixelrnn ");
    print_troff(out, px_version());
    fprintf(out, "\" \"User Commands\"\n.SH NAME\n"
                 "pixelrnn \\- train, evaluate and sample PixelCNN, Row LSTM and Diagonal BiLSTM image models\n"
                 ".SH SYNOPSIS\n.B pixelrnn\n.I COMMAND\n[argument ...]\n.br\n.B pixelrnn\n.I COMMAND\n.B \\-\\-help\n"
                 ".br\n.B pixelrnn \\-\\-version\n.SH DESCRIPTION\n");
    print_paragraph(out, about_model);
    print_paragraph(out, about_set);
    fputs(".SH COMMANDS\n", out);
    for (const px_command *const *c = px_commands; *c; c++) print_man_command(out, *c);
    fputs(".SH EXIT STATUS\n"
          "0: success. 1: a failure at run time. 2: wrong arguments or a wrong config.\n"
          "3: stopped by a signal after saving. 130: the same, by Ctrl\\-C.\n",
          out);
}

/* ---- Completion ---- */

static const char completion_head[] =
    "# Bash completion of pixelrnn, generated by `pixelrnn help --completion`.\n"
    "# It completes commands, options, and keys and words of --set; anything else is completed as a file name.\n"
    "_pixelrnn() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} program=${1:-pixelrnn} command= previous= word= words= options=\n"
    "    local -a typed\n"
    "    read -ra typed <<<\"$line\"\n"
    "    [[ $line == *[[:space:]] ]] && typed+=('')\n"
    "    ((${#typed[@]} > 1)) || return 0\n"
    "    word=${typed[-1]} previous=${typed[-2]} command=${typed[1]}\n";

static const char completion_tail[] =
    "    if ((${#typed[@]} == 2)); then\n"
    "        words=$commands\n"
    "    elif [[ $previous == --set || ($command == keys && $word != -*) ]]; then\n"
    "        words=$(\"${program/#\\~/$HOME}\" keys --names \"$word\" 2>/dev/null)\n"
    "    elif [[ $word == -* ]]; then\n"
    "        words=$options\n"
    "    fi\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
    "    # a setting goes on after its equals sign\n"
    "    [[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null\n"
    "    # readline replaces only the text after the last of its word breaks\n"
    "    if [[ $word == *=* && $COMP_WORDBREAKS == *=* ]]; then COMPREPLY=(\"${COMPREPLY[@]#*=}\"); fi\n"
    "    return 0\n"
    "}\n"
    "complete -o default -F _pixelrnn pixelrnn\n";

void px_cli_print_completion(FILE *out) {
    fprintf(out, "%s    local commands='", completion_head);
    for (const px_command *const *c = px_commands; *c; c++) fprintf(out, "%s ", (*c)->name);
    fputs("help --help --version'\n    case $command in\n", out);
    for (const px_command *const *c = px_commands; *c; c++) {
        fprintf(out, "    %s) options='", (*c)->name);
        for (const px_option *o = (*c)->options; o->name; o++) fprintf(out, "%s ", o->name);
        fputs("--help' ;;\n", out);
    }
    fputs("    esac\n    case \"$command $previous\" in\n", out);
    /* A branch for each option that takes a word, or a list of words. */
    for (const px_command *const *c = px_commands; *c; c++)
        for (const px_option *o = (*c)->options; o->name; o++) {
            const char separator = o->type == PX_OPTION_TEXT ? ',' : '|';
            if (!o->argument || o->type == PX_OPTION_PATH || !strchr(o->argument, separator)) continue;
            fprintf(out, "    '%s %s') words='", (*c)->name, o->name);
            for (const char *word = o->argument; *word; word++) fputc(*word == '|' || *word == ',' ? ' ' : *word, out);
            fputs("' ;;\n", out);
        }
    fprintf(out, "    esac\n%s", completion_tail);
}
