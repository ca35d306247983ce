#!/bin/bash
# The PyTorch models of bench/baselines give the golden results, and bench/baselines/run compares them with the program.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

baselines=$(realpath "$golden/../../bench/baselines")
without_torch() { # a module of that name that cannot be imported
    mkdir -p hidden && echo 'raise ImportError' >hidden/torch.py && ! PYTHONPATH=$PWD/hidden PIXELRNN=$program "$baselines/run" >out 2>err &&
        contains err 'run: .*python.* has no PyTorch; this installs it: .*python.* -m pip install torch numpy$'
}
if command -v python3 >/dev/null; then
    check "without PyTorch, the line that installs it" without_torch
else
    skip "without PyTorch, the line that installs it" "needs python3"
fi
if ! python3 -c 'import numpy, torch' 2>/dev/null; then
    skip "PyTorch's models give the golden results" "needs python3 with numpy and torch"
    skip "PyTorch compared with pixelrnn" "needs python3 with numpy and torch"
    finish
    exit
fi

check "PixelCNN: PyTorch's logits, nats, gradients, updates and cached sampler" python3 "$baselines/check.py" "$golden"/pixelcnn_*/
check "Row LSTM: the same" python3 "$baselines/check.py" "$golden"/row_lstm_*/
check "Diagonal BiLSTM: the same" python3 "$baselines/check.py" "$golden"/diagonal_*/

# compare KINDS COMPARISONS VARIANT ARGUMENT...: a small comparison, with its report in report.json and its output in
# table
compare() {
    local kinds=$1 what=$2 variant=$3
    shift 3
    rm -f report.json
    PIXELRNN=$program "$baselines/run" --quick --seconds 0.01 --size 4 --batches 2 --set model.hidden=5 --set model.head=6 \
        --set model.layers=1 --device "$device" --json report.json --kinds "$kinds" --what "$what" --only "$variant" "$@" | tee table
    return "${PIPESTATUS[0]}"
}

side_by_side() { # KINDS COMPARISONS
    compare "$@" 'eager float32' --only 'cached float32' || return
    python3 - "$@" <<'END'
import json, sys
found, (kinds, expected) = json.load(open("report.json"))["comparisons"], (words.split(",") for words in sys.argv[1:])
assert [(comparison["what"], comparison["kind"]) for comparison in found] == [(what, kind) for what in expected for kind in kinds], found
for comparison in found:
    ours, theirs = (entry["runs"][0]["images_per_second"] for entry in comparison["entries"].values())
    assert comparison["batch_size"] == 2 and ours > 0 and theirs > 0, comparison
    assert [abs(found * theirs / ours - 1) < 1e-9 for found in comparison["ours_over_theirs"].values()] == [True], comparison
END
}
check "compared with pixelrnn in training" side_by_side pixelcnn,row_lstm,diagonal_bilstm train
check "compared with pixelrnn in evaluation and sampling" side_by_side diagonal_bilstm evaluate,sample

recurrence() {
    compare row_lstm,diagonal_bilstm lstm 'LSTM float32' || return
    python3 - <<'END'
import json
for comparison, steps in zip(json.load(open("report.json"))["comparisons"], (4, 7), strict=True):
    ours, theirs = (entry["runs"][0] for entry in comparison["entries"].values())
    assert theirs["steps"] == steps and theirs["batch"] == 8 and theirs["hidden"] == 5, theirs
    assert abs(ours["forward_step_us"] * steps / ours["forward_ms_median"] / 1e3 - 1) < 1e-9, ours
    ratio = theirs["pass_ms_median"] / ours["pass_ms_median"]
    assert [abs(found / ratio - 1) < 1e-9 for found in comparison["ours_over_theirs"].values()] == [True], comparison
END
}
check "nn.LSTM compared with the program's recurrence of equal steps and batch" recurrence

too_slow() {
    ! compare row_lstm train 'eager float32' --budget 0.02 && [ "$(grep -c ' stopped after 0 s$' table)" -eq 2 ] && contains table 'no ratio'
}
check "an implementation that takes too long is a line" too_slow

broken() {
    ! compare row_lstm train 'eager float32' --set train.batch_size=x &&
        contains table '^  pixelrnn float32 .*train\.batch_size: found "x"' && contains table "^  PyTorch eager float32 .*ValueError: .*'x'"
}
check "an implementation that fails is a line with the reason" broken

finish
