/* PX_VERSION and PX_REVISION are defined by the Makefile, which recompiles this file when one of them changes. */
#include "pixelrnn/version.h"

const char *px_version(void) { return PX_VERSION " (" PX_REVISION ")"; }
