"""Mistakes of each kind that the checks of infra/kubernetes are there for."""

from pathlib import Path
from typing import Any

from infra.waybill.tests.unit.kubernetes.planted import Mistake, More

POD = "spec template spec"
MAIN = f"{POD} containers [service]"
STEP = f"{POD} initContainers [checkout]"
FILES = f"{POD} volumes [secrets] projected sources"
CHECKOUT, JOB, KAFKA, SCALED = "Deployment/checkout", "Job/provision", "Kafka/waybill", "ScaledObject/checkout"
SETTINGS, DATABASE, STACK = "ConfigMap/settings-", "ConfigMap/database-", "ConfigMap/stack-"
LETTERS = "Deployment/letters"
PEERS = "spec kafka listeners 0 networkPolicyPeers"
NAMES = "podSelector matchExpressions 0 values"
ACL = "spec authorization acls 0"
MIGRATED = ["python", "-m", "chassis.migrated"]
KUBERNETES = Path(__file__).parents[4] / "kubernetes"
MISNAMED = KUBERNETES.joinpath("overlays/prod/stack.json").read_text().replace("letters", "lettres")
FOREIGN = {"secret": {"name": "gateway-client", "items": [{"key": "key", "path": "x"}]}}
ASKS_AN_ISSUER = {
    "WAYBILL_JWKS_FROM": "discovery",
    "WAYBILL_TOKEN_ISSUER": "https://id.example.com",
    "WAYBILL_KAFKA_BOOTSTRAP": "waybill-kafka-bootstrap:9093",
    "WAYBILL_REGISTRY_URL": "http://registry:8080",
}

# by check and overlay: what it says, resource, path, value
TABLE: dict[tuple[str, str], tuple[tuple[Any, ...], ...]] = {
    ("schemas", "prod"): (
        ("'replica' was unexpected", CHECKOUT, "spec replica", 3),
        ("'2' is not of type", "KafkaTopic/orders", "spec partitions", "2"),
        ("'partition' was unexpected", "KafkaTopic/orders", "spec partition", 3),
        ("no schema here knows", KAFKA, "apiVersion", "kafka.strimzi.io/v1beta2"),
        ("'operation' was unexpected", "KafkaUser/checkout", f"{ACL} operation", "Read"),
        ("'maxReplicas' was unexpected", SCALED, "spec maxReplicas", 3),
        ("has no Deployment", CHECKOUT, "apiVersion", "apps/v1beta1"),
    ),
    ("agreement", "prod"): (
        ("KafkaTopic orders is missing", "KafkaTopic/orders"),
        ("KafkaTopic extra is in no contract", "KafkaTopic/orders", "", "extra"),
        ("KafkaTopic orders is not", "KafkaTopic/orders", "spec config retention.ms", "1"),
        ("KafkaUser auditor is missing", "KafkaUser/auditor"),
        ("KafkaUser checkout is not", "KafkaUser/checkout", f"{ACL} operations", More("Write")),
        ("min.insync.replicas is not 2", KAFKA, "spec kafka config min.insync.replicas", 1),
        ("listeners is Strimzi's", KAFKA, "spec kafka config listeners", "x"),
        ("2 brokers", "KafkaNodePool/brokers", "spec replicas", 2),
        ("0 controllers", "KafkaNodePool/controllers"),
        ("is in no cluster", "KafkaNodePool/brokers", "metadata labels", {}),
        ("not in the namespace", KAFKA, "metadata namespace", "kafka"),
    ),
    ("agreement", "local"): (
        ("KafkaUser extra is in no contract", "KafkaUser/auditor", "", "extra"),
    ),
    ("settings", "prod"): (
        ("no setting log_levle", CHECKOUT, f"{MAIN} env", More({"name": "WAYBILL_LOG_LEVLE", "value": "info"})),
        ("no setting LOG_LEVEL", CHECKOUT, f"{MAIN} env", More({"name": "LOG_LEVEL", "value": "info"})),
        ("lacks WAYBILL_GATEWAY_URL", "Deployment/accounting", f"{MAIN} env [WAYBILL_GATEWAY_URL]"),
        ("lacks WAYBILL_POSTGRES_HOST", DATABASE, "data WAYBILL_POSTGRES_HOST"),
        ("WAYBILL_POSTGRES_PORT: Input should be", DATABASE, "data WAYBILL_POSTGRES_PORT", "five"),
        ("jwks.json, which nothing puts there", CHECKOUT, f"{FILES} 3"),
        ("kafka_ca_file is /ca.pem, which nothing", SETTINGS, "data WAYBILL_KAFKA_CA_FILE", "/ca.pem"),
        ("WAYBILL_JWKS_FROM: Input should be", SETTINGS, "data WAYBILL_JWKS_FROM", "issuer"),
        ("so it must be https", SETTINGS, "data", ASKS_AN_ISSUER | {"WAYBILL_TOKEN_ISSUER": "http://id.example.com"}),
        ("PGSSLROOTCERT is /ca.crt, which nothing", DATABASE, "data PGSSLROOTCERT", "/ca.crt"),
        ("WAYBILL_POSTGRES_USER is auditor", CHECKOUT, f"{MAIN} env [WAYBILL_POSTGRES_USER] value", "auditor"),
        ("WAYBILL_INSTANCE is 1", CHECKOUT, f"{MAIN} env [WAYBILL_INSTANCE] value", "1"),
        ("runs inventory", CHECKOUT, f"{MAIN} image", "waybill/inventory:1"),
        ("there is no image waybill/shop", CHECKOUT, f"{MAIN} image", "waybill/shop:1"),
        ("nothing of ours is started by chassis.migrat ", JOB, f"{STEP} command 2", "chassis.migrat"),
        ("migrates inventory in the database checkout", JOB, f"{STEP} command 3", "inventory"),
        ("started by waybill provide", JOB, f"{POD} containers [schemas] command 3", "provide"),
        ("stack.json says", DATABASE, "data WAYBILL_POSTGRES_HOST", "elsewhere"),
        ("stack.json: ", STACK, "data stack.json", "{}"),
        ("has no stack.json", JOB, f"{POD} volumes [home] projected sources 0"),
        ("lacks WAYBILL_POSTGRES_HOST", CHECKOUT, f"{MAIN} envFrom 1"),
        ("does not wait for its migrations", CHECKOUT, f"{POD} initContainers"),
        ("WAYBILL_POSTGRES_HOST tells of a database, and it has none", LETTERS,
         f"{MAIN} env", More({"name": "WAYBILL_POSTGRES_HOST", "value": "postgres.example.com"})),
        ("PGSSLMODE tells of a database", LETTERS, f"{MAIN} env", More({"name": "PGSSLMODE", "value": "disable"})),
        ("started by chassis.migrated letters", LETTERS, f"{MAIN} command", [*MIGRATED, "letters"]),
        ("WAYBILL_KAFKA_USER is operator", LETTERS, f"{MAIN} env [WAYBILL_KAFKA_USER] value", "operator"),
        ("whether there is letters, lettres", STACK, "data stack.json", MISNAMED),
        ("there is no service shop", CHECKOUT, "spec template metadata labels app.kubernetes.io/name", "shop"),
    ),
    ("secrets", "prod"): (
        ("nobody makes key in the secret checkout", CHECKOUT, f"{FILES} 0 secret items 0 key", "key"),
        ("nobody makes password in the secret shop", CHECKOUT, f"{FILES} 0 secret name", "shop"),
        ("nobody makes password in the secret checkout", "KafkaUser/checkout"),
        ("nobody makes ca.crt in the secret waybill-cluster-ca-cert", KAFKA),
        ("is given the secret postgres-operator", CHECKOUT, f"{FILES} 2 secret name", "postgres-operator"),
        ("is given the secret gateway-client", CHECKOUT, FILES, More(FOREIGN)),
        ("Deployment letters: is given the secret postgres-ca", LETTERS, f"{FILES} 2 secret",
         {"name": "postgres-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}),
        ("Deployment letters: is given the secret checkout", LETTERS, f"{FILES} 0 secret name", "checkout"),
        ("stands in the manifests", SETTINGS, "kind", "Secret"),
        ("nobody makes ca.pem", "TriggerAuthentication/scaler", "spec secretTargetRef 1 key", "ca.pem"),
        ("nobody makes tls.crt in the secret shop-tls", "Ingress/checkout", "spec tls 0 secretName", "shop-tls"),
        ("secrets/postgres-operator is not the secret", JOB, f"{POD} volumes [home] projected sources 1"),
    ),
    ("secrets", "local"): (
        ("nobody makes pw in the secret postgres-registry", "Deployment/registry",
         f"{POD} containers 0 env [APICURIO_DATASOURCE_PASSWORD] valueFrom secretKeyRef key", "pw"),
        ("secrets/kafka-auditor is not the secret", "CronJob/audit",
         f"spec jobTemplate {POD} volumes [home] projected sources 1"),
    ),
    ("hardening", "prod"): (
        ("may run as root", CHECKOUT, f"{POD} securityContext runAsUser", 0),
        ("may make any system call", CHECKOUT, f"{POD} securityContext seccompProfile"),
        ("reaches into its node", CHECKOUT, f"{POD} hostNetwork", True),
        ("readOnlyRootFilesystem is not", CHECKOUT, f"{MAIN} securityContext readOnlyRootFilesystem"),
        ("capabilities is not", JOB, f"{STEP} securityContext capabilities", {"drop": ["CHOWN"]}),
        ("a token of the cluster's API", CHECKOUT, f"{POD} automountServiceAccountToken"),
        ("a token of the cluster's API", "ServiceAccount/checkout"),
        ("says not what it needs", "Deployment/registry", f"{POD} containers 0 resources limits"),
        ("readinessProbe asks /ready", CHECKOUT, f"{MAIN} readinessProbe httpGet path", "/ready"),
        ("livenessProbe asks /health/ready", CHECKOUT, f"{MAIN} livenessProbe httpGet path", "/health/ready"),
        ("listens on 8000, not on 8080", CHECKOUT, f"{MAIN} ports 0 containerPort", 8080),
        ("is killed after 10 s", CHECKOUT, f"{POD} terminationGracePeriodSeconds", 10),
        ("drained at once", "PodDisruptionBudget/checkout"),
        ("may lie on one node", CHECKOUT, f"{POD} topologySpreadConstraints 1"),
        ("no Pod has the port web", "Service/checkout", "spec ports 0 targetPort", "web"),
        ("no Pod has the port http", "Service/checkout", "spec selector x", "y"),
        ("does not select its own Pods", CHECKOUT, "spec selector matchLabels x", "y"),
        ("is told of every Service", CHECKOUT, f"{POD} enableServiceLinks"),
    ),
    ("images", "prod"): (
        ("runs as 10001:10000, its image is made for 10000:10000", CHECKOUT, f"{POD} securityContext runAsUser", 10001),
        ("reached on 8080, its image on 8000", CHECKOUT, f"{MAIN} ports 0 containerPort", 8080),
        ("its image would serve inventory", CHECKOUT, f"{MAIN} env [WAYBILL_SERVICE] value", "inventory"),
        ("starts otherwise than by python serve.py", LETTERS, f"{MAIN} args", ["letters"]),
        ("starts otherwise than by python serve.py", LETTERS, f"{MAIN} command", ["uvicorn", "letters.main:app"]),
        ("no command, so that python -m waybill.compose.prepare would run", JOB, f"{STEP} command"),
        ("its image has no shop", JOB, f"{STEP} command 3", "shop"),
    ),
    ("network", "prod"): (
        ("checkout may not speak to kafka on 9093", KAFKA, f"{PEERS} 0 {NAMES} 0"),
        ("checkout may not speak to kafka on 9093", "NetworkPolicy/services", "spec egress 0 ports 0 port", 9092),
        ("checkout may not speak to registry on 8080", "NetworkPolicy/services", "spec egress 1 ports 0 port", 80),
        ("provision may not speak to registry on 8080", "NetworkPolicy/provision"),
        ("checkout may not speak to postgres.example.com on 5432", "NetworkPolicy/to-postgres"),
        ("accounting may not speak to payments.example.com on 443", "NetworkPolicy/to-provider",
         "spec egress 0 ports 0 port", 80),
        ("whoever is in the cluster may speak to checkout on 8000", "NetworkPolicy/customers-to-checkout",
         "spec ingress 0 from"),
        ("checkout may not speak to id.example.com on 443", SETTINGS, "data", ASKS_AN_ISSUER),
        ("letters may not speak to kafka on 9093", "NetworkPolicy/letters"),
        ("whoever is in the cluster may speak to letters on 8000", "NetworkPolicy/prometheus-to-services",
         "spec ingress 0 from"),
        ("whoever is in the cluster may speak to kafka on 9093", KAFKA, PEERS),
        ("checkout may not ask for names", "NetworkPolicy/everybody-asks-for-names"),
    ),
    ("network", "local"): (
        ("accounting may not speak to payment_gateway on 8000", "NetworkPolicy/gateway"),
        ("audit may not speak to postgres on 5432", "NetworkPolicy/postgres", f"spec ingress 0 from 0 {NAMES} 7"),
        ("audit may speak to registry on 8080, and never has to", "NetworkPolicy/nothing-by-default", "spec",
         {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]}),
        ("fulfillment: no policy holds back its Ingress", "NetworkPolicy/nothing-by-default"),
    ),
    ("scaling", "prod"): (
        ("4 replicas for 3 partitions", SCALED, "spec maxReplicaCount", 4),
        ("need a process at any time", SCALED, "spec minReplicaCount", 0),
        ("there is no Deployment shop", SCALED, "spec scaleTargetRef name", "shop"),
        ("letters belongs to no group", SCALED, "spec scaleTargetRef name", "letters"),
        ("looks at the group orders", SCALED, "spec triggers 0 metadata consumerGroup", "orders"),
        ("would not find Kafka", SCALED, "spec triggers 0 metadata bootstrapServers", "kafka:9093"),
        ("there is no TriggerAuthentication", "TriggerAuthentication/scaler"),
        ("its processes want 60 connections", DATABASE, "data WAYBILL_POSTGRES_POOL", "10"),
        ("each apply would undo the scaling", CHECKOUT, "spec replicas", 2),
    ),
}  # fmt: skip

MISTAKES = [Mistake(*where, *row) for where, rows in TABLE.items() for row in rows]
