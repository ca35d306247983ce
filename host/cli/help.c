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

/* Writes the range and the default of an option, as " (an integer of 1 or more; default 16)", or "". */
static void option_notes(const px_option *option, char notes[PX_USAGE_TEXT]) {
    const bool words = option->argument && strchr(option->argument, '|');
    notes[0] = '\0';
    if (option->type == PX_OPTION_NUMBER)
        append(notes, "a number above 0");
    else if (option->type == PX_OPTION_INTEGER && option->max == 0 && !words)
        append(notes, "an integer of %lld or more", (long long)option->min);
    else if (option->type == PX_OPTION_INTEGER && !words)
        append(notes, "an integer from %lld to %lld", (long long)option->min, (long long)option->max);
    const char *const separator = notes[0] ? "; " : "";
    if (option->required) append(notes, "%srequired", separator);
    if (option->initial) append(notes, "%sdefault %s", separator, option->initial);
    if (option->otherwise) append(notes, "%sdefault: %s", separator, option->otherwise);
    if (!notes[0]) return;
    memmove(notes + 2, notes, strlen(notes) + 1);
    memcpy(notes, " (", 2);
    append(notes, ")");
}

/* Prints words at the beginning of a line, and a text beside them, or below them if they do not fit before its margin.
 */
static void print_item(FILE *out, const px_cli_margin *margin, const char *words, const char *text) {
    int column = fprintf(out, "  %s", words);
    if (column + 2 > margin->indent) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", margin->indent - column, "");
    px_cli_wrap(out, margin, margin->indent, text);
}

static void print_option(FILE *out, const px_cli_margin *margin, const px_option *o) {
    char name[PX_USAGE_TEXT] = "", notes[PX_USAGE_TEXT], text[2 * PX_USAGE_TEXT];
    append(name, "%s", o->name);
    if (o->argument) append(name, " %s%s", o->argument, o->type == PX_OPTION_PATHS ? "..." : "");
    option_notes(o, notes);
    snprintf(text, sizeof text, "%s%s", o->help, notes);
    print_item(out, margin, name, text);
}

enum { WIDE = 80 }; /* columns from which on explanations stand beside names, and not below them */

void px_cli_print_help(FILE *out) {
    const int columns = px_cli_columns(out, PX_PIPED_COLUMNS);
    const px_cli_margin line = {.columns = columns}, item = {.columns = columns, .indent = columns >= WIDE ? 26 : 4};
    px_cli_wrap(
        out, &line, 0,
        "pixelrnn trains, evaluates, samples and compares PixelCNN, Row LSTM and Diagonal BiLSTM image models.");
    fputs("\nusage: pixelrnn COMMAND [argument ...]\n", out);
    for (const px_command *const *c = px_commands; *c; c++) {
        char words[PX_USAGE_TEXT] = "";
        append(words, "%s%s%s", (*c)->name, (*c)->positionals[0] ? " " : "", (*c)->positionals);
        print_item(out, &item, words, (*c)->summary);
    }
    print_item(out, &item, "COMMAND --help", "usage, options with their defaults, and an example of a command");
    print_item(out, &item, "--version", "version, build options, versions of the libraries in use");
    fputc('\n', out);
    px_cli_wrap(out, &line, 0, about_model);
    px_cli_wrap(out, &line, 0, about_set);
}

void px_cli_print_command_help(FILE *out, const px_command *command) {
    const int columns = px_cli_columns(out, PX_PIPED_COLUMNS);
    const px_cli_margin line = {.columns = columns}, usage_line = {.columns = columns, .indent = 4},
                        item = {.columns = columns, .indent = columns >= WIDE ? 25 : 6};
    char usage[PX_USAGE_TEXT];
    px_cli_usage(command, usage);
    const int column = fprintf(out, "usage: pixelrnn %s ", command->name);
    px_cli_wrap(out, &usage_line, column, usage);
    px_cli_wrap(out, &line, 0, command->summary);
    if (command->details) px_cli_wrap(out, &line, 0, command->details);
    if (strstr(command->positionals, "MODEL")) px_cli_wrap(out, &line, 0, about_model);
    fputs("\noptions:\n", out);
    for (const px_option *o = command->options; o->name; o++) print_option(out, &item, o);
    fprintf(out, "\nexample:\n  pixelrnn %s\n", command->example);
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
    char usage[PX_USAGE_TEXT], notes[PX_USAGE_TEXT];
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
        option_notes(o, notes);
        print_troff(out, o->help);
        print_troff(out, notes);
        fputs("\n", out);
    }
    fputs(".PP\nExample:\n.B pixelrnn ", out);
    print_troff(out, command->example);
    fputs("\n", out);
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
