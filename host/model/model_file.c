/* Model files: flat tensors to and from safetensors. */
#include "pixelrnn/model_file.h"
#include "host/io/file.h"
#include "host/model/flat_file.h"
#include "host/device/backend.h"
#include "host/model/internal.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

px_model_spec px_model_spec_from(const px_config *config, int height, int width, int channels) {
    return (px_model_spec){.kind = (px_model_kind)config->model.kind,
                           .layers = (int)config->model.layers,
                           .hidden = (int)config->model.hidden,
                           .head = (int)config->model.head,
                           .residual = config->model.residual,
                           .skip = config->model.skip,
                           .height = height,
                           .width = width,
                           .channels = channels,
                           .levels = (int)config->data.levels,
                           .condition = px_condition_of(config)};
}

/* ---- Reading ---- */

static px_status metadata_text(px_context *ctx, const char *path, const px_safetensors *file, const char *key,
                               const char **value) {
    *value = px_safetensors_metadata(file, key);
    if (*value) return PX_OK;
    return px_fail(ctx, PX_ERR_FORMAT, "%s: metadata has no \"%s\"; expected a pixelrnn model", path, key);
}

static px_status metadata_integer(px_context *ctx, const char *path, const px_safetensors *file, const char *key,
                                  int64_t max, int64_t *value) {
    const char *text;
    PX_TRY(metadata_text(ctx, path, file, key, &text));
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    if (end != text && !*end && !errno && *value >= 0 && *value <= max) return PX_OK;
    return px_fail(ctx, PX_ERR_FORMAT, "%s: metadata %s: found \"%.40s\", expected an integer from 0 to %lld", path,
                   key, text, (long long)max);
}

static px_status read_info(px_context *ctx, const char *path, const px_safetensors *file, px_model_info *info) {
    static const char *const keys[] = {"height", "width", "channels", "levels", "step"};
    const char *format, *config;
    int64_t value[5];
    PX_TRY(metadata_text(ctx, path, file, "format", &format));
    if (strcmp(format, "pixelrnn") != 0)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: metadata format: found \"%.40s\", expected \"pixelrnn\"", path, format);
    PX_TRY(metadata_text(ctx, path, file, "config", &config));
    for (int i = 0; i < 5; i++)
        PX_TRY(metadata_integer(ctx, path, file, keys[i], i < 4 ? 65535 : INT64_MAX, &value[i]));
    px_config_default(&info->config);
    PX_TRY(px_config_parse(ctx, path, config, &info->config));
    if (info->config.data.levels != value[3])
        return px_fail(ctx, PX_ERR_FORMAT, "%s: metadata levels: found %lld, expected %lld as in its config", path,
                       (long long)value[3], (long long)info->config.data.levels);
    info->spec = px_model_spec_from(&info->config, (int)value[0], (int)value[1], (int)value[2]);
    info->step = value[4];
    return PX_OK;
}

px_status px_model_file_info(px_context *ctx, const char *path, px_model_info *info) {
    px_safetensors *file;
    PX_TRY(px_safetensors_open(ctx, path, &file));
    const px_status status = read_info(ctx, path, file, info);
    px_safetensors_close(file);
    return status;
}

static void shape_text(char text[96], int rank, const int64_t *shape) {
    size_t used = (size_t)snprintf(text, 96, "[");
    for (int i = 0; i < rank && used < 80; i++)
        used += (size_t)snprintf(text + used, 96 - used, "%s%lld", i ? ", " : "", (long long)shape[i]);
    snprintf(text + used, 96 - used, "]");
}

static px_status check_shape(px_context *ctx, const char *path, const px_stored_tensor *tensor, const px_parameter *p) {
    int64_t shape[PX_TENSOR_RANK] = {0};
    bool same = tensor->rank == p->rank && (tensor->dtype == PX_DTYPE_F32 || tensor->dtype == PX_DTYPE_F64);
    for (int i = 0; i < p->rank; i++) {
        shape[i] = p->shape[i];
        same = same && tensor->shape[i] == shape[i];
    }
    if (same) return PX_OK;
    char found[96], expected[96];
    shape_text(found, tensor->rank, tensor->shape);
    shape_text(expected, p->rank, shape);
    return px_fail(ctx, PX_ERR_FORMAT, "%s: tensor %s: found %s %s, expected F32 %s", path, tensor->name,
                   px_dtype_name(tensor->dtype), found, expected);
}

/* Copies one tensor of the file to its place in `flat`, host memory with the layout of a flat tensor. */
static px_status read_tensor(px_context *ctx, const char *path, const px_safetensors *file, const char *name,
                             const px_parameters *parameters, const px_parameter *p, px_real *flat) {
    const px_stored_tensor *tensor = px_safetensors_find(file, name);
    if (!tensor) return px_fail(ctx, PX_ERR_FORMAT, "%s: tensor %s is missing", path, name);
    PX_TRY(check_shape(ctx, path, tensor, p));
    for (size_t e = 0; e < p->count; e++) {
        const double value = px_stored_tensor_value(tensor, e);
        if (!isfinite((px_real)value))
            return px_fail(ctx, PX_ERR_FORMAT, "%s: tensor %s: element %zu is not finite", path, name, e);
        if (value != 0 && !px_parameter_live(parameters, p, e))
            return px_fail(ctx, PX_ERR_FORMAT, "%s: tensor %s: masked element %zu is %g, expected 0", path, name, e,
                           value);
        flat[p->offset + e] = (px_real)value;
    }
    return PX_OK;
}

static px_status read_flat(px_model *model, const px_safetensors *file, const char *path, const px_named_flat *named) {
    px_device *device = px_model_device(model);
    const px_parameters *parameters = px_model_parameters(model);
    px_real *flat = calloc(parameters->elements, sizeof *flat);
    if (!flat) return px_fail_memory(device->ctx, path, parameters->elements * sizeof *flat);
    px_status status = PX_OK;
    for (int i = 0; i < parameters->count && status == PX_OK; i++) {
        char name[PX_TENSOR_NAME];
        snprintf(name, sizeof name, "%s%s", named->prefix, parameters->items[i].name);
        status = read_tensor(device->ctx, path, file, name, parameters, &parameters->items[i], flat);
    }
    if (status == PX_OK)
        status = device->ops->upload(device, named->flat.data, flat, parameters->elements * sizeof *flat);
    if (status == PX_OK) status = device->ops->synchronize(device);
    free(flat);
    return status;
}

px_status px_flat_file_load(px_model *model, const px_named_flat *flats, int count, const char *path) {
    px_context *ctx = px_model_device(model)->ctx;
    px_safetensors *file;
    PX_TRY(px_safetensors_open(ctx, path, &file));
    const int want = count * px_model_parameters(model)->count, found = px_safetensors_count(file);
    px_status status = PX_OK;
    for (int i = 0; i < count && status == PX_OK; i++) status = read_flat(model, file, path, &flats[i]);
    if (status == PX_OK && found != want)
        status = px_fail(ctx, PX_ERR_FORMAT, "%s: found %d tensors, expected %d", path, found, want);
    px_safetensors_close(file);
    return status == PX_OK ? px_model_cast_weights(model) : status;
}

px_status px_model_file_load_weights(const char *path, px_model *model) {
    const px_named_flat weights = {"", px_model_weights(model)};
    return px_flat_file_load(model, &weights, 1, path);
}

px_status px_model_file_load(px_device *device, const char *path, px_model_info *info, px_model **model) {
    *model = NULL;
    PX_TRY(px_model_file_info(device->ctx, path, info));
    PX_TRY(px_model_create(device, &info->spec, model));
    const px_status status = px_model_file_load_weights(path, *model);
    if (status == PX_OK) return PX_OK;
    px_model_destroy(*model);
    *model = NULL;
    return status;
}

/* ---- Writing ---- */

/* Describes the parameters of a flat tensor as stored tensors without data. */
static void describe_tensors(const px_parameters *parameters, const char *prefix, px_stored_tensor *tensors) {
    for (int i = 0; i < parameters->count; i++) {
        const px_parameter *p = &parameters->items[i];
        px_stored_tensor *t = &tensors[i];
        *t = (px_stored_tensor){.dtype = PX_DTYPE_F32, .rank = p->rank};
        snprintf(t->name, sizeof t->name, "%s%s", prefix, p->name);
        for (int d = 0; d < p->rank; d++) t->shape[d] = p->shape[d];
    }
}

/* Points the tensors at `values`, which becomes a copy in float32 of `flat`, a flat tensor in host memory. */
static void store_values(const px_parameters *parameters, const px_real *flat, float *values,
                         px_stored_tensor *tensors) {
    for (int i = 0; i < parameters->count; i++) {
        const px_parameter *p = &parameters->items[i];
        tensors[i].data = values + p->offset;
        for (size_t e = 0; e < p->count; e++) values[p->offset + e] = (float)flat[p->offset + e];
    }
}

px_status px_flat_file_bytes(const px_model *model, const px_named_flat *flats, int count, const px_metadata *metadata,
                             int metadata_count, size_t *bytes) {
    px_context *ctx = px_model_device(model)->ctx;
    const px_parameters *parameters = px_model_parameters(model);
    const size_t size = (size_t)(count * parameters->count + 1) * sizeof(px_stored_tensor);
    px_stored_tensor *tensors = malloc(size);
    if (!tensors) return px_fail_memory(ctx, "checkpoint", size);
    for (int i = 0; i < count; i++) describe_tensors(parameters, flats[i].prefix, tensors + i * parameters->count);
    const px_status status = px_safetensors_bytes(ctx, "checkpoint", tensors, count * parameters->count, metadata,
                                                  metadata_count, bytes);
    free(tensors);
    return status;
}

px_status px_flat_file_save(px_model *model, const px_named_flat *flats, int count, const px_metadata *metadata,
                            int metadata_count, const char *path) {
    px_device *device = px_model_device(model);
    const px_parameters *parameters = px_model_parameters(model);
    const size_t elements = parameters->elements, n = (size_t)(count > 0 ? count : 1);
    px_real *flat = malloc(elements * sizeof *flat);
    float *values = malloc(n * elements * sizeof *values);
    px_stored_tensor *tensors = malloc(n * (size_t)parameters->count * sizeof *tensors);
    px_status status = PX_OK;
    if (!flat || !values || !tensors) status = px_fail_memory(device->ctx, path, n * elements * sizeof *values);
    for (int i = 0; i < count && status == PX_OK; i++) {
        status = device->ops->download(device, flat, flats[i].flat.data, elements * sizeof *flat);
        if (status != PX_OK) break;
        describe_tensors(parameters, flats[i].prefix, tensors + i * parameters->count);
        store_values(parameters, flat, values + (size_t)i * elements, tensors + i * parameters->count);
    }
    if (status == PX_OK)
        status = px_safetensors_write(device->ctx, path, tensors, count * parameters->count, metadata, metadata_count);
    free(flat);
    free(values);
    free(tensors);
    return status;
}

enum { METADATA = 7 };

/* The metadata of a model file, and the texts that it points at. */
typedef struct model_metadata {
    px_metadata items[METADATA];
    char height[16], width[16], channels[16], levels[16], step[32], *config;
} model_metadata;

/* Fills *m, whose config the caller frees. */
static px_status describe_model(const px_model *model, const px_config *config, int64_t step, model_metadata *m) {
    const px_model_spec *s = px_model_spec_of(model);
    snprintf(m->height, sizeof m->height, "%d", s->height);
    snprintf(m->width, sizeof m->width, "%d", s->width);
    snprintf(m->channels, sizeof m->channels, "%d", s->channels);
    snprintf(m->levels, sizeof m->levels, "%d", s->levels);
    snprintf(m->step, sizeof m->step, "%lld", (long long)step);
    m->config = px_config_text(config);
    if (!m->config) return px_fail_memory(px_model_device(model)->ctx, "model.safetensors", 0);
    const px_metadata items[METADATA] = {{"format", "pixelrnn"}, {"config", m->config},     {"height", m->height},
                                         {"width", m->width},    {"channels", m->channels}, {"levels", m->levels},
                                         {"step", m->step}};
    memcpy(m->items, items, sizeof items);
    return PX_OK;
}

px_status px_model_file_save(px_model *model, px_tensor flat, const px_config *config, int64_t step, const char *path) {
    model_metadata metadata;
    const px_named_flat named = {"", flat};
    PX_TRY(describe_model(model, config, step, &metadata));
    const px_status status = px_flat_file_save(model, &named, 1, metadata.items, METADATA, path);
    free(metadata.config);
    return status;
}

px_status px_model_file_bytes(const px_model *model, const px_config *config, int64_t step, size_t *bytes) {
    model_metadata metadata;
    const px_named_flat named = {.prefix = ""};
    PX_TRY(describe_model(model, config, step, &metadata));
    const px_status status = px_flat_file_bytes(model, &named, 1, metadata.items, METADATA, bytes);
    free(metadata.config);
    return status;
}
