variable "project" {
  description = "Google Cloud project."
  type        = string
}

variable "region" {
  description = "Region of the bucket, the database and the cluster."
  type        = string
  default     = "europe-west3"
}

variable "namespace" {
  description = "Kubernetes namespace of infra/k8s."
  type        = string
  default     = "brain-assets"
}

variable "database_tier" {
  description = "Machine type of PostgreSQL."
  type        = string
  default     = "db-custom-1-3840"
}
