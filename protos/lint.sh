#!/usr/bin/env bash
# buf lint, and buf breaking against main where there is one. google/rpc/status.proto is not ours: it is taken from
# the installed googleapis-common-protos, so that no schema registry is asked. Usage: protos/lint.sh BUF PYTHON
set -euo pipefail
buf=$1 python=$2
root=$(git rev-parse --show-toplevel)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
status=$("$python" -c 'from google.rpc import status_pb2; print(status_pb2.__file__.replace("_pb2.py", ".proto"))')

workspace() { # workspace FOLDER: turns FOLDER/protos into a buf workspace that can resolve google/rpc
  mkdir -p "$1/imports/google/rpc"
  cp "$status" "$1/imports/google/rpc/"
  sed -e 's|- path: \.|- path: protos\n  - path: imports\n    lint: {ignore: [imports]}|' \
    -e 's|- patchsearch/|- protos/patchsearch/|' "$1/protos/buf.yaml" >"$1/buf.yaml"
  rm "$1/protos/buf.yaml"
}

mkdir -p "$work/new" && cp -r "$root/protos" "$work/new/protos" && workspace "$work/new"
(cd "$work/new" && "$buf" lint)
base=$(git -C "$root" merge-base HEAD origin/main 2>/dev/null || true)
if [ -n "$base" ] && git -C "$root" cat-file -e "$base:protos/buf.yaml" 2>/dev/null; then
  mkdir -p "$work/old" && git -C "$root" archive "$base" protos | tar -x -C "$work/old" && workspace "$work/old"
  (cd "$work/new" && "$buf" breaking --against "$work/old")
fi
