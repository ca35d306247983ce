#!/bin/bash
# TensorBoard's own code reads the event files of three runs: scalars, images, the config as a text, the HPARAMS table.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

# Without TensorBoard, test_logging reads them by the field numbers of its formats.
if ! python3 -c 'import tensorboard.plugins.hparams' 2>/dev/null; then
    skip "TensorBoard reads the event files" "python3 with tensorboard is not installed"
    finish
    exit
fi

cat >tiny.yaml <<END
name: tiny
device: $device
model: {kind: pixelcnn, layers: 1, hidden: 2, head: 2, skip: true}
data: {train: builtin:digits, validation: builtin:digits, test: builtin:digits, size: 8, levels: 2}
train: {steps: 6, batch_size: 2, log_every: 3, evaluate_every: 3, evaluate_images: 20, samples: 2, sample_every: 6, checkpoint_every: 3}
END
train() { "$program" train "$@" >log 2>&1 || { cat log; return 1; }; }
train tiny.yaml -o runs/lr_0.001 && train tiny.yaml -o runs/lr_0.01 --set train.learning_rate=0.01 &&
    train tiny.yaml -o runs/resumed --set train.steps=3 && train runs/resumed --resume --set train.steps=6 || exit 1

cat >check.py <<'END'
import json, logging
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups, metadata

logging.disable()
runs = ["lr_0.001", "lr_0.01", "resumed"]
multiplexer = plugin_event_multiplexer.EventMultiplexer(size_guidance={"scalars": 0, "tensors": 0, "images": 0})
multiplexer.AddRunsFromDirectory("runs")
multiplexer.Reload()
last = {run: {} for run in runs}  # the last value of each metric
for run in runs:
    for line in map(json.loads, open(f"runs/{run}/metrics.jsonl")):
        if "start" not in line:
            last[run] |= line
    for tag in set(last[run]) - {"step", "epoch", "time"}:
        found = multiplexer.Tensors(run, tag)[-1].tensor_proto.float_val[0]
        assert abs(found - last[run][tag]) <= 1e-6 * abs(found), (run, tag, found, last[run][tag])
    texts = [event.tensor_proto.string_val[0].decode() for event in multiplexer.Tensors(run, "config")]
    assert len(texts) == (2 if run == "resumed" else 1), texts
    assert texts[-1] == "```yaml\n" + open(f"runs/{run}/config.yaml").read() + "```\n", texts[-1]
    assert multiplexer.SummaryMetadata(run, "config").plugin_data.plugin_name == "text"
    assert multiplexer.Tensors(run, "samples")[-1].tensor_proto.string_val[2].startswith(b"\x89PNG")

context = base_plugin.TBContext(data_provider=data_provider.MultiplexerDataProvider(multiplexer, "runs"))
backend, request = backend_context.Context(context), RequestContext()
content = backend.hparams_metadata(request, "e")
experiment = backend.experiment_from_metadata(request, "e", True, content, None)
keys = {info.name: info for info in experiment.hparam_infos}
assert keys["train.learning_rate"].type == api_pb2.DATA_TYPE_FLOAT64 and keys["model.skip"].type == api_pb2.DATA_TYPE_BOOL
assert keys["model.kind"].type == api_pb2.DATA_TYPE_STRING and keys["seed"].description.startswith("of every random number")
first = [info.name for info in experiment.hparam_infos][:5]
assert first == ["model.hidden", "model.kind", "model.layers", "train.batch_size", "train.learning_rate"], first
metrics = [info.name.tag for info in experiment.metric_infos]
assert metrics[:2] == ["validation/nats_per_image", "validation/bits_per_dim"] and "images_per_second" in metrics, metrics

columns = [api_pb2.ColParams(metric=api_pb2.MetricName(tag=tag)) for tag in metrics]
table = list_session_groups.Handler(request, backend, "e", api_pb2.ListSessionGroupsRequest(
    start_index=0, slice_size=9, allowed_statuses=[api_pb2.STATUS_UNKNOWN], col_params=columns)).run()
rows = {group.name: group for group in table.session_groups}
assert sorted(rows) == runs, rows
for run in runs:
    values = rows[run].hparams
    assert len(values) == len(keys)
    assert values["train.learning_rate"].number_value == (0.01 if run == "lr_0.01" else 0.001)
    assert values["model.skip"].bool_value is True and values["model.kind"].string_value == "pixelcnn"
    assert values["data.train"].string_value == "builtin:digits"
    for value in rows[run].metric_values:
        assert abs(value.value - last[run][value.name.tag]) <= 1e-6 * abs(value.value), (run, value)
    assert len(rows[run].metric_values) == len(metrics)
END
check "TensorBoard reads scalars, images, the config, and the HPARAMS table" python3 check.py
finish
