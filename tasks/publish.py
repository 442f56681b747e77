"""Tasks of the queue `publish`: repair what a service could not publish right after its commit."""

from core.services import publishing
from tasks.registry import Context, task


@task(queue="publish", name=publishing.LINK_TASK, retries=10)
def publish_link(context: Context, domain_id: int, slug_key: str) -> None:
    """Publish the link that owns this slug of this domain now."""
    publishing.publish_link(context.engine, context.redis, domain_id=domain_id, slug_key=slug_key)


@task(queue="publish", name=publishing.DOMAIN_TASK, retries=10)
def publish_domain(context: Context, host: str) -> None:
    """Publish the domain that answers for this host now."""
    publishing.publish_domain(context.engine, context.redis, host=host)


@task(queue="publish", name=publishing.DEFAULT_DOMAIN_TASK, retries=10)
def publish_default_domain(context: Context) -> None:
    """Publish which domain is the default one now."""
    publishing.publish_default_domain(context.engine, context.redis)


@task(queue="publish", name=publishing.SOURCES_TASK, retries=10)
def publish_sources(context: Context) -> None:
    """Publish which sources of conversions there are now."""
    publishing.publish_sources(context.engine, context.redis)
