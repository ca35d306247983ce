/* One reader for each file format: reads a file of any bytes, and checks what the API promises for it. */
#include "tests/fuzz/readers.h"
#include "pixelrnn/config.h"
#include "host/data/formats.h"
#include "pixelrnn/model_file.h"
#include "host/data/image.h"
#include "host/io/file.h"
#include "host/io/safetensors.h"
#include "pixelrnn/source.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

/* A small file may state a huge image, or unpack to a million images. It is valid, but slow to read. Images above
 * MAX_PIXELS are not decoded, and at most about MAX_IMAGES images of a file are read. */
enum { MAX_PIXELS = 1 << 18, MAX_IMAGES = 256 };

/* Aborts if a promise is broken. */
static void demand(bool kept, const char *promise) {
    if (kept) return;
    fprintf(stderr, "broken promise: %s\n", promise);
    abort();
}

/* Returns status, after checking that a failure has a message of one line. */
static px_status checked(const px_context *ctx, px_status status) {
    if (status == PX_OK) return PX_OK;
    demand(ctx->message[0] != 0, "a failure has a message");
    for (const char *c = ctx->message; *c; c++) demand(!iscntrl((unsigned char)*c), "a message is one line");
    return status;
}

/* ---- Files ---- */

/* A file in memory that can be opened by a path. */
typedef struct memory_file {
    int descriptor;
    char path[32];
} memory_file;

static memory_file file_make(const uint8_t *bytes, size_t size) {
    memory_file file = {.descriptor = memfd_create("fuzz", MFD_CLOEXEC)};
    demand(file.descriptor >= 0 && write(file.descriptor, bytes, size) == (ssize_t)size, "a file can be made");
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.descriptor);
    return file;
}

/* The same in gzip, stored without compression, so that the fuzzer's changes stay at the same bytes. */
static memory_file file_make_gzip(const uint8_t *bytes, size_t size) {
    memory_file file = file_make(NULL, 0);
    gzFile out = gzdopen(dup(file.descriptor), "wb0");
    demand(out && gzwrite(out, bytes, (unsigned)size) == (int)size && gzclose(out) == Z_OK, "a gzip can be made");
    return file;
}

/* ---- Image sources ---- */

/* Reads an image twice into memory with different content. Both results must be complete and equal. */
static px_status read_image(px_context *ctx, px_source *source, size_t index, uint8_t *pixels, size_t size) {
    memset(pixels, 0x00, size);
    memset(pixels + size, 0xff, size);
    px_status status = checked(ctx, source->read(source, ctx, index, pixels));
    demand(checked(ctx, source->read(source, ctx, index, pixels + size)) == status, "an image is read or not");
    if (status == PX_OK) demand(memcmp(pixels, pixels + size, size) == 0, "an image is always the same");
    return status;
}

static px_status read_images(px_context *ctx, px_source *source) {
    demand(source->count >= 1, "there is an image");
    demand(source->height >= 1 && source->height <= 32768, "an image has a height");
    demand(source->width >= 1 && source->width <= 32768, "an image has a width");
    demand(source->channels == 1 || source->channels == 3, "an image is grey or coloured");
    const size_t pixels = (size_t)source->height * (size_t)source->width, size = pixels * (size_t)source->channels;
    demand(!source->labels || source->no_labels.status == PX_OK, "labels are read or not");
    if (!source->labels) checked(&source->no_labels.ctx, source->no_labels.status);
    if (pixels > MAX_PIXELS) return PX_OK;
    uint8_t *image = malloc(2 * size);
    px_status status = image ? PX_OK : PX_ERR_MEMORY;
    for (size_t i = 0; image && i < source->count; i += 1 + source->count / MAX_IMAGES) {
        px_status read = read_image(ctx, source, i, image, size);
        if (status == PX_OK) status = read;
    }
    free(image);
    return status;
}

/* Reads the images as stored, with their labels, then at half their size with the other number of channels. */
static px_status read_file(px_context *ctx, const char *path, px_split split, px_access access) {
    px_source *source, *converted;
    const px_source_options stored = {.split = split, .access = access, .labels = true};
    PX_TRY(checked(ctx, px_source_open(ctx, path, &stored, &source)));
    px_status status = read_images(ctx, source);
    px_source_options other = {.split = split, .access = access};
    other.size = ((source->height < source->width ? source->height : source->width) + 1) / 2;
    other.channels = source->channels == 1 ? 3 : 1;
    px_source_close(source);
    px_status converting = px_source_open_all(ctx, 1, &path, &other, &converted);
    if (checked(ctx, converting) != PX_OK) return status != PX_OK ? status : converting;
    converting = read_images(ctx, converted);
    px_source_close(converted);
    return status != PX_OK ? status : converting;
}

/* Reads the images as levels, which most files do not have. */
static void read_levels(px_context *ctx, const char *path, px_values values, px_access access) {
    px_source *source;
    const px_source_options options = {.split = PX_SPLIT_VALID, .access = access, .levels = 100, .values = values};
    if (checked(ctx, px_source_open(ctx, path, &options, &source)) != PX_OK) return;
    read_images(ctx, source);
    px_source_close(source);
}

static px_status read_source(px_context *ctx, const uint8_t *bytes, size_t size) {
    memory_file file = file_make(bytes, size);
    read_file(ctx, file.path, PX_SPLIT_TEST, PX_ACCESS_IN_ORDER);
    read_levels(ctx, file.path, PX_VALUES_AUTO, PX_ACCESS_IN_ORDER);
    read_levels(ctx, file.path, PX_VALUES_LEVELS, PX_ACCESS_ANY);
    px_status status = read_file(ctx, file.path, PX_SPLIT_TRAIN, PX_ACCESS_ANY);
    close(file.descriptor);
    return status;
}

/* Reads a tar compressed, which takes another code path, then plain. */
static px_status read_tar(px_context *ctx, const uint8_t *bytes, size_t size) {
    memory_file file = file_make_gzip(bytes, size);
    read_file(ctx, file.path, PX_SPLIT_TRAIN, PX_ACCESS_IN_ORDER);
    close(file.descriptor);
    return read_source(ctx, bytes, size);
}

static px_status read_labels(px_context *ctx, const uint8_t *bytes, size_t size) {
    px_labels labels;
    memory_file file = file_make(bytes, size);
    const px_status status = checked(ctx, px_labels_read(ctx, file.path, NULL, &labels));
    demand((status == PX_OK) == (labels.values != NULL), "labels are read or not");
    demand((status == PX_OK) == (labels.count > 0), "labels have a number");
    free(labels.values);
    close(file.descriptor);
    return status;
}

/* ---- Encoded images ---- */

static px_status decode(px_context *ctx, const uint8_t *bytes, size_t size, int channels) {
    uint8_t *pixels, output[3 * 7 * 7];
    int height, width, measured_height, measured_width;
    PX_TRY(checked(ctx, px_image_measure(ctx, "image", bytes, size, &measured_height, &measured_width)));
    demand(measured_height >= 1 && measured_width >= 1, "an image has pixels");
    demand((int64_t)measured_height * measured_width <= PX_IMAGE_PIXELS, "an image is not too large");
    if (measured_height * measured_width > MAX_PIXELS) return PX_OK;
    PX_TRY(checked(ctx, px_image_decode(ctx, "image", bytes, size, channels, &pixels, &height, &width)));
    demand(height == measured_height && width == measured_width, "an image is as large as its header says");
    int side = height < width ? height : width;
    px_image_downsample(pixels, height, width, channels, side < 7 ? side : 7, output);
    free(pixels);
    return PX_OK;
}

static uint32_t big_endian(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_big_endian(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * (3 - i));
}

/* Corrects the Adler-32 at the end of a zlib stream, if the stream is complete and not too large. */
static void repair_adler(uint8_t *data, size_t size) {
    static uint8_t unpacked[1 << 20];
    z_stream stream = {
        .next_in = data + 2, .avail_in = (uInt)size - 2, .next_out = unpacked, .avail_out = sizeof unpacked};
    if (inflateInit2(&stream, -15) != Z_OK) return;
    const bool whole = inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_in >= 4;
    if (whole) put_big_endian(data + size - stream.avail_in, (uint32_t)adler32_z(1, unpacked, stream.total_out));
    inflateEnd(&stream);
}

/* Corrects the checksums of a PNG, so that changed bytes reach the decoder. The Adler-32 is corrected only if the data
 * are in one chunk. */
static void repair_png(uint8_t *bytes, size_t size) {
    for (size_t at = 8; at + 12 <= size;) {
        const size_t length = big_endian(bytes + at);
        uint8_t *type = bytes + at + 4;
        if (length > size - at - 12) return;
        if (memcmp(type, "IDAT", 4) == 0 && length > 6) repair_adler(type + 4, length);
        put_big_endian(type + 4 + length, (uint32_t)crc32_z(0, type, 4 + length));
        at += 12 + length;
    }
}

/* Decodes an image, as it is and with corrected PNG checksums. */
static px_status read_encoded_image(px_context *ctx, const uint8_t *bytes, size_t size) {
    uint8_t *repaired = malloc(size + 1);
    if (repaired && size > 0) {
        memcpy(repaired, bytes, size);
        repair_png(repaired, size);
        if (decode(ctx, repaired, size, 1) == PX_OK) decode(ctx, repaired, size, 3);
    }
    free(repaired);
    PX_TRY(decode(ctx, bytes, size, 1));
    return decode(ctx, bytes, size, 3);
}

/* ---- Tensors ---- */

static void check_tensor(const px_safetensors *tensors, const px_stored_tensor *tensor) {
    demand(px_safetensors_find(tensors, tensor->name) == tensor, "a tensor is found by its name");
    demand(tensor->rank >= 0 && tensor->rank <= PX_TENSOR_RANK, "a tensor has a rank");
    size_t elements = 1;
    for (int d = 0; d < tensor->rank; d++) elements *= (size_t)tensor->shape[d];
    demand(px_stored_tensor_elements(tensor) == elements, "a tensor has the elements of its shape");
    for (size_t i = 0; i < elements; i++) (void)px_stored_tensor_value(tensor, i);
}

static px_status read_safetensors(px_context *ctx, const uint8_t *bytes, size_t size) {
    px_safetensors *tensors;
    memory_file file = file_make(bytes, size);
    px_status status = checked(ctx, px_safetensors_open(ctx, file.path, &tensors));
    if (status == PX_OK) {
        for (int i = 0; i < px_safetensors_count(tensors); i++) check_tensor(tensors, px_safetensors_at(tensors, i));
        px_safetensors_metadata(tensors, "format");
        px_safetensors_close(tensors);
    }
    close(file.descriptor);
    return status;
}

static px_status read_model(px_context *ctx, const uint8_t *bytes, size_t size) {
    px_model_info info;
    memory_file file = file_make(bytes, size);
    px_status status = checked(ctx, px_model_file_info(ctx, file.path, &info));
    close(file.descriptor);
    return status;
}

/* ---- Configs ---- */

/* Checks that a config survives writing and reading. */
static void check_config(px_context *ctx, const px_config *config) {
    px_config again;
    px_config_default(&again);
    char *text = px_config_text(config);
    demand(text && px_config_parse(ctx, "written", text, &again) == PX_OK, "a config that was written is read");
    char *text_again = px_config_text(&again);
    demand(text_again && strcmp(text, text_again) == 0, "a config that was written is read as it was");
    free(text);
    free(text_again);
}

/* Reads the config as text in memory, which cannot open other files by its key base. */
static px_status parse_config(px_context *ctx, const char *path, px_config *config) {
    char *text;
    PX_TRY(px_file_read_text(ctx, path, 1 << 20, &text));
    const px_status status = px_config_parse(ctx, "text", text, config);
    free(text);
    return status;
}

static px_status read_config(px_context *ctx, const uint8_t *bytes, size_t size) {
    static px_config before, config; /* static, so that padding is 0 for memcmp */
    px_config_default(&before);
    memcpy(&config, &before, sizeof config);
    memory_file file = file_make(bytes, size);
    px_status status = checked(ctx, parse_config(ctx, file.path, &config));
    close(file.descriptor);
    if (status != PX_OK) {
        demand(memcmp(&config, &before, sizeof config) == 0, "a config that cannot be read changes nothing");
        return status;
    }
    check_config(ctx, &config);
    return checked(ctx, px_config_check(ctx, "config", &config));
}

const fuzz_reader fuzz_readers[FUZZ_READERS] = {
    {"amat", read_source}, {"cifar", read_source},        {"config", read_config},
    {"idx", read_source},  {"model", read_model},         {"npy", read_source},
    {"npz", read_source},  {"image", read_encoded_image}, {"safetensors", read_safetensors},
    {"tar", read_tar},     {"labels", read_labels},
};
