/* pixelrnn --version: version and revision, build options, and versions of the libraries. No device is opened. */
#include "host/cli/cli.h"
#include "pixelrnn/version.h"
#include <archive.h>
#include <cjson/cJSON.h>
#include <dlfcn.h>
#include <protobuf-c/protobuf-c.h>
#include <string.h>
#include <yaml.h>
#include <zlib.h>
#ifdef PX_ONEDNN
#include <dnnl.h>
#endif

/* NULL if the CBLAS is not OpenBLAS. */
extern char *openblas_get_config(void) __attribute__((weak));

static void print_row(FILE *out, const char *name, const char *version) { fprintf(out, "%-12s %s\n", name, version); }

/* Looks up the function `name` in a library and its dependencies, and stores it at *function. */
static bool find(void *library, const char *name, void *function) {
    void *found = library ? dlsym(library, name) : NULL;
    *(void **)function = found;
    return found != NULL;
}

/* The versions of cuDNN, cuBLAS and the CUDA runtime, on which libpixelrnn_cuda.so depends. */
static void print_cuda(FILE *out) {
    void *library = dlopen("libpixelrnn_cuda.so", RTLD_LAZY | RTLD_LOCAL);
    size_t (*number)(void);
    int (*runtime)(int *);
    int version = 0;
    print_row(out, "CUDA", library ? "libpixelrnn_cuda.so is loaded" : "not built in, or its libraries are missing");
    if (find(library, "cudaRuntimeGetVersion", &runtime) && runtime(&version) == 0)
        fprintf(out, "%-12s %d.%d\n", "  runtime", version / 1000, version % 1000 / 10);
    if (find(library, "cublasLtGetVersion", &number)) fprintf(out, "%-12s %zu\n", "  cuBLASLt", number());
    if (find(library, "cudnnGetVersion", &number)) fprintf(out, "%-12s %zu\n", "  cuDNN", number());
}

/* MPI_Get_library_version may be called before MPI_Init. */
static void print_mpi(FILE *out) {
    enum { LONGEST = 8192 }; /* MPI_MAX_LIBRARY_VERSION_STRING is 256 to 8192 */
    void *library = dlopen("libpixelrnn_mpi.so", RTLD_LAZY | RTLD_LOCAL);
    int (*describe)(char *, int *);
    char text[LONGEST] = "its version is unknown";
    int length = 0;
    if (find(library, "MPI_Get_library_version", &describe)) describe(text, &length);
    text[strcspn(text, ",\n")] = 0;
    print_row(out, "MPI", library ? text : "not built in, or its library is missing");
}

void px_cli_print_version(FILE *out) {
    fprintf(out, "pixelrnn %s\n", px_version());
    fprintf(out, "%-12s C compiler " __VERSION__ ", %s%s\n", "build",
            sizeof(px_real) == sizeof(float) ? "float32" : "float64 (BUILD=double)",
#ifdef NDEBUG
            ", optimised"
#else
            ", with assertions"
#endif
    );
    print_row(out, "options", PX_BUILD_OPTIONS);
    print_row(out, "BLAS", openblas_get_config ? openblas_get_config() : "not OpenBLAS; its version is unknown");
#ifdef PX_ONEDNN
    const dnnl_version_t *onednn = dnnl_version();
    fprintf(out, "%-12s %d.%d.%d, GEMMs on the CPU\n", "oneDNN", onednn->major, onednn->minor, onednn->patch);
#else
    print_row(out, "oneDNN", "not built in; GEMMs on the CPU use the BLAS");
#endif
    print_row(out, "libarchive", archive_version_string());
    print_row(out, "zlib", zlibVersion());
    print_row(out, "libyaml", yaml_get_version_string());
    print_row(out, "cJSON", cJSON_Version());
    print_row(out, "protobuf-c", protobuf_c_version());
    print_mpi(out);
    print_cuda(out);
}
