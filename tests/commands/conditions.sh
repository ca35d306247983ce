#!/bin/bash
# Conditional models whose entropy is known exactly: Ising lattices of 4 x 4, of which all 65536 are enumerated. Models
# of each kind learn p(x | temperature) and p(x | half-size lattice) in a few seconds. Their NLL, weighted by the exact
# probabilities instead of estimated from samples, must be close to the conditional entropy, and not below it.
#
# At temperatures of 1, 2 and 4 the entropies are 1.4448, 7.0382 and 10.2583 nats, 6.2471 in the mean. The mixture has
# 6.7800 nats, so that knowing the temperature is worth 0.5329 nats. At temperature 2 the half-size lattice, in which a
# spin is up if at least two of four are, has 2.1868 nats, which leaves 4.8515 nats for the lattice. It forbids most
# lattices, which takes longer to learn.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

if ! python3 -c 'import numpy' 2>/dev/null; then
    skip "conditional models come near the exact entropy" "needs python3 with numpy"
    finish
    exit
fi

# Writes lattices sampled from the exact distributions, and all lattices for each temperature with its label, in the
# order of p.npy (temperatures, lattices). truth: the entropies that NLLs are compared with.
cat >lattices.py <<'END_OF_PYTHON'
import itertools
import numpy as np

SIDE, TEMPERATURES, SAMPLES = 4, (1, 2, 4), 60000
lattices = np.array(list(itertools.product((0, 1), repeat=SIDE * SIDE)), np.uint8).reshape(-1, SIDE, SIDE)
spins = 2.0 * lattices - 1
aligned = (spins[:, 1:] * spins[:, :-1]).sum((1, 2)) + (spins[:, :, 1:] * spins[:, :, :-1]).sum((1, 2))
p = np.exp(aligned / np.array(TEMPERATURES)[:, None])
p /= p.sum(axis=1, keepdims=True)


def entropy(q):
    return -(q[q > 0] * np.log(q[q > 0])).sum()


def save(name, indices, labels):
    np.save(name + ".npy", 255 * lattices[indices])
    np.save(name + ".labels.npy", labels)


random = np.random.RandomState(1)
labels = random.randint(len(TEMPERATURES), size=SAMPLES)
drawn = np.array([random.choice(len(p[0]), size=SAMPLES, p=q) for q in p])
save("mixed", drawn[labels, np.arange(SAMPLES)], labels)
save("warm", drawn[1], np.ones(SAMPLES, int))
save("all", np.tile(np.arange(len(p[0])), len(p)), np.repeat(np.arange(len(p)), len(p[0])))
np.save("p.npy", p)

halves = lattices.reshape(-1, SIDE // 2, 2, SIDE // 2, 2).sum(axis=(2, 4)) >= 2
number = halves.reshape(len(halves), -1) @ (2 ** np.arange(SIDE))
truth = {"class": np.mean([entropy(q) for q in p]), "none": entropy(p.mean(axis=0)),
         "image": entropy(p[1]) - entropy(np.bincount(number, weights=p[1]))}
print(*(f"{name} {value:.4f}" for name, value in truth.items()))
END_OF_PYTHON

# compare.py CONDITION TRUTH SHARE NATS: the NLL by the exact probabilities, which may be at most SHARE above the truth;
# without an image condition, also the sums of a model's probabilities over all lattices.
cat >compare.py <<'END_OF_PYTHON'
import sys
import numpy as np
condition, truth, share, p = sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), np.load("p.npy")
nats = np.load(sys.argv[4]).reshape(p.shape)
found = (p * nats)[1].sum() if condition == "image" else (p * nats).sum(axis=1).mean()
print(f"NLL: found {found:.4f}, expected {truth:.4f} to {(1 + share) * truth:.4f}; {found / truth - 1:.2%} above")
assert truth - 1e-3 <= found <= (1 + share) * truth
if condition != "image":
    sums = np.exp(-nats).sum(axis=1)
    print(f"sums of probabilities: found {sums}, expected 1 within 1e-4, roundings of 16 factors in float32")
    assert np.abs(sums - 1).max() < 1e-4
END_OF_PYTHON

exact() {
    python3 lattices.py >truth && cat truth && same "$(cat truth)" 'class 6.2471 none 6.7800 image 4.8515'
}
check "the exact entropies" exact

# near_truth KIND CONDITION DATA SHARE: trains and compares
near_truth() {
    cat >model.yaml <<END
device: $device
model: {kind: $1, layers: 1, hidden: 16, head: 24, condition: $2, classes: 3, scale: 2}
data: {train: $3.npy, levels: 2}
train: {steps: 700, batch_size: 64, optimizer: adam, learning_rate: 0.006, schedule: cosine, log_every: 0,
        evaluate_every: 0, samples: 0}
END
    rm -rf run
    pixelrnn train model.yaml -o run && pixelrnn eval run --data all.npy --per-image nats.npy &&
        python3 compare.py "$2" "$(grep -o "$2 [0-9.]*" truth | cut -d ' ' -f 2)" "$4" nats.npy
}
for kind in pixelcnn row_lstm diagonal_bilstm; do
    check "$kind with the temperature comes within 1 % of the conditional entropy" near_truth $kind class mixed 0.01
    check "$kind with the half-size lattice comes within 5 % of the conditional entropy" near_truth $kind image warm 0.05
done
check "pixelcnn without a condition comes within 1 % of the mixture's entropy, and not below" near_truth pixelcnn none mixed 0.01
finish
