{{- define "upload.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* At most 52 characters, so that the longest suffix (-migrate) and a Job's pod fit in 63. */}}
{{- define "upload.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "upload.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "upload.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "upload.selector" -}}
app.kubernetes.io/name: {{ include "upload.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "upload.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "upload.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "upload.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "upload.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "upload.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/* A setting as the environment has it: Helm reads whole numbers as floats and would write 1.048576e+08. */}}
{{- define "upload.value" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- printf "%.0f" . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end }}

{{/* The settings, as YAML: `config` and what the chart knows better. */}}
{{- define "upload.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if and .Values.ingress.enabled .Values.ingress.hosts (not (hasKey $config "PUBLIC_URL")) -}}
{{- $scheme := ternary "https" "http" (ne .Values.ingress.tlsSecretName "") -}}
{{- $_ := set $config "PUBLIC_URL" (printf "%s://%s" $scheme (first .Values.ingress.hosts)) -}}
{{- end -}}
{{- range $key, $value := $config }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }}: {{ include "upload.value" $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Settings that can hold a secret: the same list as in values.schema.json, checked by a test. */}}
{{- define "upload.secretSettings" -}}
DATABASE_URL DB_PASSWORD ENCRYPTION_KEYS JWT_PUBLIC_KEY JWT_SECRET REDIS_PASSWORD REDIS_URL S3_ACCESS_KEY_ID S3_SECRET_ACCESS_KEY S3_SESSION_TOKEN S3_SSE_CUSTOMER_KEY
{{- end }}

{{/* ConfigMap and Secret with the settings, then what is given by other Secrets. */}}
{{- define "upload.env" -}}
envFrom:
  - configMapRef:
      name: {{ include "upload.fullname" . }}
  - secretRef:
      name: {{ include "upload.fullname" . }}
  {{- range .Values.existingSecrets }}
  - secretRef:
      name: {{ . }}
  {{- end }}
{{- include "upload.ownEnv" . }}
{{- end }}

{{- define "upload.ownEnv" -}}
{{- if or .Values.secretKeys .Values.extraEnv }}
env:
  {{- range $name, $from := .Values.secretKeys }}
  - name: {{ $name }}
    valueFrom:
      secretKeyRef:
        name: {{ $from.name }}
        key: {{ $from.key }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "upload.port" -}}
{{- include "upload.value" (.Values.config.PORT | default 3005) -}}
{{- end }}

{{/* SHUTDOWN_TIMEOUT in whole seconds, rounded up. */}}
{{- define "upload.shutdownSeconds" -}}
{{- $text := .Values.config.SHUTDOWN_TIMEOUT | default "15s" -}}
{{- $number := regexFind "^[0-9]+" $text | int64 -}}
{{- if hasSuffix "ms" $text -}}
{{- div (add $number 999) 1000 -}}
{{- else if hasSuffix "m" $text -}}
{{- mul $number 60 -}}
{{- else -}}
{{- $number -}}
{{- end -}}
{{- end }}

{{/* Grace of a pod: (dict "root" . "before" seconds "given" null|seconds "what" text). */}}
{{- define "upload.grace" -}}
{{- $least := add .before (include "upload.shutdownSeconds" .root | int64) -}}
{{- if kindIs "invalid" .given -}}
{{- add $least 10 -}}
{{- else if lt (int64 .given) $least -}}
{{- fail (printf "%s.terminationGracePeriodSeconds is %d, but preStopSeconds and SHUTDOWN_TIMEOUT take %d: bytes received would be lost before they are flushed" .what (int64 .given) $least) -}}
{{- else -}}
{{- int64 .given -}}
{{- end -}}
{{- end }}

{{- define "upload.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "upload.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "upload.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "upload.volumes" -}}
- name: tmp
  emptyDir: {}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Where pods go: (dict "root" . "part" .Values.server "component" "server"). */}}
{{- define "upload.placement" -}}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
topologySpreadConstraints:
{{- if .part.topologySpreadConstraints }}
  {{- toYaml .part.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- $labels := printf "%s\napp.kubernetes.io/component: %s" (include "upload.selector" .root) .component }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $labels | nindent 8 }}
{{- end }}
{{- end }}
{{- end }}
