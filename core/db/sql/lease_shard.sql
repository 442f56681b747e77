-- Renew the owner's shard or take a free one of the first few; no row when all of them are taken.
update rollup_shards
set owner = :owner, leased_until = now() + make_interval(secs => :seconds)
where shard = (
    select shard from rollup_shards
    where (owner = :owner or leased_until < now()) and shard < :shards
    order by owner <> :owner, shard
    limit 1
    for update skip locked
)
returning shard
