-- Add a batch's counts per link, dimension, day and value; the arrays come sorted in this order.
insert into rollup_dims as held (link_id, kind, day, value, shard, clicks, uniques, bots)
select link_id, kind, day, value, :shard, clicks, uniques, bots
from unnest(cast(:links as bigint[]), cast(:kinds as smallint[]), cast(:days as date[]), cast(:values as int[]),
            cast(:clicks as int[]), cast(:uniques as int[]), cast(:bots as int[]))
     as fresh (link_id, kind, day, value, clicks, uniques, bots)
on conflict (link_id, kind, day, value, shard) do update
set clicks = held.clicks + excluded.clicks, uniques = held.uniques + excluded.uniques,
    bots = held.bots + excluded.bots
