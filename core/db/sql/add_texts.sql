-- Add texts in the order of their unique key; those that are there already come back with nothing.
insert into dictionaries (kind, value)
select kind, value
from unnest(cast(:kinds as smallint[]), cast(:values as text[])) as wanted (kind, value)
order by kind, md5(value) collate "C"
on conflict (kind, md5(value)) do nothing
returning id, kind, value
