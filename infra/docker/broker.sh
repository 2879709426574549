#!/bin/bash
# Formats a broker's folder once, with the operator's credential (off the command line), and becomes Kafka.
set -euo pipefail
given=/run/waybill/kafka
properties=$given/$BROKER.properties
if [ ! -e /var/lib/kafka/data/meta.properties ]; then
  /opt/kafka/bin/kafka-storage.sh format --cluster-id "$(<"$given/cluster-id")" --config "$properties" \
    "@$given/operator.scram" >/dev/null  # it prints the keys that it stored
fi
exec /opt/kafka/bin/kafka-server-start.sh "$properties"
