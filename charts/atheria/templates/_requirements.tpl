{{/* Refuses what cannot work. Not Chart.yaml's kubeVersion: that one also refuses API servers built without a version. */}}
{{- define "atheria.requirements" -}}
{{- if regexMatch "^v1\\.([0-9]|1[0-9]|2[0-9])\\." .Capabilities.KubeVersion.Version -}}
{{- fail (printf "Atheria needs Kubernetes 1.30 or newer (for the preStop sleep of the gateway); this cluster is %s (`helm template` of Helm 3.14 takes v1.29.0 unless told otherwise by --kube-version)" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}
