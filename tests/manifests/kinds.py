"""JSON schemas for the kinds that Kubernetes itself does not know, with the fields that we use and no other.

A field that is not here is refused, so that whoever uses a new one looks it up first: in the documentation of KEDA
(2.20), of External Secrets (0.17), and of the Prometheus operator.
"""

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_NUMBER_AS_TEXT: Schema = {"type": "string", "pattern": "^[0-9]+$"}
_DURATION: Schema = {"type": "string", "pattern": "^[0-9]+(s|m|h)$"}
_TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def _map(optional: tuple[str, ...] = (), **fields: Schema) -> Schema:
    return {
        "type": "object",
        "properties": fields,
        "required": [name for name in fields if name not in optional],
        "additionalProperties": False,
    }


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of, "minItems": 1}


def _kind(api_version: str, kind: str, spec: Schema) -> Schema:
    return _map(
        apiVersion={"const": api_version},
        kind={"const": kind},
        metadata=_map(("labels", "namespace"), name=_TEXT, namespace=_TEXT, labels=_TEXTS),
        spec=spec,
    )


_SELECTOR = _map(
    matchExpressions=_list(_map(key=_TEXT, operator={"enum": ["In"]}, values=_list(_TEXT))),
)

KINDS: dict[str, Schema] = {
    "ScaledObject": _kind(
        "keda.sh/v1alpha1",
        "ScaledObject",
        _map(
            scaleTargetRef=_map(name=_TEXT),
            pollingInterval=_COUNT,
            cooldownPeriod=_COUNT,
            minReplicaCount=_COUNT,
            maxReplicaCount=_COUNT,
            advanced=_map(
                horizontalPodAutoscalerConfig=_map(
                    behavior=_map(
                        scaleUp=_map(
                            policies=_list(
                                _map(type={"enum": ["Pods", "Percent"]}, value=_COUNT, periodSeconds=_COUNT)
                            )
                        )
                    )
                )
            ),
            fallback=_map(
                failureThreshold=_COUNT,
                replicas=_COUNT,
                behavior={
                    "enum": ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]
                },
            ),
            triggers=_list(
                _map(
                    type={"const": "redis-streams"},
                    metadata=_map(
                        address={"type": "string", "pattern": "^[a-z0-9.-]+:[0-9]+$"},
                        databaseIndex=_NUMBER_AS_TEXT,
                        enableTLS={"enum": ["true", "false"]},
                        stream=_TEXT,
                        streamLength=_NUMBER_AS_TEXT,
                        activationLagCount=_NUMBER_AS_TEXT,
                    ),
                    authenticationRef=_map(name=_TEXT),
                )
            ),
        ),
    ),
    "TriggerAuthentication": _kind(
        "keda.sh/v1alpha1",
        "TriggerAuthentication",
        _map(secretTargetRef=_list(_map(parameter=_TEXT, name=_TEXT, key=_TEXT))),
    ),
    "SecretStore": _kind(
        "external-secrets.io/v1",
        "SecretStore",
        _map(
            provider=_map(
                aws=_map(
                    service={"enum": ["SecretsManager", "ParameterStore"]},
                    region=_TEXT,
                    auth=_map(jwt=_map(serviceAccountRef=_map(name=_TEXT))),
                )
            )
        ),
    ),
    "ExternalSecret": _kind(
        "external-secrets.io/v1",
        "ExternalSecret",
        _map(
            refreshInterval=_DURATION,
            secretStoreRef=_map(kind={"enum": ["SecretStore", "ClusterSecretStore"]}, name=_TEXT),
            target=_map(name=_TEXT, template=_map(data=_TEXTS)),
            data=_list(_map(secretKey=_TEXT, remoteRef=_map(key=_TEXT, property=_TEXT))),
        ),
    ),
    "PodMonitor": _kind(
        "monitoring.coreos.com/v1",
        "PodMonitor",
        _map(
            selector=_SELECTOR,
            podMetricsEndpoints=_list(_map(port=_TEXT, path=_TEXT, interval=_DURATION)),
        ),
    ),
    "PrometheusRule": _kind(
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        _map(
            groups=_list(
                _map(
                    name=_TEXT,
                    rules=_list(
                        _map(
                            ("for",),
                            alert={"type": "string", "pattern": "^Rastro[A-Za-z]+$"},
                            expr=_TEXT,
                            labels=_map(severity={"enum": ["critical", "warning"]}),
                            annotations=_map(summary=_TEXT, runbook=_TEXT),
                            **{"for": _DURATION},
                        )
                    ),
                )
            )
        ),
    ),
}
