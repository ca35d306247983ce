/* Which program this is. */
#ifndef PIXELRNN_VERSION_H
#define PIXELRNN_VERSION_H

/* "0.9.0 (REVISION)": the version, and the revision of the source as git describes it, "-dirty" if it was changed. */
const char *px_version(void);

#endif
