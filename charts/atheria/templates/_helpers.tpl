{{/* Start of every object's name: the release's name. */}}
{{- define "atheria.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels that never change: usable in selectors. Takes (dict "root" $ "component" "operator"). */}}
{{- define "atheria.selectorLabels" -}}
app.kubernetes.io/name: atheria
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "atheria.labels" -}}
{{ include "atheria.selectorLabels" . }}
app.kubernetes.io/part-of: atheria
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* An image reference. Takes (dict "root" $ "image" .Values.operator.image). */}}
{{- define "atheria.image" -}}
{{- $name := .image.repository -}}
{{- with .root.Values.image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end -}}
{{- if .image.digest -}}
{{ $name }}@{{ .image.digest }}
{{- else -}}
{{ $name }}:{{ .image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* Pod security context that the level `restricted` admits. */}}
{{- define "atheria.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Container security context that the level `restricted` admits. */}}
{{- define "atheria.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Where pods may run. Takes the values of one component. */}}
{{- define "atheria.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Fewest gateway pods that there are. */}}
{{- define "atheria.gatewayReplicas" -}}
{{ .Values.gateway.autoscaling.enabled | ternary .Values.gateway.autoscaling.minReplicas .Values.gateway.replicas }}
{{- end -}}

{{/* Name of the Secret with what gateway and operator show to model pods: another one for each mode, as Helm makes the operator's and
cert-manager its own. */}}
{{- define "atheria.podClientName" -}}
{{ include "atheria.fullname" . }}-pod-client{{ if eq .Values.podTls.mode "cert-manager" }}-cert-manager{{ end }}
{{- end -}}

{{/* Volume with it; a pod waits until all of it is there. */}}
{{- define "atheria.podClientSecret" -}}
secret:
  secretName: {{ include "atheria.podClientName" . }}
  defaultMode: 0440
  items:
    - {key: tls.crt, path: tls.crt}
    - {key: tls.key, path: tls.key}
    - {key: ca.crt, path: ca.crt}
{{- end -}}

{{/* Names may be asked of whoever answers them: CoreDNS, or a cache on the node. */}}
{{- define "atheria.dnsEgress" -}}
- ports:
    {{- range .Values.networkPolicy.dnsPorts }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end -}}

{{/* Spans, to whichever pod or host the collector is. */}}
{{- define "atheria.collectorEgress" -}}
{{- with .Values.tracing.endpoint }}
- ports:
    - {protocol: TCP, port: {{ regexFind "[0-9]+$" . }}}
{{- end }}
{{- end -}}

{{/* The names of the profiles to install, as a JSON list. */}}
{{- define "atheria.profileNames" -}}
{{- $found := list -}}
{{- range $path, $_ := .Files.Glob "files/profiles/*.yaml" -}}
{{- $name := base $path | trimSuffix ".yaml" -}}
{{- if or (not $.Values.hardwareProfiles.names) (has $name $.Values.hardwareProfiles.names) -}}
{{- $found = append $found $name -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* A shipped profile as YAML, with what hardwareProfiles.overrides says. Takes (dict "root" $ "name" NAME). */}}
{{- define "atheria.profile" -}}
{{- $text := .root.Files.Get (printf "files/profiles/%s.yaml" .name) -}}
{{- $override := get .root.Values.hardwareProfiles.overrides .name -}}
{{- if $override -}}
{{- $profile := fromYaml $text -}}
{{- range $field, $value := $override }}{{ $_ := set $profile.spec $field $value }}{{ end -}}
{{- toYaml $profile -}}
{{- else -}}
{{- $text -}}
{{- end -}}
{{- end -}}

{{/* The files that the operator's init container applies. */}}
{{- define "atheria.profiles" -}}
{{- range $name := include "atheria.profileNames" . | fromJsonArray }}
{{ $name }}.yaml: |
  {{- include "atheria.profile" (dict "root" $ "name" $name) | nindent 2 }}
{{- end }}
{{- end -}}
