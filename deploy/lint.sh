#!/usr/bin/env bash
# deploy/lint.sh PYTHON [HELM]: dashboard, alert rules and chart, with the checkers that are there.
#
# PYTHON is the one of the virtual environment. Without HELM the one on PATH is used, if there is one.
set -euo pipefail
python=$1
helm=${2:-$(command -v helm || true)}
cd "$(dirname "$0")"

"$python" dashboard.py --check
echo "dashboard: is what its panels say"

if promtool=$(command -v promtool); then
    "$promtool" check rules helm/patchsearch/files/alerts.yaml >/dev/null
    echo "promtool: alert rules are clean"
else
    echo "promtool: skipped, it is not installed"
fi

if [ -z "$helm" ] || [ ! -x "$helm" ]; then
    echo "helm: skipped, it is not installed"
    exit 0
fi
least=(--set placement.etcd.url=etcd://etcd:2379/placement --set auth.tokensSecret=tokens)
open=(--set tls.enabled=false --set placement.store=configMap --set-file placement.document=placement.json)
rendered=$(mktemp -d)
trap 'rm -r "$rendered"' EXIT
told=$rendered/told.txt
"$helm" lint helm/patchsearch "${least[@]}" >"$told" || { cat "$told"; exit 1; }
"$helm" template ps helm/patchsearch --kube-version 1.30.0 "${least[@]}" >"$rendered/least.yaml"
"$helm" template ps helm/patchsearch --kube-version 1.30.0 "${open[@]}" >"$rendered/open.yaml"
"$(dirname "$python")/kubernetes-validate" -k 1.30 --strict "$rendered"/*.yaml >"$told" 2>&1 || { cat "$told"; exit 1; }
echo "helm: the chart is clean, its manifests are valid for Kubernetes 1.30"
