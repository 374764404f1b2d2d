{{- define "patchsearch.fullname" -}}
{{- if contains "patchsearch" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-patchsearch" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Labels of a component; the argument is a dict with root and component. */ -}}
{{- define "patchsearch.selector" -}}
app.kubernetes.io/name: patchsearch
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "patchsearch.labels" -}}
{{ include "patchsearch.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "patchsearch.image" -}}
{{ printf "%spatchsearch-%s:%s" .root.Values.image.prefix .component (.root.Values.image.tag | default .root.Chart.AppVersion) }}
{{- end -}}

{{- define "patchsearch.tlsSecret" -}}
{{- $given := get .root.Values.tls (printf "%sSecret" .component) -}}
{{- $given | default (printf "%s-%s-tls" (include "patchsearch.fullname" .root) .component) -}}
{{- end -}}

{{- /* Settings that all components have, and those of the component's values, as environment variables. */ -}}
{{- define "patchsearch.env" -}}
{{- $prefix := printf "PATCHSEARCH_%s_" (upper .component) -}}
{{- $v := .root.Values -}}
- {name: {{ $prefix }}HOST, value: "0.0.0.0"}
- {name: {{ $prefix }}PORT, value: {{ .port | quote }}}
- {name: {{ $prefix }}METRICS_PORT, value: "7180"}
- {name: {{ $prefix }}LOG_FORMAT, value: json}
- {name: {{ $prefix }}LOG_LEVEL, value: {{ $v.logLevel | quote }}}
- {name: {{ $prefix }}DRAIN_S, value: {{ $v.drainSeconds | quote }}}
{{- if $v.audit.enabled }}
- {name: {{ $prefix }}AUDIT_FILE, value: "-"}
{{- end }}
{{- if $v.tls.enabled }}
- {name: {{ $prefix }}TLS_CERT, value: /etc/patchsearch/tls/tls.crt}
- {name: {{ $prefix }}TLS_KEY, value: /etc/patchsearch/tls/tls.key}
{{- if ne .component "encoder" }}
- {name: {{ $prefix }}TLS_CA, value: /etc/patchsearch/tls/ca.crt}
{{- end }}
{{- if ne .component "router" }}
- {name: {{ $prefix }}TLS_CLIENT_CA, value: /etc/patchsearch/tls/ca.crt}
{{- with $v.tls.callerNames }}
- {name: {{ $prefix }}TLS_CLIENT_NAMES, value: {{ toJson . | quote }}}
{{- end }}
{{- end }}
{{- else }}
- {name: {{ $prefix }}INSECURE, value: "true"}
{{- end }}
{{- with $v.tracing.endpoint }}
- {name: {{ $prefix }}OTLP_ENDPOINT, value: {{ . | quote }}}
- {name: {{ $prefix }}OTLP_SHARE, value: {{ $v.tracing.share | quote }}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: OTEL_RESOURCE_ATTRIBUTES, value: "service.instance.id=$(POD_NAME)"}
{{- end }}
{{- range $name, $value := .values.settings }}
- {name: {{ $prefix }}{{ upper $name }}, value: {{ (kindIs "string" $value | ternary $value (toJson $value)) | quote }}}
{{- end }}
{{- end -}}

{{- /* gRPC's own probe knows no TLS: with TLS the readiness is asked for over HTTP at the metrics port, which follows gRPC health. */ -}}
{{- define "patchsearch.probes" -}}
{{- $attempts := int (mul (.values.startupMinutes | default 5) 12) -}}
{{- if .root.Values.tls.enabled -}}
startupProbe:
  httpGet: {path: /ready, port: metrics}
  periodSeconds: 5
  failureThreshold: {{ $attempts }}
readinessProbe:
  httpGet: {path: /ready, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /live, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- else -}}
startupProbe:
  grpc: {port: {{ .port }}}
  periodSeconds: 5
  failureThreshold: {{ $attempts }}
readinessProbe:
  grpc: {port: {{ .port }}}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /live, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}
{{- end -}}

{{- /* What the pods of all components have in common, up to their containers. */ -}}
{{- define "patchsearch.pod" -}}
serviceAccountName: {{ include "patchsearch.fullname" .root }}-{{ .component }}
automountServiceAccountToken: false
# A service called patchsearch-shard would put its own address into PATCHSEARCH_SHARD_PORT.
enableServiceLinks: false
# The pause before the signal, the drain, and what closing takes.
terminationGracePeriodSeconds: {{ add 5 .root.Values.drainSeconds 45 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
affinity:
  podAntiAffinity:
    {{- if eq .values.antiAffinity "required" }}
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{ include "patchsearch.selector" . | nindent 12 }}
    {{- else }}
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{ include "patchsearch.selector" . | nindent 14 }}
    {{- end }}
{{- if .root.Values.zoneSpread }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "patchsearch.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{- define "patchsearch.container" -}}
image: {{ include "patchsearch.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
ports:
  - {name: grpc, containerPort: {{ .port }}}
  - {name: metrics, containerPort: 7180}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{ include "patchsearch.probes" . }}
lifecycle:
  preStop:
    # Endpoints are taken out of services meanwhile, so that no new call comes to a closed door.
    exec: {command: [sleep, "5"]}
{{- end -}}
