/* Opening sources: recognising the format of a file, and opening it. */
#include "pixelrnn/source.h"
#include "pixelrnn/config.h"
#include "host/io/file_kind.h"
#include "host/data/formats.h"
#include "host/io/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char builtin_prefix[] = "builtin:";

static px_format_open open_compressed, open_tar, open_zip;

static bool is_compressed(const uint8_t *bytes, size_t size) { return px_compression_of_bytes(bytes, size) != NULL; }

enum { HEAD = 512 }; /* number of bytes by which a format is recognised */

/* CIFAR comes last, because it is recognised by its size and labels alone. */
static const struct {
    bool (*recognise)(const uint8_t *, size_t);
    px_format_open *open;
} formats[] = {
    {px_npy_recognise, px_npy_source_open}, {px_zip_recognise, open_zip},    {is_compressed, open_compressed},
    {px_tar_recognise, open_tar},           {px_idx_recognise, px_idx_open}, {px_amat_recognise, px_amat_open},
    {px_cifar_recognise, px_cifar_open},
};

static px_status fail_unknown(px_context *ctx, const char *path, const char *where, const uint8_t *head, size_t size) {
    char found[3 * 8 + 1] = "";
    const char *kind = px_file_kind(head, size);
    for (size_t i = 0; !kind && i < size && i < 8; i++) snprintf(found + 3 * i, 4, " %02x", head[i]);
    if (!kind) kind = size ? "the first bytes" : "nothing";
    if (px_cifar_python_named(path)) return px_cifar_fail_python(ctx, path);
    return px_fail(ctx, PX_ERR_FORMAT,
                   "%s: found %s%s%s, expected .npy, .npz, idx images, .amat text, CIFAR's .bin (records of 3073 or "
                   "3074 bytes), a tar or zip of PNG or JPEG, or these in gzip, bzip2, xz or zstd",
                   path, kind, found, where);
}

/* Opens input by its content, as a px_format_open. where: a suffix for messages. */
static px_status open_content(px_context *ctx, const char *path, const char *where, px_byte_source *input,
                              const px_source_options *options, px_source **source) {
    uint8_t head[HEAD] = {0};
    PX_TRY(px_byte_source_copy(ctx, path, input, 0, input->size < HEAD ? input->size : HEAD, head));
    if (options->array && !px_zip_recognise(head, input->size))
        return px_fail(ctx, PX_ERR_FORMAT, "%s:%s: found no zip, expected FILE.npz:NAME", path, options->array);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (formats[i].recognise(head, input->size)) return formats[i].open(ctx, path, input, options, source);
    return fail_unknown(ctx, path, where, head, input->size);
}

/* Opens an archive whose images need unpacking, as a stream if they are read in order. */
static px_status open_packed_archive(px_context *ctx, px_archive_format format, const char *path, px_byte_source *input,
                                     const px_source_options *options, px_source **source) {
    if (options->access == PX_ACCESS_IN_ORDER) PX_TRY(px_archive_stream_open(ctx, format, path, options, source));
    return *source ? PX_OK : px_archive_source_open(ctx, format, path, input, options, source);
}

/* Opens a compressed file, which libarchive reads by its path. libarchive also unpacks files that are compressed twice,
 * but their content must not be compressed once more. */
static px_status open_compressed(px_context *ctx, const char *path, px_byte_source *compressed,
                                 const px_source_options *options, px_source **source) {
    uint8_t head[HEAD] = {0};
    char where[32];
    size_t size;
    px_byte_source input;
    PX_TRY(px_byte_source_copy(ctx, path, compressed, 0, compressed->size < HEAD ? compressed->size : HEAD, head));
    snprintf(where, sizeof where, " inside %s", px_compression_of_bytes(head, HEAD));
    px_byte_source_free(compressed);
    PX_TRY(px_decompress_head(ctx, path, HEAD, head, &size));
    if (px_tar_recognise(head, size))
        return open_packed_archive(ctx, PX_ARCHIVE_TAR, path, compressed, options, source);
    PX_TRY(px_decompress(ctx, path, px_memory_limit, "unpack it first", &input));
    px_status status = is_compressed(input.bytes, input.size)
                           ? px_fail(ctx, PX_ERR_FORMAT, "%s: found compressed content%s, expected it once", path,
                                     where)
                           : open_content(ctx, path, where, &input, options, source);
    px_byte_source_free(&input);
    return status;
}

static px_status open_tar(px_context *ctx, const char *path, px_byte_source *tar, const px_source_options *options,
                          px_source **source) {
    return px_archive_source_open(ctx, PX_ARCHIVE_TAR, path, tar, options, source);
}

/* Opens a zip, which has arrays or images. */
static px_status open_zip(px_context *ctx, const char *path, px_byte_source *zip, const px_source_options *options,
                          px_source **source) {
    bool has_images;
    PX_TRY(px_zip_holds_images(ctx, path, zip, &has_images));
    return has_images ? open_packed_archive(ctx, PX_ARCHIVE_ZIP, path, zip, options, source)
                      : px_npz_open(ctx, path, zip, options, source);
}

/* Opens each spec and joins the sources in order. Sources that were opened are closed after a failure. */
static px_status open_and_join(px_context *ctx, size_t count, const char *const *specs,
                               const px_source_options *options, px_source **source) {
    size_t opened = 0;
    px_source **parts = calloc(count, sizeof *parts);
    if (!parts) return px_fail_memory(ctx, specs[0], count * sizeof *parts);
    px_status status = PX_OK;
    for (; opened < count && status == PX_OK; opened += status == PX_OK)
        status = px_source_open(ctx, specs[opened], options, &parts[opened]);
    if (status == PX_OK) status = px_source_join(ctx, parts, (int)count, source);
    while (status != PX_OK && opened > 0) px_source_close(parts[--opened]);
    free(parts);
    return status;
}

static px_status open_array_files(px_context *ctx, const px_name_list *paths, const px_source_options *options,
                                  px_source **source) {
    const char **specs = calloc(paths->count, sizeof *specs);
    if (!specs) return px_fail_memory(ctx, px_name_list_at(paths, 0), paths->count * sizeof *specs);
    for (size_t i = 0; i < paths->count; i++) specs[i] = px_name_list_at(paths, i);
    const px_status status = open_and_join(ctx, paths->count, specs, options, source);
    free(specs);
    return status;
}

/* A folder of PNG and JPEG files or, if there are none in it, of array files. */
static px_status open_folder(px_context *ctx, const char *path, const px_source_options *options, px_source **source) {
    px_name_list paths = {0};
    px_status status = px_folder_open(ctx, path, options, source);
    if (status != PX_ERR_FORMAT) return status;
    const px_status listed = px_array_folder_list(ctx, path, options->split, &paths);
    if (listed != PX_OK) status = listed;
    if (paths.count > 0 && listed == PX_OK) status = open_array_files(ctx, &paths, options, source);
    px_name_list_free(&paths);
    return status;
}

/* Adds to the message of a file that does not exist where relative paths start, and what is not expanded in them. */
static px_status explain_absent(px_context *ctx, const char *path, px_status status) {
    char message[sizeof ctx->message], folder[PX_PATH];
    const bool shell = path[0] == '~' || strchr(path, '$');
    if (px_file_exists(path) || path[0] == '/' || !getcwd(folder, sizeof folder)) return status;
    snprintf(message, sizeof message, "%s", ctx->message);
    return px_fail(ctx, status, "%.500s; relative paths start at the current folder, %.300s%s", message, folder,
                   shell ? "; a shell expands ~ and $NAME, but a config does not" : "");
}

static px_status open_file(px_context *ctx, const char *path, const px_source_options *options, px_source **source) {
    px_byte_source input;
    if (px_file_is_folder(path)) return open_folder(ctx, path, options, source);
    px_status status = px_byte_source_open(ctx, path, &input);
    if (status != PX_OK) return explain_absent(ctx, path, status);
    status = px_checksum_check(ctx, path, path, &input);
    if (status == PX_OK) status = open_content(ctx, path, "", &input, options, source);
    px_byte_source_free(&input);
    const bool none_in_it = status == PX_OK && !(*source)->labels && (*source)->no_labels.status == PX_OK;
    if (options->labels && none_in_it) px_labels_beside(path, options->split, *source);
    return status;
}

/* Opens a path, or FILE.npz:NAME if no file has the whole spec as its name. */
static px_status open_path(px_context *ctx, const char *spec, const px_source_options *options, px_source **source) {
    char path[PX_PATH];
    px_source_options named = *options;
    const char *colon = strrchr(spec, ':');
    if (!colon || px_file_exists(spec)) return open_file(ctx, spec, options, source);
    PX_TRY(px_file_path(ctx, path, "%.*s", (int)(colon - spec), spec));
    if (!px_file_exists(path)) return open_file(ctx, spec, options, source);
    named.array = colon + 1;
    PX_TRY(open_file(ctx, path, &named, source));
    snprintf((*source)->name, sizeof(*source)->name, "%s", spec);
    return PX_OK;
}

static px_status open_builtin(px_context *ctx, const char *spec, const px_source_options *options, px_source **source) {
    if (strcmp(spec, "builtin:digits") == 0)
        PX_TRY(px_digits_open(ctx, spec, options, source));
    else if (strcmp(spec, "builtin:ising") == 0)
        PX_TRY(px_ising_open(ctx, spec, options, source));
    else
        return px_fail(ctx, PX_ERR_CONFIG, "%s: no such set, expected builtin:digits or builtin:ising", spec);
    (*source)->intensities = true;
    return PX_OK;
}

static px_status open_spec(px_context *ctx, const char *spec, const px_source_options *options, px_source **source) {
    char path[PX_PATH];
    bool builtin = strncmp(spec, builtin_prefix, sizeof builtin_prefix - 1) == 0;
    *source = NULL;
    PX_TRY(px_file_path(ctx, path, "%s", spec)); /* fails if spec is too long for px_source.name */
    return builtin ? open_builtin(ctx, spec, options, source) : open_path(ctx, spec, options, source);
}

/* Opens spec and decides the meaning of its bytes (px_values). If that read more than the first image of a source that
 * is read in order, the source is opened again. */
static px_status open_intensities(px_context *ctx, const char *spec, const px_source_options *options,
                                  px_source **source) {
    size_t seen;
    PX_TRY(open_spec(ctx, spec, options, source));
    px_status status = px_values_check(ctx, *source, options, &seen);
    if (status == PX_OK && seen > 1 && options->access == PX_ACCESS_IN_ORDER) {
        px_source_close(*source);
        PX_TRY(open_spec(ctx, spec, options, source));
    }
    if (status == PX_OK) status = px_values_apply(ctx, options, source);
    if (status == PX_OK) return PX_OK;
    px_source_close(*source);
    *source = NULL;
    return status;
}

px_status px_source_open(px_context *ctx, const char *spec, const px_source_options *options, px_source **source) {
    static const px_source_options defaults = {0};
    if (!options) options = &defaults;
    *source = NULL;
    if (options->channels != 0 && options->channels != 1 && options->channels != 3)
        return px_fail(ctx, PX_ERR_CONFIG, "%s: channels is %d, expected 0 (as stored), 1 or 3", spec,
                       options->channels);
    px_source *opened;
    PX_TRY(open_intensities(ctx, spec, options, &opened));
    px_status status = px_source_convert(ctx, opened, 0, options->channels, source);
    if (status != PX_OK) px_source_close(opened);
    return status;
}

/* Gives the joined sources the labels of options->label_files. */
static void read_label_files(const px_source_options *options, px_source *joined) {
    char key[32];
    px_context why;
    px_labels labels = {0};
    snprintf(key, sizeof key, "data.%s_labels", px_split_name(options->split));
    const px_status status = px_labels_read_list(&why, options->label_files, &labels);
    px_source_set_labels(joined, status, &why, key, labels);
}

px_status px_source_open_all(px_context *ctx, int count, const char *const *specs, const px_source_options *options,
                             px_source **source) {
    const bool label_files = options->labels && options->label_files && options->label_files[0];
    px_source_options each = *options;
    px_source *joined;
    *source = NULL;
    each.labels = options->labels && !label_files;
    PX_TRY(open_and_join(ctx, (size_t)count, specs, &each, &joined));
    if (label_files) read_label_files(options, joined);
    const px_status status = px_source_convert(ctx, joined, options->size, options->channels, source);
    if (status != PX_OK) px_source_close(joined);
    return status;
}

px_status px_source_open_list(px_context *ctx, const char *list, const px_source_options *options, px_source **source) {
    char *copy = strdup(list), *rest = copy;
    int count = 1;
    for (const char *c = list; *c; c++) count += *c == '\t';
    const char **specs = calloc((size_t)count, sizeof *specs);
    px_status status = PX_OK;
    *source = NULL;
    if (!copy || !specs) status = px_fail_memory(ctx, list, 0);
    for (int i = 0; i < count && status == PX_OK; i++) specs[i] = strsep(&rest, "\t");
    if (status == PX_OK) status = px_source_open_all(ctx, count, specs, options, source);
    free(specs);
    free(copy);
    return status;
}

px_source_options px_source_options_of(const px_config *config, px_split split, px_access access) {
    const char *const labels[PX_SPLITS] = {[PX_SPLIT_TRAIN] = config->data.train_labels,
                                           [PX_SPLIT_VALID] = config->data.validation_labels,
                                           [PX_SPLIT_TEST] = config->data.test_labels};
    return (px_source_options){.split = split,
                               .size = (int)config->data.size,
                               .seed = (uint64_t)config->seed,
                               .channels = (int)config->data.channels,
                               .access = access,
                               .levels = (int)config->data.levels,
                               .values = (px_values)config->data.values,
                               .labels = config->model.condition == PX_CONDITION_CLASS,
                               .label_files = labels[split]};
}

const char *px_source_list_of(const px_config *config, px_split split) {
    const char *const lists[PX_SPLITS] = {[PX_SPLIT_TRAIN] = config->data.train,
                                          [PX_SPLIT_VALID] = config->data.validation,
                                          [PX_SPLIT_TEST] = config->data.test};
    return lists[split];
}
