#!/usr/bin/env bash
# Generates service/pb/unlearning from proto/unlearning: `proto/generate.sh [directory that gets unlearning/]`.
# The same tool versions give the same bytes; a test compares them with what is checked in.
set -euo pipefail

PYTHON="${PYTHON:-python3}"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
out="${1:-$root/service/pb}"
scripts="$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')"
mapfile -t sources < <(cd "$root/proto" && find unlearning -name '*.proto' | LC_ALL=C sort)

mkdir -p "$out"
rm -rf "$out/unlearning"
"$PYTHON" -m grpc_tools.protoc --proto_path="$root/proto" \
  --plugin=protoc-gen-mypy="$scripts/protoc-gen-mypy" \
  --plugin=protoc-gen-mypy_grpc="$scripts/protoc-gen-mypy_grpc" \
  --python_out="$out" --grpc_python_out="$out" --mypy_out="quiet:$out" \
  --mypy_grpc_out="quiet,only_sync,generate_concrete_servicer_stubs:$out" \
  "${sources[@]}"

# protoc writes imports from the root of the proto tree; the code lives in service.pb.
find "$out/unlearning" -name '*.py*' -exec sed -i -E \
  -e 's/^(from|import) unlearning\.v1/\1 service.pb.unlearning.v1/' {} +

# For a file without a service protoc writes an empty grpc module.
for source in "${sources[@]}"; do
  grep -q '^service ' "$root/proto/$source" || rm -f "$out/${source%.proto}"_pb2_grpc.py{,i}
done

find "$out/unlearning" -type d | while read -r directory; do : >"$directory/__init__.py"; done
