# pixelrnn: one non-recursive Makefile. `make help` lists targets and variables.
#
# It calls itself after installing packages, and to build with other flags: for the double-precision tests, the fuzzers
# (from tests/fuzz/run) and the bundle.

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all programs demo test test-gpu bench baselines scaling resources deps install uninstall bundle fuzz format format-check lint clean help FORCE

ifeq ($(MAKELEVEL),0) # a -j on the command line wins over this one
MAKEFLAGS += -j$(shell nproc) --no-print-directory
endif
GOALS := $(or $(MAKECMDGOALS),all)
ifneq ($(word 2,$(GOALS)),)
.NOTPARALLEL: # `make clean test` means one after the other
endif

# The version of the program, of the library and of pixelrnn.pc; px_version() adds the revision of git. safe.directory
# lets `sudo make install` read the revision in a folder of another user.
VERSION  := 0.9.0
REVISION := $(or $(if $(wildcard .git),$(shell git -c safe.directory='*' describe --always --dirty 2>/dev/null)),unknown revision)

# ---- Variables -------------------------------------------------------------------------------------------------------

## BUILD=release    release, debug, double, sanitize (address, undefined), thread (races) or fuzz; all can coexist
BUILD ?= release
## CC=gcc           the C compiler, gcc or clang, whose builds can coexist; BUILD=fuzz requires clang
ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(BUILD)),clang,gcc)
endif
## MARCH=native     the processor to compile for
MARCH ?= $(if $(filter bundle,$(BUILD)),x86-64-v3,native)
## BLAS=openblas    any CBLAS that pkg-config knows
BLAS ?= openblas
## ONEDNN=1         0: build without oneDNN, whose GEMMs are faster than the CBLAS's, most of all in bfloat16
ONEDNN ?= 1
## MPI=1            0: build without MPI, that is, without training on several ranks
MPI ?= 1
## CUDA=1           0: build without CUDA. CUDA_HOME, CUDNN_HOME and NCCL_HOME are searched first
CUDA ?= 1
## PREFIX=/usr/local  the folder of `make install`, below DESTDIR if that is set
PREFIX ?= /usr/local
## WERROR=0         1: warnings are errors
## V=0              1: show the commands

# The release build goes to build/, other variants to build/VARIANT/, all objects to build/obj/VARIANT/.
variant = $1$(if $(findstring clang,$(CC)),$(if $(filter fuzz,$1),,-clang))
folder  = $(patsubst build/release,build,build/$(call variant,$1))
OUT     := $(if $(filter bundle,$(BUILD)),build/bundle/build,$(call folder,$(BUILD)))
OBJ     := build/obj/$(call variant,$(BUILD))
ifeq ($(filter release debug double sanitize thread fuzz bundle,$(BUILD)),)
$(error BUILD=$(BUILD): want release, debug, double, sanitize, thread or fuzz)
endif

# ---- Required packages -----------------------------------------------------------------------------------------------

# These targets need no packages
NO_PACKAGES := help clean format format-check lint uninstall

ifneq ($(filter-out $(NO_PACKAGES),$(GOALS)),)
# $(call has_header,NAME): a command that succeeds if the compiler finds this header
has_header = echo "\#include <$1>" | $(CC) -E -xc - >/dev/null

# Each missing package, as DEBIAN/FEDORA/ARCH. The test of a package also accepts what another source has installed.
MISSING := $(shell \
	need() { eval "$$2" >/dev/null 2>&1 || echo $$1; }; \
	need build-essential/gcc-c++/base-devel                 'command -v cc && command -v ar'; \
	need pkg-config/pkgconf-pkg-config/pkgconf              'command -v pkg-config'; \
	need lib$(BLAS)-dev/$(BLAS)-devel/$(BLAS)               'pkg-config --exists $(BLAS)'; \
	$(if $(filter-out 0,$(ONEDNN)),need libdnnl-dev/onednn-devel/onednn '$(call has_header,dnnl.h)';) \
	need libyaml-dev/libyaml-devel/libyaml                  'pkg-config --exists yaml-0.1'; \
	need libarchive-dev/libarchive-devel/libarchive         'pkg-config --exists libarchive'; \
	need libcjson-dev/cjson-devel/cjson                     'pkg-config --exists libcjson'; \
	need libprotobuf-c-dev/protobuf-c-devel/protobuf-c      'pkg-config --exists libprotobuf-c'; \
	need protobuf-c-compiler/protobuf-c-compiler/protobuf-c 'command -v protoc-c'; \
	need zlib1g-dev/zlib-devel/zlib                         'pkg-config --exists zlib'; \
	$(if $(filter-out 0,$(MPI)),need libopenmpi-dev/openmpi-devel/openmpi 'command -v mpicc || pkg-config --exists ompi-c';) \
	$(if $(filter-out 0,$(MPI)),$(if $(filter test deps,$(GOALS)),need openmpi-bin/openmpi/openmpi 'command -v mpirun';)) \
	need libstb-dev/stb-devel/stb 'pkg-config --exists stb || test -e /usr/local/include/stb/stb_image.h'; \
	$(if $(filter test test-gpu programs bundle deps,$(GOALS)),need libcmocka-dev/libcmocka-devel/cmocka 'pkg-config --exists cmocka'))
endif
# $(call missing,COLUMN): the names of one distribution
missing = $(sort $(foreach p,$(MISSING),$(word $1,$(subst /, ,$p))))

# Root installs at once. Other users need sudo: `make deps` asks for it by its name, the other targets ask on the
# terminal.
deps: ## install the Debian packages that are missing
ifeq ($(MISSING),)
	@echo 'Nothing is missing.'
else
	@printf '%s\n' 'Missing packages. One of these lines installs them:' \
		'  Debian, Ubuntu  apt-get install -y $(call missing,1)' \
		'  Fedora          dnf install -y $(call missing,2)' \
		'  Arch            pacman -S --needed $(call missing,3)'
	@command -v apt-get >/dev/null || { echo 'make: found no apt-get; use one of the other lines' >&2; exit 2; }
	@sudo=; if [ "$$(id -u)" -ne 0 ]; then sudo=sudo; $(if $(filter deps,$(GOALS)),, \
		[ -t 0 ] || { echo 'make: the packages are missing; run the line as root, or make deps' >&2; exit 2; }; \
		printf 'Run the first line with sudo? [y/N] '; read -r answer; [ "$$answer" = y ] || [ "$$answer" = Y ] || exit 2;) fi; \
	$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $(call missing,1)
endif

ifneq ($(and $(MISSING),$(filter-out deps,$(GOALS))),)
# The rest of this file needs the packages. demo and test install them first; the other targets name them.
ifneq ($(PX_DEPS_DONE),)
$(error still missing after make deps: $(call missing,1))
else ifeq ($(filter demo test deps,$(GOALS)),)
$(error missing: $(call missing,1). 'make deps' installs them)
endif
$(filter-out deps $(NO_PACKAGES),$(GOALS)): deps
	@$(MAKE) PX_DEPS_DONE=1 $@
else ifneq ($(filter-out deps $(NO_PACKAGES),$(GOALS)),)

# ---- Flags -----------------------------------------------------------------------------------------------------------

# The double build has no oneDNN. Neither has the bundle, whose libraries must be small.
HAVE_ONEDNN := $(if $(filter-out 0,$(ONEDNN)),$(if $(filter double bundle,$(BUILD)),,$(shell $(call has_header,dnnl.h) 2>&1 && echo yes)))

PACKAGES := $(BLAS) yaml-0.1 libarchive libcjson libprotobuf-c zlib

OPTIMISE_release  := -O3 -DNDEBUG
OPTIMISE_bundle   := $(OPTIMISE_release) -fPIC
OPTIMISE_debug    := -O1 -g
OPTIMISE_double   := -O2 -g -DPX_DOUBLE
OPTIMISE_sanitize := -O1 -g -fno-omit-frame-pointer
OPTIMISE_thread   := -O1 -g -fno-omit-frame-pointer
OPTIMISE_fuzz     := -O1 -g -fno-omit-frame-pointer
SANITIZE_sanitize := -fsanitize=address,undefined -fno-sanitize-recover=undefined
SANITIZE_thread   := -fsanitize=thread
SANITIZE_fuzz     := $(SANITIZE_sanitize) -fsanitize=fuzzer-no-link

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes $(if $(filter 1,$(WERROR)),-Werror)
ifneq ($(findstring clang,$(CC)),)
WARNINGS += -Wno-pass-failed # a simd loop that was not vectorised is not an error
endif

# CPPFLAGS, CFLAGS, LDFLAGS, LDLIBS and NVCCFLAGS of the user are appended.
# -ffast-math is not used: it would break NaN, infinities and the order of sums.
px_CPPFLAGS := -Iinclude -I. -Ibuild/gen -D_GNU_SOURCE $(if $(HAVE_ONEDNN),-DPX_ONEDNN) $(patsubst -I%,-isystem%,$(shell pkg-config --cflags $(PACKAGES))) $(CPPFLAGS)
# With AVX-512, gcc and clang often use 256 bits. 512 bits make the LSTM cell 6 % faster (Zen 4, h 64).
px_CFLAGS   := -std=c11 -march=$(MARCH) $(if $(filter x86_64,$(shell uname -m)),-mprefer-vector-width=512) -fopenmp -fno-math-errno -fno-trapping-math -ffp-contract=fast \
	$(OPTIMISE_$(BUILD)) $(SANITIZE_$(BUILD)) $(CFLAGS)
px_LDFLAGS  := -fopenmp $(SANITIZE_$(BUILD)) -Wl,--as-needed -Wl,-rpath,'$$ORIGIN:$$ORIGIN/..:$$ORIGIN/../..:$$ORIGIN/../lib' $(LDFLAGS)
px_LDLIBS   := $(if $(HAVE_ONEDNN),-ldnnl) $(shell pkg-config --libs $(PACKAGES)) -lm -ldl -lpthread $(LDLIBS)
ifeq ($(BUILD),bundle)
# The loader searches beside the programs. libarchive is linked statically, which avoids libxml2 and ICU (35 MB). Its
# other dependencies are read from its shared library, so that no further -dev packages are required.
ARCHIVE     := $(shell pkg-config --variable=libdir libarchive)/libarchive
px_LDFLAGS  += -s -Wl,--disable-new-dtags -Wl,-rpath,'$$ORIGIN:$$ORIGIN/../lib:$$ORIGIN/../../lib:$$ORIGIN/../../../lib'
px_LDLIBS   := $(patsubst -larchive,$(ARCHIVE).a,$(px_LDLIBS)) \
	$(shell objdump -p $(ARCHIVE).so | awk '$$1 == "NEEDED" { print "-l:" $$2 }')
endif

# ---- CUDA ------------------------------------------------------------------------------------------------------------

, := ,
# $(call root,HEADER,LIBRARY,FOLDERS): the first folder that has both. $(call header,FOLDER,NAME), $(call
# library,FOLDER,NAME): the path of one
MULTIARCH := $(shell uname -m)-linux-gnu
header    = $(firstword $(foreach d,$1/include $1/include/$(MULTIARCH),$(wildcard $d/$2)))
library   = $(firstword $(foreach d,$1/lib64 $1/lib $1/lib/$(MULTIARCH),$(wildcard $d/$2)))
root      = $(firstword $(foreach d,$3,$(if $(and $(call header,$d,$1),$(call library,$d,$2)),$d)))
# Python packages contain nvidia/cudnn, nvidia/nccl, and nvidia/cublas or (since CUDA 13) nvidia/cu13
PYTHON    = $(wildcard $(addsuffix /*,$(shell python3 -c 'import nvidia; print(*nvidia.__path__)' 2>/dev/null)))
find      = $(or $(call root,$1,$2,$(or $3,$(CUDA_HOME) /usr/local /usr)),$(if $3,,$(call root,$1,$2,$(PYTHON))))

CUDA_SOURCES := $(wildcard host/device/cuda/*.c)
CUDA_NOTE    := left out
ifneq ($(and $(filter-out 0,$(CUDA)),$(filter release debug sanitize thread bundle,$(BUILD)),$(CUDA_SOURCES)),)
CUDA_HOME := $(or $(CUDA_HOME),$(patsubst %/bin/nvcc,%,$(firstword \
	$(realpath $(shell command -v nvcc)) $(wildcard /usr/local/cuda/bin/nvcc))))
NVCC      := $(wildcard $(CUDA_HOME)/bin/nvcc)
CUDART    := $(call find,cuda_runtime_api.h,libcudart.so*)
CUBLAS    := $(call find,cublasLt.h,libcublasLt.so*)
CUDNN     := $(call find,cudnn.h,libcudnn.so.9,$(CUDNN_HOME))
NCCL      := $(call find,nccl.h,libnccl.so.2,$(NCCL_HOME))
CUDA_NOTE := $(if $(NVCC),nvcc in $(CUDA_HOME)$(,) cuBLAS in $(or $(CUBLAS),no place)$(,) cuDNN 9 in $(or $(CUDNN),no place)$(,) NCCL in $(or $(NCCL),no place),no nvcc)
# Versions that are too old, of nvcc and of the headers: found X, expected Y. $(call major,FILE,MACRO): a header's macro
# as a number, divided by 1000
major     = $(shell awk '$$2 == "$2" { print int($$3 / 1000) }' $1)
NVCC_RELEASE := $(if $(NVCC),$(shell $(NVCC) --version | sed -n 's/.*release \([0-9.]*\).*/\1/p'))
OLD_NVCC  := $(if $(filter 1 2 3 4 5 6 7 8 9 10 11,$(firstword $(subst ., ,$(NVCC_RELEASE)))),found nvcc $(NVCC_RELEASE) in $(CUDA_HOME)$(,) expected 12.0 or later)
OLD_CUDART := $(if $(CUDART),$(if $(filter 8 9 10 11,$(call major,$(call header,$(CUDART),cuda_runtime_api.h),CUDART_VERSION)),found headers of CUDA below 12.0 in $(CUDART)$(,) expected 12.0 or later))
OLD_CUDNN := $(if $(CUDNN),$(if $(shell awk '$$2 == "CUDNN_MAJOR" && $$3 < 9' $(dir $(call header,$(CUDNN),cudnn.h))cudnn*.h),found headers of cuDNN below 9 in $(CUDNN)$(,) expected 9 or later))
TOO_OLD   := $(firstword $(foreach v,OLD_NVCC OLD_CUDART OLD_CUDNN,$(if $($v),$v)))
ifneq ($(TOO_OLD),)
CUDA_NOTE := $($(TOO_OLD))
endif
endif
# HAVE_HOST_CUDA: the host code can be built, which tests run on a mock of CUDA. HAVE_CUDA: the kernels, too
HAVE_HOST_CUDA := $(and $(CUDART),$(CUBLAS),$(CUDNN),$(if $(OLD_CUDART)$(OLD_CUDNN),,yes))
HAVE_CUDA := $(and $(filter-out sanitize thread,$(BUILD)),$(NVCC),$(HAVE_HOST_CUDA),$(if $(OLD_NVCC),,yes))
HAVE_NCCL := $(and $(HAVE_CUDA),$(NCCL),$(wildcard host/distributed/nccl.c))
CUDA_NOTE := CUDA: $(CUDA_NOTE)$(if $(HAVE_CUDA),,; building for the CPU alone)

ifneq ($(HAVE_HOST_CUDA),)
CUDA_INCLUDES  := $(addprefix -isystem,$(sort $(dir $(call header,$(CUDART),cuda_runtime_api.h) \
	$(call header,$(CUBLAS),cublasLt.h) $(call header,$(CUDNN),cudnn.h) $(call header,$(NCCL),nccl.h))))
CUDA_LIBRARIES := $(call library,$(CUBLAS),libcublasLt.so*) $(call library,$(CUBLAS),libcublas.so*) \
	$(call library,$(CUDNN),libcudnn.so.9) $(call library,$(CUDART),libcudart.so*)
# cuDNN opens NVRTC by its name to compile engines at run time, and finds it anywhere once it is loaded
NVRTC          := $(firstword $(foreach d,$(CUDA_HOME) $(CUDART) /usr/local /usr $(PYTHON),$(call library,$d,libnvrtc.so*)))
ifneq ($(BUILD),bundle)
CUDA_RPATH     := $(patsubst %/,-Wl$(,)-rpath$(,)%,$(sort $(dir $(CUDA_LIBRARIES) $(NVRTC))))
endif
HOPPER         := -gencode=arch=compute_90a,code=sm_90a
ARCHITECTURES  := -gencode=arch=compute_80,code=sm_80 $(HOPPER) -gencode=arch=compute_90,code=compute_90
px_NVCCFLAGS   := -std=c++17 -O3 -lineinfo $(filter -DNDEBUG -g,$(OPTIMISE_$(BUILD))) -Iinclude -I. -Xcompiler=-fPIC,-Wall,-Wextra \
	$(if $(filter 1,$(WERROR)),-Werror=all-warnings -Xcompiler=-Werror) $(NVCCFLAGS)
endif

# ---- MPI -------------------------------------------------------------------------------------------------------------

ifneq ($(and $(filter-out 0,$(MPI)),$(wildcard host/distributed/mpi.c)),)
MPI_INCLUDES  := $(patsubst -I%,-isystem%,$(filter -I%,$(shell pkg-config --cflags ompi-c 2>/dev/null || mpicc --showme:compile 2>/dev/null)))
MPI_LIBRARIES := $(filter -L% -l%,$(shell pkg-config --libs ompi-c 2>/dev/null || mpicc --showme:link 2>/dev/null))
endif
HAVE_MPI := $(MPI_LIBRARIES)

# ---- Sources ---------------------------------------------------------------------------------------------------------

GENERATED    := $(patsubst host/logging/%.proto,build/gen/%.pb-c,$(wildcard host/logging/*.proto))
HOST_SOURCES := $(filter-out host/cli/% host/distributed/mpi.c host/distributed/nccl.c $(if $(HAVE_ONEDNN),,host/device/cpu/onednn.c host/device/cpu/onednn_convolution.c),$(wildcard host/*/*.c host/device/cpu/*.c))
PORTABLE     := $(wildcard kernels/*.cu)
KERNELS      := $(PORTABLE) $(wildcard kernels/sm80/*.cu kernels/sm90/*.cu)
# Sources that access activations are also compiled for bfloat16: kernels/portable/portable.h
STORING      := $(shell grep -lwE 'px_row|px_store' $(KERNELS))
# The objects of nvcc do not depend on the C compiler and its flags, so release and bundle share them
CUDA_OBJ     := build/obj/cuda$(if $(filter debug,$(BUILD)),-debug)

LIBRARY_OBJECTS := $(HOST_SOURCES:%.c=$(OBJ)/%.o) $(PORTABLE:%.cu=$(OBJ)/%.cpu.o) $(patsubst %.cu,$(OBJ)/%.bf16.cpu.o,$(filter $(PORTABLE),$(STORING))) \
	$(GENERATED:build/%=$(OBJ)/%.o)
# The CUDA backend is a separate library, which the program loads on demand: see host/device/load_cuda.c
CUDA_OBJECTS    := $(patsubst %.c,$(OBJ)/%.pic.o,$(CUDA_SOURCES) $(addprefix host/device/,compare.c proof.c recurrence.c recurrence_strategy.c) host/io/status.c) \
	$(KERNELS:%.cu=$(CUDA_OBJ)/%.cuda.o) $(STORING:%.cu=$(CUDA_OBJ)/%.bf16.cuda.o)
# So are MPI and NCCL, which are loaded when a launcher has started ranks
MPI_OBJECTS     := $(patsubst %.c,$(OBJ)/%.pic.o,host/distributed/mpi.c host/io/status.c)
NCCL_OBJECTS    := $(patsubst %.c,$(OBJ)/%.pic.o,host/distributed/nccl.c host/io/status.c)
PROGRAM_OBJECTS := $(patsubst %.c,$(OBJ)/%.o,$(wildcard host/cli/*.c))
# Each tests/*/test_*.c is a program, linked with tests/support. Programs of tests/unit and tests/oracle go to
# build/tests; those that need a GPU (gpu), the CUDA libraries (cuda) or their mock (mock_cuda) go to a subfolder.
SUPPORT_OBJECTS := $(patsubst %,$(OBJ)/%.o,$(basename $(wildcard tests/support/*.c tests/support/*.cc) tests/fuzz/readers.c))
TEST_SOURCES    := $(wildcard tests/unit/test_*.c tests/oracle/test_*.c)
TESTS           := $(patsubst %.c,$(OUT)/tests/%,$(notdir $(TEST_SOURCES)))
GPU_TESTS       := $(patsubst %.c,$(OUT)/%,$(wildcard tests/gpu/test_*.c))
# tests/oracle is an independent trainer, with which these programs compare the library and the commands
ORACLE_OBJECTS  := $(patsubst %.c,$(OBJ)/%.o,$(filter-out tests/oracle/test_%,$(wildcard tests/oracle/*.c)))
ORACLE_TESTS    := $(filter $(OUT)/tests/test_oracle%,$(TESTS))
# tests/cuda/test_*.c need the CUDA libraries, but no GPU
CUDA_TESTS      := $(if $(HAVE_CUDA),$(patsubst %.c,$(OUT)/%,$(wildcard tests/cuda/test_*.c)))
# tests/mock_cuda is a mock of the CUDA libraries, on which host/device/cuda runs without a GPU. These programs are
# linked a second time, with both
MOCK_CUDA_OBJECTS := $(patsubst %.c,$(OBJ)/%.pic.o,$(CUDA_SOURCES) $(wildcard tests/mock_cuda/*.c))
MOCK_CUDA         := $(if $(HAVE_HOST_CUDA),$(if $(filter-out bundle,$(BUILD)),$(OUT)/tests/mock_cuda))
MOCK_CUDA_TESTS   := $(if $(MOCK_CUDA),$(addprefix $(MOCK_CUDA)/,test_parity test_golden test_model test_graph test_decoder test_sample_graph test_train))
# tests/mock_nccl is a mock of NCCL: for a test of the communicator, and for ranks of a program on both mocks
MOCK_NCCL         := $(if $(and $(MOCK_CUDA),$(NCCL)),$(addprefix $(MOCK_CUDA)/,pixelrnn libpixelrnn_nccl.so test_nccl))
MOCK_NCCL_OBJECTS := $(patsubst %.c,$(OBJ)/%.pic.o,host/distributed/nccl.c host/io/status.c tests/mock_nccl/nccl.c)
BENCHES         := $(patsubst %.c,$(OUT)/%,$(wildcard bench/*.c))
TEST_SCRIPTS    ?= $(wildcard tests/commands/*.sh)
# These tests are more precise in double precision, where a difference quotient is accurate to 1e-11
DOUBLE_TESTS    ?= $(filter test_golden test_gradient test_gradient_ops test_causality test_enumeration test_model test_decoder test_optimizer test_accumulation test_oracle test_oracle_weights test_ranks,$(notdir $(TESTS)))

PROGRAM := $(OUT)/pixelrnn
LIBRARY := $(if $(filter bundle,$(BUILD)),build/bundle/lib/libpixelrnn.so,$(OUT)/libpixelrnn.a)
BESIDE := $(if $(filter bundle,$(BUILD)),build/bundle/lib,$(OUT))
CUDA_LIBRARY := $(if $(HAVE_CUDA),$(BESIDE)/libpixelrnn_cuda.so)
LOADED := $(CUDA_LIBRARY) $(if $(HAVE_MPI),$(BESIDE)/libpixelrnn_mpi.so $(if $(HAVE_NCCL),$(BESIDE)/libpixelrnn_nccl.so))

# `pixelrnn --version` prints these
BUILD_OPTIONS := BUILD=$(BUILD) MARCH=$(MARCH), BLAS $(BLAS), oneDNN $(if $(HAVE_ONEDNN),yes,no), MPI $(if $(HAVE_MPI),yes,no), CUDA $(if $(HAVE_CUDA),yes \
	($(patsubst code=%,%,$(filter code=%,$(subst $(,), ,$(ARCHITECTURES)))))$(,) NCCL $(if $(HAVE_NCCL),yes,no),no)

# ---- Build -----------------------------------------------------------------------------------------------------------

# $(call run,WORD,FILE,COMMAND): a short line in place of the command, unless V=1
run = $(if $(filter 1,$(V)),,@printf '  %-6s %s\n' $1 $2; )$3

all: $(PROGRAM) $(LIBRARY) $(LOADED) ## build the program and the library (the default)
programs: all $(TESTS) $(GPU_TESTS) $(CUDA_TESTS) $(MOCK_CUDA_TESTS) $(MOCK_NCCL) $(BENCHES) ## build everything, tests and bench included, and run nothing

# A flag file changes when its flags change; the files that are built with the flags depend on it.
FLAG_FILES   := $(OBJ)/cc.flags $(OBJ)/cuda.flags $(OBJ)/link.flags $(OBJ)/version.flags $(CUDA_OBJ)/nvcc.flags
cc_flags      = $(CC) $(shell $(CC) -dumpversion) $(px_CPPFLAGS) $(px_CFLAGS) $(WARNINGS)
cuda_flags    = $(CUDA_INCLUDES) $(CUDA_LIBRARIES) $(NVRTC) $(CUDA_OBJECTS) $(MPI_INCLUDES) $(MPI_LIBRARIES)
link_flags    = $(px_LDFLAGS) $(px_LDLIBS) $(LIBRARY_OBJECTS) $(PROGRAM_OBJECTS) $(SUPPORT_OBJECTS)
version_flags = $(VERSION) $(REVISION) $(BUILD_OPTIONS)
nvcc_flags    = $(NVCC) $(px_NVCCFLAGS) $(ARCHITECTURES)
$(FLAG_FILES): export FLAGS = $($(basename $(@F))_flags)
$(FLAG_FILES): FORCE
	@mkdir -p $(@D); printf '%s\n' "$$FLAGS" | cmp -s - $@ || \
		{ printf '%s\n' "$$FLAGS" >$@; $(if $(filter %release/link.flags %bundle/link.flags,$@),echo '$(CUDA_NOTE)',:); }

$(OBJ)/host/io/version.o: private px_CPPFLAGS += -DPX_VERSION='"$(VERSION)"' -DPX_REVISION='"$(REVISION)"'
$(OBJ)/host/cli/version.o: private px_CPPFLAGS += -DPX_BUILD_OPTIONS='"$(BUILD_OPTIONS)"'
$(OBJ)/host/io/version.o $(OBJ)/host/cli/version.o: $(OBJ)/version.flags
# For damaged images, stb_image 2.27 shifts by 32, adds 0 to a null pointer, and copies 0 bytes to it. This is undefined
# in C11, but gives a wrong pixel at worst
$(OBJ)/host/data/stb_image.o: private px_CFLAGS += -fno-sanitize=shift,pointer-overflow,nonnull-attribute
# stb_image_write shifts into the sign bit of an int when it writes a JPEG, which only tests do
$(OBJ)/host/logging/stb_image_write.o: private px_CFLAGS += -fno-sanitize=shift
$(OBJ)/%.o: %.c $(OBJ)/cc.flags | $(addsuffix .h,$(GENERATED))
	@mkdir -p $(@D)
	$(call run,CC,$<,$(CC) $(px_CPPFLAGS) $(px_CFLAGS) $(WARNINGS) -MMD -MP -c -o $@ $<)
# The emulator of Hopper-only kernels is C++ without the C++ library, so that the C linker suffices. The kernels are
# written for nvcc, which does not warn about conversions.
$(OBJ)/%.o: %.cc $(OBJ)/cc.flags
	@mkdir -p $(@D)
	$(call run,CC,$<,$(CC) $(px_CPPFLAGS) $(filter-out -std=%,$(px_CFLAGS)) -std=c++17 -fno-exceptions -fno-rtti \
		$(filter-out -Wconversion -Wmissing-prototypes -Wstrict-prototypes,$(WARNINGS)) -Wno-unknown-pragmas -MMD -MP -c -o $@ $<)
$(OBJ)/%.cpu.o: %.cu $(OBJ)/cc.flags
	@mkdir -p $(@D)
	$(call run,CC,$<,$(CC) $(px_CPPFLAGS) $(px_CFLAGS) $(WARNINGS) -MMD -MP -c -o $@ -x c $<)
# bfloat16 is a class, so these sources are compiled as C++; the program does not need the C++ library
$(OBJ)/%.bf16.cpu.o: %.cu $(OBJ)/cc.flags
	@mkdir -p $(@D)
	$(call run,CC,'$< bf16',$(CC) -DPX_STORE_BF16 $(px_CPPFLAGS) $(patsubst -std=c11,-std=c++17 -fno-exceptions -fno-rtti,$(px_CFLAGS)) \
		$(filter-out -Wmissing-prototypes -Wstrict-prototypes,$(WARNINGS)) -MMD -MP -c -o $@ -x c++ $<)
$(CUDA_OBJ)/%.cuda.o: %.cu $(CUDA_OBJ)/nvcc.flags
	@mkdir -p $(@D)
	$(call run,NVCC,$<,$(NVCC) $(px_NVCCFLAGS) $(if $(findstring sm90,$<),$(HOPPER),$(ARCHITECTURES)) -MMD -MP -MF $(@:.o=.d) -MT $@ -c -o $@ $<)
$(CUDA_OBJ)/%.bf16.cuda.o: %.cu $(CUDA_OBJ)/nvcc.flags
	@mkdir -p $(@D)
	$(call run,NVCC,'$< bf16',$(NVCC) -DPX_STORE_BF16 $(px_NVCCFLAGS) $(if $(findstring sm90,$<),$(HOPPER),$(ARCHITECTURES)) -MMD -MP -MF $(@:.o=.d) -MT $@ -c -o $@ $<)
$(OBJ)/gen/%.o: build/gen/%.c $(OBJ)/cc.flags
	@mkdir -p $(@D)
	$(call run,CC,$<,$(CC) $(px_CPPFLAGS) $(px_CFLAGS) -w -MMD -MP -c -o $@ $<)
build/gen/%.pb-c.c build/gen/%.pb-c.h: host/logging/%.proto
	@mkdir -p $(@D)
	$(call run,PROTOC,$<,protoc-c -I$(<D) --c_out=$(@D) $<)

$(OBJ)/%.pic.o: %.c $(OBJ)/cc.flags $(OBJ)/cuda.flags
	@mkdir -p $(@D)
	$(call run,CC,$<,$(CC) $(px_CPPFLAGS) $(CUDA_INCLUDES) $(MPI_INCLUDES) $(px_CFLAGS) $(WARNINGS) -fPIC -MMD -MP -c -o $@ $<)

%/libpixelrnn.a: $(LIBRARY_OBJECTS) $(OBJ)/link.flags
	@mkdir -p $(@D) && rm -f $@
	$(call run,AR,$@,ar rcs $@ $(LIBRARY_OBJECTS))
%/libpixelrnn.so: $(LIBRARY_OBJECTS) $(OBJ)/link.flags
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) -shared -Wl$(,)-soname$(,)$(@F) $(px_LDFLAGS) -o $@ $(LIBRARY_OBJECTS) $(px_LDLIBS))
%/libpixelrnn_cuda.so: $(CUDA_OBJECTS)
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) -shared -Wl$(,)-Bsymbolic $(px_LDFLAGS) $(CUDA_RPATH) -o $@ $^ $(CUDA_LIBRARIES) -lstdc++ -lm \
		$(if $(NVRTC),-Wl$(,)--no-as-needed $(NVRTC)))
%/libpixelrnn_mpi.so: $(MPI_OBJECTS)
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) -shared -Wl$(,)-Bsymbolic $(px_LDFLAGS) -o $@ $^ $(MPI_LIBRARIES) -lpthread)
%/libpixelrnn_nccl.so: $(NCCL_OBJECTS)
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) -shared -Wl$(,)-Bsymbolic $(px_LDFLAGS) $(CUDA_RPATH) -o $@ $^ $(call library,$(NCCL),libnccl.so.2) \
		$(call library,$(CUDART),libcudart.so*))
$(PROGRAM): $(PROGRAM_OBJECTS) $(LIBRARY) | $(LOADED)
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) $(px_LDFLAGS) -o $@ $^ $(px_LDLIBS))
$(filter-out $(ORACLE_TESTS),$(TESTS)): $(OUT)/tests/%: $(OBJ)/tests/unit/%.o
$(ORACLE_TESTS): $(OUT)/tests/%: $(OBJ)/tests/oracle/%.o $(ORACLE_OBJECTS)
$(GPU_TESTS): $(OUT)/tests/%: $(OBJ)/tests/%.o
$(TESTS) $(GPU_TESTS): $(SUPPORT_OBJECTS) $(LIBRARY) | $(LOADED)
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) $(px_LDFLAGS) -o $@ $(filter %.o,$^) $(LIBRARY) $(shell pkg-config --libs cmocka) $(px_LDLIBS))
$(CUDA_TESTS): $(OUT)/tests/cuda/%: $(OBJ)/tests/cuda/%.pic.o $(patsubst %.c,$(OBJ)/%.pic.o,host/device/cuda/cudnn.c host/device/cuda/plan_cache.c) \
		$(SUPPORT_OBJECTS) $(LIBRARY)
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) $(px_LDFLAGS) $(CUDA_RPATH) -o $@ $^ $(CUDA_LIBRARIES) $(shell pkg-config --libs cmocka) $(px_LDLIBS))
$(OUT)/tests/mock_cuda/test_parity: $(OBJ)/tests/gpu/test_parity.o
$(filter-out %/test_parity,$(MOCK_CUDA_TESTS)): $(OUT)/tests/mock_cuda/%: $(OBJ)/tests/unit/%.o
$(MOCK_CUDA_TESTS): $(SUPPORT_OBJECTS) $(MOCK_CUDA_OBJECTS) $(LIBRARY)
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) $(px_LDFLAGS) -o $@ $(filter %.o,$^) $(LIBRARY) $(shell pkg-config --libs cmocka) $(px_LDLIBS))
# The library of the mock of NCCL uses the program's mock of CUDA
$(OUT)/tests/mock_cuda/pixelrnn: $(PROGRAM_OBJECTS) $(SUPPORT_OBJECTS) $(MOCK_CUDA_OBJECTS) $(LIBRARY) | $(filter %_mpi.so,$(LOADED))
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) $(px_LDFLAGS) -rdynamic -o $@ $(filter %.o,$^) $(LIBRARY) $(shell pkg-config --libs cmocka) $(px_LDLIBS))
$(OUT)/tests/mock_cuda/libpixelrnn_nccl.so: $(MOCK_NCCL_OBJECTS)
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) -shared -Wl$(,)-Bsymbolic $(px_LDFLAGS) -o $@ $^)
$(OUT)/tests/mock_cuda/test_nccl: $(OBJ)/tests/mock_nccl/test_nccl.pic.o $(MOCK_NCCL_OBJECTS) $(SUPPORT_OBJECTS) $(MOCK_CUDA_OBJECTS) $(LIBRARY)
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) $(px_LDFLAGS) -o $@ $(filter %.o,$^) $(LIBRARY) $(shell pkg-config --libs cmocka) $(px_LDLIBS))
$(OUT)/fuzz: $(OBJ)/tests/fuzz/fuzz.o $(OBJ)/tests/fuzz/readers.o $(LIBRARY)
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) $(px_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(px_LDLIBS))
$(OUT)/bench/%: $(OBJ)/bench/%.o $(LIBRARY)
	@mkdir -p $(@D)
	$(call run,LINK,$@,$(CC) $(px_LDFLAGS) -o $@ $^ $(px_LDLIBS))

-include $(patsubst %.o,%.d,$(LIBRARY_OBJECTS) $(if $(HAVE_CUDA),$(CUDA_OBJECTS)) $(if $(HAVE_MPI),$(MPI_OBJECTS)) \
	$(if $(MOCK_CUDA),$(MOCK_CUDA_OBJECTS)) $(if $(HAVE_NCCL),$(NCCL_OBJECTS)) $(PROGRAM_OBJECTS) $(SUPPORT_OBJECTS) $(ORACLE_OBJECTS) $(OBJ)/tests/fuzz/fuzz.o \
	$(TEST_SOURCES:%.c=$(OBJ)/%.o) $(patsubst $(OUT)/%,$(OBJ)/%.o,$(GPU_TESTS) $(BENCHES)) \
	$(CUDA_TESTS:$(OUT)/%=$(OBJ)/%.pic.o) $(if $(MOCK_NCCL),$(MOCK_NCCL_OBJECTS) $(OBJ)/tests/mock_nccl/test_nccl.pic.o))

# ---- Use -------------------------------------------------------------------------------------------------------------

demo: $(PROGRAM) ## train a small Diagonal BiLSTM on generated digits, and sample from it
	$(PROGRAM) train configs/demo.yaml -o runs/demo --resume
	$(PROGRAM) sample runs/demo -n 64 -o runs/demo/samples.png
	@echo 'The samples are in runs/demo/samples.png'

# The race detector learns of OpenMP barriers from libarcher, which only the runtime of clang has. With gcc there is one
# thread, and tests that set another number report false races.
ifeq ($(BUILD),thread)
ARCHER := $(if $(findstring clang,$(CC)),$(realpath $(shell $(CC) -print-resource-dir)/../../libarcher.so))
RACES  := $(if $(ARCHER),OMP_NUM_THREADS=3 OMP_TOOL_LIBRARIES=$(ARCHER) TSAN_OPTIONS=ignore_noninstrumented_modules=1,OMP_NUM_THREADS=1)
endif
TEST_ENVIRONMENT := PIXELRNN=$(PROGRAM) GOMP_SPINCOUNT=4000 KMP_BLOCKTIME=0 $(RACES)
DOUBLE_PROGRAMS  := $(if $(filter release,$(BUILD)),$(DOUBLE_TESTS:%=$(call folder,double)/tests/%))
test: $(PROGRAM) $(TESTS) $(GPU_TESTS) $(CUDA_TESTS) $(MOCK_CUDA_TESTS) $(MOCK_NCCL) ## run all tests that need no GPU, in single and in double precision
	@$(if $(DOUBLE_PROGRAMS),$(MAKE) BUILD=double $(DOUBLE_PROGRAMS))
	@$(if $(HAVE_CUDA),,echo 'SKIP tests/cuda: $(CUDA_NOTE)')
	@MOCK_CUDA=$(abspath $(MOCK_CUDA)) $(TEST_ENVIRONMENT) tests/run $(TESTS) $(CUDA_TESTS) $(filter %/test_nccl,$(MOCK_NCCL)) $(DOUBLE_PROGRAMS) $(TEST_SCRIPTS)

test-gpu: $(PROGRAM) $(TESTS) $(GPU_TESTS) ## run the parity tests and then all others on the GPU; without one, SKIP
	@$(if $(HAVE_CUDA),,echo 'SKIP $(CUDA_NOTE)'; echo '0 passed, 0 failed, $(words $(wildcard tests/gpu/test_*.c)) skipped'; exit 0;) \
	$(TEST_ENVIRONMENT) PX_TEST_DEVICE=cuda tests/run $(GPU_TESTS) $(TESTS) $(TEST_SCRIPTS)

fuzz: ## fuzz every file reader for FUZZ_SECONDS (60) each; needs clang with libFuzzer
	+@tests/fuzz/run || [ $$? -eq 77 ]

bench: $(PROGRAM) $(BENCHES) ## measure training, evaluation and sampling of each model
	$(PROGRAM) bench $(sort $(wildcard configs/bench_*.yaml)) $(BENCH_ARGS)

baselines: $(PROGRAM) ## compare the speed of the program with PyTorch, which must be installed
	PIXELRNN=$(PROGRAM) bench/baselines/run $(BASELINES_ARGS)

gpu-report: $(PROGRAM) $(TESTS) $(GPU_TESTS) ## check, test and measure a GPU within BUDGET seconds (480), into runs/gpu_report
	@$(if $(HAVE_CUDA),,echo 'SKIP $(CUDA_NOTE)'; exit 0;) PIXELRNN=$(abspath $(PROGRAM)) bench/gpu_report

# The first command measures the step time from which the second one predicts; the third one checks the prediction.
scaling: $(PROGRAM) $(OUT)/bench/scaling ## predict how training scales over ranks, and check the prediction on 2 CPU ranks
	$(PROGRAM) bench configs/bench_row_lstm.yaml --phases train --json build/scaling.json
	$(OUT)/bench/scaling build/scaling.json configs/bench_row_lstm.yaml
	$(if $(HAVE_MPI),mpirun -n 2 $(if $(filter 0,$(shell id -u)),--allow-run-as-root) $(OUT)/bench/scaling configs/bench_row_lstm.yaml)

resources: ## write registers, shared memory and spills of each kernel to build/ptxas.txt
	@$(if $(HAVE_CUDA),mkdir -p build,echo '$(CUDA_NOTE)' >&2; exit 1)
	@for kernel in $(KERNELS) $(addprefix bf16:,$(STORING)); do echo "== $$kernel"; \
		case $$kernel in bf16:*) store=-DPX_STORE_BF16 ;; *) store= ;; esac; \
		$(NVCC) $$store $(px_NVCCFLAGS) -gencode=arch=compute_90a,code=sm_90a -Xptxas -v -cubin -o /dev/null $${kernel#bf16:} 2>&1 || exit 1; \
	done >build/ptxas.txt; status=$$?; echo build/ptxas.txt; exit $$status

# ---- Install ---------------------------------------------------------------------------------------------------------

ROOT := $(DESTDIR)$(PREFIX)
# The library is static, so Libs names all libraries that it needs. The path for the loader is that of the libraries
# which it opens itself: libpixelrnn_cuda.so, libpixelrnn_mpi.so, libpixelrnn_nccl.so.
define PKG_CONFIG_FILE
prefix=$(PREFIX)
includedir=$${prefix}/include
libdir=$${prefix}/lib

Name: pixelrnn
Description: PixelCNN, Row LSTM and Diagonal BiLSTM models of images (arXiv:1601.06759)
Version: $(VERSION)
Cflags: -I$${includedir}$(if $(filter double,$(BUILD)), -DPX_DOUBLE)
Libs: -L$${libdir} -Wl,-rpath,$${libdir} -lpixelrnn $(px_LDLIBS) -fopenmp
endef
install: export PKG_CONFIG_TEXT = $(PKG_CONFIG_FILE)
install: all ## install program, library, headers, pixelrnn.pc, man page, bash completion and configs in DESTDIR/PREFIX
	@mkdir -p $(addprefix $(ROOT)/,bin lib/pkgconfig include/pixelrnn share/man/man1 share/bash-completion/completions share/pixelrnn/configs/base)
	install -m 755 $(PROGRAM) $(ROOT)/bin
	for library in $(LIBRARY) $(LOADED); do [ ! -e $$library ] || install -m 644 $$library $(ROOT)/lib || exit 1; done
	install -m 644 include/pixelrnn/*.h $(ROOT)/include/pixelrnn
	install -m 644 configs/*.yaml $(ROOT)/share/pixelrnn/configs
	install -m 644 configs/base/*.yaml $(ROOT)/share/pixelrnn/configs/base
	@printf '%s\n' "$$PKG_CONFIG_TEXT" >$(ROOT)/lib/pkgconfig/pixelrnn.pc
	@$(PROGRAM) help --man >$(ROOT)/share/man/man1/pixelrnn.1
	@$(PROGRAM) help --completion >$(ROOT)/share/bash-completion/completions/pixelrnn
	@echo 'Installed in $(ROOT)'

# Libraries that the other machine provides: C library, compiler runtime, CUDA, MPI.
EXCLUDED := /lib(c|m|mvec|dl|rt|pthread|resolv|gcc_s|stdc[+]{2}|pixelrnn|cuda|cudart|cublas|cublasLt|cudnn[a-z_]*|nccl|nvrtc[a-z-]*)[.]so
bundle: ## collect program, libraries except CUDA's, configs, tests and bench in build/bundle, for another machine
	@rm -rf build/bundle
	@$(MAKE) BUILD=bundle programs
	@cp -r configs tests bench build/bundle && cp bench/bundle_run build/bundle/run
	@find build/bundle/build build/bundle/lib -type f -perm -u+x ! -name libpixelrnn_mpi.so -exec ldd {} + | awk '$$2 == "=>" && /\// { print $$3 }' | sort -u | \
		grep -Ev '$(EXCLUDED)' | xargs cp -L -t build/bundle/lib
	@du -sh build/bundle | sed 's/$$/: copy it, then build\/bundle\/run pixelrnn ..., build\/bundle\/run test-gpu/'

endif

# ---- Housekeeping ----------------------------------------------------------------------------------------------------

CLANG_FORMAT ?= clang-format
FORMATTED    := $(sort $(wildcard $(foreach d,host host/* host/device/* include/* kernels kernels/* tests/* bench,$d/*.c $d/*.h $d/*.cu $d/*.cc)))
format: ## format all sources with clang-format
	@$(CLANG_FORMAT) -i $(FORMATTED)
format-check: ## fail if clang-format would change a source
	@$(CLANG_FORMAT) --dry-run -Werror $(FORMATTED)
.PHONY: lint
lint: ## fail if a text file holds a retired word, long comment line, broken link or misspelling
	@tests/lint/run

uninstall: ## remove what `make install` installs in DESTDIR/PREFIX
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/pixelrnn lib/libpixelrnn.a lib/libpixelrnn_cuda.so lib/libpixelrnn_mpi.so lib/libpixelrnn_nccl.so \
		lib/pkgconfig/pixelrnn.pc share/man/man1/pixelrnn.1 share/bash-completion/completions/pixelrnn)
	rm -rf $(addprefix $(DESTDIR)$(PREFIX)/,include/pixelrnn share/pixelrnn)

clean: ## remove build/
	rm -rf build

help: ## list targets and variables
	@echo 'Targets'; sed -n 's/^\([a-z-]*\):.* ## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18
	@echo 'Variables'; sed -n 's/^## /  /p' $(firstword $(MAKEFILE_LIST))
