#!/bin/sh
# Is a service well? docker/smoke.sh URL: it gets ready within PATIENCE (60) seconds, and a safety message is answered as one.
# Where keys are asked for, API_KEY is one that may classify.
set -eu
url=${1:?usage: docker/smoke.sh URL}
until=$(($(date +%s) + ${PATIENCE:-60}))
until curl --silent --fail --max-time 5 "$url/ready" > /dev/null; do
  if [ "$(date +%s)" -ge "$until" ]; then
    echo "$url/ready does not say that it is ready:" >&2
    curl --silent --show-error --max-time 5 "$url/ready" >&2 || true
    exit 1
  fi
  sleep 1
done
answer=$(curl --silent --show-error --fail --max-time 60 "$url/api/v1/classify" --header 'Content-Type: application/json' \
  ${API_KEY:+--header "Authorization: Bearer $API_KEY"} \
  --data '{"message": "Test of the deployment: I broke out in hives after the new tablets"}')
case $answer in
  *'"category":"safety_compliance"'*) echo "$url is ready and answers" ;;
  *) echo "$url takes a safety message for something else: $answer" >&2; exit 1 ;;
esac
