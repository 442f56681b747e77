-- Add a batch's counts per link and quarter hour; the arrays come sorted by link and slot.
insert into rollup_totals as held (link_id, slot, shard, clicks, uniques, bots, others)
select link_id, slot, :shard, clicks, uniques, bots, others
from unnest(cast(:links as bigint[]), cast(:slots as timestamptz[]), cast(:clicks as int[]), cast(:uniques as int[]),
            cast(:bots as int[]), cast(:others as int[])) as fresh (link_id, slot, clicks, uniques, bots, others)
on conflict (link_id, slot, shard) do update
set clicks = held.clicks + excluded.clicks, uniques = held.uniques + excluded.uniques,
    bots = held.bots + excluded.bots, others = held.others + excluded.others
