#!/usr/bin/env bash
# Users of Elasticsearch's file realm, made or given their present password. Runs in Elasticsearch's home folder
# before it starts; elk/roles.yml must lie in its config folder.
set -euo pipefail

user() {
  local name=$1 role=$2 password=$3
  bin/elasticsearch-users useradd "$name" -p "$password" -r "$role" 2>/dev/null ||
    bin/elasticsearch-users passwd "$name" -p "$password"
}

user brain_shipper brain_shipper "${SHIPPER_PASSWORD:?}"
user brain_reader brain_reader "${READER_PASSWORD:?}"
user brain_kibana kibana_system "${KIBANA_PASSWORD:?}"
