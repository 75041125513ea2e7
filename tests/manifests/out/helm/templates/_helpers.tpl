{{/* The image of the job. */}}
{{- define "orders.image" -}}
image: "registry.example:5000/team/job:«job»" # sparkpack: job
{{- end }}
