/* Drawn images on their way to a file. */
#include "host/cli/drawing.h"
#include "host/cli/cli.h"
#include "pixelrnn/loader.h"
#include "pixelrnn/npy.h"

px_status px_draw_images(px_model *model, const px_sample_request *request, int count, int batch, uint8_t *pixels,
                         px_progress *progress) {
    const px_model_spec *spec = px_model_spec_of(model);
    const size_t bytes = px_image_bytes(spec);
    for (int first = 0; first < count; first += batch) {
        px_sample_request part = *request;
        part.first_image += (uint64_t)first;
        part.images = count - first < batch ? count - first : batch;
        if (part.given) part.given += (size_t)first * bytes;
        PX_TRY(px_sample(model, &part, pixels + (size_t)first * bytes, progress));
    }
    for (size_t i = 0; i < (size_t)count * bytes; i++) pixels[i] = px_dequantise(pixels[i], spec->levels);
    return PX_OK;
}

static px_status px_write_npy(px_context *ctx, const char *path, const px_model_spec *spec, const uint8_t *pixels,
                              int count) {
    const size_t shape[] = {(size_t)count, (size_t)spec->height, (size_t)spec->width, (size_t)spec->channels};
    px_file_out out;
    PX_TRY(px_file_create(ctx, path, &out));
    px_status status = px_npy_write_header(ctx, path, out.stream, "|u1", 4, shape);
    if (status == PX_OK) status = px_file_write(ctx, &out, pixels, (size_t)count * px_image_bytes(spec));
    if (status == PX_OK) status = px_file_commit(ctx, &out);
    px_file_abandon(&out);
    return status;
}

px_status px_write_images(px_context *ctx, const char *path, const px_model_spec *spec, const uint8_t *pixels,
                          int count, int columns) {
    if (px_cli_ends_with(path, ".npy")) return px_write_npy(ctx, path, spec, pixels, count);
    const px_grid_layout layout = {
        .images = count, .height = spec->height, .width = spec->width, .channels = spec->channels, .columns = columns};
    return px_png_grid_write(ctx, path, pixels, &layout);
}

px_status px_check_image_path(px_context *ctx, const char *path) {
    if (px_cli_ends_with(path, ".png") || px_cli_ends_with(path, ".npy")) return PX_OK;
    return px_fail(ctx, PX_ERR_USAGE, "-o: found %.200s, expected a name that ends with .png or .npy", path);
}
