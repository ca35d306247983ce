/* The Makefile gives version and revision, and compiles this file again when one changes. */
#include "pixelrnn/version.h"

const char *px_version(void) {
    return PX_VERSION " (" PX_REVISION ")";
}
