-- Add to the books what became of a batch, by the UTC hour of the clicks' ids.
insert into books as held (hour, shard, stored, duplicate, expired)
select hour, :shard, stored, duplicate, expired
from unnest(cast(:hours as timestamptz[]), cast(:stored as bigint[]), cast(:duplicate as bigint[]),
            cast(:expired as bigint[])) as fresh (hour, stored, duplicate, expired)
on conflict (hour, shard) do update
set stored = held.stored + excluded.stored, duplicate = held.duplicate + excluded.duplicate,
    expired = held.expired + excluded.expired
