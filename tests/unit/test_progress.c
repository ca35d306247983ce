/* Lines of progress, on a terminal and on a pipe. */
#include "tests/support/support.h"
#include "host/logging/logging.h"
#include <fcntl.h>
#include <math.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Reads everything that a non-blocking descriptor holds. */
static const char *drain(int descriptor) {
    static char text[1 << 15];
    size_t length = 0;
    ssize_t got;
    while ((got = read(descriptor, text + length, sizeof text - 1 - length)) > 0) length += (size_t)got;
    text[length] = 0;
    return text;
}

static void progress_on_a_pipe_is_plain(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    FILE *out = fdopen(ends[1], "w");
    px_progress progress;
    px_progress_begin(&progress, out, "train", 100, 1100);
    progress.started -= 2000; /* long ago, so that the duration of this test is rounded away */
    progress.drawn += 3600;   /* and no line is due */
    for (int64_t done = 101; done <= 600; done++) px_progress_update(&progress, done, "79.3 nats");
    px_progress_clear(&progress);
    assert_string_equal(drain(ends[0]), "");

    progress.drawn -= 3606;
    for (int64_t done = 600; done <= 610; done++) px_progress_update(&progress, done, "79.3 nats");
    assert_string_equal(drain(ends[0]), "train   54%  600/1100  0.25/s  79.3 nats  33:20, 33:20 left\n");
    /* Half of the time was not spent on units: the rate excludes it, the time left includes it. */
    progress.busy = 1000;
    progress.drawn -= 6;
    px_progress_update(&progress, 600, "79.3 nats");
    assert_string_equal(drain(ends[0]), "train   54%  600/1100  0.50/s  79.3 nats  33:20, 33:20 left\n");
    progress.busy = 0;
    progress.drawn = 0;
    px_progress_update(&progress, 1100, NULL);
    assert_string_equal(drain(ends[0]), "train  100%  1100/1100  0.50/s  33:20\n");
    progress.images = 16; /* images of a step */
    progress.drawn = 0;
    px_progress_update(&progress, 1100, NULL);
    assert_string_equal(drain(ends[0]), "train  100%  1100/1100  8.00 images/s  33:20\n");
    fclose(out);
    close(ends[0]);
}

static void set_width(int terminal, int columns) {
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    assert_int_equal(ioctl(terminal, TIOCSWINSZ, &size), 0);
}

/* Opens a pseudo-terminal; *other is its other end, non-blocking. */
static FILE *open_terminal(int *other) {
    int terminal;
    assert_int_equal(openpty(other, &terminal, NULL, NULL, NULL), 0);
    assert_int_equal(fcntl(*other, F_SETFL, O_NONBLOCK), 0);
    FILE *out = fdopen(terminal, "w");
    assert_non_null(out);
    return out;
}

/* Returns a redrawn line without its leading control codes. Fails on other control codes and on a line that is too
 * wide. */
static const char *assert_line(const char *text, int columns) {
    static const char start[] = "\r\033[K";
    assert_memory_equal(text, start, sizeof start - 1);
    text += sizeof start - 1;
    int cells = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < ' ') fail_msg("control code %d in \"%s\"", *c, text);
        cells += (*c & 0xc0) != 0x80;
    }
    if (cells >= columns) fail_msg("%d cells on %d columns: \"%s\"", cells, columns, text);
    return text;
}

static void progress_fits_the_terminal(void **state) {
    (void)state;
    static const struct {
        int columns;
        const char *utf8, *ascii;
    } cases[] = {
        {200, "train  ▕█████████████████▋                      ▏   44%  441/1000  0.22/s  79.3 nats  33:20, 42:15 left",
         "train  [#################                       ]   44%  441/1000  0.22/s  79.3 nats  33:20, 42:15 left"},
        {80, "train  ▕███████         ▏   44%  441/1000  0.22/s  79.3 nats  33:20, 42:15 left",
         "train  [#######         ]   44%  441/1000  0.22/s  79.3 nats  33:20, 42:15 left"},
        {50, "▕████▊      ▏   44%  79.3 nats  33:20, 42:15 left", "[####       ]   44%  79.3 nats  33:20, 42:15 left"},
        {30, "▕████▍     ▏   44%  79.3 nats", "[####      ]   44%  79.3 nats"},
        {19, " 44%  79.3 nats", " 44%  79.3 nats"},
        {12, "79.3 nats", "79.3 nats"},
        {8, " 44%", " 44%"},
        {3, "", ""},
        {1, "", ""},
    };
    setenv("TERM", "xterm", 1);
    for (int utf8 = 0; utf8 < 2; utf8++) {
        setenv("LC_ALL", utf8 ? "C.UTF-8" : "C", 1);
        int other;
        FILE *out = open_terminal(&other);
        px_progress progress;
        px_progress_begin(&progress, out, "train", 0, 1000);
        drain(other);
        progress.started -= 2000;
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            set_width(other, cases[i].columns); /* resized between two draws of one line */
            progress.drawn = 0;
            px_progress_update(&progress, 441, "79.3 nats");
            const char *line = assert_line(drain(other), cases[i].columns);
            assert_string_equal(line, utf8 ? cases[i].utf8 : cases[i].ascii);
        }
        fclose(out);
        close(other);
    }
}

/* Sampling counts pixels of the images of a batch: with 100 pixels an image, 3750 pixels are 37 of 64 images. */
static void progress_counts_images(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    FILE *out = fdopen(ends[1], "w");
    px_progress progress;
    px_progress_begin(&progress, out, "sample", 0, 6400);
    progress.images = 1.0 / 100;
    progress.count_images = true;
    progress.started -= 75;
    progress.drawn = 0;
    px_progress_update(&progress, 3750, "");
    assert_string_equal(drain(ends[0]), "sample   58%  37/64 images  0.50 images/s  1:15, 0:53 left\n");
    progress.images = 3.0 / 700; /* three ranks, 700 pixels an image: each has a third of them */
    progress.total = 12 * 700 / 3;
    for (int done = 1; done <= 12; done++) {
        char want[32];
        progress.drawn = 0;
        px_progress_update(&progress, done * 700 / 3 + (done * 700 % 3 > 0), "");
        snprintf(want, sizeof want, "  %d/12 images  ", done);
        assert_non_null(strstr(drain(ends[0]), want));
    }
    fclose(out);
    close(ends[0]);
}

static void progress_redraws_in_place(void **state) {
    (void)state;
    setenv("TERM", "xterm", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    int other;
    FILE *out = open_terminal(&other);
    set_width(other, 40);
    px_progress progress;
    px_progress_begin(&progress, out, "eval", 0, 100000);
    assert_line(drain(other), 40);
    progress.drawn += 3600; /* no redraw is due, however slow this machine is */
    for (int64_t done = 0; done < 100000; done++) px_progress_update(&progress, done, "x");
    assert_string_equal(drain(other), "");

    px_progress_clear(&progress);
    assert_string_equal(drain(other), "\r\033[K");
    px_progress_update(&progress, 100000, "x");
    assert_non_null(strstr(assert_line(drain(other), 40), "100%"));
    fclose(out);
    close(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(progress_on_a_pipe_is_plain),
        cmocka_unit_test(progress_fits_the_terminal),
        cmocka_unit_test(progress_counts_images),
        cmocka_unit_test(progress_redraws_in_place),
    };
    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
