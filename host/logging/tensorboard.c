/* TensorBoard event files. */
#include "host/logging/tensorboard.h"
#include "tensorboard.pb-c.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct px_tensorboard {
    px_context *ctx;
    FILE *stream;
    char path[1024];
};

static px_status fail_errno(px_tensorboard *board) {
    return px_fail(board->ctx, PX_ERR_FILE, "%s: %s", board->path, strerror(errno));
}

/* ---- Records ---- */

uint32_t px_crc32c(const void *data, size_t bytes) {
    static const uint32_t nibbles[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    uint32_t crc = 0xffffffff;
    for (const uint8_t *byte = data, *end = byte + bytes; byte < end; byte++) {
        crc ^= *byte;
        crc = crc >> 4 ^ nibbles[crc & 15];
        crc = crc >> 4 ^ nibbles[crc & 15];
    }
    return ~crc;
}

/* The masked checksum of TFRecord, which differs from the CRC so that data may contain records. */
static uint32_t masked_crc32c(const void *data, size_t bytes) {
    uint32_t crc = px_crc32c(data, bytes);
    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

/* Writes a TFRecord: length, checksum of the length, data, checksum of the data; little endian. */
static px_status write_record(px_tensorboard *board, const void *data, size_t bytes) {
    uint64_t length = bytes;
    uint32_t length_crc = masked_crc32c(&length, sizeof length), data_crc = masked_crc32c(data, bytes);
    bool good = fwrite(&length, sizeof length, 1, board->stream) == 1 &&
                fwrite(&length_crc, sizeof length_crc, 1, board->stream) == 1 &&
                fwrite(data, 1, bytes, board->stream) == bytes &&
                fwrite(&data_crc, sizeof data_crc, 1, board->stream) == 1;
    return good ? PX_OK : fail_errno(board);
}

/* Sets the time of the event and writes it. */
static px_status write_event(px_tensorboard *board, Tensorboard__Event *event) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    event->wall_time = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    const size_t bytes = tensorboard__event__get_packed_size(event);
    uint8_t *packed = malloc(bytes);
    if (!packed) return px_fail_memory(board->ctx, board->path, bytes);
    px_status status = write_record(board, packed, tensorboard__event__pack(event, packed));
    free(packed);
    return status;
}

/* ---- Events ---- */

static px_status write_value(px_tensorboard *board, int64_t step, Tensorboard__Summary__Value *value) {
    Tensorboard__Summary summary = TENSORBOARD__SUMMARY__INIT;
    summary.n_value = 1;
    summary.value = &value;
    Tensorboard__Event event = TENSORBOARD__EVENT__INIT;
    event.step = step;
    event.what_case = TENSORBOARD__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    return write_event(board, &event);
}

px_status px_tensorboard_scalar(px_tensorboard *board, int64_t step, const px_metric *metric) {
    Tensorboard__Summary__Value value = TENSORBOARD__SUMMARY__VALUE__INIT;
    value.tag = (char *)metric->name;
    value.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
    value.simple_value = (float)metric->value;
    return write_value(board, step, &value);
}

px_status px_tensorboard_image(px_tensorboard *board, int64_t step, const char *tag, const void *png, size_t bytes,
                               int height, int width, int channels) {
    Tensorboard__Summary__Image image = TENSORBOARD__SUMMARY__IMAGE__INIT;
    image.height = height;
    image.width = width;
    image.colorspace = channels;
    image.encoded_image_string = (ProtobufCBinaryData){bytes, (uint8_t *)png};
    Tensorboard__Summary__Value value = TENSORBOARD__SUMMARY__VALUE__INIT;
    value.tag = (char *)tag;
    value.value_case = TENSORBOARD__SUMMARY__VALUE__VALUE_IMAGE;
    value.image = &image;
    return write_value(board, step, &value);
}

/* ---- The file ---- */

/* A second start within one second takes the name of the next second. */
static px_status create(px_tensorboard *board, const char *folder) {
    char host[256] = "localhost";
    gethostname(host, sizeof host - 1);
    for (long long seconds = (long long)time(NULL); !board->stream; seconds++) {
        int length = snprintf(board->path, sizeof board->path, "%s/events.out.tfevents.%lld.%s", folder, seconds, host);
        if (length >= (int)sizeof board->path) {
            return px_fail(board->ctx, PX_ERR_FILE, "%.64s...: %s", folder, strerror(ENAMETOOLONG));
        }
        board->stream = fopen(board->path, "wbx");
        if (!board->stream && errno != EEXIST) return fail_errno(board);
    }
    return PX_OK;
}

/* Writes the first events of a file: its version, and the step from which TensorBoard discards events of older files.
 */
static px_status write_head(px_tensorboard *board, int64_t step) {
    Tensorboard__Event version = TENSORBOARD__EVENT__INIT;
    version.what_case = TENSORBOARD__EVENT__WHAT_FILE_VERSION;
    version.file_version = "brain.Event:2";
    PX_TRY(write_event(board, &version));

    Tensorboard__SessionLog log = TENSORBOARD__SESSION_LOG__INIT;
    log.status = TENSORBOARD__SESSION_LOG__SESSION_STATUS__START;
    Tensorboard__Event start = TENSORBOARD__EVENT__INIT;
    start.step = step + 1;
    start.what_case = TENSORBOARD__EVENT__WHAT_SESSION_LOG;
    start.session_log = &log;
    PX_TRY(write_event(board, &start));
    return px_tensorboard_flush(board);
}

px_status px_tensorboard_open(px_context *ctx, const char *folder, int64_t step, px_tensorboard **result) {
    *result = NULL;
    px_tensorboard *board = calloc(1, sizeof *board);
    if (!board) return px_fail_memory(ctx, folder, sizeof *board);
    board->ctx = ctx;
    px_status status = create(board, folder);
    if (status == PX_OK) status = write_head(board, step);
    if (status == PX_OK)
        *result = board;
    else
        px_tensorboard_close(board);
    return status;
}

px_status px_tensorboard_flush(px_tensorboard *board) { return fflush(board->stream) == 0 ? PX_OK : fail_errno(board); }

void px_tensorboard_close(px_tensorboard *board) {
    if (!board) return;
    if (board->stream) fclose(board->stream);
    free(board);
}
