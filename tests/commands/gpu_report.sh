#!/bin/bash
# bench/gpu_report: its parts, their time limits, and what a run that is cut off keeps. A fake program stands for
# pixelrnn on a machine with a GPU.
report=$(realpath bench/gpu_report)
. tests/support/shell.sh

# A program whose check agrees, whose tests hang, and whose bench prints a table and fails
mkdir -p fake/tests/gpu
cat >fake/pixelrnn <<'END'
#!/bin/bash
case $1 in
--version) echo 'pixelrnn 0 (fake)' ;;
check) echo 'cuda: a fake GPU'; echo 'all 3 comparisons agree' ;;
bench) echo 'config phase ms'; echo 'pixelrnn: no kernel' >&2; exit 1 ;;
esac
END
printf '#!/bin/bash\necho "1 passed, 0 failed"\n' >fake/tests/gpu/test_fast
printf '#!/bin/bash\nsleep 100\n' >fake/tests/test_hangs
chmod +x fake/pixelrnn fake/tests/gpu/test_fast fake/tests/test_hangs

reports() { BUDGET=10 PIXELRNN=$PWD/fake/pixelrnn PATH=$PWD/bin:$PATH "$report" "$PWD/out" >stdout 2>stderr; }
mkdir bin && printf '#!/bin/bash\nexit 1\n' >bin/python3 && chmod +x bin/python3 # without PyTorch

begun=$SECONDS
has() { for pattern; do contains out/report.md "$pattern" || return; done; }
check 'a report is made' reports
ended=$SECONDS
within() { [ $((ended - begun)) -le 15 ] || { echo "took $((ended - begun)) s"; return 1; }; }
check 'it keeps to its budget' within
check 'versions and date lead it' has '^pixelrnn 0 \(fake\)' '^20[0-9-]{8} [0-9:]{5} UTC'
check 'the check passed' has 'Passed in [0-9]+ s: `check.txt`' 'all 3 comparisons agree'
check 'tests that hang are stopped, and those before are kept' has 'Stopped after [0-9]+ s: `tests.txt`' 'gpu/test_fast +1 passed'
check 'a failure shows its message' has 'Failed with status 1 after [0-9]+ s: `bench.txt`' '^pixelrnn: no kernel'
check 'PyTorch is not needed' has 'Not run: python3 has no torch'
few() { [ "$(ls out | wc -l)" -le 8 ] || ls out; }
check 'at most 8 files' few

no_gpu() {
    BUDGET=60 "$report" "$PWD/cpu" >stdout 2>stderr
    same "$?" 1 && contains stderr 'No GPU was found' && contains cpu/report.md '^all [0-9]+ comparisons agree'
}
if [ "${PX_TEST_DEVICE:-}" = cuda ]; then skip 'a machine without a GPU' 'there is one'; else check 'without a GPU, the CPU is checked' no_gpu; fi
finish
