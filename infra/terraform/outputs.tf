output "bucket_uri" {
  description = "BRAIN_BUCKET__URI."
  value       = "gs://${google_storage_bucket.data.name}"
}

output "inference_bucket_uri" {
  description = "BRAIN_BUCKET__INFERENCE_URI."
  value       = "gs://${google_storage_bucket.uploads.name}"
}

output "database_url" {
  description = "BRAIN_DATABASE__URL: the key `url` of the Kubernetes secret `brain-database`."
  value       = "postgresql://brain:${random_password.database.result}@${google_sql_database_instance.main.private_ip_address}:5432/brain?sslmode=require"
  sensitive   = true
}

output "cluster" {
  description = "Name of the cluster."
  value       = google_container_cluster.main.name
}

output "service_accounts" {
  description = "Value of the annotation iam.gke.io/gcp-service-account of each Kubernetes service account."
  value       = { for name, account in google_service_account.workload : name => account.email }
}
