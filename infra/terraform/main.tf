# What infra/k8s runs on: two buckets, PostgreSQL without a public address, a GKE Autopilot cluster, and service
# accounts that pods use without keys. A skeleton: it is formatted and parsed, it has not been applied.

locals {
  services = toset(["container", "servicenetworking", "sqladmin", "storage"])
  # Kubernetes service account -> what it may do in a bucket.
  workloads = {
    serving   = "roles/storage.objectUser"
    dashboard = "roles/storage.objectViewer"
    pipeline  = "roles/storage.objectUser"
  }
}

resource "google_project_service" "required" {
  for_each           = local.services
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}

# Network: the database is reached from inside only.

resource "google_compute_network" "main" {
  name                    = "brain-assets"
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "cluster" {
  name                     = "brain-assets"
  network                  = google_compute_network.main.id
  region                   = var.region
  ip_cidr_range            = "10.10.0.0/20"
  private_ip_google_access = true
}

resource "google_compute_global_address" "database" {
  name          = "brain-assets-database"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  address       = "10.20.0.0"
  prefix_length = 20
  network       = google_compute_network.main.id
}

resource "google_service_networking_connection" "database" {
  network                 = google_compute_network.main.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.database.name]
  depends_on              = [google_project_service.required]
}

# Buckets: data and models keep their versions; uploaded images do not, so that erasure erases.

resource "google_storage_bucket" "data" {
  name                        = "${var.project}-brain-assets-data"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  versioning {
    enabled = true
  }
}

resource "google_storage_bucket" "uploads" {
  name                        = "${var.project}-brain-assets-uploads"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  versioning {
    enabled = false
  }
  soft_delete_policy {
    retention_duration_seconds = 0
  }
}

# PostgreSQL.

resource "random_password" "database" {
  length  = 32
  special = false
}

resource "google_sql_database_instance" "main" {
  name                = "brain-assets"
  region              = var.region
  database_version    = "POSTGRES_17"
  deletion_protection = true
  depends_on          = [google_service_networking_connection.database]

  settings {
    tier    = var.database_tier
    edition = "ENTERPRISE"
    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.main.id
      ssl_mode        = "ENCRYPTED_ONLY"
    }
    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
    }
  }
}

resource "google_sql_database" "main" {
  for_each = toset(["brain", "mlflow", "dagster"])
  name     = each.key
  instance = google_sql_database_instance.main.name
}

resource "google_sql_user" "brain" {
  name     = "brain"
  instance = google_sql_database_instance.main.name
  password = random_password.database.result
}

# Cluster. Autopilot brings Workload Identity and enforces network policies.

resource "google_container_cluster" "main" {
  name                = "brain-assets"
  location            = var.region
  enable_autopilot    = true
  network             = google_compute_network.main.id
  subnetwork          = google_compute_subnetwork.cluster.id
  deletion_protection = true
  depends_on          = [google_project_service.required]

  ip_allocation_policy {}

  private_cluster_config {
    enable_private_nodes = true
  }
}

# Workload Identity: each Kubernetes service account is a Google one, without a key.

resource "google_service_account" "workload" {
  for_each     = local.workloads
  account_id   = "brain-assets-${each.key}"
  display_name = "Brain Assets: ${each.key}"
}

resource "google_service_account_iam_member" "workload" {
  for_each           = local.workloads
  service_account_id = google_service_account.workload[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project}.svc.id.goog[${var.namespace}/${each.key}]"
  depends_on         = [google_container_cluster.main]
}

resource "google_storage_bucket_iam_member" "data" {
  for_each = local.workloads
  bucket   = google_storage_bucket.data.name
  role     = each.value
  member   = google_service_account.workload[each.key].member
}

resource "google_storage_bucket_iam_member" "uploads" {
  for_each = local.workloads
  bucket   = google_storage_bucket.uploads.name
  role     = each.value
  member   = google_service_account.workload[each.key].member
}
