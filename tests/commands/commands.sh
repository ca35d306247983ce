#!/bin/bash
# Every command: its output, its files, and its refusal of wrong arguments.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

# ---- Train -----------------------------------------------------------------------------------------------------------

# config KIND: a tiny one
config() {
    cat <<END
name: tiny_$1
device: $device
model:
  kind: $1
  layers: 2
  hidden: 5
  head: 6
data:
  train: builtin:digits
  test: builtin:digits
  levels: 2
  size: 8
train:
  steps: 5
  batch_size: 4
  log_every: 2
  evaluate_every: 2
  evaluate_images: 8
  sample_every: 4
  checkpoint_every: 2
  samples: 3
END
}

# Every file of a run folder, the date and host of the events left out.
listing() {
    (cd "$1" && find . -mindepth 1 -printf '%P\n' | sed 's/^\(events\.out\.tfevents\)\..*/\1/' | sort)
}

expected_listing="checkpoints
checkpoints/000000002
checkpoints/000000002/model.safetensors
checkpoints/000000002/optimizer.safetensors
checkpoints/000000002/state.json
checkpoints/000000004
checkpoints/000000004/model.safetensors
checkpoints/000000004/optimizer.safetensors
checkpoints/000000004/state.json
checkpoints/000000005
checkpoints/000000005/model.safetensors
checkpoints/000000005/optimizer.safetensors
checkpoints/000000005/state.json
checkpoints/best
checkpoints/newest
config.yaml
events.out.tfevents
metrics.jsonl
samples
samples/000000004.png
samples/000000005.png"

run_folder_is_whole() {
    same "$(listing "$1")" "$expected_listing" && same "$(readlink "$1/checkpoints/newest")" 000000005
}

metrics_are_json_lines() {
    all_lines "$1" '^\{"step": [0-9]+(, "[a-z_/]+": (null|-?[0-9.]+(e[+-]?[0-9]+)?))+, "time": "[0-9-]{10}T[0-9:]{8}Z"\}$|^\{"start":0,.*\}$' &&
        same "$(grep -o '^{"step": [0-9]*' "$1" | uniq | grep -o '[0-9]*$' | tr '\n' ' ')" "0 2 4 5 " &&
        same "$(grep -c '"train/nats_per_image".*"learning_rate".*"step_ms".*"images_per_second"' "$1")" 3 &&
        same "$(grep -c '"test/nats_per_image".*"test/bits_per_dim".*"test/standard_error".*"epoch"' "$1")" 3 &&
        same "$(grep -c '^{"step": 0, "test/independent_nats_per_image": .*"test/independent_bits_per_dim"' "$1")" 1
}

# A run's own config.yaml holds every key, and makes the same run again.
config_makes_the_run_again() {
    pixelrnn train "$1/config.yaml" -o again && cmp "$1/config.yaml" again/config.yaml &&
        cmp "$1/checkpoints/newest/model.safetensors" again/checkpoints/newest/model.safetensors
    local status=$?
    rm -rf again
    return $status
}

trains() {
    pixelrnn train "$1.yaml" -o "$1" && contains out '^trained to step 5 in ' && contains out '^test NLL .* nats/image' &&
        contains out '^independent pixels .* nats/image'
}

for kind in pixelcnn row_lstm diagonal_bilstm; do
    config $kind >$kind.yaml
    check "train: $kind on builtin:digits" trains $kind
    check "train: $kind: the run folder holds what it should" run_folder_is_whole $kind
    check "train: $kind: metrics.jsonl is JSON, a line of each kind when due" metrics_are_json_lines $kind/metrics.jsonl
    check "train: $kind: config.yaml makes the same run again" config_makes_the_run_again $kind
done
kind=diagonal_bilstm run=diagonal_bilstm

# trains_rgb KIND GOLDEN: trains on images sampled from a golden model
trains_rgb() {
    local model=$golden/$2/model.safetensors
    pixelrnn sample "$model" -n 9 -o rgb.npy --set device="$device" || return
    pixelrnn train $kind.yaml -o rgb --set model.kind="$1" --set data.size=0 --set data.train=rgb.npy --set data.test=rgb.npy \
        --set data.levels=4 --set train.evaluate_images=0 &&
        contains out 'standard error [0-9.]*, 9 images' && pixelrnn info rgb && contains out 'x 3, 4 levels' &&
        pixelrnn sample rgb -n 2 -o rgb.png && pixelrnn eval rgb
    local status=$?
    rm -rf rgb
    return $status
}
check "train: Row LSTM on colour images, H != W" trains_rgb row_lstm row_lstm_rgb_skip
check "train: PixelCNN on colour images, H != W" trains_rgb pixelcnn pixelcnn_rgb_skip
check "train: Diagonal BiLSTM on colour images, H != W" trains_rgb diagonal_bilstm diagonal_rgb_skip

overrides() {
    pixelrnn train $kind.yaml -o set --set train.steps=1 --set model.hidden=3 --set name=other &&
        contains set/config.yaml '^  hidden: 3$' && contains set/config.yaml '^name: other$' && contains out 'to step 1 '
}
check "train: --set overrides the config, and config.yaml says so" overrides

default_folder() {
    pixelrnn train $kind.yaml --set train.steps=0 --set train.samples=0 --set data.test= &&
        same "$(listing runs/tiny_$kind | grep -v checkpoints/0)" "$(printf '%s\n' checkpoints checkpoints/newest config.yaml \
            events.out.tfevents metrics.jsonl samples)" && same "$(ls runs/tiny_$kind/checkpoints)" "$(printf '000000000\nnewest')"
}
check "train: runs/NAME is the default; 0 steps without test set or samples" default_folder

starts_from() {
    pixelrnn train $kind.yaml -o init --init "$1" --set train.steps=0 && same "$(nats init)" "$(nats "$run/checkpoints/newest")"
    local status=$?
    rm -rf init
    return $status
}
check "train: --init from a model file" starts_from $run/checkpoints/newest/model.safetensors
check "train: --init from a checkpoint folder" starts_from $run/checkpoints/000000005

init_model_file() { # a model file needs no optimiser and no state
    cp $run/checkpoints/newest/model.safetensors single.safetensors && starts_from single.safetensors &&
        pixelrnn sample single.safetensors -n 1 -o single.png
}
check "train: --init, eval, sample from only a model file" init_model_file

is_averaged() { # eval takes the average, training goes on with the weights
    pixelrnn train $kind.yaml -o ema --set train.ema_decay=0.99 && differ "$(nats ema)" "$(nats $run)" &&
        grep -aq '"weights.stem.weight"' ema/checkpoints/newest/optimizer.safetensors
}
check "train: ema_decay" is_averaged

# ---- Eval ------------------------------------------------------------------------------------------------------------

evaluates() {
    pixelrnn eval $run && all_lines out '^'$run'/checkpoints/[0-9]{9}/model.safetensors, step [0-9]+$|^1000 images of builtin:digits$|^NLL  .* nats/image  [0-9.]+ bits/dim  \(standard error' &&
        same "$(wc -l <out)" 3
}
check "eval: text" evaluates

evaluates_json() {
    pixelrnn eval $run --json && same "$(wc -l <out)" 1 && same "$(json images)" 1000 && same "$(json model)" $kind &&
        awk -v nats="$(json nats_per_image)" -v bits="$(json bits_per_dim)" \
            'BEGIN { want = nats / (64 * log(2)); print bits, want; exit !(nats > 0 && (bits - want) ^ 2 < 1e-24) }'
}
check "eval: --json, bits/dim = nats / (H W C ln 2)" evaluates_json

eval_names_a_model() {
    local best
    best=$run/checkpoints/$(readlink $run/checkpoints/best)
    same "$(nats $run)" "$(nats "$best")" && same "$(nats $run)" "$(nats "$best/model.safetensors")" &&
        same "$(nats $run/)" "$(nats $run)"
}
check "eval: a run folder is its best checkpoint; folder and file are the same" eval_names_a_model

per_image() {
    noise $((7 * 8 * 8)) | npy_write '7, 8, 8' >seven.npy
    pixelrnn eval $run --data seven.npy --per-image nats.npy --json && same "$(npy_shape nats.npy)" "(7,)" &&
        contains nats.npy "'<f8'" && same "$(npy_data nats.npy | wc -c)" 56 &&
        npy_data nats.npy | od -An -v -w8 -tf8 | awk -v want="$(json nats_per_image)" \
            '{ sum += $1 } END { print sum / NR, want; exit !(NR == 7 && (sum / NR / want - 1) ^ 2 < 1e-24) }'
}
check "eval: --per-image writes N float64 whose mean is nats_per_image" per_image

file_order() {
    pixelrnn eval $run --data seven.npy seven.npy --per-image twice.npy --json && same "$(json images)" 14 || return
    npy_data nats.npy | od -An -v -w8 -tf8 >once.txt
    npy_data twice.npy | od -An -v -w8 -tf8 >twice.txt
    paste <(cat once.txt once.txt) twice.txt | awk '{ if (($1 / $2 - 1) ^ 2 > 1e-10) { print NR, $0; exit 1 } }'
}
check "eval: --data takes several files, in their order" file_order

batch_does_not_matter() {
    awk -v a="$(nats $run --data seven.npy --set eval.batch_size=7)" -v b="$(nats $run --data seven.npy --set eval.batch_size=2)" \
        'BEGIN { print a, b; exit !(a > 0 && (a / b - 1) ^ 2 < 1e-12) }'
}
check "eval: --set eval.batch_size changes nothing but rounding" batch_does_not_matter

three_dimensions() { # [N, H, W] is [N, H, W, 1]
    noise $((7 * 8 * 8)) | npy_write '7, 8, 8, 1' >four.npy
    same "$(nats $run --data seven.npy)" "$(nats $run --data four.npy)"
}
check "eval: [N, H, W] and [N, H, W, 1] are the same" three_dimensions

# ---- Sample ----------------------------------------------------------------------------------------------------------

# sample_images MODEL COUNT SEED OUT
sample_images() {
    pixelrnn sample "$1" -n "$2" --seed "$3" -o "$4" --set device="$device"
}

samples_the_same() {
    local model=$golden/$1/model.safetensors bytes
    sample_images "$model" 3 5 three.npy && sample_images "$model" 70 5 seventy.npy && sample_images "$model" 66 5 sixty.npy || return
    bytes=$(npy_data three.npy | wc -c)
    cmp <(npy_data three.npy) <(npy_data seventy.npy | head -c "$bytes") &&
        cmp <(npy_data sixty.npy) <(npy_data seventy.npy | head -c $((bytes * 22)))
}
for case in pixelcnn_rgb_skip row_lstm_rgb_skip diagonal_grey; do
    check "sample: $case: image n is the same image in every batch" samples_the_same $case
done

rgb=$golden/row_lstm_rgb_skip/model.safetensors # 3 x 7 x 3, 4 levels

seeds_matter() {
    sample_images "$rgb" 5 1 one.npy && sample_images "$rgb" 5 1 again.npy && sample_images "$rgb" 5 2 two.npy && cmp one.npy again.npy &&
        ! cmp one.npy two.npy && same "$(npy_shape one.npy)" "(5, 3, 7, 3,)"
}
check "sample: the same for the same seed, another for another; [N, H, W, C]" seeds_matter

samples_png() {
    sample_images "$rgb" 5 1 one.png && sample_images "$rgb" 5 1 again.png && cmp one.png again.png &&
        same "$(head -c 8 one.png | od -An -tx1 | tr -d ' ')" 89504e470d0a1a0a && contains out '^5 images in again.png$'
}
check "sample: a PNG, twice the same" samples_png

temperature_matters() { # near 0 the most probable level is sampled for every seed
    pixelrnn sample "$rgb" -n 4 --seed 1 --temperature 1e-6 -o cold1.npy && pixelrnn sample "$rgb" -n 4 --seed 2 \
        --temperature 1e-6 -o cold2.npy && pixelrnn sample "$rgb" -n 4 --seed 2 --temperature 3 -o hot.npy &&
        cmp cold1.npy cold2.npy && ! cmp cold1.npy hot.npy
}
check "sample: --temperature" temperature_matters

# values FILE: the distinct bytes of an npy file
values() {
    npy_data "$1" | od -An -v -w1 -tu1 | sort -nu | tr -d ' ' | tr '\n' ' '
}

levels_come_back() {
    sample_images "$golden/$1/model.safetensors" 40 3 levels.npy && same "$(values levels.npy)" "$2" &&
        pixelrnn eval "$golden/$1/model.safetensors" --data levels.npy --json --set device="$device" && same "$(json images)" 40
}
check "sample: 2 levels are 0 and 255, and eval reads them" levels_come_back diagonal_grey "0 255 "
check "sample: 3 levels are 0, 128, 255, and eval reads them" levels_come_back row_lstm_rgb_h2_column "0 128 255 "
check "sample: 4 levels are 0, 85, 170, 255, and eval reads them" levels_come_back row_lstm_rgb_skip "0 85 170 255 "

# ---- Complete --------------------------------------------------------------------------------------------------------

# kept_bytes WIDTH KEEP: no byte differs between original.npy and completed.npy (grey images of one size, one completion
# each) where the awk condition KEEP of row and column holds, and some do elsewhere.
kept_bytes() {
    cmp -l <(npy_data original.npy) <(npy_data completed.npy) >differences
    awk -v width=8 -v height=8 "{ i = (\$1 - 1) % (width * height); row = int(i / width); column = i % width
        if ($1) { print \"changed: row \" row \", column \" column; bad = 1 } } END { exit bad || !NR }" differences
}

# complete KEEP ARGUMENT...: completions of the seven noisy images in completed.npy
complete() {
    local keep=$1
    shift
    cp seven.npy original.npy
    pixelrnn complete $run --data seven.npy --keep "$keep" -o completed.npy --set device="$device" "$@"
}

# big_endian NUMBER: four bytes
big_endian() {
    # shellcheck disable=SC2059
    printf "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)))"
}

# png_chunk TYPE: standard input as a chunk; its CRC is the one that gzip ends with
png_chunk() {
    { printf '%s' "$1" && cat; } >chunk
    big_endian $(($(wc -c <chunk) - 4))
    cat chunk
    big_endian "$(gzip -c chunk | tail -c 8 | od -An -tu4 -N4 --endian=little | tr -d ' ')"
}

# png WIDTH HEIGHT: standard input, one line of # (black) and . (white) a row, as a grey image
png() {
    local value a=1 b=0
    sed 's/^/F/' | tr -d '\n' | tr 'F#.' '\0\0\377' >rows # F: a row's filter, none
    for value in $(od -An -v -w1 -tu1 rows); do a=$(((a + value) % 65521)) b=$(((b + a) % 65521)); done
    printf '\x89PNG\r\n\x1a\n'
    { big_endian "$1" && big_endian "$2" && printf '\x08\0\0\0\0'; } | png_chunk IHDR
    { printf '\x78\x9c' && gzip -nc rows | tail -c +11 | head -c -8 && big_endian $((b << 16 | a)); } | png_chunk IDAT
    png_chunk IEND </dev/null
}

keeps_top() {
    complete top:0.5 --completions 1 && same "$(npy_shape completed.npy)" "(7, 8, 8, 1,)" && kept_bytes 'row < 4'
}
check "complete: --keep top:0.5 leaves the upper half as it was, to the byte" keeps_top

keeps_mask() {
    printf '%s\n' '........' '.######.' '.######.' '.######.' '.######.' '.######.' '........' '........' | png 8 8 >mask.png
    complete mask.png --completions 1 && kept_bytes 'row == 0 || row > 5 || column == 0 || column == 7'
}
check "complete: a mask's black pixels are sampled, and no others" keeps_mask

keeps_all() {
    complete top:1 --completions 1 && cmp <(npy_data seven.npy) <(npy_data completed.npy)
}
check "complete: --keep top:1 changes nothing" keeps_all

keeps_none() {
    complete top:0 --completions 1 --seed 9 && sample_images $run 7 9 sampled.npy && cmp sampled.npy completed.npy
}
check "complete: --keep top:0 gives the images of sample" keeps_none

counts_completions() {
    complete top:0.5 --completions 3 -n 2 && same "$(npy_shape completed.npy)" "(6, 8, 8, 1,)" &&
        contains out '^6 completions of 2 images in completed.npy$' && differ "$(npy_data completed.npy | head -c 64 | od -An -tx1)" \
        "$(npy_data completed.npy | tail -c +65 | head -c 64 | od -An -tx1)"
}
check "complete: --completions completions of -n images, each its own" counts_completions

completes_from_an_image() {
    complete top:1 --first 2 -n 3 --completions 1 && cmp <(npy_data completed.npy) <(npy_data seven.npy | tail -c +129 | head -c 192) &&
        complete top:1 --first 5 --completions 1 && cmp <(npy_data completed.npy) <(npy_data seven.npy | tail -c 128) &&
        complete top:1 -n 2 --seed 4 --completions 1 && cp completed.npy four.npy && complete top:1 -n 2 --seed 5 --completions 1 && ! cmp four.npy completed.npy
}
check "complete: images from --first on, or chosen by the seed" completes_from_an_image
check "complete: --first behind the last image" fails 2 'first: found 7, expected an image of the 7 of seven.npy' \
    complete $run --data seven.npy --keep top:0.5 --first 7 -o no.npy

completes_rgb() {
    sample_images "$rgb" 5 1 five.npy && pixelrnn complete "$rgb" --data five.npy --keep top:0.34 --completions 2 -o five.png &&
        same "$(head -c 8 five.png | od -An -tx1 | tr -d ' ')" 89504e470d0a1a0a
}
check "complete: a PNG, in colour" completes_rgb

# ---- Pack ------------------------------------------------------------------------------------------------------------

packs() {
    pixelrnn pack seven.npy -o packed.npy && same "$(npy_shape packed.npy)" "(7, 8, 8, 1,)" &&
        cmp <(npy_data seven.npy) <(npy_data packed.npy) && pixelrnn pack packed.npy -o repacked.npy && cmp packed.npy repacked.npy
}
check "pack: npy" packs

packs_idx() {
    { printf '\0\0\x08\x03' && big_endian 7 && big_endian 8 && big_endian 8 && npy_data seven.npy; } >seven.idx
    gzip -kf seven.idx
    pixelrnn pack seven.idx -o idx.npy && cmp packed.npy idx.npy && pixelrnn pack seven.idx.gz -o gz.npy && cmp packed.npy gz.npy
}
check "pack: idx and idx.gz give what npy gives" packs_idx

packs_several() {
    pixelrnn pack seven.npy seven.idx -o both.npy && same "$(npy_shape both.npy)" "(14, 8, 8, 1,)" &&
        cmp <(npy_data seven.npy && npy_data seven.npy) <(npy_data both.npy)
}
check "pack: several sources, in their order" packs_several

packs_builtin() {
    pixelrnn pack builtin:ising --set data.size=2 -o ising.npy && contains <(npy_shape ising.npy) ', 2, 2, 1,' &&
        same "$(values ising.npy)" "0 255 "
}
check "pack: a built-in set, --set" packs_builtin

# ---- Info ------------------------------------------------------------------------------------------------------------

informs() {
    local config
    pixelrnn info "$1.yaml" --set device="$device" && contains out '^parameters  ' && contains out '^receptive field  ' &&
        contains out '^images  .* 8 x 8 x 1, 2 levels$' && contains out 'training  .* GFLOP$' && contains out '^memory, training' || return
    config=$(grep -E '^(parameters|receptive)|FLOP' out)
    pixelrnn info "$1" --set device="$device" && contains out '^step  ' && same "$(grep -E '^(parameters|receptive)|FLOP' out)" "$config"
}
for kind in pixelcnn row_lstm diagonal_bilstm; do
    check "info: $kind: config and model say the same" informs $kind
done

sweeps() {
    pixelrnn info "$1.yaml" --set device="$device" --set precision=float32 --verbose && contains out '^recurrence, training, [0-9]* images' &&
        contains out '^  cluster  .* compute capability 9.0, bfloat16, ' && contains out '^  stepwise  *nothing$' &&
        same "$(grep -E -A 1 '^  (forward|backward)' out | grep -c 'cluster: not taken: needs .*bfloat16')" 2 &&
        same "$(grep -cE "^  (forward|backward)  *$([ "$device" = cpu ] && echo fused || echo stepwise): " out)" 2
}
for kind in row_lstm diagonal_bilstm; do
    check "info: $kind: how its sweeps run forward and backward, and why not otherwise" sweeps $kind
done

no_sweeps() {
    pixelrnn info pixelcnn.yaml --set device="$device" && ! grep -E '^recurrence|^  (forward|backward)' out
}
check "info: a PixelCNN has no sweeps" no_sweeps

imagenet() {
    pixelrnn info $kind.yaml --height 64 --width 48 --channels 3 --set data.levels=256 --set device="$device" &&
        contains out '64 x 48 x 3, 256 levels'
}
check "info: of a config for images of another size, without data" imagenet

configs_are_right() {
    local file
    for file in "$golden"/../../configs/*.yaml; do
        pixelrnn info "$file" --height 8 --width 8 --channels 1 --set train.batch_size=1 --set device="$device" || return
    done
}
check "info: takes every file in configs/" configs_are_right

# ---- Help, and what is refused ---------------------------------------------------------------------------------------

helps() {
    pixelrnn --help && contains out '^  sample MODEL' && same "$(wc -c <err)" 0 && pixelrnn keys && contains out '^train.rho '
}
check "--help and keys, on standard output" helps

no_command() {
    pixelrnn
    same $? 2 && same "$(wc -c <out)" 0 && contains err '^  train CONFIG'
}
check "no command: status 2, help on standard error" no_command

# A config of lines that are wrong, each in a file of its own.
printf 'model:\n  kind: row_lstm\n  layerz: 2\n' >unknown_key.yaml
printf 'model:\n  layers: many\n' >wrong_type.yaml
printf 'seed: 1\ntrain:\n  rho: 1.5\n' >impossible.yaml
printf 'model: [\n' >not_yaml.yaml
printf 'train:\n  steps: 5\n  warmup_steps: 6\n' >contradiction.yaml
printf 'name: empty\n' >no_data.yaml
head -c 3000 $run/checkpoints/newest/model.safetensors >torn.safetensors
printf 'hello\n' >text.safetensors
head -c 300 seven.npy >torn.npy
printf 'hello\n' >text.npy
sed "s/|u1/|i1/" seven.npy >signed.npy
noise 250 | npy_write '10, 5, 5' >small.npy
noise 960 | npy_write '5, 8, 8, 3' >colour.npy
printf '%s\n' '....' '####' | png 4 2 >small.png
mkdir -p empty folder.npy folder.png

# One wrong command per line: exit status, pattern of the message, arguments.
while IFS='|' read -r status pattern arguments; do
    # shellcheck disable=SC2086 # the arguments must be split
    check "refused with $status: ${arguments:-}" fails "$status" "$pattern" $arguments
done <<END
2|frobnicate|frobnicate
2|found no CONFIG.yaml|train
2|--frobnicate|train $kind.yaml --frobnicate
2|one argument too many after $kind.yaml: other.yaml; usage|train $kind.yaml other.yaml
2|no value after -o|train $kind.yaml -o
2|diagonal_bilstm: already holds a run|train $kind.yaml -o $run
2|model.hidden|train $kind.yaml -o $run --resume --set model.hidden=6
2|seed|train $kind.yaml -o $run --resume --set seed=2
2|nonsense|train $kind.yaml --set nonsense
2|--set: found unknown key .lr., expected a known one .nearest: train.learning_rate.|train $kind.yaml --set lr=1
2|nope.key|train $kind.yaml --set nope.key=1
2|model.hidden.*-1|train $kind.yaml --set model.hidden=-1
2|model.hidden.*many|eval $run --set model.hidden=many
2|model.kind.*mlp.*pixelcnn|train $kind.yaml --set model.kind=mlp
2|data.levels.*257|train $kind.yaml --set data.levels=257
2|precision.*float16.*bfloat16|train $kind.yaml --set precision=float16
2|unknown_key.yaml:3: .*layerz|train unknown_key.yaml
2|wrong_type.yaml:2: .*layers.*many|train wrong_type.yaml
2|impossible.yaml:3: .*rho.*1.5|train impossible.yaml
2|not_yaml.yaml|train not_yaml.yaml
2|contradiction.yaml.*warmup_steps.*6|train contradiction.yaml
2|data.train|train no_data.yaml
2|builtin:nope.*builtin:digits|train $kind.yaml -o new --set data.train=builtin:nope
2|builtin:digits.* 7|train $kind.yaml -o new --set data.size=7
2|small.npy.* 5 x 5.* 8 x 8|train $kind.yaml -o new --set data.test=small.npy
2|colour.npy.* 8 x 8 x 3.* 8 x 8 x 1|train $kind.yaml -o new --set data.test=colour.npy
2|found a model of images of 8 x 8 x 1, expected 5 x 5 x 1 as in data.train|train $kind.yaml -o $run --resume --set data.size=0 --set data.train=small.npy --set data.test=
2|found a model of images of 8 x 8 x 1, expected 8 x 8 x 3 as in data.train|train $kind.yaml -o $run --resume --set data.train=colour.npy --set data.test=
1|empty: found no images|train $kind.yaml -o new --set data.train=empty
1|absent.yaml|train absent.yaml
1|absent.npy|train $kind.yaml -o new --set data.train=absent.npy
1|text.npy|train $kind.yaml -o new --set data.train=text.npy
1|absent|train $kind.yaml -o new --init absent
1|tensor .*\[.*\].*\[.*\]|train $kind.yaml -o new --init pixelcnn --set model.kind=pixelcnn --set model.hidden=6
1|tensor |train $kind.yaml -o new --init row_lstm
1|tensor head.2.weight|train $kind.yaml -o new --init $run --set data.levels=4
2|found no MODEL|eval
2|no --data|eval runs/tiny_$kind
2|one argument too many after $run: seven.npy .files of images follow --data.; usage|eval $run seven.npy
2|eval: found the config $kind.yaml, expected MODEL: the run folder that .pixelrnn train $kind.yaml. wrote|eval $kind.yaml
1|absent|eval absent
1|empty|eval empty
1|torn.safetensors|eval torn.safetensors
1|text.safetensors|eval text.safetensors
1|absent.npy: cannot be opened: No such file or directory; relative paths start at the current folder, /.*$|eval $run --data absent.npy
1|^pixelrnn: ~/.DATA/x.npy: .*; a shell expands ~ and .NAME, but a config does not|train $kind.yaml -o new --set data.train=~/\$DATA/x.npy
1|^pixelrnn: /absent.npy: cannot be opened: No such file or directory$|eval $run --data /absent.npy
1|torn.npy|eval $run --data torn.npy
1|text.npy|eval $run --data text.npy
1|signed.npy.*i1.*u1|eval $run --data signed.npy
2|small.npy.* 5 x 5.* 8 x 8|eval $run --data small.npy
2|small.npy|eval $run --data seven.npy small.npy
2|colour.npy.* 8 x 8 x 3.* 8 x 8 x 1|eval $run --data colour.npy
2|--set: found another model.\* or data.levels, expected those of|eval $run --set data.levels=4
2|--set: found another model.\* or data.levels, expected those of|sample $run --set model.hidden=9 -o sampled.png
1|empty: found no images|eval $run --data empty
1|folder.npy: Is a directory|eval $run --data seven.npy --per-image folder.npy
1|absent/nats.npy|eval $run --data seven.npy --per-image absent/nats.npy
2|-o|sample $run
2|sampled.gif.*.png|sample $run -o sampled.gif
2|-n.*"0".*1|sample $run -n 0 -o sampled.png
2|-n.*"many"|sample $run -n many -o sampled.png
2|--temperature.*"0"|sample $run --temperature 0 -o sampled.png
2|--seed.*"-1"|sample $run --seed -1 -o sampled.png
1|absent/sampled.png|sample $run -n 1 -o absent/sampled.png
1|folder.npy: Is a directory|sample $run -n 1 -o folder.npy
1|folder.png: Is a directory|sample $run -n 1 -o folder.png
1|torn.safetensors|sample torn.safetensors -n 1 -o sampled.png
1|folder.png: Is a directory|complete $run --data seven.npy --keep top:0.5 -n 1 --completions 1 -o folder.png
1|absent/sampled.npy|complete $run --data seven.npy --keep top:0.5 -n 1 --completions 1 -o absent/sampled.npy
2|--data|complete $run --keep top:0.5 -o sampled.png
2|--keep|complete $run --data seven.npy -o sampled.png
2|found bottom:0.5, expected top:FRACTION, left:FRACTION or an image|complete $run --data seven.npy --keep bottom:0.5 -o sampled.png
2|top:2|complete $run --data seven.npy --keep top:2 -o sampled.png
1|absent.png|complete $run --data seven.npy --keep absent.png -o sampled.png
1|seven.npy.*PNG|complete $run --data seven.npy --keep seven.npy -o sampled.png
2|small.png.*2 x 4.*8 x 8|complete $run --data seven.npy --keep small.png -o sampled.png
2|small.npy|complete $run --data small.npy --keep top:0.5 -o sampled.png
2|-o|pack seven.npy
2|packed.png|pack seven.npy -o packed.png
1|absent.npy|pack absent.npy -o packed.npy
1|folder.npy: Is a directory|pack seven.npy -o folder.npy
1|absent/packed.npy|pack seven.npy -o absent/packed.npy
2|small.npy|pack seven.npy small.npy -o packed.npy
1|absent|info absent
2|data.train is empty|info no_data.yaml
END

leaves_nothing() {
    same "$(ls -d new sampled.png packed.png ./*.partial 2>/dev/null)" ""
}
check "what is refused leaves nothing behind" leaves_nothing

finish
