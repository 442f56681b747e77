"""Every connection that is needed is let through, and the few that must not be are not."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from admin_flask.server import Server
from core.config import Settings
from tests.manifests.cluster import NAMES, PROGRAMS, cluster, labels, pod, port_of, selects
from tests.manifests.render import MANIFESTS, Object, containers
from tracker_quart.connection import KEEP_ALIVE_S

MONITORED = ("overlays/eks", "overlays/peak")


def rules(name: str, workload: Object, way: str) -> list[Object]:
    """What the policies that mean this workload's pods let in (`ingress`) or out (`egress`)."""
    return [
        rule
        for policy in cluster(name).all("NetworkPolicy")
        if selects(policy["spec"]["podSelector"], labels(workload))
        for rule in policy["spec"].get(way, ())
    ]


def ports(found: list[Object]) -> set[int]:
    """The ports of these rules; a rule without any would let all through."""
    return {port["port"] for rule in found for port in rule["ports"]}


@pytest.mark.parametrize("name", NAMES)
def test_it_refuses_everything_that_no_policy_names(name: str) -> None:
    nothing = cluster(name).one("NetworkPolicy", "nothing-else")["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in cluster(name).all("NetworkPolicy"):
        assert policy["spec"]["policyTypes"]
        for rule in (*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())):
            assert rule["ports"]
            assert rule.get("from") or rule.get("to")


@pytest.mark.parametrize("name", NAMES)
def test_it_lets_every_service_probe_and_scraper_in_and_nobody_else(name: str) -> None:
    for deployment in cluster(name).all("Deployment"):
        (container,) = containers(deployment)
        wanted = {port["containerPort"] for port in container["ports"]}
        probed = {
            port_of(container, container[kind]["httpGet"]["port"])
            for kind in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        assert probed <= wanted
        assert ports(rules(name, deployment, "ingress")) == wanted
    (migrate,) = cluster(name).all("Job")
    assert rules(name, migrate, "ingress") == []


@pytest.mark.parametrize("name", NAMES)
def test_it_lets_each_program_reach_its_servers_and_no_other(name: str) -> None:
    for workload in cluster(name).workloads:
        env = cluster(name).env(workload)
        settings = Settings.from_env(env)
        reached = ports(rules(name, workload, "egress"))
        wanted = {53}
        if settings.redis_url:
            wanted.add(urlsplit(settings.redis_url).port or 0)
        if settings.database_url:
            wanted.add(urlsplit(settings.database_url).port or 0)
        if settings.smtp_url:
            wanted |= {80, 443, 465, 587}
        assert reached == wanted


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_outside_from_meaning_the_inside(name: str) -> None:
    """What fetches addresses that people gave us can not reach the network of the cluster or the node's own rights."""
    (rule,) = cluster(name).one("NetworkPolicy", "to-the-outside")["spec"]["egress"]
    (block,) = [one["ipBlock"] for one in rule["to"]]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"} == set(
        block["except"]
    )


@pytest.mark.parametrize("name", NAMES)
def test_it_has_services_that_lead_to_a_port_of_one_program(name: str) -> None:
    services = cluster(name).all("Service")
    assert {one["metadata"]["name"] for one in services} == {"tracker", "manager"}
    for service in services:
        selector = {"matchLabels": service["spec"]["selector"]}
        (meant,) = [one for one in cluster(name).all("Deployment") if selects(selector, labels(one))]
        (container,) = containers(meant)
        assert PROGRAMS[meant["metadata"]["name"]] == service["metadata"]["name"]
        (port,) = service["spec"]["ports"]
        assert port["name"] == port["targetPort"] == "http"  # and never the port of the metrics
        assert port_of(container, port["targetPort"])


@pytest.mark.parametrize("name", MONITORED)
def test_it_scrapes_every_program_that_has_metrics(name: str) -> None:
    (monitor,) = cluster(name).all("PodMonitor")
    for deployment in cluster(name).all("Deployment"):
        (container,) = containers(deployment)
        has = [port["containerPort"] for port in container["ports"] if port["name"] == "metrics"]
        assert selects(monitor["spec"]["selector"], labels(deployment)) == bool(has)
    assert [(one["port"], one["path"]) for one in monitor["spec"]["podMetricsEndpoints"]] == [
        ("metrics", "/metrics")
    ]


@pytest.mark.parametrize("name", MONITORED)
def test_it_leads_each_host_to_its_program_over_one_load_balancer(name: str) -> None:
    found = cluster(name).all("Ingress")
    manager = cluster(name).env(cluster(name).one("Deployment", "deploy-manager"))
    manager_keeps_s = Server(Settings.from_env(manager)).cfg.keepalive
    config = cluster(name).one("ConfigMap", "rastro-config")
    wanted = {
        "tracker": urlsplit(config["data"]["TRACKER_URL"]).hostname,
        "manager": urlsplit(config["data"]["ADMIN_URL"]).hostname,
    }
    led = {}
    for ingress in found:
        for rule in ingress["spec"]["rules"]:
            (path,) = rule["http"]["paths"]
            service = path["backend"]["service"]
            assert service["port"] == {"name": "http"}
            assert cluster(name).one("Service", service["name"])
            led[service["name"]] = rule["host"]
    assert led == wanted
    notes = [ingress["metadata"]["annotations"] for ingress in found]
    prefix = "alb.ingress.kubernetes.io/"
    for key in ("group.name", "scheme", "listen-ports", "load-balancer-attributes", "target-type"):
        assert len({note[prefix + key] for note in notes}) == 1
    for note in notes:
        assert note[prefix + "healthcheck-path"] == "/readyz"
        idle = re.fullmatch(r"idle_timeout.timeout_seconds=(\d+)", note[prefix + "load-balancer-attributes"])
        assert idle and int(idle[1]) < min(KEEP_ALIVE_S, manager_keeps_s)
        delay = re.fullmatch(
            r"deregistration_delay.timeout_seconds=(\d+)", note[prefix + "target-group-attributes"]
        )
        for workload in ("deploy-tracker", "deploy-manager"):
            grace = pod(cluster(name).one("Deployment", workload))["terminationGracePeriodSeconds"]
            assert delay and int(delay[1]) < grace


@pytest.mark.parametrize("name", MONITORED)
def test_it_trusts_the_subnets_that_it_lets_in(name: str) -> None:
    config = cluster(name).one("ConfigMap", "rastro-config")
    trusted = set(config["data"]["TRUSTED_PROXIES"].split(", "))
    for policy in ("from-visitors", "from-staff"):
        (rule,) = cluster(name).one("NetworkPolicy", policy)["spec"]["ingress"]
        assert {one["ipBlock"]["cidr"] for one in rule["from"]} == trusted


def test_it_opens_the_way_to_a_collector_and_a_sentry_by_a_component(tmp_path: Path) -> None:
    """Without it nobody reaches a collector, and no tracker anything outside."""
    (tmp_path / "kustomization.yaml").write_text(
        f"resources: [{MANIFESTS / 'base'}]\ncomponents: [{MANIFESTS / 'components/telemetry'}]\n",
        encoding="utf-8",
    )
    name = str(tmp_path)
    for deployment in PROGRAMS:
        workload = cluster(name).one("Deployment", deployment)
        settings = Settings.from_env(cluster(name).env(workload))
        collector = urlsplit(settings.otel_exporter_otlp_endpoint)
        more = ports(rules(name, workload, "egress")) - ports(rules("base", workload, "egress"))
        wanted = {443} if deployment in ("deploy-tracker", "deploy-worker-track") else set()
        assert more == wanted | ({collector.port} if deployment != "deploy-tracker" else set())
    (migrate,) = cluster(name).all("Job")
    assert rules(name, migrate, "egress") == rules("base", migrate, "egress")
    (rule,) = cluster(name).one("NetworkPolicy", "to-collector")["spec"]["egress"]
    (place,) = rule["to"]
    assert collector.hostname is not None
    assert (
        place["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        == (collector.hostname.split(".")[1])
    )
    outside = cluster(name).one("NetworkPolicy", "to-the-outside")["spec"]["egress"][0]["to"]
    assert cluster(name).one("NetworkPolicy", "to-sentry")["spec"]["egress"][0]["to"] == outside
