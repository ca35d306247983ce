/* Run folders where symbolic links cannot be made, and what tells one set of images from another. */
#include "tests/support/support.h"
#include "host/train/checkpoint.h"
#include "host/io/file.h"
#include "pixelrnn/source.h"
#include "pixelrnn/train.h"
#include "pixelrnn/version.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool no_links; /* symlink fails */

/* A mock of symlink, which the linker also uses for the calls in the library. */
int symlink(const char *target, const char *link) {
    if (!no_links) return symlinkat(target, AT_FDCWD, link);
    errno = EPERM;
    return -1;
}

static px_context ctx;

static int create_folder(void **state) {
    no_links = false;
    return px_test_folder_make(state);
}

/* Trains a tiny model to a step, resuming if possible. Returns its output, which the caller frees. */
static char *train(int64_t steps) {
    static px_config config;
    static const char *const settings[] = {"model.kind=pixelcnn",
                                           "model.layers=1",
                                           "model.hidden=2",
                                           "model.head=2",
                                           "data.size=4",
                                           "data.levels=2",
                                           "train.samples=0",
                                           "data.test=builtin:ising",
                                           "train.checkpoint_every=1",
                                           "train.batch_size=2",
                                           "train.evaluate_every=1",
                                           "train.keep_checkpoints=0",
                                           "train.evaluate_images=20",
                                           "data.train=builtin:ising"};
    px_train_result result;
    char *output = NULL;
    size_t bytes;
    px_device *device = px_test_device(&ctx);
    FILE *out = open_memstream(&output, &bytes);
    px_config_default(&config);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        assert_ok(&ctx, px_config_set(&ctx, settings[i], &config));
    config.train.steps = steps;
    const px_train_options options = {.config = &config, .run = px_test_path("run"), .resume = true, .out = out};
    assert_ok(&ctx, px_train(device, &options, &result));
    fclose(out);
    px_device_close(device);
    return output;
}

static void assert_text_file(const char *path, const char *want) {
    struct stat found;
    char *text;
    assert_int_equal(lstat(path, &found), 0);
    assert_true(S_ISREG(found.st_mode));
    assert_ok(&ctx, px_file_read_text(&ctx, path, 100, &text));
    assert_string_equal(text, want);
    free(text);
}

static void assert_link(const char *path, const char *want) {
    char target[64] = "";
    assert_true(readlink(path, target, sizeof target - 1) > 0);
    assert_string_equal(target, want);
}

static int occurrences(const char *text, const char *part) {
    int count = 0;
    for (; (text = strstr(text, part)); text++) count++;
    return count;
}

static void without_links_text_files_are_written(void **state) {
    (void)state;
    char path[PX_PATH];
    no_links = true;
    char *output = train(3);
    if (occurrences(output, "warning: ") != 1 ||
        !strstr(output, "/run/checkpoints: found no symbolic links (Operation not"))
        fail_msg("found \"%s\", expected one warning that links cannot be made", output);
    free(output);
    assert_text_file(px_test_path("run/checkpoints/newest"), "000000003");
    assert_ok(&ctx, px_checkpoint_find_model(&ctx, px_test_path("run"), path));
    assert_non_null(strstr(path, "/run/checkpoints/00000000"));
    free(train(4));
    assert_text_file(px_test_path("run/checkpoints/newest"), "000000004");
}

static void links_and_text_files_replace_each_other(void **state) {
    (void)state;
    free(train(2));
    assert_link(px_test_path("run/checkpoints/newest"), "000000002");
    no_links = true;
    free(train(3));
    assert_text_file(px_test_path("run/checkpoints/newest"), "000000003");
    no_links = false;
    free(train(4));
    assert_link(px_test_path("run/checkpoints/newest"), "000000004");
    assert_false(px_file_exists(px_test_path("run/checkpoints/newest.partial")));
}

/* A folder with the name of a link is removed if it is a copy of an existing checkpoint, and else renamed. */
static void a_folder_with_the_name_of_a_link_is_replaced(void **state) {
    (void)state;
    char best[256];
    strcpy(best, px_test_path("run/checkpoints/best"));
    for (int i = 0; i < 4; i++) {
        const bool copy = i % 2 == 0;
        no_links = i >= 2;
        free(train(2 + i));
        assert_int_equal(unlink(best), 0);
        assert_ok(&ctx, px_file_make_folder(&ctx, best));
        if (copy)
            assert_int_equal(link(px_test_path("run/checkpoints/000000002/model.safetensors"),
                                  px_test_path("run/checkpoints/best/model.safetensors")),
                             0);
        assert_ok(&ctx, px_checkpoint_mark(&ctx, px_test_path("run"), "best", 2));
        if (no_links) assert_text_file(best, "000000002");
        if (!no_links) assert_link(best, "000000002");
        assert_false(px_file_exists(px_test_path("run/checkpoints/best.partial")));
        assert_int_equal(px_file_exists(px_test_path("run/checkpoints/best.rejected")), i >= 1);
        assert_int_equal(px_file_exists(px_test_path("run/checkpoints/best.rejected.2")), i >= 3);
    }
}

static uint8_t changed_value; /* of one value of image 500 */

static px_status read_image(px_source *source, px_context *context, size_t index, uint8_t *pixels) {
    (void)source, (void)context;
    pixels[0] = (uint8_t)index;
    pixels[1] = index == 500 ? changed_value : 1;
    return PX_OK;
}

static px_source_digest digest_of(size_t count, int height, int width) {
    px_source source = {
        .name = "images", .count = count, .height = height, .width = width, .channels = 1, .read = read_image};
    px_source_digest digest;
    assert_ok(&ctx, px_source_digest_of(&ctx, &source, &digest));
    return digest;
}

static void digests_differ_if_images_differ(void **state) {
    (void)state;
    char text[PX_DIGEST_TEXT];
    changed_value = 1;
    const px_source_digest digest = digest_of(1009, 1, 2), same = digest_of(1009, 1, 2), fewer = digest_of(1008, 1, 2),
                           transposed = digest_of(1009, 2, 1), few = digest_of(1, 1, 2);
    changed_value = 2; /* a digest reads every 16th of 1,009 images, and the last of 501 */
    const px_source_digest unseen = digest_of(1009, 1, 2), seen = digest_of(501, 1, 2);
    changed_value = 1;
    assert_true(px_source_digest_same(&digest, &same));
    assert_true(px_source_digest_same(&digest, &unseen));
    assert_false(px_source_digest_same(&digest, &fewer));
    assert_false(px_source_digest_same(&digest, &transposed));
    const px_source_digest last = digest_of(501, 1, 2);
    assert_false(px_source_digest_same(&last, &seen));
    assert_int_equal(few.images, 1);
    px_source_digest_text(&digest, text);
    text[strlen(text) - 8] = '\0';
    assert_string_equal(text, "1009 images of 1 x 2 x 1, checksum ");
}

static void the_version_names_its_revision(void **state) {
    (void)state;
    assert_int_equal(strncmp(px_version(), "0.9.0 (", 7), 0);
    assert_int_equal(px_version()[strlen(px_version()) - 1], ')');
    assert_true(strlen(px_version()) > strlen("0.9.0 ()"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_links_text_files_are_written, create_folder, px_test_folder_remove),
        cmocka_unit_test_setup_teardown(links_and_text_files_replace_each_other, create_folder, px_test_folder_remove),
        cmocka_unit_test_setup_teardown(a_folder_with_the_name_of_a_link_is_replaced, create_folder,
                                        px_test_folder_remove),
        cmocka_unit_test(digests_differ_if_images_differ),
        cmocka_unit_test(the_version_names_its_revision),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
