{{/* The spec of a shipped hardware profile as YAML. Takes (dict "root" $ "pool" POOL). */}}
{{- define "atheria.poolProfile" -}}
{{- if .pool.profile -}}
{{- $text := .root.Files.Get (printf "files/profiles/%s.yaml" .pool.profile) -}}
{{- if not $text -}}
{{- fail (printf "pool %s names profile %q, which the chart does not ship: leave profile out and set nodeSelector, affinity, tolerations and resources" .pool.name .pool.profile) -}}
{{- end -}}
{{- toYaml (include "atheria.profile" (dict "root" .root "name" .pool.profile) | fromYaml).spec -}}
{{- end -}}
{{- end -}}

{{/* Where the pods of a pool run: what the pool says, else what its profile says. Takes the same. */}}
{{- define "atheria.poolPlacement" -}}
{{- $profile := include "atheria.poolProfile" . | fromYaml -}}
{{- with .pool.nodeSelector | default $profile.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .pool.affinity }}
affinity:
  {{- toYaml .pool.affinity | nindent 2 }}
{{- else if $profile.nodeAlternatives }}
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        {{- range $profile.nodeAlternatives }}
        - matchExpressions:
            {{- range $key, $values := .labels }}
            - {key: {{ $key | quote }}, operator: In, values: {{ toJson $values }}}
            {{- end }}
        {{- end }}
{{- end }}
{{- with .pool.tolerations | default $profile.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Resources of one placeholder: what the pool says, else those of a model's pod on its profile. Takes the same. */}}
{{- define "atheria.poolResources" -}}
{{- if .pool.resources -}}
{{- toYaml .pool.resources -}}
{{- else -}}
{{- $profile := include "atheria.poolProfile" . | fromYaml -}}
{{- $resources := deepCopy ($profile.resources | default dict) -}}
{{- if $profile.resourceName -}}
{{- $count := $profile.resourcesPerUnit | default 1 | toString -}}
{{- $_ := set $resources "requests" (merge (dict $profile.resourceName $count) ($resources.requests | default dict)) -}}
{{- $_ := set $resources "limits" (merge (dict $profile.resourceName $count) ($resources.limits | default dict)) -}}
{{- end -}}
{{- if not $resources -}}
{{- fail (printf "pool %s has neither a profile nor resources: a placeholder that asks for nothing keeps nothing free" .pool.name) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
{{- end -}}

{{/* A container that waits, from an image with Python. Takes (dict "root" $ "name" NAME "image" IMAGE). */}}
{{- define "atheria.waiting" -}}
- name: {{ .name }}
  image: {{ .image }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [python, -c, "import signal; signal.pause()"]
  env:
    # CUDA images ask for all GPUs of the node by a variable; this container needs none.
    - {name: NVIDIA_VISIBLE_DEVICES, value: void}
  securityContext:
    {{- include "atheria.containerSecurityContext" .root | nindent 4 }}
{{- end -}}
