{{/* What operator, gateway and the uninstall hook may do with models and what belongs to them. Each verb has the code that
needs it in tests/contract/rights.py. Bound once for the cluster, or in each of operator.namespaces. */}}

{{- define "atheria.operatorRules" -}}
# patch: kopf's finalizer.
- apiGroups: [atheria.dev]
  resources: [atheriamodels]
  verbs: [get, list, watch, patch]
- apiGroups: [atheria.dev]
  resources: [atheriamodels/status]
  verbs: [patch]
- apiGroups: [atheria.dev]
  resources: [atheriamodels/scale]
  verbs: [get, patch]
# Clusters that enforce owner references ask for this of whoever sets blockOwnerDeletion.
- apiGroups: [atheria.dev]
  resources: [atheriamodels/finalizers]
  verbs: [update]
# Server-side apply of what is not there yet is a create.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [get, patch]
- apiGroups: [""]
  resources: [services, configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
# spec.scaling.class hpa.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# spec.scaling.class keda.
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, create, patch, delete]
{{- if eq .Values.podTls.mode "internal" }}
# The certificates of models' pods. Never get, list or watch; but who may patch a Secret of a known name is answered with it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, patch]
{{- end }}
{{- if eq .Values.podTls.mode "cert-manager" }}
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [get, create, patch]
{{- end }}
# patch: the cost of deletion, so that idle pods go before busy ones.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
# list: what scheduler, kubelet and autoscalers of nodes say about a pod that waits.
- apiGroups: [""]
  resources: [events]
  verbs: [create, list]
{{- end -}}

{{/* Of cluster-scoped objects: profiles in either case, the rest only where all namespaces are served. */}}
{{- define "atheria.operatorClusterRules" -}}
- apiGroups: [atheria.dev]
  resources: [atheriahardwareprofiles]
  verbs: [list, watch]
{{- if .Values.hardwareProfiles.enabled }}
# The chart's profiles, applied by the init container.
- apiGroups: [atheria.dev]
  resources: [atheriahardwareprofiles]
  verbs: [create, patch]
{{- end }}
{{- if not .Values.operator.namespaces }}
# Kopf waits for definitions and namespaces that come later.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [list, watch]
{{- end }}
{{- end -}}

{{- define "atheria.gatewayRules" -}}
- apiGroups: [atheria.dev]
  resources: [atheriamodels]
  verbs: [list, watch]
# Waking: a model from 0 to 1, also while the operator is down.
- apiGroups: [atheria.dev]
  resources: [atheriamodels/scale]
  verbs: [get, patch]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [get, patch]
# The slice that points a model's Service at the gateway's pods.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch, create, patch]
{{- end -}}

{{- define "atheria.uninstallRules" -}}
- apiGroups: [atheria.dev]
  resources: [atheriamodels]
  verbs: [list, patch{{ if eq (include "atheria.modelsAtUninstall" .) "delete" }}, delete{{ end }}]
{{- end -}}

{{/* What the uninstall hook does with models: they go where their definition goes. */}}
{{- define "atheria.modelsAtUninstall" -}}
{{ if and .Values.crds.enabled (not .Values.crds.keep) }}delete{{ else }}keep{{ end }}
{{- end -}}

{{/* The rights of one account: rules over models in a ClusterRole, or in a Role in each of operator.namespaces; rules over
cluster-scoped objects always in a ClusterRole. Takes (dict "root" $ "component" "operator" "rules" TEXT "clusterRules" TEXT
"annotations" DICT), the last two perhaps empty. */}}
{{- define "atheria.rights" -}}
{{- $account := printf "%s-%s" (include "atheria.fullname" .root) .component }}
{{- $common := dict "root" .root "account" $account "labels" (include "atheria.labels" .) "annotations" .annotations }}
{{- $everywhere := list }}
{{- with .clusterRules }}{{ $everywhere = append $everywhere . }}{{ end }}
{{- if .root.Values.operator.namespaces }}
{{- range $namespace := .root.Values.operator.namespaces }}
{{- include "atheria.grant" (merge (dict "kind" "Role" "namespace" $namespace "name" (printf "%s-models" $account) "rules" $.rules) $common) }}
{{- end }}
{{- else }}
{{- $everywhere = append $everywhere .rules }}
{{- end }}
{{- if $everywhere }}
{{- include "atheria.grant" (merge (dict "kind" "ClusterRole" "name" $account "rules" (join "\n" $everywhere)) $common) }}
{{- end }}
{{- end -}}

{{/* A role and its binding to an account of the release's namespace; used by atheria.rights. */}}
{{- define "atheria.grant" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- .labels | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- .labels | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .account }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
