-- Ids of texts. The unique key is on md5(value), since an index can not hold the longest ones; two texts that somebody
-- made to have one md5 share an id.
select dictionaries.id, wanted.kind, wanted.value
from unnest(cast(:kinds as smallint[]), cast(:values as text[])) as wanted (kind, value)
join dictionaries on dictionaries.kind = wanted.kind and md5(dictionaries.value) = md5(wanted.value)
