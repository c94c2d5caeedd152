#!/bin/sh
# Puts an image in the place of what runs in Kubernetes: docker/deploy.sh IMAGE. It is rolled back where it does not come up or is not
# well, and where this is stopped halfway. Exit 0 deployed, 1 rolled back, 2 not even that: look at once.
# Reads SERVICE_URL (where the service is reached), NAMESPACE (default), DEPLOYMENT and CONTAINER (orchestrator), PATIENCE (seconds).
set -eu
image=${1:?usage: docker/deploy.sh IMAGE}
: "${SERVICE_URL:?where is the service reached? set SERVICE_URL}"
here=$(dirname "$0")
deployment=deployment/${DEPLOYMENT:-orchestrator}
patience=${PATIENCE:-120}

in_cluster() { kubectl --namespace "${NAMESPACE:-default}" "$@"; }
came_up() { in_cluster rollout status "$deployment" --timeout "${patience}s"; }

roll_back() {
  trap '' INT TERM
  echo "$1: rolling back to $before" >&2
  if in_cluster set image "$deployment" "${CONTAINER:-orchestrator}=$before" && came_up && "$here/smoke.sh" "$SERVICE_URL"; then
    exit 1
  fi
  echo "THE ROLLBACK FAILED TOO: $deployment may be down" >&2
  exit 2
}

before=$(in_cluster get "$deployment" --output "jsonpath={.spec.template.spec.containers[?(@.name=='${CONTAINER:-orchestrator}')].image}")
: "${before:?"$deployment has no container ${CONTAINER:-orchestrator}"}"
trap 'roll_back "stopped halfway"' INT TERM
in_cluster set image "$deployment" "${CONTAINER:-orchestrator}=$image" || roll_back "$image cannot be set"
came_up || roll_back "$image does not come up"
"$here/smoke.sh" "$SERVICE_URL" || roll_back "$image is not well"
echo "$image is deployed; before it ran $before"
