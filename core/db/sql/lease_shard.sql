-- Renew the owner's shard or take a free one; no row when all are taken.
update rollup_shards
set owner = :owner, leased_until = now() + make_interval(secs => :seconds)
where shard = (
    select shard from rollup_shards
    where owner = :owner or leased_until < now()
    order by owner <> :owner, shard
    limit 1
    for update skip locked
)
returning shard
