-- People's clicks, uniques, robots and others of a link per bucket, from whole quarter hours.
-- Buckets are cut in the program, where time zones are known: starts are instants in order.
select width_bucket(slot, cast(:starts as timestamptz[])) - 1 as bucket,
       sum(clicks) as clicks, sum(uniques) as uniques, sum(bots) as bots, sum(others) as others
from rollup_totals
where link_id = :link_id and slot >= :start and slot < :end
group by 1
