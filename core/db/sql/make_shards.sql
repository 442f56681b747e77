-- The sixteen shards, free. Only the first call of an installation adds any.
insert into rollup_shards (shard, owner, leased_until)
select number, '', '-infinity'
from generate_series(0, 15) as number
where not exists (select from rollup_shards where shard = 15)
on conflict do nothing
