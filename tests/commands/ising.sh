#!/bin/bash
# builtin:ising, whose entropy is known exactly. Models of each kind, trained for a few seconds, must have an NLL close
# to the entropy and not below it. Samples must have the NLL of the test data under their own model.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

# train KIND: trains one layer on a 6 x 6 lattice
train() {
    cat >"$1.yaml" <<END
name: $1
device: $device
model: {kind: $1, layers: 1, hidden: 12, head: 16}
data: {train: builtin:ising, test: builtin:ising, levels: 2, size: 6}
train: {steps: 600, batch_size: 32, optimizer: adam, learning_rate: 0.005, schedule: cosine, log_every: 100,
        evaluate_every: 0, samples: 0}
END
    pixelrnn train "$1.yaml" -o "$1"
}

# near_truth RUN SHARE: the NLL is at most SHARE times the entropy above it, and at most 3 standard errors below it
near_truth() {
    pixelrnn eval "$1" --json --set device="$device" || return
    awk -v found="$(json nats_per_image)" -v truth="$(json true_entropy)" -v error="$(json standard_error)" -v share="$2" 'BEGIN {
        printf "NLL: found %s, truth %s, standard error %s\n", found, truth, error
        exit !(found < truth * (1 + share) && found > truth - 3 * error)
    }'
}

# The NLL of samples under their own model is within 4 standard errors of the test set's NLL.
samples_score_alike() {
    pixelrnn sample "$1" -n 1000 -o samples.npy --set device="$device" && pixelrnn eval "$1" --json --set device="$device" || return
    local test
    test=$(json nats_per_image)
    pixelrnn eval "$1" --data samples.npy --json --set device="$device" || return
    awk -v found="$(json nats_per_image)" -v test="$test" -v error="$(json standard_error)" 'BEGIN {
        d = found - test
        printf "NLL: samples %s, test set %s, standard error %s\n", found, test, error
        exit !(d < 4 * error && d > -4 * error)
    }'
}

# All kinds can learn the rule: the stem sees every pixel that the rule depends on.
for kind in pixelcnn row_lstm diagonal_bilstm; do
    check "$kind trains on the lattice" train $kind
    check "$kind comes within 3 % of the true entropy and not below it" near_truth $kind 0.03
    check "$kind draws lattices that score as the test set" samples_score_alike $kind
done
finish
